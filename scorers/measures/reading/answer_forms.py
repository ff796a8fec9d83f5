"""Answers of a form: which tokens may come next so that a whole answer is of it.

The grammar is llguidance's. It is JSON without blanks between its parts, or one of some texts; the
token that ends an answer may come where the form is full, and nothing else may where it can grow no
more.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from scorers.measures.protocols import AnswerForm, OneOf

if TYPE_CHECKING:
    from llguidance import LLTokenizer
    from llguidance._lib import JsonCompileOptions

COMPACT: JsonCompileOptions = {"whitespace_flexible": False}
"""A model that may write blanks without end sometimes does."""


class FormGuide:
    """Where one answer is in its form."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        vocabulary: int,
        stops: frozenset[int],
        form: AnswerForm,
    ) -> None:
        """Begin an answer.

        Args:
            tokenizer: the model's; a fast one.
            vocabulary: how many logits the model gives.
            stops: the tokens that end an answer.
            form: what it has to look like.

        Raises:
            ValueError: if the form is none that llguidance knows, or the tokenizer is not fast.
        """
        from llguidance import LLMatcher

        self._form = form
        self._stops = stops
        self._tokens = _read_tokens(tokenizer, vocabulary, tuple(sorted(stops)))
        grammar = _grammar(form)
        if error := LLMatcher.validate_grammar(grammar, self._tokens):
            raise ValueError(
                f"the form of an answer cannot be kept to: {error}. Leave out of the schema what "
                "is named there"
            )
        self._matcher = LLMatcher(self._tokens, grammar)

    def forbidden(self, device: torch.device) -> Tensor:
        """(v,) whether each token may not come next."""
        allowed = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        # The bits of a byte stand for tokens from the lowest on.
        bits = np.unpackbits(allowed, bitorder="little")[: self._tokens.vocab_size]
        return torch.from_numpy(bits == 0).to(device)

    def begin(self, logits: Tensor) -> dict[str, float] | None:
        """The probabilities of the options, by the (v,) logits of the first token; None of JSON."""
        if not isinstance(self._form, OneOf):
            return None
        likely = torch.softmax(logits.double(), dim=-1)
        allowed: list[int] = (~self.forbidden(logits.device)).nonzero()[:, 0].tolist()
        return self._form.probabilities(
            (self._tokens.decode_str([token]), float(likely[token])) for token in allowed
        )

    def take(self, token: int) -> bool:
        """Go on behind a token that was allowed; False if the grammar grew beyond its bounds."""
        return token in self._stops or self._matcher.consume_token(token)

    def again(self) -> None:
        """Begin anew."""
        self._matcher.reset()


@lru_cache(maxsize=4)  # a second of work for each
def _read_tokens(
    tokenizer: PreTrainedTokenizerBase, vocabulary: int, stops: Sequence[int]
) -> LLTokenizer:
    from llguidance.hf import from_tokenizer

    fast: Any = tokenizer  # llguidance refuses a slow one
    return from_tokenizer(fast, n_vocab=vocabulary, eos_token=list(stops))


def _grammar(form: AnswerForm) -> str:
    from llguidance import LLMatcher

    if isinstance(form, OneOf):
        options = " | ".join(json.dumps(option) for option in form.options)
        return LLMatcher.grammar_from_lark(f"start: {options}")
    return LLMatcher.grammar_from_json_schema(dict(form.schema), overrides=COMPACT)
