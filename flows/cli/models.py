"""`sluice models`: the embedded models, and whether they are installed."""

from flows.cli.options import AsJson
from flows.cli.output import print_rows


def models(as_json: AsJson = False) -> None:
    """List the embedded models, whether each is installed, and what to do if not."""
    from scorers.measures.models.loading import WHEEL_MODELS, MissingModelError, resolve_model

    found = []
    for name in WHEEL_MODELS:
        try:
            resolved = resolve_model(f"wheel:{name}")
            found.append((f"wheel:{name}", resolved.fingerprint[:16], str(resolved.path)))
        except MissingModelError as error:
            found.append((f"wheel:{name}", "missing", str(error)))  # it says how to install it
    print_rows(["model", "fingerprint", "where"], found, as_json)
