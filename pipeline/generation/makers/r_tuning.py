r"""R-Tuning: rows that say whether the model knew the answer before it was trained on it.

    sure(x)  <=>  the words of y stand in M(x), up to its first sentence end       unsure, unknown
    sure(x)  <=>  u(x) is in the lower half,  u(x) = - sum_a p(a) ln p(a)          uncertain

x is the prompt and y the given response; M(x) are the likeliest 15 tokens, p(a) the share of an
answer among `samples` at `temperature`, and u is in nats. By `mode`:

    unsure     y is kept, then a user turn asks whether that is sure, and the answer says so or not
    unknown    y is kept where it is sure; else one of `refusals` stands in its place
    uncertain  as unsure, by the entropy; floor(n / 2) rows are sure, equal ones by id

In uncertain mode no y is needed: a prompt alone is answered with its most frequent sample, of equal
ones the shortest. Answers are the same if their words are; two assistant turns are trained, and
what is asked between them is not. The rows stand for their sources. A source whose replies were
not all had makes none.

R-Tuning: Zhang et al. 2023, arXiv:2311.09677 (unsure, its default; R-Tuning-R and R-Tuning-U are
the other two). Its code looks for y anywhere, so that "man" is known from "Germany", and cuts at
the first full stop, of a number too; words are compared here. `compare: final_answer` compares the
last number or option instead, for responses that reason: raise `max_new_tokens` with it. The code
trains on the whole text, question included, and chooses among the options of a multiple choice by
their probabilities; neither is done here.

For facts that a model has or has not, by the very model that is trained: what another one knows
says nothing. Not for tasks that can be worked out or looked up in the prompt; unsure rows teach
answers that the model did not have, and only the turn behind them says so. It costs 1 call for
each row, and `samples` in uncertain mode.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from math import log
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.generation.maker import Ask, CallKind, Making, Settled, Unread, Wanted, draw_option
from pipeline.generation.maker_block import WHOLE_POOL, CallBounds, MakerBlock
from pipeline.generation.short_answers import (
    Compare,
    ask_samples,
    most_frequent,
    read_beginning,
    same_words,
    says_same,
    settle_samples,
)
from scorers.measures.protocols import Message
from scorers.words import split_words
from storage.conversations import Conversation
from storage.examples import Example
from storage.visible import is_blank

Text = Annotated[str, Field(min_length=1)]

REFUSALS = (
    "I do not know.",
    "I don't know the answer.",
    "I am not sure about that.",
    "That is beyond what I know.",
    "I have no answer to this.",
    "I cannot say.",
    "I would only be guessing.",
    "This is something I never learnt.",
    "My knowledge does not cover this.",
    "I am unable to answer that reliably.",
    "The answer is not known to me.",
    "I can't tell you that with confidence.",
    "I lack the knowledge for this question.",
    "Sorry, I do not have that information.",
    "I must admit that I don't know.",
    "Nothing I know answers this.",
)


class RTuning(MakerBlock):
    """Whether the model knew the answer, as a target: R-Tuning (arXiv:2311.09677)."""

    method: Literal["r_tuning"]
    mode: Literal["unsure", "unknown", "uncertain"] = Field(
        default="unsure",
        description="unsure: the given answer, and whether it was known; unknown: a refusal where "
        "it was not; uncertain: as unsure, by how much sampled answers differ.",
    )
    compare: Compare = Field(
        default="words",
        description="How the model's answer is compared with the given one: words: it has all its "
        "words in a row; final_answer: it ends on the same one.",
    )
    samples: int = Field(default=5, ge=2, description="Answers for each prompt, if uncertain.")
    temperature: float = Field(default=0.7, gt=0, description="Of these samples.")
    max_new_tokens: int = Field(default=15, gt=0, description="Of each answer of the model.")
    question: Text = Field(
        default="Are you sure that this answer is right, going by what you know?",
        description="The user's turn behind the answer.",
    )
    sure: Text = Field(default="I am sure.", description="The answer to it where it was known.")
    unsure: Text = Field(default="I am unsure.", description="And where it was not.")
    refusals: tuple[Text, ...] = Field(
        default=REFUSALS, min_length=1, description="One of them, by a hash of the prompt."
    )

    takes_over: ClassVar[bool] = True

    @model_validator(mode="after")
    def two_words_for_it(self) -> Self:
        """Check that sure and unsure can be told apart."""
        if self.sure == self.unsure:
            raise ValueError(f"sure and unsure are both {self.sure!r}; they must differ")
        return self

    @property
    def makes_of_whole(self) -> bool:
        """Which half is sure depends on all rows."""
        return self.mode == "uncertain"

    def takes(self, example: Example) -> bool:
        """Rows of one answer, to a user; if the samples tell, prompts alone too."""
        answered = example.response_at is not None
        asked = example.messages[: example.response_at]  # [:None] is all of them
        roles = {message["role"] for message in asked}
        if not asked or asked[-1]["role"] != "user" or "assistant" in roles:
            return False
        return bool(split_words(example.response)) if answered else self.mode == "uncertain"

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return 1

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row; where samples tell, one for all of them together."""
        if self.makes_of_whole:
            return {WHOLE_POOL: make_by_entropy(self, sources)} if sources else {}
        return {source.example_id: make_by_r_tuning(self, source, seed) for source in sources}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """One answer for each, or all samples."""
        calls = sources * (self.samples if self.makes_of_whole else 1)
        return {"generate": CallBounds(calls, calls, self.max_new_tokens)}


