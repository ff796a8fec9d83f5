"""Contradiction: how likely it is that one text denies the other.

Two ways to ask. A cross-encoder trained for natural language inference reads both texts together
and is the one to prefer. A language model asked a multiple-choice question needs no further model,
and is **approximate**: its probabilities are not calibrated, and a small one hardly follows the
question.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scorers.arrays import Floats
from scorers.measures.batches import batches_of_like_length
from scorers.measures.models.model_folder import loading_from
from scorers.measures.protocols import Message, OptionModel
from scorers.measures.reading.sentence_parts import cut_text

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LABEL, ENTAILED = "contradiction", "entailment"
"""The first is the label that must be among `config.id2label`, in any case. A model that calls its
classes LABEL_0 to LABEL_2 does not say which is which, and they are ordered differently in the
wild."""

NO_LIMIT = 1_000_000  # tokenizers that know no window give a number above this

LEAST_ROOM = 16  # tokens for two texts; one character may take several

BATCH_TOKENS = 8_192  # padded tokens per forward pass


def missing_labels(path: Path) -> list[str]:
    """Those of the two labels that a model in a folder does not name; nothing of it is loaded."""
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    named = {str(name).casefold() for name in (config.get("id2label") or {}).values()}
    return [label for label in (ENTAILED, LABEL) if label not in named]


@dataclass(frozen=True, slots=True)
class _Part:
    """A pair of texts that fits the window, and the row it was cut from."""

    row: int
    left: str
    right: str
    left_tokens: int
    right_tokens: int

    @property
    def weight(self) -> int:
        # Without tokens a text still has a part, or its row would be divided by 0.
        return max(1, self.left_tokens) * max(1, self.right_tokens)


class CrossEncoderEntailment:
    """An EntailmentModel from any sequence-classification model trained for inference.

    A pair that does not fit the model's window is cut at sentence ends, each side to its share of
    the window; every part of one text is compared with every part of the other and the results
    are averaged with the product of their token counts as weight. A single contradiction in a long
    text is diluted by that; nothing is left unread.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, window: int
    ) -> None:
        """Wrap a loaded model; `window` is the most tokens it takes, both texts together.

        Raises:
            ValueError: if no label of the model is "contradiction", or the window is too small.
        """
        named = model.config.id2label or {}
        labels = {int(index): name.casefold() for index, name in named.items()}
        if LABEL not in labels.values():
            raise ValueError(
                f"expected a model with a label {LABEL!r}, got {sorted(labels.values())}"
            )
        self._label = next(index for index, name in labels.items() if name == LABEL)
        self._entailed = next((at for at, name in labels.items() if name == ENTAILED), None)
        self._model = model
        self._model.train(False)
        self._tokenizer = tokenizer
        self._room = window - tokenizer.num_special_tokens_to_add(pair=True)
        if self._room < LEAST_ROOM:
            raise ValueError(f"a window of {window} tokens has no room for two texts")

    @classmethod
    def from_directory(cls, path: Path, device: str = "cpu") -> CrossEncoderEntailment:
        """Load a transformers folder in float32; safetensors only, no code of the model's own."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        with loading_from(path, "tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(
                path, local_files_only=True, trust_remote_code=False
            )
        with loading_from(path):
            model = AutoModelForSequenceClassification.from_pretrained(
                path,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype="float32",
            )
        return cls(model.to(device), tokenizer, _window(model, tokenizer))

    def contradiction(self, premises: Sequence[str], hypotheses: Sequence[str]) -> Floats:
        """See EntailmentModel.contradiction."""
        return self._mean(premises, hypotheses)[:, self._label]

    def relations(
        self, premises: Sequence[str], hypotheses: Sequence[str]
    ) -> list[tuple[float, float]]:
        """Probability that a premise entails its hypothesis, and that it contradicts it.

        Raises:
            ValueError: if no label of the model is "entailment".
        """
        if self._entailed is None:
            raise ValueError(f"expected a model with a label {ENTAILED!r}, which this has not")
        means = self._mean(premises, hypotheses)
        return [(float(row[self._entailed]), float(row[self._label])) for row in means]

    def _mean(self, premises: Sequence[str], hypotheses: Sequence[str]) -> Floats:
        """(n, labels) probabilities, the mean over the parts of a pair by their weight."""
        _require_pairs(premises, hypotheses)
        pairs = zip(premises, hypotheses, strict=True)
        parts = [part for row, pair in enumerate(pairs) for part in self._parts(row, *pair)]
        rows = [part.row for part in parts]
        weights = np.array([part.weight for part in parts], dtype=np.float64)
        found = self._classify(parts)
        totals, divisors = np.zeros((len(premises), found.shape[1])), np.zeros(len(premises))
        np.add.at(totals, rows, found * weights[:, None])  # rows repeat: += would add one
        np.add.at(divisors, rows, weights)
        return totals / divisors[:, None]

    def _length(self, text: str) -> int:
        return len(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def _parts(self, row: int, premise: str, hypothesis: str) -> list[_Part]:
        """The pair whole where it fits, otherwise every combination of its parts."""
        left, right = self._length(premise), self._length(hypothesis)
        if left + right <= self._room:
            return [_Part(row, premise, hypothesis, left, right)]
        # A short side leaves the other what it does not need; neither gets less than half.
        half = self._room // 2
        lefts = cut_text(premise, max(half, self._room - right), self._length)
        rights = cut_text(hypothesis, max(half, self._room - left), self._length)
        return [_Part(row, a, b, self._length(a), self._length(b)) for a in lefts for b in rights]

    def _classify(self, parts: Sequence[_Part]) -> Floats:
        """(m, labels) probabilities of pairs that fit the window."""
        import torch

        found = np.zeros((len(parts), len(self._model.config.id2label or {})))
        lengths = [part.left_tokens + part.right_tokens for part in parts]
        for batch in batches_of_like_length(lengths, BATCH_TOKENS):
            inputs = self._tokenizer(
                [parts[at].left for at in batch],
                [parts[at].right for at in batch],
                padding=True,
                return_tensors="pt",
            )
            with torch.inference_mode():
                logits = self._model(**inputs.to(self._model.device)).logits
            found[batch] = logits.double().softmax(dim=-1).cpu().numpy()
        return found


class PromptedEntailment:
    """An EntailmentModel from a language model that is asked in words. Approximate."""

    QUESTION = (
        "Two texts answer the same request.\n\n"
        "First text:\n{premise}\n\n"
        "Second text:\n{hypothesis}\n\n"
        "How does the second text relate to the first?\n{options}\n"
        "Answer with one letter only."
    )
    LETTERS = ("A", "B", "C")
    RELATIONS = (
        "They cannot both be right.",
        "The second follows from the first.",
        "They neither agree nor contradict each other.",
    )

    def __init__(
        self, model: OptionModel, fits: Callable[[Sequence[Message]], bool] | None = None
    ) -> None:
        """Ask `model`; a pair whose question does not pass `fits` is not asked about."""
        self._model = model
        self._fits = fits

    def contradiction(self, premises: Sequence[str], hypotheses: Sequence[str]) -> Floats:
        """(n,) probability of "cannot both be right", NaN where the model gave none.

        Each pair is asked about three times, with the options in each cyclic order, and the answers
        are averaged: models prefer a letter, the first one above all.
        """
        _require_pairs(premises, hypotheses)
        pairs = list(zip(premises, hypotheses, strict=True))
        asked = [at for at, pair in enumerate(pairs) if self._readable(*pair)]
        found = np.full(len(pairs), np.nan)
        found[asked] = 0.0
        for turn in range(len(self.LETTERS)):
            relations = self.RELATIONS[turn:] + self.RELATIONS[:turn]
            prompts = [self._question(*pairs[at], relations) for at in asked]
            answers = self._model.option_probabilities(prompts, self.LETTERS)
            # Wherever it stands in this order, it is the first that contradicts.
            found[asked] += answers.probabilities[:, relations.index(self.RELATIONS[0])]
        return found / len(self.LETTERS)

    def _readable(self, premise: str, hypothesis: str) -> bool:
        return self._fits is None or self._fits(self._question(premise, hypothesis, self.RELATIONS))

    def _question(
        self, premise: str, hypothesis: str, relations: Sequence[str]
    ) -> Sequence[Message]:
        lettered = zip(self.LETTERS, relations, strict=True)
        options = "\n".join(f"{letter}. {text}" for letter, text in lettered)
        content = self.QUESTION.format(premise=premise, hypothesis=hypothesis, options=options)
        return [{"role": "user", "content": content}]


def _window(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """The most tokens that both the tokenizer and the model take."""
    limits = [tokenizer.model_max_length] if tokenizer.model_max_length < NO_LIMIT else []
    positions = getattr(model.config, "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        # RoBERTa and its kin count positions from pad_token_id + 1.
        roberta = "roberta" in model.config.model_type
        limits.append(positions - (model.config.pad_token_id + 1 if roberta else 0))
    if not limits:
        raise ValueError("neither the tokenizer nor the configuration says how long a text may be")
    return min(limits)


def _require_pairs(premises: Sequence[str], hypotheses: Sequence[str]) -> None:
    if len(premises) != len(hypotheses):
        raise ValueError(f"{len(premises)} premises but {len(hypotheses)} hypotheses")
