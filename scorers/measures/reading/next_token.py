"""What a causal model predicts at chosen positions of many texts: read once, without waste.

Texts become a tree (prefix_tree.py), the tree packs of tokens, and each pack one row for the model
(packed_attention.py): no token is padding, and none that texts have in common is read twice. The
output embedding is applied to the positions asked for alone (vocabulary_head.py).

A model whose layers would see past the border of a text (state-space layers, caps in its attention)
is found out by trying, and read in padded batches of like length instead.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from scorers.measures.quiet import quiet_transformers
from scorers.measures.reading.packed_attention import (
    KeptKeys,
    UnknownAttentionError,
    in_pack,
    lay_out,
    packed_attention,
)
from scorers.measures.reading.prefix_tree import build_tree, pack_tree
from scorers.measures.reading.vocabulary_head import separable_head, summarise_hidden

log = logging.getLogger(__name__)

PLAIN_LOGIT_BYTES = 1 << 30
"""Most that logits may take where they have to be computed whole."""

PROBE_TOKENS = 24
"""Tokens of a pack of the probe: texts are cut, and go on in the next."""

PROBE_TOLERANCE = {torch.float32: 1e-4, torch.float16: 0.01, torch.bfloat16: 0.02}
"""Difference of last hidden states, over their size, that is taken for rounding; where padding a
text changes more than that, NOISE times as much as padding changes."""

NOISE = 3.0

ROPE_OF_THE_BATCH = frozenset({"dynamic", "longrope"})
"""Rotary embeddings that transformers chooses by the longest text of a batch."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One text, and the positions at which the model's prediction is wanted."""

    ids: Sequence[int]
    first: int
    """The first place; the prediction at place i is for token i + 1."""
    targets: NDArray[np.int64]
    """(positions, options): the tokens whose probability is wanted at each place."""
    vector: bool = False
    """Whether the last hidden state at the end of the text is wanted."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model predicted at the positions of one Reading."""

    log_probability: NDArray[np.float32]
    """(positions, options) nats."""
    entropy: NDArray[np.float32]
    """(positions,) nats."""
    likeliest: NDArray[np.int64]
    """(positions,) token ids."""
    vector: NDArray[np.float32] | None = None
    """(h,) last hidden state of the last token, behind the final norm."""


@dataclass(frozen=True, slots=True)
class _Outputs:
    """What one forward pass gave of what is wanted."""

    positions: Tensor
    """(m, h) last hidden states, or (m, v) logits where the model has no separable head."""
    slots: NDArray[np.int64]
    """(m,) which of the wanted positions these are."""
    vectors: Tensor
    """(k, h) last hidden states."""
    texts: NDArray[np.int64]
    """(k,) whose they are."""


