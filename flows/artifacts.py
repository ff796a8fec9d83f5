"""What a run shows on its page: funnel, score histograms, changes, export, training, progress.

An artifact is a view of what the workspace keeps, so no run fails for want of one: where the server
cannot be reached, that is said in the log and the work goes on. Counts, ids and paths are shown,
never the content of a row. Keys are stable for a recipe, so that the UI shows their history.
"""

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.exceptions import PrefectException

from fine_tune.outcome import TrainingOutcome
from flows.progress import say
from pipeline.evidence.training_markdown import outcome_line, training_table
from pipeline.export.dataset_card import source_table, split_table
from pipeline.reporting.report import FunnelRow
from pipeline.text.markdown import code_span
from storage.exports_manifest import SPLITS, ExportManifest
from storage.visible import harmless

UNREACHABLE = (httpx.HTTPError, PrefectException)
"""What Prefect raises when its server is gone, restarting or refuses."""


def put_on_page(what: str, create: Callable[[], object]) -> bool:
    """Make an artifact and return whether it was made; where it was not, say so and go on."""
    try:
        create()
    except UNREACHABLE as error:
        say(f"page: {what} could not be shown ({type(error).__name__}: {error})")
        return False
    return True


def show_markdown(name: str, part: str, description: str, markdown: str, what: str = "") -> None:
    """Put Markdown on the page, as a part of what there is of a recipe."""
    key = artifact_key(name, part)
    create = partial(create_markdown_artifact, markdown, key=key, description=description)
    put_on_page(what or f"the {part}", create)


def artifact_key(*parts: str) -> str:
    """A key as Prefect wants it: lowercase letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def show_funnel(recipe: str, run_id: str, rows: Sequence[FunnelRow]) -> None:
    """Show what became of the rows, step by step, as a table."""
    names = ("stage", "step", "rows in", "rows kept", "left, by reason")
    table = [dict(zip(names, map(shown, astuple(row)), strict=True)) for row in rows]
    put_on_page(
        "the funnel",
        lambda: create_table_artifact(
            table=table,
            key=artifact_key(recipe, "funnel"),
            description=f"**What became of the rows** of {code_span(recipe)}, run `{run_id}`"
            + (f": {rows[0].rows_in:,} rows in, {rows[-1].kept:,} left" if rows else ""),
        ),
    )


def shown(cell: object) -> object:
    """A cell of a table that Prefect shows as it is."""
    return harmless(cell) if isinstance(cell, str) else cell


def show_histograms(recipe: str, run_id: str, picture: bytes) -> None:
    """Show the scores of pool and selection as a picture."""
    # An image artifact prints its address below it, and that is the whole picture in base64.
    encoded = base64.b64encode(picture).decode()
    image = f"![Scores of the pool and of the selection](data:image/png;base64,{encoded})"
    told = f"**Scores** of {code_span(recipe)}, run `{run_id}`"
    show_markdown(recipe, "scores", told, image, "the score histograms")


def show_page(recipe: str, run_id: str, page: Path) -> None:
    """Show where the page of the run is, and how to look further."""
    told = f"**Page** of {code_span(recipe)}, run `{run_id}`"
    place = page.resolve()
    lines = [
        f"{code_span(place)} has the verdict with pictures and some rows of each kind. On the "
        "machine that has it a browser opens it; it needs no server.",
        "",
        "```bash",
        f"sluice view -w {place.parent.parent} # every row, in the browser",
        "```",
    ]
    show_markdown(recipe, "page", told, "\n".join(lines))


def show_changes(recipe: str, run_id: str, markdown: str, number: str) -> None:
    """Show what is different from the run before, as Markdown that holds ids and counts.

    Args:
        recipe: its name.
        run_id: the run.
        markdown: all of it.
        number: what its card says: on the page of a run only that is seen of an artifact.
    """
    told = f"**What changed** in {code_span(recipe)} with run `{run_id}`: {number}"
    show_markdown(recipe, "changes", told, markdown)


def show_evidence(recipe: str, run_id: str, markdown: str, number: str) -> None:
    """Show what the selection is worth, as Markdown that holds ids and counts."""
    told = f"**What the selection is worth** in run `{run_id}` of {code_span(recipe)}: {number}"
    show_markdown(recipe, "evidence", told, markdown)


def show_trial(recipe: str, run_id: str, markdown: str, number: str) -> None:
    """Show whether the choice of a run beats random, or that nobody knows."""
    told = f"**Does it beat random?** Run `{run_id}` of {code_span(recipe)}: {number}"
    show_markdown(recipe, "trial", told, markdown)


def show_export(recipe: str, export: Path, manifest: ExportManifest) -> None:
    """Show where the export lies, what it promises, and how to look further."""
    place = export.resolve()
    train = manifest.counts("train")
    told = (
        f"**Export** `{manifest.export_id[:12]}` of {code_span(recipe)}: {train.rows:,} rows, "
        f"{train.loss_tokens:,} loss tokens to train"
    )
    show_markdown(recipe, "export", told, export_markdown(place, manifest))


def export_markdown(export: Path, manifest: ExportManifest) -> str:
    """The export's place, its counts and the commands that show more."""
    workspace = export.parent.parent  # WORKSPACE/exports/NAME
    return "\n".join(
        [
            code_span(export),
            "",
            split_table({split: manifest.counts(split) for split in SPLITS}),
            "",
            source_table(manifest.sources),
            "",
            f"Target {code_span(manifest.model.reference)}, selection `{manifest.selection_id}`, "
            f"run `{manifest.run_id}`, export `{manifest.export_id}`.",
            "",
            "```bash",
            f"sluice verify -w {workspace}",
            f"sluice report -w {workspace} --run {manifest.run_id}",
            f"prefect deployment run fine-tune/fine-tune -p export={export}",
            "```",
        ]
    )


def show_training(name: str, outcome: TrainingOutcome) -> None:
    """Show how a training went and what it cost."""
    told = (
        f"**Training** `{outcome.trial_id}` on export `{outcome.export_id[:12]}`: "
        f"{outcome_line(outcome.report)}"
    )
    show_markdown(name, "training", told, training_markdown(outcome))


def training_markdown(outcome: TrainingOutcome) -> str:
    """Losses, samples and cost as a table."""
    cost = outcome.cost.model_dump() if outcome.cost else None
    return training_table(outcome.adapter, outcome.report, cost)


class ProgressArtifact:
    """The progress of a long stage on the page; gives up at the first failure, and says so."""

    def __init__(self, key: str, description: str) -> None:
        self.what, self.shown_percent = description, 0.0
        self.artifact: UUID | None = None
        put_on_page(f"the progress of {description}", lambda: self.create(key))

    def create(self, key: str) -> None:
        """Put it on the page, at nothing done."""
        made = create_progress_artifact(progress=0.0, key=key, description=self.what)
        assert isinstance(made, UUID)  # a coroutine only where a loop is running
        self.artifact = made

    def at(self, done: int, total: int) -> None:
        """Show that so much is done; steps of less than a percent are left out."""
        percent = 100.0 * done / max(1, total)
        artifact = self.artifact
        if artifact is None or (percent - self.shown_percent < 1.0 and done < total):
            return
        self.shown_percent = percent
        update = partial(update_progress_artifact, artifact, progress=percent)
        if not put_on_page(f"the progress of {self.what}", update):
            self.artifact = None  # or each shard would wait for a server that does not answer
