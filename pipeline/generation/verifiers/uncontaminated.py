"""uncontaminated: nothing of an evaluation set stands in the row.

    fault  <=>  prompt and answer together hold an item of `against` by one of the rules of `check`

By word n-grams, and short prompts where they are the same (pipeline/contamination/). What a model
wrote may hold a test item that it was trained on, or that the prompt brought along; the fault,
`in_NAME`, names the set. The block `check` finds the same after all rows are made, of every row and
with semantic neighbours too; here such a sample makes room for another. Asks nothing.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field

from pipeline.contamination.evaluations import read_evaluations
from pipeline.contamination.search import ItemSearch, all_items, text_matchers
from pipeline.contamination.settings import (
    CheckSettings,
    EvaluationSettings,
    NGramRules,
    NGramSettings,
)
from pipeline.contamination.texts import RowBlock, read_turn_texts
from pipeline.generation.maker import answer_source
from pipeline.generation.verifier import VerifierBlock
from storage.examples import Example


class Uncontaminated(VerifierBlock):
    """It holds nothing of an evaluation set."""

    method: Literal["uncontaminated"]
    against: tuple[EvaluationSettings, ...] = Field(min_length=1, description="Evaluation sets.")
    ngrams: NGramRules = Field(
        default=(NGramSettings(),), description="Rules on word n-grams, one or a list; null: none."
    )
    short: bool = Field(
        default=True,
        description="Find prompts of fewer words than the longest n-gram where they are the same.",
    )

    def placed(self, base: Path) -> Self:
        """See VerifierBlock."""
        return self.model_copy(
            update={"against": tuple(each.placed(base) for each in self.against)}
        )

    def require(self) -> None:
        """See that the sets can be read.

        Raises:
            UnreadableSourceError: if one cannot.
        """
        search_of(self)

    def key_part(self) -> dict[str, Any]:
        """The sets by their content: where they lie changes no verdict."""
        hashes = [each.content_hash for each in search_of(self).evaluations]
        return super().key_part() | {"against": hashes}

    def faults(self, source: Example, texts: Sequence[str]) -> list[str]:
        """See VerifierBlock."""
        search = search_of(self)
        rows = [read_turn_texts(answer_source(source, text).messages) for text in texts]
        found = [""] * len(texts)
        for match in search.matches(RowBlock([str(n) for n in range(len(rows))], rows, None)):
            name = search.evaluations[search.items[match.item].evaluation].name
            found[match.row] = found[match.row] or f"in_{name}"
        return found


@lru_cache(maxsize=4)
def search_of(settings: Uncontaminated) -> ItemSearch:
    """The sets, read once in a process.

    Raises:
        UnreadableSourceError: if one cannot be read.
    """
    check = CheckSettings(against=settings.against, ngrams=settings.ngrams, short=settings.short)
    evaluations = read_evaluations(check.against)
    items = all_items(evaluations)
    return ItemSearch(evaluations, items, text_matchers(check, items))
