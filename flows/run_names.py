"""What runs are called on the server: what, of which recipe or export, and when."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect.runtime import flow_run

from flows.recipe.schema import Recipe


def name_curation() -> str:
    """A curation: the recipe, how far it goes, and when."""
    given: dict[str, Any] = flow_run.parameters
    recipe = given.get("recipe")
    name = recipe_name(recipe) if recipe is not None else Path(given["recipe_file"]).stem
    return f"{name}, up to {given['until']}, {minute()}"


def name_training() -> str:
    """A training: its export, and when."""
    return f"fine-tune on {Path(flow_run.parameters['export']).name}, {minute()}"


def name_approval() -> str:
    """A question to a person: about which export, and when."""
    return f"approve training on {Path(flow_run.parameters['export']).name}, {minute()}"


def name_mixtures() -> str:
    """A search for a mixture: the task's export, and when."""
    return f"mixtures with {flow_run.parameters['plan'].export.name}, {minute()}"


def name_trial() -> str:
    """A trial: the recipe whose choice it compares, or the file that names it, and when."""
    given: dict[str, Any] = flow_run.parameters
    prepared = given.get("prepared")
    name = (
        Path(given["trial_file"]).stem if prepared is None else recipe_name(prepared.state.recipe)
    )
    return f"trial of {name}, {minute()}"


def name_record() -> str:
    """A training that is written down: which, and when."""
    outcome: Any = flow_run.parameters["outcome"]
    # Parameters are as they were sent: from an event it is a dict.
    trial = outcome["trial_id"] if isinstance(outcome, dict) else outcome.trial_id
    return f"record training {trial}, {minute()}"


def name_backfill() -> str:
    """A backfill: which scores, of which days, and when."""
    given = flow_run.parameters
    scores = ", ".join(given["scorers"]) or "all scores"
    days = f"{given['since'] or 'the first day'} to {given['until'] or 'today'}"
    return f"backfill {scores} of {days}, {minute()}"


def name_retry() -> str:
    """A retry: of which recipe, and when."""
    return f"retry {Path(flow_run.parameters['recipe_file']).stem}, {minute()}"


def name_report() -> str:
    """A report: the workspace, and when."""
    return f"report on {Path(flow_run.parameters['workspace']).name}, {minute()}"


def recipe_name(recipe: object) -> str:
    """The name in a recipe, which has been validated or not yet."""
    return recipe.name if isinstance(recipe, Recipe) else str(dict(recipe)["name"])  # type: ignore[call-overload]


def minute() -> str:
    """When the run was due, or now: date and minute, in UTC."""
    due = flow_run.scheduled_start_time
    when = due if isinstance(due, datetime) else datetime.now(UTC)
    return f"{when:%Y-%m-%d %H:%M}"
