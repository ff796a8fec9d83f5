r"""Magpie: a tuned model is let go on where a user would begin, and answers what it wrote.

    q ~ M(template up to the user's text)          temperature 1, until the turn's special token
    a = argmax M(· | template(user: q))            temperature 0

No seed rows and no prompt: what the model was tuned on makes it write a request. Each of the
`instructions` calls is drawn with a seed of its own, so that their number changes none of them. A
request goes where it was cut off, has a special token in it (`template_token`), ends with a colon,
or is another's again, of which the first stays. With `one_line` it ends at its first line break, as
in the authors' code. `system` is put before the user's turn, and stands in the row: it says of what
field the requests shall be. Rows stand beside the pool, and come from no row of it.

Xu et al. 2024, arXiv:2406.08464. The authors then tag, drop near-duplicates (vectors of a squared
distance below 0.05, which is `dedupe` of prompts with a threshold of 0.975) and keep the longest
answers, which makes length the score: here any selection may follow.

For a model that was tuned on chats, whose answers shall be learnt by another. Not for base models,
which write what they like there, nor for templates that end a user's turn with plain text: they are
refused. Behind an endpoint the server must have /completions that takes token ids, as vLLM does,
and `template_model` names a model here that has the template. It costs 2 calls a row, and 1 for
each request that goes.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.generation.maker import Ask, CallKind, Making, Settled, Unread, Wanted, read_whole
from pipeline.generation.maker_block import WHOLE_POOL, CallBounds, MakerBlock
from pipeline.measuring.measures.samples import Sampled
from pipeline.measuring.rows import template_of, tokenizer_of
from scorers.measures.protocols import Message, Opening
from scorers.measures.reading.opening import find_opening, special_texts
from storage.conversations import Conversation, content_hash
from storage.examples import Example

TOGETHER_ASKED = 64
"""Requests of one round; what a budget ends is answered up to there."""


class Magpie(MakerBlock):
    """What a tuned model writes as a user, and its answer: Magpie (arXiv:2406.08464)."""

    method: Literal["magpie"]
    instructions: int = Field(default=100, gt=0, description="Requests that are asked for.")
    system: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="A system prompt, which stands in the rows too."
    )
    one_line: bool = Field(default=False, description="A request ends at its first line break.")
    temperature: float = Field(default=1.0, gt=0, description="Of requests; answers have 0.")
    max_new_tokens: int = Field(default=512, gt=0, description="Of each reply.")
    template_model: str | None = Field(
        default=None,
        description="A model here that has the chat template, which a server does not tell.",
    )

    needs = "nothing"

    @model_validator(mode="after")
    def template_is_known(self) -> Self:
        """Check that there is a template to go on from, and that a server's is named."""
        if self.few_shot or any(each.few_shot for each in self.teachers):
            raise ValueError(
                "magpie goes on from the chat template, which few_shot does without: leave it out"
            )
        served = self.endpoint or any(each.endpoint for each in self.teachers)
        if served and self.template_model is None:
            raise ValueError(
                "a server does not tell its chat template: name as template_model a model here "
                "that has it"
            )
        return self

    @property
    def makes_of_whole(self) -> bool:
        """It takes no row."""
        return True

    def takes(self, example: Example) -> bool:
        """None."""
        return False

    def rows_each(self) -> int:
        """None comes of one."""
        return 0

    def rows_at_most(self, sources: int) -> int:
        """A row for each request, whatever sources there are."""
        return self.instructions

    def key(self, seed: int, pool: Sequence[str] | None = None) -> str:
        """As MakerBlock's, and with the template that is taken for the model's."""
        key = super().key(seed, pool)
        if self.template_model is None:
            return key
        return content_hash([key, template_of(self.template_model, "chat")])[:16]

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One, whatever rows there are."""
        tokenizer = tokenizer_of(self.template_model or self.model)
        opening = find_opening(tokenizer, self.before())
        return {WHOLE_POOL: make_by_magpie(self, opening, special_texts(tokenizer))}

    def before(self) -> list[Message]:
        """The turns before the user's."""
        return [{"role": "system", "content": self.system}] if self.system else []

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """A request, and its answer where it stays."""
        n = self.instructions
        return {"generate": CallBounds(n, 2 * n, self.max_new_tokens)}


def make_by_magpie(settings: Magpie, opening: Opening, special: Sequence[str]) -> Making:
    """Ask for requests, and for the answers to those that stay."""
    settled: list[Settled] = []
    seen: set[str] = set()
    for start in range(0, settings.instructions, TOGETHER_ASKED):
        numbers = range(start, min(start + TOGETHER_ASKED, settings.instructions))
        replies = yield Wanted([ask_request(settings, opening, n) for n in numbers], settled)
        settled = []
        asked: dict[int, str] = {}
        for n, reply in zip(numbers, replies, strict=True):
            text = read_request(settings, reply, special, seen)
            if isinstance(text, Unread):
                settled.append(Settled([("request", n)], None, text.reason))
            else:
                asked[n] = text
                seen.add(text)
        prompts = {
            n: [*settings.before(), {"role": "user", "content": q}] for n, q in asked.items()
        }
        answers = yield Wanted(
            [Ask("answer", n, each, 0.0, settings.max_new_tokens) for n, each in prompts.items()]
        )
        for (n, prompt), answer in zip(prompts.items(), answers, strict=True):
            settled.append(settle_answer(n, prompt, answer, special))
    return settled


def ask_request(settings: Magpie, opening: Opening, number: int) -> Ask:
    """What a user would say."""
    return Ask(
        "request", number, [], settings.temperature, settings.max_new_tokens, opening=opening
    )


def read_request(
    settings: Magpie, reply: Sampled, special: Sequence[str], seen: set[str]
) -> str | Unread:
    """The request in a reply, or why it goes."""
    text = read_whole(reply)
    if isinstance(text, Unread):
        return text
    text = text.strip()
    if settings.one_line:
        text = text.splitlines()[0].strip()
    if any(each in text for each in special):
        return Unread("template_token")
    if text.endswith(":"):
        return Unread("ends_with_colon")
    return Unread("duplicate") if text in seen else text


def settle_answer(
    number: int, prompt: Sequence[Message], answer: Sampled, special: Sequence[str]
) -> Settled:
    """The row of a request and its answer, or why there is none."""
    places = [("request", number), ("answer", number)]
    text = read_whole(answer)
    if isinstance(text, Unread):
        return Settled(places, None, text.reason)
    if any(each in text for each in special):
        return Settled(places, None, "template_token")
    return Settled(
        places, Conversation([*prompt, {"role": "assistant", "content": text}]), "answer"
    )
