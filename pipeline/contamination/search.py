"""Compare rows with evaluation sets by every rule, a block at a time.

Memory holds the items and one block of rows, however many rows there are.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.contamination.evaluations import Evaluation
from pipeline.contamination.ngrams import NGramMatcher
from pipeline.contamination.report import ContaminationHit, SetSummary, Unchecked
from pipeline.contamination.settings import CheckSettings
from pipeline.contamination.short import ShortMatcher
from pipeline.contamination.texts import MATCHED, Item, ItemMatch, Matcher, RowBlock

BLOCK_ROWS = 2_000  # rows in memory, with the pairs of n-grams they share with items


@dataclass(frozen=True, slots=True)
class ItemSearch:
    """The items of all sets, and a matcher for each rule."""

    evaluations: Sequence[Evaluation]
    items: Sequence[Item]
    matchers: Sequence[Matcher]

    def find(self, blocks: Iterable[RowBlock]) -> Iterator[ContaminationHit]:
        """Every hit, block by block; within a block by row, item, part and rule."""
        for block in blocks:
            for match in self.matches(block):
                item = self.items[match.item]
                yield ContaminationHit(
                    block.ids[match.row],
                    self.evaluations[item.evaluation].name,
                    item.position,
                    match.matched,
                    match.rule,
                    match.similarity,
                    match.evidence,
                )

    def matches(self, block: RowBlock) -> list[ItemMatch]:
        """The matches of one block by all rules."""
        found = [match for matcher in self.matchers for match in matcher.find(block)]
        return sorted(found, key=lambda m: (m.row, m.item, MATCHED.index(m.matched), m.rule))

    def unchecked(self) -> list[Unchecked]:
        """The rows of the sets that no rule can find, each with why; in their order."""
        checked = np.zeros(len(self.items), dtype=bool)
        for matcher in self.matchers:
            for part in matcher.checked.values():
                checked |= part
        templates = any(isinstance(m, NGramMatcher) and m.template_ngrams for m in self.matchers)
        found = [row for evaluation in self.evaluations for row in evaluation.unreadable]
        for number in np.flatnonzero(~checked).tolist():
            item = self.items[number]
            name = self.evaluations[item.evaluation].name
            found.append(Unchecked(name, item.position, *why_unchecked(item, templates)))
        names = [evaluation.name for evaluation in self.evaluations]
        return sorted(found, key=lambda row: (names.index(row.evaluation), row.item))


def why_unchecked(item: Item, templates: bool) -> tuple[str, str]:
    """Why no rule can find an item: a reason, and what it means."""
    if not (item.prompt.strip() or item.answer.strip()):
        return "no_text", "prompt and answer are empty"
    shared = ", or only n-grams that too many items of its set share" if templates else ""
    return "too_short", f"fewer words than the n-grams of the rules have{shared}"


def text_matchers(settings: CheckSettings, items: Sequence[Item]) -> list[Matcher]:
    """A matcher for each rule that reads words."""
    matchers: list[Matcher] = [NGramMatcher(items, block.matching) for block in settings.ngrams]
    if settings.short:
        matchers.append(ShortMatcher(items, settings.short_words))
    return matchers


def all_items(evaluations: Sequence[Evaluation]) -> list[Item]:
    """The items of all sets, set by set."""
    return [item for evaluation in evaluations for item in evaluation.items]


def summarise_sets(search: ItemSearch) -> list[SetSummary]:
    """Each set with what the rules can see of it."""
    summaries = []
    first = 0
    for each in search.evaluations:
        part = slice(first, first + len(each.items))
        checked: dict[str, dict[str, int]] = {
            matcher.rule: {name: int(found[part].sum()) for name, found in matcher.checked.items()}
            for matcher in search.matchers
        }
        summaries.append(
            SetSummary(each.name, each.path, each.content_hash, each.rows, len(each.items), checked)
        )
        first += len(each.items)
    return summaries
