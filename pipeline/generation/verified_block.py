"""What makers share whose answers pass verifiers: paths, keys, prompts, bounds and verdicts."""

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pipeline.generation.maker import Ask, CallKind, CallPlace, Unread, Wanted, read_whole
from pipeline.generation.maker_block import CallBounds, PromptingBlock
from pipeline.generation.verifier import add_bounds, verify_all
from pipeline.generation.verifier_catalogue import Verifier
from pipeline.generation.written_text import fault_of_wording
from pipeline.measuring.measures.samples import Sampled
from storage.examples import Example


class VerifiedBlock(PromptingBlock):
    """A block with `verify`, a field that each maker has last, with a default of its own."""

    if TYPE_CHECKING:  # a field here would stand before those of the makers
        verify: tuple[Verifier, ...]

    def placed(self, base: Path) -> Self:
        """See AnsweringBlock; its verifiers too."""
        verify = tuple(each.placed(base) for each in self.verify)
        return super().placed(base).model_copy(update={"verify": verify})

    def keyed(self) -> dict[str, Any]:
        """See PromptingBlock."""
        return super().keyed() | {"verify": [each.key_part() for each in self.verify]}

    def sent_prompts(self) -> Sequence[str]:
        """Its own, and those of verifiers."""
        return [*self.prompts, *(name for each in self.verify for name in each.sent_prompts())]

    def with_verifying(
        self, own: Mapping[CallKind, CallBounds], answers: int
    ) -> dict[CallKind, CallBounds]:
        """Bounds of its own calls, with those of its verifiers about so many answers."""
        return add_bounds(own, [each.calls_for(answers) for each in self.verify])

    def read_answer(
        self, ask: Ask, reply: Sampled, source: Example, prompts: Sequence[str]
    ) -> Generator[Wanted, Sequence[Sampled], tuple[str, str, list[CallPlace]]]:
        """An answer, why it goes, and what it took to ask for it and to verify it.

        Args:
            ask: what was asked.
            reply: to it.
            source: whose question it is, as verifiers are given it.
            prompts: files whose wording an answer must not speak of.

        Returns:
            The answer, "" where none was had; its fault, "" where it stays; the calls.
        """
        answer = read_whole(reply)
        if isinstance(answer, Unread):
            return "", answer.reason, [ask.place]
        answer = answer.strip()
        if fault := fault_of_wording(answer, prompts):
            return answer, fault, [ask.place]
        told = (yield from verify_all(self.verify, source, {ask.place: answer}))[ask.place]
        return answer, told.fault, [ask.place, *told.asked]
