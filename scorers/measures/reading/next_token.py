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
from itertools import pairwise
from typing import Any, NamedTuple, cast

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
from scorers.measures.reading.padding import pad_rows, to_device
from scorers.measures.reading.prefix_tree import build_tree, pack_tree
from scorers.measures.reading.vocabulary_head import separable_head, summarise_hidden

log = logging.getLogger(__name__)

PLAIN_LOGIT_BYTES = 1 << 30  # most that logits may take where they have to be computed whole

PROBE_TOKENS = 24  # of a pack of the probe: texts are cut, and go on in the next

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
    first: int  # the first place; the prediction at place i is for token i + 1
    targets: NDArray[np.int64]
    """(positions, options): the tokens whose probability is wanted at each place."""
    vector_at: int | None = None  # the position whose last hidden state is wanted; None: none
    weighted: bool = False
    """Whether the mean of the last hidden states is wanted, each weighted by its position."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model predicted at the positions of one Reading."""

    log_probability: NDArray[np.float32]  # (positions, options) nats
    entropy: NDArray[np.float32]  # (positions,) nats
    likeliest: NDArray[np.int64]  # (positions,) token ids
    error: NDArray[np.float32]  # (positions,) |p - y|, y the vector of the first option
    vector: NDArray[np.float32] | None = None
    """(h,) last hidden state where the reading wants it, behind the final norm."""
    weighted_vector: NDArray[np.float32] | None = None
    """(h,) sum of i h_i over the positions i = 1 ... L, divided by 1 + ... + L; h_i as above."""


