"""What a run says when it ends: the funnel, where things lie, and what to try next."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from flows.begin_run import RunState
from flows.cli.output import print_json, shown_path, stdout_console
from pipeline.evidence.markdown import evidence_lines
from pipeline.evidence.trial_markdown import verdict_line
from pipeline.measuring.catalogue import asks_model
from pipeline.reporting.report import FunnelRow, funnel_rows
from storage.database import read_workspace
from storage.documents import count_documents
from storage.evidence import read_evidence
from storage.runs import read_counts
from storage.selections import StoredSelection, read_run_selections, read_selection
from storage.trial_items import read_last_result
from storage.visible import harmless


@dataclass(frozen=True, slots=True)
class RunSummary:
    """The outcome of a run."""

    run_id: str
    recipe: str
    workspace: str
    asked: dict[str, int]  # measure → rows that models were asked about in this execution
    parts: dict[str, int]  # measure that is wanted of a part of the pool only → rows of that part
    funnel: list[FunnelRow]
    notes: list[str]
    quarantined: int
    selections: dict[str, StoredSelection]  # kind → the choice and its controls
    evidence: dict[str, Any] | None  # lengths, overlaps, sensitivity and agreement of the choice
    verdict: str | None  # of a trial on the choice, or that there was none; None without a choice
    first_example: str | None  # the one picked first, to try `sluice explain` on
    export: str | None
    adapter: str | None
    training: dict[str, Any] | None


def summary_of(state: RunState) -> RunSummary:
    """Read what a run did from its workspace."""
    with read_workspace(state.run.workspace) as con:
        counts = read_counts(con, state.run.run_id)
        selections = read_run_selections(con, state.run.run_id)
        evidence = read_evidence(con, state.run.run_id)
        choice = selections.get("choice")
        unread = count_documents(con, state.run.run_id).quarantined
        picked = read_selection(con, choice.selection_id)[0] if choice else []
        result = read_last_result(con, state.run.run_id)
    return RunSummary(
        run_id=state.run.run_id,
        recipe=state.recipe.name,
        workspace=shown_path(state.run.workspace.directory),
        asked=dict(state.asked),
        parts=dict(state.parts),
        funnel=funnel_rows(counts),
        notes=[note for count in counts for note in count.notes],
        quarantined=sum(sum(count.quarantined.values()) for count in counts)
        # No stage counts those: targets and documents are no rows of the run.
        + state.run.targets.quarantined
        + sum(unread.values()),
        selections=selections,
        evidence=dict(evidence) if evidence else None,
        verdict=verdict_line(result) if choice else None,
        first_example=picked[0] if picked else None,
        export=shown_path(state.exported.path) if state.exported else None,
        adapter=shown_path(state.adapter) if state.adapter else None,
        training=training_numbers(state),
    )


def training_numbers(state: RunState) -> dict[str, Any] | None:
    """The numbers of a training report that a person wants first."""
    report = state.trained
    if report is None:
        return None
    before, after = report.heldout_before, report.heldout_after
    return {
        "steps": report.steps,
        "rows": report.train.rows,
        "loss_tokens": report.train.loss_tokens,
        "heldout_rows": before.rows if before else 0,
        "heldout_tokens": before.tokens if before else 0,
        "heldout_before": before.nats_per_token if before else None,
        "heldout_after": after.nats_per_token if after else None,
    }


def print_summary(summary: RunSummary, as_json: bool) -> None:
    """Print the outcome for a person, or as JSON."""
    if as_json:
        print_json(summary)
        return
    console = stdout_console()
    console.print()
    console.print(funnel_table(summary.funnel))
    for line in [*summary.notes, *outcome_lines(summary)]:
        console.print(harmless(line), markup=False, soft_wrap=True)
    if summary.first_example:
        console.print("\nWorth trying next:")
        for command in next_commands(summary):
            console.print(f"  {harmless(command)}", markup=False, soft_wrap=True)


def funnel_table(rows: list[FunnelRow]) -> Table:
    """The funnel as a table."""
    table = Table(title="What became of the rows", title_justify="left")
    for name, justify in (("stage", "left"), ("step", "left"), ("in", "right"), ("kept", "right")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_column("left, by reason", overflow="fold")
    for row in rows:
        step, left = (Text(harmless(each)) for each in (row.step, row.left))  # no markup in names
        table.add_row(row.stage, step, str(row.rows_in), str(row.kept), left)
    return table


def outcome_lines(summary: RunSummary) -> list[str]:
    """What was selected, trained and written, and what the models were asked."""
    lines = [
        f"{kind:<15} {each.rows:>6} rows {each.loss_tokens:>9} loss tokens"
        for kind, each in sorted(summary.selections.items())
    ]
    lines += evidence_lines(summary.evidence) if summary.evidence else []
    lines += [f"beats random?   {summary.verdict}"] if summary.verdict else []
    lines += [training_line(summary.training)] if summary.training else []
    if summary.parts:
        lines.append(f"measured in part, as the recipe says: {listed_rows(summary.parts)}")
    lines += [asked_line(summary.asked)] if summary.asked else []
    lines.append(f"workspace       {summary.workspace} (run {summary.run_id})")
    lines += [f"export          {summary.export}"] if summary.export else []
    if summary.adapter:  # or the whole model, by the name of its folder
        lines.append(f"{Path(summary.adapter).name:<15} {summary.adapter}")
    return lines


def asked_line(asked: Mapping[str, int]) -> str:
    """What was measured by models, and what by none."""
    measured = {name: rows for name, rows in asked.items() if rows}
    models = {name: rows for name, rows in measured.items() if asks_model(name)}
    if models:
        return f"models were asked about: {listed_rows(models)}"
    if measured:
        return f"models were asked about 0 rows; measured without one: {listed_rows(measured)}"
    return "models were asked about 0 rows: every measurement was stored already"


def listed_rows(rows: Mapping[str, int]) -> str:
    """Rows by the measure."""
    return f"{', '.join(f'{name} {count}' for name, count in rows.items())} rows"


def training_line(training: dict[str, Any]) -> str:
    """What training did to the held-out loss."""
    head = f"trained         {training['steps']} steps on {training['loss_tokens']} loss tokens; "
    if training["heldout_before"] is None:
        return head + "no rows were held out, so no loss was measured"
    return head + (
        f"held-out loss {training['heldout_before']:.3f} -> {training['heldout_after']:.3f} "
        f"nats per token ({training['heldout_rows']} rows, {training['heldout_tokens']} tokens)"
    )


def next_commands(summary: RunSummary) -> list[str]:
    """Three commands that show more."""
    # As the user can call it: not every environment with Sluice is on PATH.
    program = "sluice" if shutil.which("sluice") else shown_path(Path(sys.argv[0]))
    where = f"-w {summary.workspace}"
    query = "select reason, count(*) as rows from decisions group by reason order by rows desc"
    return [
        f"{program} explain {str(summary.first_example)[:8]} {where}",
        f"{program} quarantine {where}",
        f'{program} sql "{query}" {where}',
    ]
