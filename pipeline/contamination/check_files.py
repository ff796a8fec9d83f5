"""Check plain files against evaluation sets, without a workspace: the same matchers, no traces.

Rows that cannot be read are counted and not compared. Embeddings are stored measurements, so
semantic neighbours are found by a recipe's check only.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.contamination.evaluations import read_evaluations
from pipeline.contamination.recall import measure_recall
from pipeline.contamination.report import CheckReport, ContaminationHit
from pipeline.contamination.search import (
    BLOCK_ROWS,
    ItemSearch,
    all_items,
    summarise_sets,
    text_matchers,
)
from pipeline.contamination.settings import CheckSettings
from pipeline.contamination.texts import RowBlock, RowTurns, read_turn_texts
from pipeline.ingest.readers import UnreadableSourceError
from pipeline.ingest.stage import SourceSettings, read_source
from storage.contamination import SetCounts
from storage.sources import ReadRow


@dataclass(slots=True)
class FileRows:
    """The rows of files as blocks; counts what it reads."""

    settings: Sequence[SourceSettings]
    read: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)  # reason → rows

    @property
    def why_none(self) -> str:
        """Why no row was read: that there is none, or what was wrong with them."""
        if not self.unreadable:
            return ": there are no rows"
        reasons = ", ".join(f"{reason} {rows}" for reason, rows in sorted(self.unreadable.items()))
        return f": {reasons}. docs/row-shapes.md has the shapes that are read"

    def blocks(self) -> Iterator[RowBlock]:
        """Blocks of rows; a row's id is its file and its line or number.

        Raises:
            UnreadableSourceError: if there is nothing at a path, or a file cannot be read.
        """
        ids: list[str] = []
        rows: list[RowTurns] = []
        for name, row in self._rows():
            ids.append(name)
            rows.append(row)
            if len(rows) == BLOCK_ROWS:
                yield RowBlock(ids, rows, None)
                ids, rows = [], []  # new lists: the block keeps the old ones
        yield RowBlock(ids, rows, None)

    def _rows(self) -> Iterator[tuple[str, RowTurns]]:
        for source in self.settings:
            files = source.files()
            if not files:
                raise UnreadableSourceError(f"there is nothing at {source.path}")
            for file in files:
                for row in read_source(file, source):
                    if isinstance(row, ReadRow):
                        self.read += 1
                        yield f"{file}:{row.position}", read_turn_texts(row.conversation.messages)
                    else:
                        self.unreadable[row.reason] += 1


def check_files(
    paths: Sequence[str], settings: CheckSettings, seed: int = 0
) -> tuple[CheckReport, dict[str, int]]:
    """Compare the rows of files, folders or patterns with evaluation sets.

    Returns:
        The report with all hits, and the rows that could not be read by reason.

    Raises:
        UnreadableSourceError: if a file cannot be read at all, or no row of any.
        ValueError: if embeddings are to be compared.
    """
    if settings.semantic is not None:
        raise ValueError("embeddings are compared by the check of a recipe only")
    evaluations = read_evaluations(settings.against)
    items = all_items(evaluations)
    search = ItemSearch(evaluations, items, text_matchers(settings, items))
    rows = FileRows([SourceSettings(path=path) for path in paths])
    hits = list(search.find(rows.blocks()))  # a list: `rows` has counted only what was taken
    if not rows.read:
        raise UnreadableSourceError(f"no row of {', '.join(paths)} can be compared{rows.why_none}")
    report = CheckReport(
        action=settings.action,
        rows=rows.read,
        rules=[matcher.rule for matcher in search.matchers],
        evaluations=summarise_sets(search),
        recall=measure_recall(search, settings.leaks, settings.short_words, seed),
        counts=count_by_set(hits),
        hits=sorted(hits, key=lambda h: (-h.similarity, h.evaluation, h.item, h.row, h.matched)),
        unchecked=search.unchecked(),
    )
    return report, dict(sorted(rows.unreadable.items()))


def count_by_set(hits: Sequence[ContaminationHit]) -> dict[str, SetCounts]:
    """Set → what was found of it."""
    return {
        name: SetCounts(
            sum(hit.evaluation == name for hit in hits),
            len({hit.row for hit in hits if hit.evaluation == name}),
            len({hit.item for hit in hits if hit.evaluation == name}),
        )
        for name in sorted({hit.evaluation for hit in hits})
    }