def make_by_r_tuning(settings: RTuning, source: Example, seed: int) -> Making:
    """Ask once, and see whether the answer is the given one."""
    prompt = source.conversation.prompt
    ask = Ask("probe", 0, prompt, 0.0, settings.max_new_tokens, tools=source.tools)
    (reply,) = yield Wanted([ask])
    said = read_beginning(reply)
    if isinstance(said, Unread):
        return [Settled([ask.place], None, said.reason)]
    known = says_same(said, source.response, settings.compare)
    given = source.messages[len(prompt)]
    if settings.mode == "unsure":
        row = certainty_row(settings, source, given, known)
        return [Settled([ask.place], row, "sure" if known else "unsure")]
    said_so = draw_option(settings.refusals, [seed, source.prompt_id])
    refusal = {"role": "assistant", "content": said_so}
    row = Conversation([*prompt, given if known else refusal], source.tools)
    return [Settled([ask.place], row, "known" if known else "unknown")]


def make_by_entropy(settings: RTuning, sources: Sequence[Example]) -> Making:
    """Sample answers to every prompt, and say of the half that differs less that it is sure."""
    count = settings.samples
    asks = [
        ask
        for each in sources
        for ask in ask_samples(
            each, each.conversation.prompt, count, settings.temperature, settings.max_new_tokens
        )
    ]
    replies = iter((yield Wanted(asks)))
    settled: list[Settled] = []
    told: list[tuple[float, Example, Message]] = []
    for source in sources:
        read = [read_beginning(reply) for reply in islice(replies, count)]
        answer = choose_answer(source, read)
        if isinstance(answer, Unread):
            settled.append(settle_samples(source, count, None, answer.reason))
        else:
            told.append((entropy_of([*map(str, read)]), source, answer))
    told.sort(key=lambda each: (each[0], each[1].example_id))
    for rank, (_, source, answer) in enumerate(told):
        sure = rank < len(told) // 2
        row = certainty_row(settings, source, answer, sure)
        settled.append(settle_samples(source, count, row, "sure" if sure else "unsure"))
    return settled


def choose_answer(source: Example, read: Sequence[str | Unread]) -> Message | Unread:
    """The given response, else the most frequent sample; why none, where a sample was not had."""
    lost = [each for each in read if isinstance(each, Unread)]
    if lost:
        return lost[0]
    if (given := source.conversation.response) is not None:
        return given
    answer = most_frequent([*map(str, read)])
    return Unread("empty_answer") if is_blank(answer) else {"role": "assistant", "content": answer}


def certainty_row(settings: RTuning, source: Example, answer: Message, sure: bool) -> Conversation:
    """The prompt, the answer, and whether it is sure; both answers are trained."""
    return Conversation(
        [
            *source.conversation.prompt,
            answer,
            {"role": "user", "content": settings.question},
            {"role": "assistant", "content": settings.sure if sure else settings.unsure},
        ],
        source.tools,
        turns="all",
    )


def entropy_of(texts: Sequence[str]) -> float:
    """Of the shares of answers that have the same words; nats, from 0 to ln n."""
    shares = [n / len(texts) for n in Counter(map(same_words, texts)).values()]
    return 0.0 - sum(share * log(share) for share in sorted(shares))  # sorted: sums round alike
