"""Attention over a pack: runs of many texts in one row of tokens, each seeing its own text only.

The matrix products of a decoder do not care whose token is whose; only attention does. So a pack
goes through the model as one row without padding, and this function, given to transformers as an
attention implementation, lets each run attend to the runs before it in its text, wherever their
keys and values are: in the same pack, or kept from an earlier one.

Runs of like size are attended to together, padded for this step alone. Sliding windows are
honoured. Anything else that a model asks of its attention (caps, sinks, biases) is refused, and
such a model is read by padded batches.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from scorers.measures.reading.padding import to_device
from scorers.measures.reading.prefix_tree import Packs

IMPLEMENTATION = "sluice_packed"

WITHOUT_EFFECT = frozenset(
    {
        "position_ids",
        "cache_position",
        "use_cache",
        "is_causal",
        "output_attentions",
        "output_hidden_states",
    }
)
"""What models pass to their attention that changes nothing here."""

MOST_PADDING = 1.3  # cells of a padded group of runs, over those that are needed


class UnknownAttentionError(NotImplementedError):
    """The model's attention does something that a pack cannot do."""


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of like size: n of them, padded to q tokens that attend to k keys."""

    queries: Tensor  # (n, q) rows of the pack
    real: Tensor  # (m,) which of the n times q are no padding, counted row by row
    rows: Tensor  # (m,) where in the pack those belong
    keys: Tensor  # (n, k) rows of the pack, or behind its end of what is kept
    query_positions: Tensor  # (n, q) in their text
    ends: Tensor  # (n,) keys that are no padding

    def mask(self, window: int | None) -> Tensor:
        """(n, 1, q, k): which key each query sees; key j is at position j of its text."""
        at = torch.arange(self.keys.shape[1], device=self.keys.device)
        here = self.query_positions[:, :, None]
        seen = (at <= here) & (at < self.ends[:, None, None])
        if window is not None:
            seen &= at > here - window  # a window of w: the query itself and w - 1 before it
        return seen[:, None]  # the same for all heads


@dataclass(slots=True)
class Pack:
    """One row of tokens, and where each of them finds its keys."""

    ids: Tensor  # (1, t)
    positions: Tensor  # (1, t) in their texts
    groups: list[Group]  # each run of the pack is in one of them
    keep: Tensor | None
    """Rows, of the pack and of what is kept, whose keys and values later packs need."""
    masks: dict[tuple[int, int | None, torch.dtype], Tensor] = field(default_factory=dict)


KeptKeys = dict[int, tuple[Tensor, Tensor]]
"""Keys and values (heads, kept, width) by the attention module that they belong to."""

_pack: ContextVar[tuple[Pack, KeptKeys] | None] = ContextVar("pack", default=None)


def lay_out(packs: Packs, device: torch.device) -> Iterator[tuple[Pack, dict[int, int]]]:
    """Each pack, and the row at which each of its runs begins."""
    runs = packs.tree.runs
    kept: dict[int, int] = {}  # run → where its keys begin among those kept of earlier packs
    # Runs at which the number of the pack rises, and behind the last: one more than packs.
    borders = np.flatnonzero(np.diff(packs.pack, prepend=-1, append=packs.pack[-1:] + 1))
    for number, (first, last) in enumerate(pairwise(borders)):
        own = range(int(first), int(last))
        begins, total = _lay_end_to_end(packs, own)
        rows = begins | {run: total + at for run, at in kept.items()}  # as _attend joins them
        later = [run for run in rows if packs.needed[run] > number]
        positions = np.concatenate([np.arange(runs[run].start, runs[run].end) for run in own])
        pack = Pack(
            ids=torch.tensor([[token for run in own for token in runs[run].ids]], device=device),
            positions=_tensor(positions, device)[None],
            groups=[_group(packs, members, rows, device) for members in _alike(packs, own)],
            keep=_tensor(_rows_of(packs, later, rows), device) if later else None,
        )
        yield pack, begins
        kept, _ = _lay_end_to_end(packs, later)  # `keep` takes them in this order


def _lay_end_to_end(packs: Packs, chosen: Sequence[int]) -> tuple[dict[int, int], int]:
    """Where each run begins when these follow on each other, and where the last ends."""
    *begins, end = np.cumsum([0, *(len(packs.tree.runs[run].ids) for run in chosen)]).tolist()
    return dict(zip(chosen, begins, strict=True)), end


def _rows_of(packs: Packs, chosen: Sequence[int], rows: dict[int, int]) -> NDArray[np.int64]:
    """Rows of all tokens of some runs, from the rows at which the runs begin."""
    return np.concatenate([rows[run] + np.arange(len(packs.tree.runs[run].ids)) for run in chosen])


def _alike(packs: Packs, own: Sequence[int]) -> list[list[int]]:
    """The runs of a pack, in groups that padding makes little larger."""
    runs = packs.tree.runs
    groups: list[list[int]] = []
    longest = width = needed = 0  # of the last group: keys, queries, and cells without padding
    for run in sorted(own, key=lambda run: (-runs[run].end, run)):  # the first is the longest
        size, end = len(runs[run].ids), runs[run].end
        wider, more = max(width, size), needed + size * end
        if groups and wider * longest * (len(groups[-1]) + 1) <= MOST_PADDING * more:
            groups[-1].append(run)
            width, needed = wider, more
        else:
            groups.append([run])
            longest, width, needed = end, size, size * end
    return groups


def _group(
    packs: Packs, members: Sequence[int], rows: dict[int, int], device: torch.device
) -> Group:
    runs = [packs.tree.runs[run] for run in members]
    sizes = np.array([len(run.ids) for run in runs])[:, None]  # (n, 1)
    at = np.arange(sizes.max())  # (q,)
    offsets = np.minimum(at, sizes - 1)  # (n, q): padding repeats a run's last token
    queries = np.array([rows[run] for run in members])[:, None] + offsets
    keys = np.zeros((len(runs), max(run.end for run in runs)), dtype=np.int64)
    for n, run in enumerate(members):
        path = _rows_of(packs, packs.tree.path(run), rows)
        keys[n, : len(path)] = path  # behind them row 0, which the mask hides
    starts = np.array([run.start for run in runs])[:, None]
    real = np.flatnonzero(at < sizes)
    return Group(
        queries=_tensor(queries, device),
        real=_tensor(real, device),
        rows=_tensor(queries.ravel()[real], device),
        keys=_tensor(keys, device),
        query_positions=_tensor(starts + offsets, device),
        ends=_tensor(np.array([run.end for run in runs]), device),
    )


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    return to_device(torch.from_numpy(array), device)


@contextmanager
def packed_attention(model: PreTrainedModel) -> Iterator[None]:
    """Have the model attend by packs; only `with in_pack(…)` may it be called meanwhile."""
    AttentionInterface.register(IMPLEMENTATION, _attend)
    usual = model.config._attn_implementation
    model.set_attn_implementation(IMPLEMENTATION)
    try:
        yield
    finally:
        model.set_attn_implementation(usual)


@contextmanager
def in_pack(pack: Pack, kept: KeptKeys) -> Iterator[None]:
    """Make this the pack that the model is called with; `kept` becomes what the next one needs."""
    token = _pack.set((pack, kept))
    try:
        yield
    finally:
        _pack.reset(token)


def _attend(  # noqa: PLR0913  (the signature is transformers')
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: object,
) -> tuple[Tensor, None]:
    """Attention of one layer; query (1, heads, t, width), key and value likewise."""
    active = _pack.get()
    if active is None:
        raise RuntimeError("the model was called outside of a pack")
    asked = {name for name, value in others.items() if value is not None} - WITHOUT_EFFECT
    if asked or attention_mask is not None or dropout:
        raise UnknownAttentionError(f"its attention takes {', '.join(sorted(asked)) or 'a mask'}")
    pack, kept = active
    keys, values = key[0], value[0]  # (heads, t, width): a pack is one row
    if id(module) in kept:  # behind the pack's own, where `lay_out` counts them
        before = kept.pop(id(module))
        keys, values = (
            torch.cat([now, then], dim=1) for now, then in zip((keys, values), before, strict=True)
        )
    if pack.keep is not None:
        kept[id(module)] = (keys.index_select(1, pack.keep), values.index_select(1, pack.keep))
    # (t, heads, width); the groups fill every row, for each run is in one of them.
    output = query.new_empty(query.shape[2], query.shape[1], value.shape[-1])
    for number, group in enumerate(pack.groups):
        mask = _mask(pack, number, sliding_window, query.dtype)
        parts = _take(query[0], group.queries), _take(keys, group.keys), _take(values, group.keys)
        attended = _attention(*parts, mask, scaling)
        # (n * q, heads, width), of which the padding is left out.
        rows = attended.transpose(1, 2).flatten(0, 1).index_select(0, group.real)
        # Under autocast the query is float32 here and what is attended to bfloat16.
        output.index_copy_(0, group.rows, rows.to(output.dtype))
    return output[None], None


def _mask(pack: Pack, number: int, window: int | None, dtype: torch.dtype) -> Tensor:
    """The group's mask as numbers to add; made once for all layers."""
    name = (number, window, dtype)
    if name not in pack.masks:
        # Each query sees itself at least: a row that is -inf throughout would come out as NaN.
        seen = pack.groups[number].mask(window)
        pack.masks[name] = torch.zeros_like(seen, dtype=dtype).masked_fill_(~seen, float("-inf"))
    return pack.masks[name]


