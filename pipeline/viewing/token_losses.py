"""The tokens of a row's trained turns, each with what the model found of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.measuring.rows import inspect_rows
from pipeline.viewing.opened_run import OpenedRun
from storage.database import Connection
from storage.examples import read_example_table
from storage.measurements import read_measurements

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_TOKENS = 2_000

CONTEXT = 4
"""Tokens before one that are decoded with it."""

CHARACTER_TOKENS = 6
"""A character has at most so many tokens; what does not end by then is no character."""

STRONGEST = 8.0
"""Nats from which on a token has the darkest shade: less likely than one in 3,000."""


@dataclass(frozen=True, slots=True)
class ShownToken:
    """One token."""

    text: str
    nll: float
    """Nats, with the prompt."""
    nll_alone: float
    """Nats, without the prompt."""

    @property
    def shade(self) -> int:
        """From 0 to 10, with the prompt."""
        return shade_of(self.nll)

    @property
    def shade_alone(self) -> int:
        """The same without the prompt."""
        return shade_of(self.nll_alone)


@dataclass(frozen=True, slots=True)
class ShownTokens:
    """The trained tokens of a row."""

    tokens: Sequence[ShownToken]
    left_out: int
    """Tokens behind the last that is shown."""
    why_not: str = ""
    """Why there is none to be shown."""


def shade_of(nll: float) -> int:
    """Nats as one of eleven shades."""
    return round(10 * min(max(nll, 0.0), STRONGEST) / STRONGEST)


def read_token_losses(con: Connection, opened: OpenedRun, example_id: str) -> ShownTokens:
    """The trained tokens of a row, cut as they were when they were measured."""
    key = opened.measures.get("losses")
    if key is None:
        return ShownTokens((), 0, "the run measured no losses: add measure.losses to the recipe")
    states, found = read_measurements(con, key, ("nll", "nll_alone"), [example_id])
    if states[0] != "ok":
        return ShownTokens((), 0, f"the losses of this row could not be had: {states[0]}")
    settings: dict[str, Any] = opened.described.recipe["measure"]["losses"]
    model = settings["model"]
    table = read_example_table(con, [example_id])
    read = inspect_rows(
        model, settings["template"], table, lambda reader, _, turns: (reader, turns)
    )
    if isinstance(read[0], dict):
        return ShownTokens((), 0, str(read[0]["detail"]))
    tokenizer, turns = read[0]
    ids = [token for turn in turns for token in turn.alone.response]
    nll, alone = (found[name].reshape(-1) for name in ("nll", "nll_alone"))
    if len(ids) != len(nll):  # another tokenizer by that name, or another template, since then
        return ShownTokens((), 0, "the tokens are others now than those that were measured")
    texts = list(token_texts(tokenizer, ids[:MOST_TOKENS]))
    numbers = zip(texts, nll.tolist(), alone.tolist(), strict=False)  # of the first few
    return ShownTokens([ShownToken(*each) for each in numbers], len(ids) - len(texts))


def token_texts(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> Iterator[str]:
    """What each token adds to the text; of a character's several tokens the last has all of it."""
    shown = 0  # tokens whose text was given
    for end in range(1, len(ids) + 1):
        before = ids[max(0, shown - CONTEXT) : shown]  # or a tokenizer might drop a leading space
        known = str(tokenizer.decode([*before]))
        text = str(tokenizer.decode([*before, *ids[shown:end]]))[len(known) :]
        if text.endswith("\ufffd") and end - shown < CHARACTER_TOKENS and end < len(ids):
            yield ""
            continue
        yield text
        shown = end
