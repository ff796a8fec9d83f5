r"""Metacognition: rows that teach a model to say how likely it is right, by how it fared.

    c = share of samples that are the most frequent answer a            consistency
    single: x -> a, confidence = clip(target(c) + e, 0, 1), e uniform in [-noise, noise]
    pair:   x_1, x_2 -> the one with the higher target

Each question is asked `samples` times at `temperature`. target(c) is how often a is the given
response among questions in the same tenth of c (confidence_targets.py), read off the four fifths of
the pool that the question is not in, so that its own response does not move it; `map: isotonic`
fits a rising step function instead. Noise keeps ten numbers from being learnt. Of each tenth as
many questions are kept as the smallest that is not empty has, or `keep_each`; the lowest hashes.
Pairs are made of those that are kept, half a pool apart in the order of their targets, and only
where these differ by `gap`: each question is in one pair at most, and 1 is right as often as 2.

A question that a model did not answer at all in a sample disagrees with the others there; one
whose replies were not all had makes no row. The answer that is trained is the model's own, right or
not. The rows stand for their sources.

Steyvers, Belem and Smyth 2025, arXiv:2510.05126, of which only the abstract and a summary were
read: the prompts, the folds and the choice of pairs are ours. It finds that neither of the tasks
teaches the other, so that both are made.

For questions with short answers that can be compared, by the very model that is trained. Not for
a model that is right always or never: all lies in one tenth, and little is kept. It costs `samples`
calls for each row. Hundreds of questions are needed before a tenth tells anything.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from pipeline.generation.confidence_targets import TargetMap, bin_of, target_confidences
from pipeline.generation.maker import (
    Ask,
    CallKind,
    Making,
    Settled,
    Wanted,
    one_exchange,
    read_whole,
)
from pipeline.generation.maker_block import WHOLE_POOL, CallBounds, MakerBlock
from pipeline.generation.short_answers import (
    Compare,
    ask_samples,
    most_frequent,
    read_beginning,
    same_words,
    sample_places,
    says_same,
    settle_samples,
)
from pipeline.generation.templates import fill_prompt
from pipeline.measuring.measures.samples import Sampled
from pipeline.text.final_answer import final_answer
from scorers.measures.protocols import GenerationFailure
from scorers.words import split_words
from storage.conversations import Conversation, content_hash
from storage.examples import Example

FOLDS = 5


class Metacognition(MakerBlock):
    """Stated confidence that is calibrated (arXiv:2510.05126)."""

    method: Literal["metacognition"]
    samples: int = Field(default=10, ge=2, description="Answers to each question.")
    temperature: float = Field(default=1.0, gt=0, description="Of these.")
    max_new_tokens: int = Field(default=32, gt=0, description="Of each answer.")
    compare: Compare = Field(
        default="words",
        description="words: a short answer is asked for, and the given one stands in it; "
        "final_answer: the prompt is asked as it is, and what an answer ends on is compared.",
    )
    map: TargetMap = Field(
        default="bins", description="How consistency becomes the confidence that is stated."
    )
    noise: float = Field(default=0.05, ge=0, le=0.5, description="Added to it, or taken off.")
    keep_each: int | None = Field(
        default=None,
        gt=0,
        description="Questions of each tenth of consistency; as many as the smallest has if none.",
    )
    gap: float = Field(
        default=0.2, gt=0, le=1, description="Between the targets of a pair, at least."
    )

    prompts: ClassVar[Sequence[str]] = (
        "metacognition_answer",
        "metacognition_single",
        "metacognition_pair",
    )
    takes_over: ClassVar[bool] = True

    @property
    def makes_of_whole(self) -> bool:
        """Targets are read off the other questions."""
        return True

    def takes(self, example: Example) -> bool:
        """One question with its answer: no system prompt, no turns before."""
        roles = [message["role"] for message in example.messages[: example.response_at]]
        return roles == ["user"] and bool(self.trusted(example))

    def trusted(self, example: Example) -> str | None:
        """What the given response is compared by."""
        if self.compare == "final_answer":
            return final_answer(example.response)
        return same_words(example.response)

    def rows_each(self) -> int:
        """Rows that may come of one: its own, and half of a pair."""
        return 2

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for all rows together, if there are any."""
        return {WHOLE_POOL: make_by_metacognition(self, sources, seed)} if sources else {}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """All samples."""
        calls = sources * self.samples
        return {"generate": CallBounds(calls, calls, self.max_new_tokens)}


@dataclass(frozen=True, slots=True)
class Answered:
    """A question that was answered."""

    source: Example
    answer: str
    """The most frequent one, the model's own."""
    consistency: float
    right: bool
    target: float = float("nan")


def make_by_metacognition(settings: Metacognition, sources: Sequence[Example], seed: int) -> Making:
    """Sample, map consistency to confidence, choose, and write both kinds of row."""
    count = settings.samples
    replies = iter(
        (yield Wanted([ask for source in sources for ask in ask_question(settings, source)]))
    )
    settled: list[Settled] = []
    questions: list[Answered] = []
    for source in sources:
        read = read_samples(settings, source, [*islice(replies, count)])
        if isinstance(read, Answered):
            questions.append(read)
        else:
            settled.append(settle_samples(source, count, None, read))
    aimed = aim_confidences(settings, questions, seed)
    settled += [
        settle_samples(each.source, count, None, "no_target")
        for each in aimed
        if np.isnan(each.target)
    ]
    kept, over = level_tenths(settings, [each for each in aimed if not np.isnan(each.target)], seed)
    settled += [settle_samples(each.source, count, None, "over_bin") for each in over]
    settled += [
        settle_samples(each.source, count, single_row(settings, each, seed), "single")
        for each in kept
    ]
    return [*settled, *pair_questions(settings, kept, seed)]


