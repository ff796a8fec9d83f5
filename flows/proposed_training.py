"""What a proposed training will be, for the person who is asked: model, methods, steps, time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fine_tune.block import TrainingBlock
from fine_tune.mixed_export import OWN, MixedExport
from fine_tune.mixture import find_export
from fine_tune.outcome import workspace_of
from fine_tune.settings import TrainSettings
from fine_tune.trial_steps import count_steps, tokens_read
from flows.progress import spoken
from pipeline.text.markdown import markdown_table
from scorers.measures.models.loading import TEMPLATE, resolve_model
from storage.database import read_workspace
from storage.exports_manifest import SplitCounts, read_manifest
from storage.selections import read_costs
from storage.workspace import Workspace

OF_ITS_LENGTH = (
    *("epochs", "max_steps", "seed", "learning_rate", "schedule", "warmup_fraction"),
    "save_every_steps",
)
"""Settings that leave the seconds of a token as they are."""


def proposal_table(export: Path, model: str, settings: TrainSettings) -> str:
    """What will be trained, as Markdown.

    Args:
        export: folder of the export, which others that are mixed in lie beside.
        model: the target, as it will be loaded.
        settings: of the training.
    """
    parts = [settings.of_stage(each) for each in settings.stages] or [settings]
    copies = len(settings.members()) if settings.soup else 1
    sizes = [mixed_counts(export, each.mix) for each in parts]
    steps = [count_steps(size.rows, each) for size, each in zip(sizes, parts, strict=True)]
    tokens = sum(tokens_read(size, each) for size, each in zip(sizes, parts, strict=True))
    rows = [("target", model.partition(TEMPLATE)[0])]
    for number, (part, size, count) in enumerate(zip(parts, sizes, steps, strict=True), start=1):
        stage = f"stage {number}: " if settings.stages else ""
        methods = [settings_said(each) for each in part.methods]
        mixed = [each.export for each in part.mix if each.export != OWN]
        other = f", some of {', '.join(mixed)}" if mixed else ""
        rows += [
            (f"{stage}methods", "; ".join(methods) or "none: plain training"),
            (f"{stage}rows", f"{size.rows:,}, {size.loss_tokens:,} loss tokens{other}"),
            (f"{stage}optimizer steps in one process", f"{count:,}"),
        ]
    if settings.soup:
        soup = f"the mean of {settings.soup_size():,}: {settings_said(settings.soup)}"
        rows.append(("trainings", soup))
    rest = settings.model_copy(update={"methods": (), "mix": (), "stages": (), "soup": None})
    rows += [
        ("settings other than the defaults", settings_said(rest) or "none"),
        ("time", time_said(export, model, settings, copies * tokens)),
    ]
    return markdown_table("ll", ("", "will be trained"), rows)


def settings_said(block: TrainingBlock) -> str:
    """The settings that are not the defaults, on one line; of a method its name first."""
    given = block.model_dump(mode="json", exclude_defaults=True)
    name = [given.pop("method")] if "method" in given else []
    return ", ".join([*name, *(f"{name} {value}" for name, value in given.items())])


def mixed_counts(export: Path, mix: Sequence[MixedExport]) -> SplitCounts:
    """Rows and tokens of a mix, those of a drawn part in proportion; of no mix, the export's."""
    found = SplitCounts()
    for each in mix or (MixedExport(),):
        folder = export if each.export == OWN else find_export(each.export, export.parent)
        counts = read_manifest(folder).trained()["train"]
        drawn = each.drawn(counts.rows)
        found = SplitCounts(
            rows=found.rows + drawn,
            prompt_tokens=found.prompt_tokens + counts.prompt_tokens * drawn // counts.rows,
            loss_tokens=found.loss_tokens + counts.loss_tokens * drawn // counts.rows,
        )
    return found


def time_said(export: Path, model: str, settings: TrainSettings, tokens: float) -> str:
    """How long it will take, as the last training of its kind in the workspace did."""
    workspace = workspace_of(export)
    if workspace is None:
        return "not known: the export lies in no workspace that has trainings"
    with read_workspace(Workspace(workspace)) as con:
        costs = read_costs(con)
    kind = (resolve_model(model).fingerprint, speed_settings(settings.model_dump(mode="json")))
    for report, cost in costs:
        training = report["training"]
        alike = (training["model_fingerprint"], speed_settings(training["settings"])) == kind
        if alike and cost["tokens"]:
            seconds = cost["seconds"] / cost["tokens"] * tokens
            return (
                f"about {spoken(seconds)}, at the speed of the last of this kind in the workspace: "
                f"{cost['tokens']:,} tokens in {spoken(cost['seconds'])}, on {cost['device']}"
            )
    return "not known: the workspace has no training of this kind; sluice plan tries its steps"


def speed_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that the seconds of a token go by."""
    return {name: value for name, value in settings.items() if name not in OF_ITS_LENGTH}
