"""The report of a run: what became of its rows, step by step, and what changed since the last.

It has counts, ids and paths, the content of a row only as evidence of contamination, and nothing
that depends on how often the run was interrupted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

from pipeline.contamination.report import CheckReport, read_check_report
from pipeline.evidence.lds_markdown import lds_markdown
from pipeline.evidence.markdown import evidence_line, evidence_markdown
from pipeline.evidence.training_markdown import cost_rows, training_table
from pipeline.evidence.trial_markdown import trial_markdown, verdict_line
from pipeline.reporting.changes import changes_markdown, compare_runs, selection_line
from pipeline.reporting.found_faults import fault_report_lines
from pipeline.text.markdown import bullets, escape_markdown, markdown_table
from storage.changes import describe_run, find_previous
from storage.database import Connection, read_workspace
from storage.error_notes import whole_file
from storage.evidence import read_evidence
from storage.runs import StageCount, in_order, read_counts
from storage.selections import StoredTrial, read_run_trials
from storage.trial_items import read_last_halves, read_last_result
from storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """What became of the rows at one step."""

    stage: str
    step: str
    rows_in: int
    kept: int
    left: str
    """Rows that were added, dropped and quarantined, by reason."""


def funnel_rows(counts: Sequence[StageCount]) -> list[FunnelRow]:
    """The steps in the order they were taken."""
    return [FunnelRow(c.stage, c.label, c.rows_in, c.kept, losses(c)) for c in in_order(counts)]


def losses(count: StageCount) -> str:
    """What a step added, dropped and quarantined, largest first."""
    parts = [f"+{count.added} added"] if count.added else []
    parts += by_reason(count.dropped)
    if count.quarantined:
        total = sum(count.quarantined.values())
        parts.append(f"quarantined {total} ({', '.join(by_reason(count.quarantined))})")
    return ", ".join(parts)


def by_reason(reasons: Mapping[str, int]) -> list[str]:
    """Counts by reason, the largest first."""
    ordered = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    return [f"{reason} {rows}" for reason, rows in ordered]


def funnel_markdown(counts: Sequence[StageCount]) -> str:
    """The funnel as a Markdown table, notes below it."""
    headings = ("stage", "step", "rows in", "kept", "left, by reason")
    table = markdown_table("llrrl", headings, map(astuple, funnel_rows(counts)))
    notes = bullets(note for count in counts for note in count.notes)
    # An empty line ends the table; without it Markdown would take the notes for rows.
    return "\n".join([table, *([""] if notes else []), *notes]) + "\n"


@dataclass(frozen=True, slots=True)
class RunReport:
    """What there is to say of a run."""

    run_id: str
    name: str
    """The recipe's."""
    counts: Sequence[StageCount]
    evidence: str | None
    """What the selection is worth, as Markdown; None where there is no selection."""
    changes: str | None
    """Since the run before, as Markdown; None for the first of its recipe."""
    check: CheckReport | None = None
    """Against evaluation sets; None if there was none."""
    faults: str | None = None
    """What its steps have probably found of faults, as Markdown; None without a selection."""
    trial: str | None = None
    """Whether the choice beats random, as Markdown; None where there is no selection."""
    lds: str | None = None
    """What trainings on random halves say of the scores, as Markdown; None without them."""
    training: str | None = None
    """How trainings on the choice went, as Markdown; None where there was none."""
    costs: str | None = None
    """What they cost, as Markdown. It depends on interruptions, so it is no part of `markdown`."""
    cards: Mapping[str, str] = field(default_factory=dict)
    """Of evidence, trial and changes what stands first of it, in a line."""

    @property
    def markdown(self) -> str:
        """The whole of it."""
        parts = [
            f"# Run {self.run_id} of {escape_markdown(self.name)}\n",
            funnel_markdown(self.counts),
        ]
        checked = self.check.markdown if self.check else None
        known = (*parts, checked, self.evidence, self.faults)
        known = (*known, self.training, self.trial, self.lds, self.changes)
        return "\n".join(part for part in known if part)


def read_run_report(con: Connection, run_id: str) -> RunReport:
    """Read the report of a run.

    Raises:
        QueryError: if there is no such run.
    """
    described = describe_run(con, run_id)
    trainings = read_run_trials(con, run_id)
    previous = find_previous(con, run_id)
    evidence = read_evidence(con, run_id)
    halves = read_last_halves(con, run_id)
    changes = compare_runs(con, previous, run_id) if previous else None
    cards = {"trial": verdict_line(read_last_result(con, run_id))}
    if evidence:
        cards["evidence"] = evidence_line(evidence)
    if changes:
        cards["changes"] = selection_line(changes)
    return RunReport(
        run_id=run_id,
        name=described.name,
        counts=read_counts(con, run_id),
        evidence=evidence_markdown(evidence) if evidence else None,
        changes=changes_markdown(changes) if changes else None,
        check=read_check_report(con, run_id),
        faults=describe_faults(described.recipe) if evidence else None,
        trial=describe_trial(con, run_id) if evidence else None,
        lds=lds_markdown(halves) if halves else None,
        training=describe_trainings(trainings),
        costs=describe_costs(trainings),
        cards=cards,
    )


def describe_faults(recipe: Mapping[str, Any]) -> str:
    """What the steps of a recipe have probably found of faults, and what they cannot."""
    return (
        "\n".join(["## What of faults it can have found", "", *bullets(fault_report_lines(recipe))])
        + "\n"
    )


def describe_trial(con: Connection, run_id: str) -> str:
    """What a trial on the choice of a run came to, or that there was none."""
    result = read_last_result(con, run_id)
    if result is not None:
        return trial_markdown(result)
    return "\n".join(["## Does it beat random?", "", *bullets([verdict_line(None)])]) + "\n"


def describe_trainings(trainings: Mapping[str, StoredTrial]) -> str | None:
    """How each training on the choice of a run went; None where there is none."""
    tables = {
        trial_id: training_table(each.adapter, each.report, None)
        for trial_id, each in trainings.items()
    }
    return training_section("## Training", tables)


def describe_costs(trainings: Mapping[str, StoredTrial]) -> str | None:
    """What each training on the choice of a run cost; None where that is not known of any."""
    tables = {
        trial_id: markdown_table("ll", ("", ""), cost_rows(each.cost))
        for trial_id, each in trainings.items()
        if each.cost
    }
    return training_section("## What trainings cost", tables)


def training_section(heading: str, tables: Mapping[str, str]) -> str | None:
    """A table for each training; None where there is none."""
    if not tables:
        return None
    parts = [f"\n### Training {trial_id}\n\n{table}" for trial_id, table in tables.items()]
    return "\n".join([heading, *parts]) + "\n"


def write_run_report(workspace: Workspace, run_id: str) -> RunReport:
    """Keep the report of a run in the workspace's reports; return it."""
    with read_workspace(workspace) as con:
        report = read_run_report(con, run_id)
    workspace.reports.mkdir(exist_ok=True)
    path = workspace.reports / f"{run_id}.md"
    with whole_file(path) as file:  # whoever reads it meanwhile sees all of the old or the new
        file.write_text(report.markdown, encoding="utf-8")
    return report