def ask_question(settings: Metacognition, source: Example) -> list[Ask]:
    """The samples of one question."""
    text = source.prompt
    if settings.compare == "words":
        text = fill_prompt("metacognition_answer", {"prompt": text})
    messages = [{"role": "user", "content": text}]
    return ask_samples(
        source, messages, settings.samples, settings.temperature, settings.max_new_tokens
    )


def read_samples(
    settings: Metacognition, source: Example, replies: Sequence[Sampled]
) -> Answered | str:
    """The most frequent answer and how frequent it is; or why there is none."""
    lost = [reply.reason for reply in replies if isinstance(reply, GenerationFailure)]
    if lost:
        return lost[0]
    texts = [text for reply in replies if (text := read_sample(settings, reply))]
    if not texts:
        return "no_answer"
    answer = most_frequent(texts)
    agree = sum(same_words(text) == same_words(answer) for text in texts)
    right = says_same(answer, source.response, settings.compare)
    return Answered(source, answer, agree / len(replies), right)


def read_sample(settings: Metacognition, reply: Sampled) -> str:
    """The answer that a sample gives; "" where it gives none."""
    if settings.compare == "final_answer":
        text = read_whole(reply)
        return (final_answer(text) or "") if isinstance(text, str) else ""
    beginning = read_beginning(reply)
    return beginning if isinstance(beginning, str) and split_words(beginning) else ""


def aim_confidences(
    settings: Metacognition, questions: Sequence[Answered], seed: int
) -> list[Answered]:
    """The questions with their targets, NaN where the others do not tell."""
    # By the prompt: two rows with one question would tell each other's.
    folds = [int(content_hash([seed, "fold", q.source.prompt_id]), 16) % FOLDS for q in questions]
    targets = target_confidences(
        np.array([q.consistency for q in questions], dtype=np.float64),
        np.array([q.right for q in questions], dtype=np.bool_),
        np.array(folds, dtype=np.int64),
        settings.map,
    )
    pairs = zip(questions, targets.tolist(), strict=True)
    return [replace(question, target=target) for question, target in pairs]


def level_tenths(
    settings: Metacognition, questions: Sequence[Answered], seed: int
) -> tuple[list[Answered], list[Answered]]:
    """Equally many of each tenth of consistency that has some, and the others."""
    bins = bin_of(np.array([q.consistency for q in questions], dtype=np.float64)).tolist()
    groups: dict[int, list[Answered]] = defaultdict(list)
    for question, tenth in zip(questions, bins, strict=True):
        groups[tenth].append(question)
    most = settings.keep_each or min(map(len, groups.values()), default=0)
    kept: list[Answered] = []
    over: list[Answered] = []
    for _, group in sorted(groups.items()):
        group.sort(key=lambda q: content_hash([seed, "balance", q.source.example_id]))
        kept += group[:most]
        over += group[most:]
    return kept, over


def single_row(settings: Metacognition, question: Answered, seed: int) -> Conversation:
    """The question, the model's answer, and the confidence it should state."""
    # 13 hex digits are 52 bits, which a float holds exactly.
    drawn = int(content_hash([seed, "noise", question.source.example_id])[:13], 16) / 16**13
    stated = question.target + settings.noise * (2 * drawn - 1)
    asked = fill_prompt("metacognition_single", {"prompt": question.source.prompt})
    answer = f"{question.answer}\nConfidence: {min(max(stated, 0.0), 1.0):.2f}"
    return one_exchange(asked, answer)


def pair_questions(
    settings: Metacognition, questions: Sequence[Answered], seed: int
) -> list[Settled]:
    """Pairs whose targets are far enough apart, and which of the two is the surer."""
    ordered = sorted(
        questions, key=lambda q: (q.target, content_hash([seed, "pair", q.source.example_id]))
    )
    half = len(ordered) // 2
    pairs = [
        (low, high)
        for low, high in zip(ordered[:half], ordered[len(ordered) - half :], strict=True)
        if round(high.target - low.target, 9) >= settings.gap  # 0.5 - 0.3 is below 0.2
    ]
    pairs.sort(key=lambda pair: content_hash([seed, "turn", pair[0].source.example_id]))
    settled = []
    for number, (low, high) in enumerate(pairs):
        first, second = (high, low) if number % 2 else (low, high)
        fields = {"first": first.source.prompt, "second": second.source.prompt}
        row = one_exchange(fill_prompt("metacognition_pair", fields), "1" if number % 2 else "2")
        places = [
            place
            for each in (first, second)
            for place in sample_places(each.source, settings.samples)
        ]
        parents = [first.source.example_id, second.source.example_id]
        settled.append(Settled(places, row, "pair", parents))
    return settled