class NextTokenReader:
    """Runs Readings through a model."""

    def __init__(self, model: PreTrainedModel, batch_tokens: int) -> None:
        """Prepare to read.

        Args:
            model: in evaluation mode, on its device.
            batch_tokens: most tokens in a forward pass, padding included. Halved for good where
                there is too little memory for it.
        """
        self.model = cast(Any, model)  # transformers annotates few of its methods
        self.batch_tokens = batch_tokens
        self.head = separable_head(model)
        if self.head is None:
            vocabulary: int = self.model.get_input_embeddings().weight.shape[0]
            self.batch_tokens = min(batch_tokens, PLAIN_LOGIT_BYTES // (4 * vocabulary))
        self.alone = _rope_types(model) & ROPE_OF_THE_BATCH
        self.packs = not self.alone and self._can_pack()

    def read(self, readings: Sequence[Reading]) -> list[Prediction]:
        """One prediction for each reading, in their order.

        Args:
            readings: each with at least one place, and all with the same number of options.
        """
        while readings:
            try:
                with packed_attention(self.model) if self.packs else nullcontext():
                    return self._read(readings)
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not _out_of_memory(error) or self.batch_tokens == 1:
                    raise
                self.batch_tokens //= 2
                log.warning("out of memory: passes of %d tokens from here on", self.batch_tokens)
        return []

    @torch.inference_mode()
    def _read(self, readings: Sequence[Reading]) -> list[Prediction]:
        counts = [len(reading.targets) for reading in readings]
        targets = torch.from_numpy(np.concatenate([reading.targets for reading in readings]))
        log_probability = np.empty(targets.shape, dtype=np.float32)
        entropy = np.empty(len(targets), dtype=np.float32)
        likeliest = np.empty(len(targets), dtype=np.int64)
        vectors: dict[int, NDArray[np.float32]] = {}
        for outputs in self._packed(readings) if self.packs else self._padded(readings):
            at = outputs.slots
            wanted = targets[torch.from_numpy(at)].to(outputs.positions.device)
            if len(at):
                found = summarise_hidden(self.head, outputs.positions, wanted)
                log_probability[at], entropy[at], likeliest[at] = (
                    column.cpu().numpy() for column in found
                )
            vectors |= zip(
                outputs.texts.tolist(), outputs.vectors.float().cpu().numpy(), strict=True
            )
        borders = np.cumsum(counts)[:-1]
        columns = zip(
            np.split(log_probability, borders),
            np.split(entropy, borders),
            np.split(likeliest, borders),
            strict=True,
        )
        return [
            Prediction(log_p, of_entropy, of_likeliest, vectors.get(text))
            for text, (log_p, of_entropy, of_likeliest) in enumerate(columns)
        ]

    def _packed(self, readings: Sequence[Reading]) -> Iterator[_Outputs]:
        """Read the texts as packs of a tree."""
        packs = pack_tree(build_tree([reading.ids for reading in readings]), self.batch_tokens)
        wanted = _Wanted(readings)
        for text, end in enumerate(packs.tree.ends):
            for run in packs.tree.path(end):
                wanted.add(run, text, packs.tree.runs[run].start, packs.tree.runs[run].end)
        kept: KeptKeys = {}
        for pack, begins in lay_out(packs, self.model.device):
            with in_pack(pack, kept):
                outputs = self._outputs(pack.ids, pack.positions, wanted.of(begins))
            yield outputs

    def _outputs(self, ids: Tensor, positions: Tensor, wanted: "_Rows") -> _Outputs:
        """One pass over a row of tokens."""
        rows = torch.from_numpy(wanted.positions).to(ids.device)
        ends = torch.from_numpy(wanted.ends).to(ids.device)
        asked: Any = {"input_ids": ids, "position_ids": positions, "use_cache": False}
        if self.head is not None:
            hidden = self.model.get_decoder()(**asked).last_hidden_state[0]
            return _Outputs(hidden[rows], wanted.slots, hidden[ends], wanted.texts)
        found = self.model(**asked, output_hidden_states=True, logits_to_keep=rows)
        return _Outputs(
            found.logits[0], wanted.slots, found.hidden_states[-1][0, ends], wanted.texts
        )

    def _padded(self, readings: Sequence[Reading]) -> Iterator[_Outputs]:
        """Read the texts in batches of like length, one row for each."""
        # Longest first: if memory is short, it shows at once.
        order = sorted(range(len(readings)), key=lambda i: (-len(readings[i].ids), i))
        wanted = _Wanted(readings)
        at = 0
        while at < len(order):
            width = len(readings[order[at]].ids)
            size = 1 if self.alone else max(1, self.batch_tokens // width)
            chosen = order[at : at + size]
            for text in chosen:
                wanted.add(text, text, 0, len(readings[text].ids))
            rows = wanted.of({text: row * width for row, text in enumerate(chosen)})
            yield self._padded_outputs([readings[text] for text in chosen], rows)
            at += size

    def _padded_outputs(self, readings: Sequence[Reading], wanted: "_Rows") -> _Outputs:
        ids, mask = _pad_right(readings, self.model.device)
        rows = torch.from_numpy(wanted.positions).to(ids.device)
        ends = torch.from_numpy(wanted.ends).to(ids.device)
        asked: Any = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
        if self.head is not None:
            hidden = self.model.get_decoder()(**asked).last_hidden_state.flatten(0, 1)
            return _Outputs(hidden[rows], wanted.slots, hidden[ends], wanted.texts)
        found = self.model(**asked, output_hidden_states=True)
        hidden = found.hidden_states[-1].flatten(0, 1)
        return _Outputs(found.logits.flatten(0, 1)[rows], wanted.slots, hidden[ends], wanted.texts)

    @torch.inference_mode()
    def _can_pack(self) -> bool:
        """Whether packs give what the model says of each text alone; tried on a few tokens."""
        if any(isinstance(module, torch.nn.Conv1d) for module in self.model.modules()):
            return False  # a convolution reaches over the border between two texts
        readings = _probe(self.model.get_input_embeddings().weight.shape[0])
        alone = torch.cat([self._vectors(self._padded([reading])) for reading in readings])
        noise = _largest_difference(self._vectors(self._padded(readings)), alone)
        batch_tokens, self.batch_tokens = self.batch_tokens, PROBE_TOKENS
        try:
            with quiet_transformers(), packed_attention(self.model):
                packed = self._vectors(self._packed(readings))
        except (UnknownAttentionError, TypeError, ValueError) as error:
            log.info("%s is read by padded batches: %s", type(self.model).__name__, error)
            return False
        finally:
            self.batch_tokens = batch_tokens
        limit = max(PROBE_TOLERANCE[self.model.dtype], NOISE * noise)
        return _largest_difference(packed, alone) <= limit

    def _vectors(self, passes: Iterator[_Outputs]) -> Tensor:
        """(texts, h) last hidden states, in the order of the texts."""
        outputs = list(passes)
        order = np.argsort(np.concatenate([each.texts for each in outputs]))
        return torch.cat([each.vectors for each in outputs])[torch.from_numpy(order)].float()


def _probe(vocabulary: int) -> list[Reading]:
    """Texts that share a beginning, and one that does not."""
    draw = np.random.default_rng(0)
    shared, *tails = (draw.integers(0, vocabulary, size).tolist() for size in (13, 9, 21, 5))
    texts = [*(shared + tail for tail in tails), tails[1]]
    nowhere = np.zeros((0, 1), dtype=np.int64)
    return [Reading(text, len(text), nowhere, vector=True) for text in texts]


def _largest_difference(one: Tensor, other: Tensor) -> float:
    """Largest distance of two (texts, h) rows, over the length of the second."""
    return float(((one - other).norm(dim=1) / other.norm(dim=1)).max())


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a pass's outputs that are wanted, and what for."""

    positions: NDArray[np.int64]
    slots: NDArray[np.int64]
    ends: NDArray[np.int64]
    texts: NDArray[np.int64]


class _Wanted:
    """Which positions of which stretches of text are wanted."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._readings = readings
        self._slots = np.cumsum([0, *(len(reading.targets) for reading in readings)])
        self._stretches: dict[int, list[tuple[int, int, int]]] = {}

    def add(self, stretch: int, text: int, start: int, end: int) -> None:
        """Say that a stretch of tokens is positions `start` to `end` of a text."""
        self._stretches.setdefault(stretch, []).append((text, start, end))

    def of(self, begins: dict[int, int]) -> _Rows:
        """What is wanted of stretches that begin at these rows."""
        nothing = np.empty(0, dtype=np.int64)
        positions, slots = [nothing], [nothing]
        ends, texts = [], []
        for stretch, row in begins.items():
            for text, start, end in self._stretches.pop(stretch, ()):
                reading = self._readings[text]
                low = max(start, reading.first)
                high = max(low, min(end, reading.first + len(reading.targets)))
                positions.append(np.arange(low, high) - start + row)
                slots.append(np.arange(low, high) - reading.first + self._slots[text])
                if reading.vector and end == len(reading.ids):
                    ends.append(row + end - 1 - start)
                    texts.append(text)
        return _Rows(
            np.concatenate(positions),
            np.concatenate(slots),
            np.array(ends, dtype=np.int64),
            np.array(texts, dtype=np.int64),
        )


def _pad_right(readings: Sequence[Reading], device: torch.device) -> tuple[Tensor, Tensor]:
    """(rows, t) ids and (rows, t) mask; behind a text nothing that it could see."""
    width = max(len(reading.ids) for reading in readings)
    ids = torch.zeros(len(readings), width, dtype=torch.int64)
    mask = torch.zeros(len(readings), width, dtype=torch.int64)
    for row, reading in enumerate(readings):
        ids[row, : len(reading.ids)] = torch.tensor(reading.ids)
        mask[row, : len(reading.ids)] = 1
    return ids.to(device), mask.to(device)


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether an error is a device's or the machine's want of memory."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _rope_types(model: PreTrainedModel) -> frozenset[str]:
    """Kinds of rotary embedding a model has, by their names in its configuration."""
    given: Any = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    blocks = [given, *(block for block in given.values() if isinstance(block, dict))]
    return frozenset(str(block["rope_type"]) for block in blocks if "rope_type" in block)