def _take(heads: Tensor, rows: Tensor) -> Tensor:
    """(n, heads, m, width) of (heads, t, width) and (n, m) rows."""
    taken = heads.index_select(1, rows.flatten())
    return taken.view(len(heads), *rows.shape, heads.shape[-1]).transpose(0, 1)


def _attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float | None
) -> Tensor:
    """(n, heads, q, width); several heads of the query may share one of keys and values."""
    on_cpu = query.device.type == "cpu"
    if on_cpu and query.dtype == key.dtype == torch.bfloat16:
        return _attention_by_products(query, key, value, mask, scaling)
    groups = query.shape[1] // key.shape[1]
    if groups > 1 and not on_cpu:
        # Elsewhere a mask together with shared heads has no fast kernel.
        key, value = (each.repeat_interleave(groups, dim=1) for each in (key, value))
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scaling, enable_gqa=key.shape[1] != query.shape[1]
    )


def _attention_by_products(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float | None
) -> Tensor:
    """The same by two matrix products: for bfloat16 on a CPU 1.7 times as fast as torch's own."""
    n, heads, length, width = query.shape
    shared = key.shape[1]
    scale = width**-0.5 if scaling is None else scaling
    # Heads that share keys become further rows of one product: (n, shared, heads / shared * q, k).
    products = query.reshape(n, shared, -1, width) @ key.transpose(2, 3)
    scores = torch.add(mask, products.view(n, heads, length, -1), alpha=scale)  # mask + scale · QK
    weights = scores.softmax(dim=-1).view(n, shared, -1, key.shape[2])
    return (weights @ value).view(n, heads, length, value.shape[-1])
