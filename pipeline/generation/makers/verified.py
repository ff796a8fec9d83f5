r"""Verified: rows that are there stay where their answers pass verifiers, and nothing is written.

    keep (x, y)  <=>  every verifier of `verify`, in this order, finds nothing wrong with y

Behind other makers, which it `reads`, it is what judges their rows by another model than the one
that wrote them: `model`, or an `endpoint`, is the judge. A row that stays is as it was; one that
goes leaves the pool, with what was found wrong as the reason of the calls that found it.

The judge that stands for a person in OpenBezoar: Dissanayake et al. 2024, arXiv:2404.12195. There
it is GPT-4, by criteria that are not published; those of `rubric` are our own.

For rows of a small model, with a larger one to judge them: a model says of most of its own answers
that they are right. Not where answers can be checked without a model as they are made: there give
`verify` to the maker, which asks for the next answer then. It costs what the verifiers cost, one
call a row for `rubric`.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.generation.maker import CallKind, Making, Settled
from pipeline.generation.maker_block import CallBounds, MakerBlock
from pipeline.generation.verified_block import VerifiedBlock
from pipeline.generation.verifier import verify_all
from pipeline.generation.verifier_catalogue import Verifier
from storage.examples import Example

GIVEN = ("given", 0)
"""In the place of a call: the answer that is there."""


class Verified(VerifiedBlock, MakerBlock):
    """Rows that pass verifiers: the judge of OpenBezoar (arXiv:2404.12195)."""

    method: Literal["verified"]
    verify: tuple[Verifier, ...] = Field(
        min_length=1, description="What an answer must be, in this order."
    )

    takes_over: ClassVar[bool] = True
    writes: ClassVar[bool] = False

    def takes(self, example: Example) -> bool:
        """Rows of one trained response, about which each verifier can tell something."""
        answered = len(example.trained_at) == 1
        return answered and all(each.takes(example) for each in self.verify)

    def rows_each(self) -> int:
        """Rows that may come of one, which is the row."""
        return 1

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {source.example_id: make_by_verifying(self, source) for source in sources}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """Those of the verifiers."""
        return self.with_verifying({}, sources)


def make_by_verifying(settings: Verified, source: Example) -> Making:
    """Have the answer of a row looked at by all verifiers, until one finds something wrong."""
    told = yield from verify_all(settings.verify, source, {GIVEN: source.response})
    fault, asked = told[GIVEN].fault, told[GIVEN].asked
    return [Settled(asked, None if fault else source.conversation, fault or "verified")]
