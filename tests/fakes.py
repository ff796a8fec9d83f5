"""Models that are functions of their input, so that a test can work out what they will say.

Each stands in for a Protocol of scorers/measures/protocols.py. An answer never depends on
what else was asked; hashes are used where any fixed number will do.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scorers.arrays import Floats
from scorers.measures.protocols import (
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
    Message,
    OptionProbabilities,
    TextVectors,
    TokenLosses,
)


def fraction(*parts: object) -> float:
    """A number in [0, 1) that depends on all of the parts, the same in every process."""
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


@dataclass(frozen=True)
class FakeLanguageModel:
    """Losses from token ids alone.

    A token's loss is `0.1 + |token - previous| % 10`, plus 1 where the prefix is a lone token: so a
    longer prompt helps by one nat per token. Its entropy is half its loss, and it is the likeliest
    one where the loss is below 1.
    """

    mass: float = 0.9
    """What the options of a question have together."""

    def token_losses(
        self,
        prefixes: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        vectors_at: Sequence[int | None] = (),
        weighted: Sequence[bool] = (),
    ) -> list[TokenLosses]:
        if len(prefixes) != len(responses) or not all(map(len, prefixes)):
            raise ValueError("expected as many prefixes as responses, none of them empty")
        return [self._losses(p, r) for p, r in zip(prefixes, responses, strict=True)]

    def _losses(self, prefix: Sequence[int], response: Sequence[int]) -> TokenLosses:
        ids = np.array([prefix[-1], *response], dtype=np.int64)
        alone = 1.0 if len(prefix) == 1 else 0.0
        nll = (0.1 + np.abs(np.diff(ids)) % 10 + alone).astype(np.float32)
        return TokenLosses(nll=nll, entropy=nll * np.float32(0.5), top1=nll < 1)

    def option_probabilities(
        self, prompts: Sequence[Sequence[Message]], options: Sequence[str]
    ) -> OptionProbabilities:
        if not options:
            raise ValueError("no options")
        raw = [[0.01 + fraction(list(p), option) for option in options] for p in prompts]
        weights = np.array(raw, dtype=np.float64).reshape(len(prompts), len(options))
        probabilities = weights / weights.sum(axis=1, keepdims=True)
        return OptionProbabilities(probabilities, np.full(len(prompts), self.mass))


@dataclass(frozen=True)
class FakeAnswerGenerator:
    """Answers "the reply to PROMPT, take N"; N comes from the seed and is 0 at temperature 0.

    A prompt whose last message contains "[fail]" fails, one with "[long]" is cut off.
    """

    takes: int = 3

    def sample(
        self, requests: Sequence[GenerationRequest]
    ) -> list[GeneratedAnswer | GenerationFailure]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: GenerationRequest) -> GeneratedAnswer | GenerationFailure:
        prompt = str(request.messages[-1]["content"])
        if "[fail]" in prompt:
            return GenerationFailure("timeout", "the fake was told to fail")
        take = request.seed % self.takes if request.temperature > 0 else 0
        text = f"the reply to {prompt}, take {take}"
        return GeneratedAnswer(text, tokens=len(text.split()), finished="[long]" not in prompt)


@dataclass(frozen=True)
class FakeEntailment:
    """Contradiction is the share of words that only one of the texts has; 0 for equal texts."""

    def contradiction(self, premises: Sequence[str], hypotheses: Sequence[str]) -> Floats:
        if len(premises) != len(hypotheses):
            raise ValueError(f"{len(premises)} premises but {len(hypotheses)} hypotheses")
        pairs = zip(premises, hypotheses, strict=True)
        return np.array([self._distance(a, b) for a, b in pairs], dtype=np.float64)

    def _distance(self, a: str, b: str) -> float:
        first, second = set(a.casefold().split()), set(b.casefold().split())
        return len(first ^ second) / max(1, len(first | second))


@dataclass(frozen=True)
class FakeEmbedder:
    """A bag of words: each word has a fixed random direction; windows are of 64 words."""

    dimensions: int = 16
    window: int = 64

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embed_with_chunks(texts).vectors

    def embed_with_chunks(self, texts: Sequence[str]) -> TextVectors:
        vectors = np.zeros((len(texts), self.dimensions), dtype=np.float64)
        chunks = np.zeros(len(texts), dtype=np.int64)
        for row, text in enumerate(texts):
            words = text.casefold().split()
            if not words:
                raise ValueError(f"text {row} is empty; it has no meaning to embed")
            for word in words:
                vectors[row] += [fraction(word, at) - 0.5 for at in range(self.dimensions)]
            chunks[row] = -(-len(words) // self.window)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        return TextVectors((vectors / lengths).astype(np.float32), chunks)


@dataclass
class FakeReflector:
    """Believes `belief(text of the question)`: probabilities of correct, incorrect, not sure.

    Reads the options off the question, so that it answers by meaning and not by letter. `seen` has
    the questions.
    """

    belief: Callable[[str], Sequence[float]]
    seen: list[str] = field(default_factory=list)

    def option_probabilities(
        self, prompts: Sequence[Sequence[Message]], options: Sequence[str]
    ) -> OptionProbabilities:
        rows = [self._row(str(prompt[-1]["content"]), options) for prompt in prompts]
        mass = np.full(len(prompts), 0.8)
        return OptionProbabilities(np.array(rows).reshape(-1, len(options)), mass)

    def _row(self, question: str, options: Sequence[str]) -> list[float]:
        self.seen.append(question)
        correct, incorrect, not_sure = self.belief(question)
        offered = {line[:1]: line[3:] for line in question.splitlines() if line[1:3] == ". "}
        meanings = {
            "It is correct.": correct,
            "The reply is right.": correct,
            "It is incorrect.": incorrect,
            "The reply is wrong.": incorrect,
            "I am not sure.": not_sure,
            "It cannot be told.": not_sure,
        }
        return [meanings[offered[option]] for option in options]
