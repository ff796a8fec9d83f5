"""What changed from one run to another, and why: for a person after a night, and for `sluice diff`.

A row comes into a selection because it is new, or because what dropped it before no longer does;
it leaves because its row is gone from the sources, or because a step drops it now. Each change has
one such reason, taken from the decisions that both runs stored.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace

import orjson

from pipeline.text.markdown import code_span, escape_markdown, markdown_table
from storage.changes import (
    ChoiceChange,
    DescribedRun,
    Edit,
    PoolChange,
    SourceChange,
    count_stayed,
    describe_run,
    read_choice_changes,
    read_edits,
    read_pool_change,
    read_source_changes,
)
from storage.database import Connection
from storage.selections import read_run_selections

NAMED = 5
"""Example ids that are named for each reason."""


@dataclass(frozen=True, slots=True)
class SettingChange:
    """A setting of the recipe, or what it was run with, that differs."""

    setting: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class RunChanges:
    """All that two runs have apart."""

    before: str
    after: str
    settings: Sequence[SettingChange]
    sources: Sequence[SourceChange]
    pool: PoolChange
    stayed: int  # examples that both selections have
    retrained: int  # those of them of which other turns are trained
    choice: Sequence[ChoiceChange]
    unselected: Sequence[str] = ()
    """Those of the two runs that have chosen nothing yet, and so cannot be compared in that."""
    edits: Sequence[Edit] = ()
    """Of the examples that came and went, those that are one row of a file before and after."""

    def count(self, change: str) -> int:
        """Rows of the selection that were "added" or "removed"."""
        return sum(each.change == change for each in self.choice)


def compare_runs(con: Connection, before: str, after: str) -> RunChanges:
    """Find what changed from one run to a later one.

    Raises:
        QueryError: if one of them is not in the workspace.
    """
    runs = describe_run(con, before), describe_run(con, after)
    unselected = [run for run in (before, after) if "choice" not in read_run_selections(con, run)]
    stayed = count_stayed(con, before, after)
    edits = read_edits(con, before, after)
    return RunChanges(
        before=before,
        after=after,
        settings=list(compare_settings(*runs)),
        sources=read_source_changes(con, before, after),
        pool=read_pool_change(con, before, after),
        stayed=stayed.rows,
        retrained=stayed.retrained,
        choice=[] if unselected else with_edits(read_choice_changes(con, before, after), edits),
        unselected=unselected,
        edits=edits,
    )


def with_edits(choice: Sequence[ChoiceChange], edits: Sequence[Edit]) -> list[ChoiceChange]:
    """Changes of the selection, each with what its row was before an edit, or has become."""
    was = {edit.after: edit.before for edit in edits}
    # Of a row that was copied and edited twice, the first by id.
    now = {edit.before: edit.after for edit in reversed(edits)}
    of = {"added": was, "removed": now}
    return [replace(each, edited=of[each.change].get(each.example_id)) for each in choice]


def compare_settings(before: DescribedRun, after: DescribedRun) -> Iterator[SettingChange]:
    """Settings of the recipes that differ, then the models' content and the version of Sluice."""
    yield from differences(before.recipe, after.recipe, "")
    for model in sorted(before.models.keys() & after.models.keys()):
        if before.models[model] != after.models[model]:
            yield SettingChange(f"content of {model}", before.models[model], after.models[model])
    if before.code_version != after.code_version:
        yield SettingChange("version of Sluice", before.code_version, after.code_version)


def differences(before: object, after: object, place: str) -> Iterator[SettingChange]:
    """The settings that differ, under whole names such as `select.steps.0.at_most`.

    A block that only one of the recipes has is one change.
    """
    old, new = parts(before), parts(after)
    if before == after:
        return
    if old is None or new is None:
        yield SettingChange(place, before, after)
        return
    for key in dict.fromkeys([*old, *new]):  # a set would lose the order of the recipe
        name = f"{place}.{key}".removeprefix(".")
        yield from differences(old.get(key), new.get(key), name)


