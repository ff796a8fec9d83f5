"""SPIN: the model's own answer to a prompt is rejected, and the given answer chosen.

    y' ~ p_t(. | x),     pair = (x, chosen y, rejected y')
    p_(t+1) = DPO on the pairs, with p_t as its reference

The row that is made is the model's answer, which is no row to train on: the selection drops it as
`rejected_answer` because of the row that it was made of, and with `export: {rejected:
[rejected_answer]}` it stands beside that. An answer that is cut off at `max_new_tokens` or says
what was given is none. A training with `dpo` then is an iteration; the next one has the adapter of
this one as its target, so that what answers and what is the reference are the same model.

Self-Play Fine-Tuning: Chen et al. 2024, arXiv:2401.01335. Theirs samples at temperature 1 and cuts
answers at 256 tokens, where longer given ones can be told by their length alone; from the second
iteration on it trains on the pairs of the one before too, of which there is one for each row here.

For rows that are trusted, on a model that has been trained on them plainly and still answers
otherwise. Not where the given answers are no better than its own, for it unlearns these all the
same; and where nothing but the length differs, that is what is learnt. It costs 1 call for each
row in each iteration.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from pipeline.generation.maker import (
    Ask,
    CallKind,
    Making,
    Settled,
    Unread,
    Wanted,
    answer_source,
    is_asked_once,
    read_whole,
)
from pipeline.generation.maker_block import CallBounds, MakerBlock
from storage.examples import Example


class SPIN(MakerBlock):
    """The model's own answers as rejected ones: SPIN (arXiv:2401.01335)."""

    method: Literal["spin"]
    temperature: float = Field(default=1.0, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=256, gt=0, description="A longer answer is dropped.")

    def takes(self, example: Example) -> bool:
        """Rows with one response."""
        return is_asked_once(example)

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return 1

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {source.example_id: make_by_spin(self, source) for source in sources}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """An answer to each."""
        return {"generate": CallBounds(sources, sources, self.max_new_tokens)}


def make_by_spin(settings: SPIN, source: Example) -> Making:
    """An answer of the model's own, if it is another than the given one."""
    ask = Ask(
        "answer",
        0,
        source.conversation.prompt,
        settings.temperature,
        settings.max_new_tokens,
        tools=source.tools,
    )
    (reply,) = yield Wanted([ask])
    text = read_whole(reply)
    if isinstance(text, Unread):
        return [Settled([ask.place], None, text.reason)]
    if text.strip() == source.response.strip():
        return [Settled([ask.place], None, "same_answer")]
    return [Settled([ask.place], answer_source(source, text), "own_answer")]
