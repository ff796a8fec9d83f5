"""The report of a check: hits with their evidence, what could not be checked, and the recall.

It quotes rows and items, for that is what evidence is: it belongs into a report file of the user,
and never into a log.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.contamination.texts import MATCHED
from pipeline.text.markdown import markdown_table
from storage.contamination import SetCounts, count_hits, read_check, read_hits, read_unchecked
from storage.database import Connection

MOST_LINES = 50  # hits, and items that were not checked, that a page lists
EVIDENCE_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class ContaminationHit:
    """A row that holds something of an item, by names that last."""

    row: str
    evaluation: str
    item: int  # line or row number in its file, from 1
    matched: str
    rule: str
    similarity: float
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Unchecked:
    """An item that could not be checked."""

    evaluation: str
    item: int  # line or row number in its file, from 1
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Recall:
    """How many of the injected leaks of one kind were found."""

    evaluation: str
    kind: str
    leaks: int  # 0: the kind cannot be made of any item of the set, so there is no recall
    found: int
    by_rule: dict[str, int]

    @property
    def share(self) -> float | None:
        """Found leaks of all; None where there are none."""
        return self.found / self.leaks if self.leaks else None


@dataclass(frozen=True, slots=True)
class SetSummary:
    """One evaluation set in the report."""

    name: str
    path: str
    content_hash: str
    rows: int
    items: int  # rows that gave an item
    checked: Mapping[str, Mapping[str, int]]  # rule → part → items whose part it can find


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found."""

    action: str
    rows: int  # that were compared
    rules: Sequence[str]
    evaluations: Sequence[SetSummary]
    recall: Sequence[Recall]
    counts: Mapping[str, SetCounts]
    hits: Sequence[ContaminationHit]  # the most similar first; all, or as many as a page lists
    unchecked: Sequence[Unchecked]

    @property
    def found(self) -> int:
        """All hits."""
        return sum(each.hits for each in self.counts.values())

    @property
    def as_json(self) -> dict[str, Any]:
        """The same for a program."""
        recall = [asdict(line) | {"recall": line.share} for line in self.recall]
        return asdict(self) | {"found": self.found, "recall": recall}

    @property
    def markdown(self) -> str:
        """The same for a person, as a section of a page."""
        parts = (
            self._sets(),
            self._rules(),
            self._hits(),
            self._unchecked(),
            self._recall() if self.recall else (),
        )
        return "\n".join(["## Contamination", *(line for part in parts for line in part)]) + "\n"

    def _sets(self) -> Iterator[str]:
        yield f"\n{self.rows} rows were compared; action: {self.action}.\n"
        missed = Counter(row.evaluation for row in self.unchecked)
        cells = []
        for each in self.evaluations:
            hits, rows, items = self.counts.get(each.name, (0, 0, 0))
            cells.append((each.name, each.rows, items, rows, hits, missed[each.name]))
        headings = ("evaluation set", "rows", "items hit", "rows of yours hit", "hits")
        yield markdown_table("lrrrrr", (*headings, "not checked"), cells)

    def _rules(self) -> Iterator[str]:
        yield "\n### What the rules can see\n"
        headings = ("evaluation set", "rule", *(f"{part}s" for part in MATCHED))
        cells = [
            (each.name, rule, *(parts[part] for part in MATCHED))
            for each in self.evaluations
            for rule, parts in each.checked.items()
        ]
        yield markdown_table("ll" + "r" * len(MATCHED), headings, cells)

    def _hits(self) -> Iterator[str]:
        yield "\n### Hits\n"
        if not self.hits:
            yield "None."
            return
        headings = ("row", "evaluation set", "item", "part", "rule", "similarity", "evidence")
        cells = [
            (
                *(hit.row, hit.evaluation, hit.item, hit.matched, hit.rule),
                f"{hit.similarity:.2f}",
                evidence_text(hit.evidence),
            )
            for hit in self.hits[:MOST_LINES]
        ]
        yield markdown_table("llrllrl", headings, cells)
        if self.found > MOST_LINES:
            yield f"\nand {self.found - min(len(self.hits), MOST_LINES)} more"

    def _unchecked(self) -> Iterator[str]:
        yield "\n### Items that could not be checked\n"
        if not self.unchecked:
            yield "None."
            return
        cells = [
            (row.evaluation, row.item, row.reason, row.detail)
            for row in self.unchecked[:MOST_LINES]
        ]
        yield markdown_table("lrll", ("evaluation set", "item", "reason", "detail"), cells)
        if len(self.unchecked) > MOST_LINES:
            yield f"\nand {len(self.unchecked) - MOST_LINES} more"

    def _recall(self) -> Iterator[str]:
        yield "\n### Recall on injected leaks\n"
        headings = ("evaluation set", "kind", "leaks", "found", "recall", *self.rules)
        cells = [
            (
                *(line.evaluation, line.kind, line.leaks, line.found),
                "" if line.share is None else f"{line.share:.2f}",
                *(line.by_rule[rule] for rule in self.rules),
            )
            for line in self.recall
        ]
        yield markdown_table("ll" + "r" * (3 + len(self.rules)), headings, cells)


def read_check_report(con: Connection, run_id: str, most: int = MOST_LINES) -> CheckReport | None:
    """What the check of a run found, with at most so many hits; None if it had none."""
    summary = read_check(con, run_id)
    if summary is None:
        return None
    return CheckReport(
        action=summary["action"],
        rows=summary["rows"],
        rules=summary["rules"],
        evaluations=[SetSummary(**each) for each in summary["evaluations"]],
        recall=[Recall(**line) for line in summary["recall"]],
        counts=count_hits(con, run_id),
        hits=[ContaminationHit(*row) for row in read_hits(con, run_id, most)],
        unchecked=[Unchecked(*row) for row in read_unchecked(con, run_id)],
    )


def evidence_text(evidence: Mapping[str, Any]) -> str:
    """What a hit shares and where, in a line."""
    if "words" not in evidence:
        half = EVIDENCE_CHARACTERS // 2
        return f"{shortened(evidence['row_text'], half)} / {shortened(evidence['item_text'], half)}"
    place = f"turn {evidence['turn']}, {evidence['role']}, word {evidence['turn_word']}"
    return f"{shortened(evidence['words'], EVIDENCE_CHARACTERS)} ({place})"


def shortened(text: str, most: int) -> str:
    """A text, or its beginning."""
    return text if len(text) <= most else f"{text[:most].rstrip()}…"
