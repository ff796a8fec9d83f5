"""Answer: new answers to prompts that the pool has.

    y_1 … y_n ~ M(x)

Each answer that is whole is a row: the prompt with that answer, its parent the row whose prompt it
was. One that was cut off at `max_new_tokens` is none: trained on, it would teach to stop in the
middle. A prompt that several rows have is answered once. The rows stand beside what was there.

For prompts without an answer, and for candidates of which a score chooses afterwards, as CLEAR
does (Chen and Mueller 2024, arXiv:2403.12776) and GRAPE (Zhang et al. 2025, arXiv:2502.04194).
Not where answers can be checked: rejection tells right from wrong there. It costs `answers` calls
for each prompt.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.generation.maker import (
    Ask,
    CallKind,
    Making,
    Settled,
    Unread,
    Wanted,
    answer_source,
    read_whole,
)
from pipeline.generation.maker_block import CallBounds, RowMakerBlock, draw_names
from pipeline.measuring.measures.samples import request_seed
from storage.conversations import content_hash
from storage.examples import Example


class AnswerBlock(RowMakerBlock):
    """The fields of what answers prompts as they are."""

    prompts: Literal["unanswered", "all"] = Field(
        default="unanswered",
        description="unanswered: rows that are a prompt only; all: any.",
    )
    limit: int | None = Field(
        default=None, gt=0, description="At most so many prompts; chosen by a seeded hash."
    )
    answers: int = Field(default=1, gt=0, description="Answers for each prompt.")
    temperature: float = Field(default=0.8, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=512, gt=0, description="A longer answer is dropped.")

    rows_of_prompt: ClassVar[int | None] = 1
    """How many of the rows with one prompt are worked on; None: all."""
    in_key: ClassVar[frozenset[str]] = frozenset({"answers", "temperature", "max_new_tokens"})
    """Fields that can change an answer."""

    @property
    def makes_of_whole(self) -> bool:
        """It works on each row, which stays."""
        return False

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return self.answers

    def choose(self, examples: Iterable[Example], seed: int) -> list[str]:
        """Rows of at most `limit` prompts; of the same prompt those with the lowest ids."""
        by_prompt: dict[str, list[str]] = {}
        for example in examples:
            if self.can_ask_of(example):
                by_prompt.setdefault(example.prompt_id, []).append(example.example_id)
        drawn = self.its_share(draw_names(by_prompt, seed, self.limit), seed)
        of_each = (sorted(by_prompt[prompt])[: self.rows_of_prompt] for prompt in drawn)
        return sorted(chain.from_iterable(of_each))

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {source.example_id: make_by_answer(self, source, seed) for source in sources}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """The answers."""
        calls = sources * self.answers
        return {"generate": CallBounds(calls, calls, self.max_new_tokens)}

    def key(self, seed: int, pool: Sequence[str] | None = None) -> str:
        """Hash of the model and of how it samples."""
        sampling = self.model_dump(include={*self.in_key})
        asked_as = [self.asked_as] if self.few_shot else []
        return content_hash([self.identity(), sampling, seed, *asked_as])[:16]


class Answer(AnswerBlock):
    """New answers to prompts of the pool."""

    method: Literal["answer"] = Field(default="answer", description="What no method means.")

    def takes(self, example: Example) -> bool:
        """Rows without an answer, or any."""
        return self.prompts == "all" or example.response_at is None


def make_by_answer(settings: AnswerBlock, source: Example, seed: int) -> Making:
    """All answers at once; what is whole is a row."""
    asks = [
        Ask(
            "answer",
            number,
            source.conversation.prompt,
            settings.temperature,
            settings.max_new_tokens,
            tools=source.tools,
            # Of the prompt and not of the row: the same prompt is one request.
            seed=request_seed(seed, source.prompt_id, number),
        )
        for number in range(settings.answers)
    ]
    replies = yield Wanted(asks)
    texts = [read_whole(reply) for reply in replies]
    return [
        Settled([ask.place], None, text.reason)
        if isinstance(text, Unread)
        else Settled([ask.place], answer_source(source, text), "answer")
        for ask, text in zip(asks, texts, strict=True)
    ]
