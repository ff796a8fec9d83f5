"""What a maker may spend, and has: calls, new tokens, and their price at its server.

    price = (tokens of prompts * price of a million + new tokens * price of a million) / 1e6

Counted in whole tokens and multiplied last, so that the order of adding up changes no decision.
Before a call is made its prompt is counted as one token for each byte of the request, which no
tokenizer exceeds but for what a chat template writes by itself; afterwards as the server says.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.generation.maker import Ask
from pipeline.measuring.endpoint import Price
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import GeneratedAnswer, GenerationRequest, Opening, RawText
from storage.conversations import canonical_json

OF_THE_TEMPLATE = 64
"""Tokens that a template may put around one message."""


@dataclass(slots=True)
class Spending:
    """Calls that were made, and their tokens."""

    calls: int = 0
    tokens: int = 0
    prompt_tokens: int = 0

    def price(self, price: Price) -> float:
        """What that came to, in the currency of the price."""
        return (self.prompt_tokens * price.prompt + self.tokens * price.new) / 1e6


def no_prompt(source: str, ask: Ask) -> int:
    """Of prompts that cost nothing."""
    return 0


@dataclass(slots=True)
class Allowance:
    """What may be spent, and was."""

    calls: int | None = None
    tokens: int | None = None
    most_price: float | None = None
    price: Price | None = None
    """What tokens cost, where `most_price` bounds it."""
    prompt_bound: Callable[[str, Ask], int] = no_prompt
    """A source and its ask → tokens of the prompt at most."""
    spent: Spending = field(default_factory=Spending)

    def take_fitting(self, asks: Sequence[tuple[str, Ask]]) -> int:
        """How many of the asks, from the first, there is room for whatever is answered."""
        would = Spending(self.spent.calls, self.spent.tokens, self.spent.prompt_tokens)
        for fitting, (source, ask) in enumerate(asks):
            would.calls += 1
            would.tokens += ask.max_new_tokens
            would.prompt_tokens += self.prompt_bound(source, ask)
            if self._exceeded_by(would):
                return fitting
        return len(asks)

    def _exceeded_by(self, would: Spending) -> bool:
        if self.calls is not None and would.calls > self.calls:
            return True
        if self.tokens is not None and would.tokens > self.tokens:
            return True
        if self.most_price is None or self.price is None:
            return False
        return would.price(self.price) > self.most_price

    def spend(self, source: str, ask: Ask, reply: Sampled) -> None:
        """Count a call that was made."""
        self.spent.calls += 1
        self.spent.tokens += count_new_tokens(reply, ask.max_new_tokens)
        if isinstance(reply, GeneratedAnswer):
            told = reply.prompt_tokens
            self.spent.prompt_tokens += self.prompt_bound(source, ask) if told is None else told


def count_new_tokens(reply: Sampled, most: int) -> int:
    """Tokens of a reply; the most it can have where a server does not say, 0 of a failure."""
    if not isinstance(reply, GeneratedAnswer):
        return 0
    return most if reply.tokens is None else reply.tokens


def count_prompt_bytes(request: GenerationRequest) -> int:
    """Tokens of a prompt at most: one for each byte, and what a template puts around messages."""
    if isinstance(request.opening, Opening):
        return len(request.opening.ids)
    if isinstance(request.opening, RawText):
        return len(request.opening.text.encode()) + OF_THE_TEMPLATE
    asked = canonical_json([request.messages, request.tools])
    return len(asked) + OF_THE_TEMPLATE * (1 + len(request.messages))
