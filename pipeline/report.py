"""The funnel of a run: what became of its rows, step by step, with sums that balance."""

from collections.abc import Mapping, Sequence

from storage.runs import StageCount

STAGE_ORDER = ("ingest", "generate", "dedupe", "select", "export")

FunnelRow = tuple[str, str, int, int, str]
"""Stage, step, rows in, rows kept, and what left by reason."""


def funnel_rows(counts: Sequence[StageCount]) -> list[FunnelRow]:
    """The steps in the order they were taken."""
    ordered = sorted(counts, key=lambda count: (STAGE_ORDER.index(count.stage), count.step))
    return [(c.stage, c.label, c.rows_in, c.kept, losses(c)) for c in ordered]


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
    lines = ["| stage | step | rows in | kept | left, by reason |", "|---|---|--:|--:|---|"]
    lines += [
        f"| {stage} | {label} | {rows_in} | {kept} | {left} |"
        for stage, label, rows_in, kept, left in funnel_rows(counts)
    ]
    notes = [f"- {note}" for count in counts for note in count.notes]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"