@dataclass(frozen=True, slots=True)
class _Outputs:
    """What one forward pass gave of what is wanted."""

    positions: Tensor
    """(m, h) last hidden states, or (m, v) logits where the model has no separable head."""
    slots: NDArray[np.int64]  # (m,) which of the positions wanted of all readings these are
    vectors: Tensor  # (k, h) last hidden states
    texts: NDArray[np.int64]  # (k,) whose they are
    sums: Tensor  # (s, h) of the states of a stretch, each times its position; in float32
    shared_by: Sequence[Sequence[int]]  # (s,) the texts that have the stretch


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
            # 4 bytes for each logit of each token, as float32.
            self.batch_tokens = min(batch_tokens, PLAIN_LOGIT_BYTES // (4 * vocabulary))
        self.alone = _rope_types(model) & ROPE_OF_THE_BATCH  # then its company changes a text
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
                # All is read again: what earlier passes gave is lost with the call.
                self.batch_tokens //= 2
                log.warning("out of memory: passes of %d tokens from here on", self.batch_tokens)
        return []  # nothing was asked: there is nothing to concatenate

    @torch.inference_mode()
    def _read(self, readings: Sequence[Reading]) -> list[Prediction]:
        targets = np.concatenate([reading.targets for reading in readings])  # (slots, options)
        log_probability = np.empty(targets.shape, dtype=np.float32)
        entropy = np.empty(len(targets), dtype=np.float32)
        likeliest = np.empty(len(targets), dtype=np.int64)
        error = np.empty(len(targets), dtype=np.float32)
        vectors: dict[int, NDArray[np.float32]] = {}
        sums: dict[int, NDArray[np.float32]] = {}
        for outputs in self._packed(readings) if self.packs else self._padded(readings):
            at = outputs.slots  # passes come in an order of their own, each slot in one of them
            if len(at):
                wanted = to_device(torch.from_numpy(targets[at]), outputs.positions.device)
                found = summarise_hidden(self.head, outputs.positions, wanted)
                log_probability[at], entropy[at], likeliest[at], error[at] = (
                    column.cpu().numpy() for column in found
                )
            vectors |= zip(
                outputs.texts.tolist(), outputs.vectors.float().cpu().numpy(), strict=True
            )
            for part, texts in zip(outputs.sums.cpu().numpy(), outputs.shared_by, strict=True):
                for text in texts:  # in the order of the text: what stands before was read before
                    sums[text] = sums[text] + part if text in sums else part
        weighted = {text: total / _all_weights(readings[text]) for text, total in sums.items()}
        borders = np.cumsum([0, *(len(reading.targets) for reading in readings)]).tolist()
        return [
            Prediction(
                log_probability[a:b],
                entropy[a:b],
                likeliest[a:b],
                error[a:b],
                vectors.get(text),
                weighted.get(text),
            )
            for text, (a, b) in enumerate(pairwise(borders))
        ]

    def _packed(self, readings: Sequence[Reading]) -> Iterator[_Outputs]:
        """Read the texts as packs of a tree."""
        packs = pack_tree(build_tree([reading.ids for reading in readings]), self.batch_tokens)
        wanted = _Wanted(readings)
        for text, end in enumerate(packs.tree.ends):
            for run in packs.tree.path(end):  # a run that texts share is wanted by each of them
                wanted.add(run, text, packs.tree.runs[run].start, packs.tree.runs[run].end)
        kept: KeptKeys = {}
        for pack, begins in lay_out(packs, self.model.device):
            with in_pack(pack, kept):
                asked = {"input_ids": pack.ids, "position_ids": pack.positions}
                outputs = self._outputs(asked, wanted.of(begins))
            yield outputs  # outside of the pack: who is given them would be in it as well

    def _outputs(self, asked: dict[str, Tensor], wanted: "_Rows") -> _Outputs:
        """One pass; its (b, t) tokens are counted as b * t rows."""
        device = self.model.device
        rows, states = (
            to_device(torch.from_numpy(at), device) for at in (wanted.positions, wanted.vectors)
        )
        if self.head is not None:
            found = self.model.get_decoder()(**asked, use_cache=False)
            hidden = found.last_hidden_state.flatten(0, 1)  # (b * t, h)
            return wanted.outputs(hidden[rows], hidden, hidden[states])
        # A pack is one row, so the model can be told to leave out the logits of other positions.
        kept = {"logits_to_keep": rows} if "position_ids" in asked else {}
        found = self.model(**asked, **kept, use_cache=False, output_hidden_states=True)
        hidden, logits = found.hidden_states[-1].flatten(0, 1), found.logits.flatten(0, 1)
        return wanted.outputs(logits if kept else logits[rows], hidden, hidden[states])

    def _padded(self, readings: Sequence[Reading]) -> Iterator[_Outputs]:
        """Read the texts in batches of like length, one row for each."""
        # Longest first: if memory is short, it shows at once.
        order = sorted(range(len(readings)), key=lambda i: (-len(readings[i].ids), i))
        wanted = _Wanted(readings)
        at = 0
        while at < len(order):
            width = len(readings[order[at]].ids)
            # A text longer than a batch is read by itself; what does not fit memory halves it.
            size = 1 if self.alone else max(1, self.batch_tokens // width)
            chosen = order[at : at + size]
            for text in chosen:
                wanted.add(text, text, 0, len(readings[text].ids))
            rows = wanted.of({text: row * width for row, text in enumerate(chosen)})
            # Padding on the right: behind a text stands nothing that it could see.
            ids, mask = pad_rows([readings[text].ids for text in chosen], self.model.device)
            yield self._outputs({"input_ids": ids, "attention_mask": mask}, rows)
            at += size

    @torch.inference_mode()
    def _can_pack(self) -> bool:
        """Whether packs give what the model says of each text alone; tried on a few tokens."""
        if any(isinstance(module, torch.nn.Conv1d) for module in self.model.modules()):
            return False  # a convolution reaches over the border between two texts
        readings = _probe(self.model.get_input_embeddings().weight.shape[0])
        alone = torch.cat([self._vectors(self._padded([reading])) for reading in readings])
        noise = _largest_difference(self._vectors(self._padded(readings)), alone)  # of this device
        # So small that texts cross the ends of packs: what is kept for the next is tried as well.
        batch_tokens, self.batch_tokens = self.batch_tokens, PROBE_TOKENS
        try:
            with quiet_transformers(), packed_attention(self.model):
                packed = self._vectors(self._packed(readings))
        except (UnknownAttentionError, TypeError, ValueError) as error:  # ours, or the model's own
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
    texts = [*(shared + tail for tail in tails), tails[1]]  # 13 + 21 tokens do not fit a pack
    nowhere = np.zeros((0, 1), dtype=np.int64)  # no position, of one option: the vector will do
    return [Reading(text, len(text), nowhere, len(text) - 1) for text in texts]


def _largest_difference(one: Tensor, other: Tensor) -> float:
    """Largest distance of two (texts, h) rows, over the length of the second."""
    return float(((one - other).norm(dim=1) / other.norm(dim=1)).max())


class _Summed(NamedTuple):
    """A stretch whose states are summed up, each times its position."""

    row: int  # its first
    start: int  # position of that in its texts, from 0
    length: int
    texts: Sequence[int]

    def weights(self, device: torch.device) -> Tensor:
        """(length,) positions, from 1."""
        first = self.start + 1
        return torch.arange(first, first + self.length, dtype=torch.float32, device=device)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a pass's outputs that are wanted, and what for."""

    positions: NDArray[np.int64]  # (m,)
    slots: NDArray[np.int64]  # (m,) what they are wanted for, as in _Outputs
    vectors: NDArray[np.int64]  # (k,) where a vector is wanted
    texts: NDArray[np.int64]  # (k,)
    sums: Sequence[_Summed]  # (s,)

    def outputs(self, positions: Tensor, hidden: Tensor, vectors: Tensor) -> _Outputs:
        """What is wanted of a pass, its (b * t, h) last hidden states among it."""
        # Stretch by stretch: a sum must not depend on what else was in the pass.
        sums = [
            each.weights(hidden.device) @ hidden[each.row : each.row + each.length].float()
            for each in self.sums
        ]
        found = torch.stack(sums) if sums else hidden.new_empty((0, hidden.shape[1])).float()
        shared_by = [each.texts for each in self.sums]
        return _Outputs(positions, self.slots, vectors, self.texts, found, shared_by)


def _all_weights(reading: Reading) -> np.float32:
    """1 + 2 + ... + L of a text of L tokens."""
    length = len(reading.ids)
    return np.float32(length * (length + 1) // 2)


class _Stretch(NamedTuple):
    """Where a stretch of tokens stands in a text."""

    text: int
    start: int
    end: int


class _Wanted:
    """Which positions of which stretches of text are wanted."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._readings = readings
        # Slots count the wanted places of all readings on: these are the first of each reading.
        self._slots = np.cumsum([0, *(len(reading.targets) for reading in readings)])
        self._stretches: dict[int, list[_Stretch]] = {}

    def add(self, stretch: int, text: int, start: int, end: int) -> None:
        """Say that a stretch of tokens is positions `start` to `end` of a text."""
        self._stretches.setdefault(stretch, []).append(_Stretch(text, start, end))

    def of(self, begins: dict[int, int]) -> _Rows:
        """What is wanted of stretches that begin at these rows."""
        nothing = np.empty(0, dtype=np.int64)  # np.concatenate refuses an empty list
        positions, slots = [nothing], [nothing]
        vectors, texts, sums = [], [], []
        for stretch, row in begins.items():
            found = self._stretches.pop(stretch, [])  # read once, wanted once
            weighted = [each.text for each in found if self._readings[each.text].weighted]
            if weighted:  # texts that share a stretch have it at the same positions
                start, end = found[0].start, found[0].end
                sums.append(_Summed(row, start, end - start, weighted))
            for text, start, end in found:
                reading = self._readings[text]
                # The wanted places that lie in the stretch; low == high where none does.
                low = max(start, reading.first)
                high = max(low, min(end, reading.first + len(reading.targets)))
                positions.append(np.arange(low, high) - start + row)  # place in the text → row
                slots.append(np.arange(low, high) - reading.first + self._slots[text])  # … → slot
                if reading.vector_at is not None and start <= reading.vector_at < end:
                    vectors.append(reading.vector_at - start + row)
                    texts.append(text)
        return _Rows(
            np.concatenate(positions),
            np.concatenate(slots),
            np.array(vectors, dtype=np.int64),
            np.array(texts, dtype=np.int64),
            sums,
        )


def _out_of_memory(error: RuntimeError) -> bool:
    """Whether an error is a device's or the machine's want of memory."""
    # The allocator of the CPU has no class of its own for it.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _rope_types(model: PreTrainedModel) -> frozenset[str]:
    """Kinds of rotary embedding a model has, by their names in its configuration."""
    given: Any = getattr(model.config.get_text_config(), "rope_parameters", None) or {}
    # Models with several kinds of layers (Gemma 3) have one block for each kind.
    blocks = [given, *(block for block in given.values() if isinstance(block, dict))]
    return frozenset(str(block["rope_type"]) for block in blocks if "rope_type" in block)
