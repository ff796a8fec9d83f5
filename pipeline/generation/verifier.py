"""What a verifier of answers is to a maker: a block of a recipe, and what it says of each answer.

Any maker can use any of them. Most look at the answers alone; one that asks a judge yields what it
asks, as a maker does.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

from pipeline.generation.maker import CallKind, CallPlace, Wanted
from pipeline.generation.maker_block import CallBounds
from pipeline.measuring.measures.samples import Sampled
from pipeline.settings import Settings
from storage.conversations import Conversation
from storage.examples import Example


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of an answer."""

    fault: str = ""
    """A word or two, for counting; "" where there is none."""
    asked: tuple[CallPlace, ...] = ()
    """What a judge was asked about it."""


Verifying: TypeAlias = Generator[Wanted, Sequence[Sampled], Sequence[Verdict]]
"""A verifier at work on the answers to one prompt; a verdict for each, in order."""


class VerifierBlock(Settings):
    """A block of `verify`."""

    method: str

    def sent_prompts(self) -> Sequence[str]:
        """Files in makers/prompts/ that it sends."""
        return ()

    def takes(self, example: Example) -> bool:
        """Whether answers to a row can be verified."""
        return True

    def placed(self, base: Path) -> Self:
        """The same block, its paths as seen from here and not from its recipe's folder."""
        return self

    def key_part(self) -> dict[str, Any]:
        """Its settings, as far as they can change a verdict."""
        return self.model_dump(mode="json")

    def require(self) -> None:
        """See that what it needs is there.

        Raises:
            Exception: saying what to install; of a kind that ends the command with a message.
        """

    def faults(self, source: Example, texts: Sequence[str]) -> list[str]:
        """What is wrong with each answer, of those to one prompt; "" where nothing is."""
        raise NotImplementedError

    def verify(
        self, source: Example, places: Sequence[CallPlace], texts: Sequence[str]
    ) -> Verifying:
        """Verdicts on the answers to a prompt.

        Args:
            source: whose prompt it is.
            places: (n,) the calls that gave them.
            texts: (n,) the answers.
        """
        return [Verdict(fault) for fault in self.faults(source, texts)]
        yield  # a generator, though it asks nothing

    def calls_for(self, answers: int) -> Mapping[CallKind, CallBounds]:
        """What it asks about so many answers."""
        return {}


def add_bounds(
    own: Mapping[CallKind, CallBounds], others: Sequence[Mapping[CallKind, CallBounds]]
) -> dict[CallKind, CallBounds]:
    """Bounds of a maker's own calls, with those of its verifiers."""
    bounds = dict(own)
    for other in others:
        for kind, more in other.items():
            had = bounds.get(kind, CallBounds(0, 0, more.tokens_each))
            most = max(had.tokens_each, more.tokens_each)
            bounds[kind] = CallBounds(had.fewest + more.fewest, had.most + more.most, most)
    return bounds


@dataclass(frozen=True, slots=True)
class GroundedQuestion(Example):
    """A question that was made of passages, as verifiers are given it; nothing of it is stored."""

    ground: str = ""
    """The text that it is to be answered from."""


def ground_question(question: str, ground: str) -> GroundedQuestion:
    """A question with the text that it is to be answered from."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": question}]
    asked = Conversation(messages, [])
    return GroundedQuestion(
        asked.example_id, asked.prompt_id, messages, [], None, question, "", (), ground
    )


def verify_all(
    verifiers: Sequence[VerifierBlock],
    source: Example,
    answers: Mapping[CallPlace, str],
) -> Generator[Wanted, Sequence[Sampled], dict[CallPlace, Verdict]]:
    """Verify answers to a prompt, one verifier after the other; what one finds wrong ends there.

    Args:
        verifiers: in their order.
        source: whose prompt it is.
        answers: the call that gave each → the answer.

    Returns:
        The verdict on each, with all that was asked about it.
    """
    told = dict.fromkeys(answers, Verdict())
    for verifier in verifiers:
        left = [place for place in answers if not told[place].fault]
        if not left:
            break
        found = yield from verifier.verify(source, left, [answers[place] for place in left])
        for place, verdict in zip(left, found, strict=True):
            told[place] = Verdict(verdict.fault, told[place].asked + verdict.asked)
    return told
