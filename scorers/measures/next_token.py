"""What a causal model predicts at chosen places of many texts, with no logits kept.

Logits of a batch would be (rows, tokens, vocabulary): 12 GB for 8 rows of 2048 tokens and 200 000
words. So the decoder runs to its last hidden state, the output embedding is applied to the places
asked for and to no others, a few hundred at a time, and each slice is summed up before the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

HEAD_TOKENS = 256
"""Places per application of the output embedding: 50 MB of float32 logits for 49 152 words."""

PLAIN_LOGIT_BYTES = 1 << 30
"""Most that logits may take where they have to be computed whole."""

PROBE_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Reading:
    """One text, and the places at which the model's prediction is wanted."""

    ids: Sequence[int]
    first: int
    """Predictions are read from here to the end; the one at place i is for token i + 1."""
    targets: NDArray[np.int64]
    """(places, options): the tokens whose probability is wanted at each place."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model predicted at the places of one Reading."""

    log_probability: NDArray[np.float32]
    """(places, options) nats."""
    entropy: NDArray[np.float32]
    """(places,) nats."""
    likeliest: NDArray[np.int64]
    """(places,) token ids."""


class NextTokenReader:
    """Runs Readings through a model in batches of similar length."""

    def __init__(self, model: PreTrainedModel, batch_tokens: int) -> None:
        """Prepare to read.

        Args:
            model: in evaluation mode, on its device.
            batch_tokens: most tokens in a batch, padding included. Halved for good where the
                device has too little memory for it.
        """
        self.model = cast(Any, model)  # transformers annotates few of its methods
        self.batch_tokens = batch_tokens
        self.head = _separable_head(model)
        if self.head is None:
            vocabulary: int = self.model.get_input_embeddings().weight.shape[0]
            self.batch_tokens = min(batch_tokens, PLAIN_LOGIT_BYTES // (4 * vocabulary))

    @torch.inference_mode()
    def read(self, readings: Sequence[Reading]) -> list[Prediction]:
        """One prediction for each reading, in their order."""
        predictions: list[Prediction | None] = [None] * len(readings)
        # Longest first: if memory is short, it shows at once.
        order = sorted(range(len(readings)), key=lambda i: (-len(readings[i].ids), i))
        at = 0
        while at < len(order):
            size = max(1, self.batch_tokens // len(readings[order[at]].ids))
            chosen = order[at : at + size]
            try:
                batch = self._read_batch([readings[i] for i in chosen])
            except torch.OutOfMemoryError:
                if len(chosen) == 1:
                    raise
                self.batch_tokens //= 2
                continue
            for i, prediction in zip(chosen, batch, strict=True):
                predictions[i] = prediction
            at += size
        return [prediction for prediction in predictions if prediction is not None]

    def _read_batch(self, readings: Sequence[Reading]) -> list[Prediction]:
        counts = [len(reading.targets) for reading in readings]
        targets = torch.from_numpy(np.concatenate([reading.targets for reading in readings]))
        outputs = self._outputs(readings)
        parts = []
        for at in range(0, len(outputs), HEAD_TOKENS):
            piece = outputs[at : at + HEAD_TOKENS]
            logits = piece if self.head is None else self.head(piece)
            wanted = targets[at : at + HEAD_TOKENS].to(logits.device)
            parts.append(_summarise(logits.float(), wanted))
        ends = np.cumsum(counts)[:-1]
        columns = [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]
        pieces = [np.split(column, ends) for column in columns]
        return [Prediction(*each) for each in zip(*pieces, strict=True)]

    def _outputs(self, readings: Sequence[Reading]) -> Tensor:
        """(places of all readings, h) last hidden states, or logits where they have no head."""
        ids, mask = _pad_right(readings, self.model.device)
        rows = np.repeat(np.arange(len(readings)), [len(reading.targets) for reading in readings])
        places = np.concatenate([np.arange(r.first, len(r.ids)) for r in readings])
        if self.head is None:
            outputs: Tensor = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        else:
            decoder: Any = self.model.get_decoder()
            outputs = decoder(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        return outputs[torch.from_numpy(rows), torch.from_numpy(places)]


def _pad_right(readings: Sequence[Reading], device: torch.device) -> tuple[Tensor, Tensor]:
    """(rows, t) ids and (rows, t) mask; behind a text nothing that it could see."""
    width = max(len(reading.ids) for reading in readings)
    ids = torch.zeros(len(readings), width, dtype=torch.int64)
    mask = torch.zeros(len(readings), width, dtype=torch.int64)
    for row, reading in enumerate(readings):
        ids[row, : len(reading.ids)] = torch.tensor(reading.ids)
        mask[row, : len(reading.ids)] = 1
    return ids.to(device), mask.to(device)


def _summarise(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(m, options) log-probabilities, (m,) entropies in nats and (m,) arg-max, from (m, v)."""
    log_probability = logits.log_softmax(dim=-1)
    entropy = -(log_probability.exp() * log_probability).sum(dim=-1)
    return log_probability.gather(-1, targets), entropy, logits.argmax(dim=-1)


@torch.inference_mode()
def _separable_head(model: Any) -> torch.nn.Module | None:  # noqa: ANN401
    """The output embedding, if applying it to the last hidden state gives the model's logits.

    Some models do more: Gemma caps its logits, Cohere and Granite scale them. Tried on a few
    tokens, so that no list of such models has to be kept.
    """
    head: torch.nn.Module | None = model.get_output_embeddings()
    if head is None:
        return None
    ids = torch.arange(16, device=model.device)[None]
    decoder = model.get_decoder()
    separate: Tensor = head(decoder(input_ids=ids, use_cache=False).last_hidden_state)
    whole: Tensor = model(input_ids=ids, use_cache=False).logits
    same = torch.allclose(separate.float(), whole.float(), rtol=0.0, atol=PROBE_TOLERANCE)
    return head if same else None