def parts(value: object) -> dict[str, object] | None:
    """What a block or a list consists of; None for what has no parts."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        return {str(place): each for place, each in enumerate(value)}
    return None


def why(change: ChoiceChange) -> str:
    """The reason of a change in words."""
    if change.reason is None and change.edited:
        return "edited row" if change.change == "added" else "its row was edited"
    if change.reason is None:
        return "new row" if change.change == "added" else "its row is gone from the sources"
    step = f"{change.reason} ({change.stage}: {change.label})"
    return f"no longer {step}" if change.change == "added" else f"now {step}"


def rows_by_reason(changes: Sequence[ChoiceChange]) -> list[tuple[str, str, list[ChoiceChange]]]:
    """Changes in groups of one kind and one reason: added ones first, large groups first."""
    groups: dict[tuple[str, str], list[ChoiceChange]] = defaultdict(list)
    for change in changes:
        groups[change.change, why(change)].append(change)
    # "added" before "removed"; within each the largest group, and among equals by the reason.
    ordered = sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1]), item[0][1]))
    return [(kind, reason, rows) for (kind, reason), rows in ordered]


def changes_markdown(changes: RunChanges) -> str:
    """All of it as Markdown: counts, reasons and ids, never the content of a row."""
    pool = changes.pool
    lines = [
        f"## What changed since run {changes.before}",
        "",
        *(f"- {code_span(s.setting)}: {moved_setting(s)}" for s in changes.settings),
        f"- examples: {pool.new} new, {pool.retired} retired, {pool.stayed} as before"
        + (f"; {len(changes.edits)} of the new ones by an edit of a row" if changes.edits else ""),
        f"- selection: {selection_line(changes)}",
    ]
    if changes.sources:
        headings = ("source", "", "rows or passages", "new examples", "retired")
        rows = [
            (each.path, each.change, each.rows, each.examples_new, each.examples_gone)
            for each in join_edits(changes.sources)
        ]
        lines += ["", markdown_table("llrrr", headings, rows)]
    if changes.choice:
        reasons = [
            (kind, len(rows), reason, named(rows))
            for kind, reason, rows in rows_by_reason(changes.choice)
        ]
        table = markdown_table("lrll", ("selection", "rows", "why", "for example"), reasons)
        lines += ["", table]
    return "\n".join(lines) + "\n"


def selection_line(changes: RunChanges) -> str:
    """How many rows came, went and stayed, as far as both runs have chosen any."""
    if changes.unselected:
        return f"not compared, for nothing is chosen yet in {' and '.join(changes.unselected)}"
    turns = f", {changes.retrained} of them with other turns trained" if changes.retrained else ""
    return (
        f"{changes.count('added')} rows came in, {changes.count('removed')} left, "
        f"{changes.stayed} stayed{turns}"
    )


def moved_setting(change: SettingChange) -> str:
    """What a setting was and is."""
    return escape_markdown(f"{as_json(change.before)} → {as_json(change.after)}")


def as_json(value: object) -> str:
    """A setting as the recipe could have it; "nothing" where it had none."""
    return "nothing" if value is None else orjson.dumps(value).decode()


def join_edits(sources: Sequence[SourceChange]) -> list[SourceChange]:
    """Sources, with one change for a file that was edited: old content gone, new content here."""
    by_path: dict[tuple[str, str], list[SourceChange]] = defaultdict(list)
    for each in sources:
        by_path[each.path, each.change.partition(" ")[2]].append(each)  # "new", "new targets"
    joined: list[SourceChange] = []
    for same in by_path.values():
        if sorted(each.change.split()[0] for each in same) == ["gone", "new"]:
            gone, new = sorted(same, key=lambda each: each.change)  # "gone" sorts before "new"
            edited = new.change.replace("new", "edited")
            joined.append(replace(new, change=edited, examples_gone=gone.examples_gone))
        else:
            joined += same
    return joined


def named(rows: Sequence[ChoiceChange]) -> str:
    """A few ids, the best ranks first, each with what caused it or what it was before an edit."""
    shown = ", ".join(each.example_id[:8] + beside(each) for each in rows[:NAMED])
    return shown + (", …" if len(rows) > NAMED else "")


def beside(change: ChoiceChange) -> str:
    """The other example that a change has to do with, in brackets."""
    if change.edited and change.reason is None:
        return f" ({'was' if change.change == 'added' else 'now'} {change.edited[:8]})"
    return f" (because of {change.because_of[:8]})" if change.because_of else ""


def changes_data(changes: RunChanges) -> dict[str, object]:
    """All of it for a program: what the Markdown says, and every row with its reason in words."""
    return {
        **{field.name: getattr(changes, field.name) for field in fields(changes)},
        "sources": join_edits(changes.sources),
        "added": changes.count("added"),
        "removed": changes.count("removed"),
        "choice": [{**asdict(each), "why": why(each)} for each in changes.choice],
    }
