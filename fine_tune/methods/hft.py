"""HFT: half of each transformer block is frozen, and the other half trained.

    of each block: 2 of its 4 attention matrices, half of its norms,
    2 of its 3 feed-forward matrices in one half of the blocks and 1 in the other

Frozen weights keep what the model knew; which are frozen is drawn once by the seed of the training.
Embeddings and head are trained. For full fine-tuning that shall forget less. Not with LoRA, which
leaves all weights as they are, and not where blocks are no Llama-like ones: matrices are told by
their names (q_proj … down_proj), and a model without these is refused. Saves the gradients and
optimizer states of what is frozen; a step is a little faster.

Hui et al. 2024, "HFT: Half Fine-Tuning for Large Language Models", arXiv:2404.18466, whose draw by
category this is. There each round of several trainings draws anew: give each a seed of its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from fine_tune.method import Change, TrainingMethod, Tuned

if TYPE_CHECKING:
    import torch

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
FEED_FORWARD = ("gate_proj", "up_proj", "down_proj")
BLOCK = re.compile(r"\blayers\.(\d+)\.(.+)\.(?:weight|bias)$")
"""The number of a parameter's block, and the module in it."""


class HFT(TrainingMethod):
    """Freeze half of each block."""

    changes: ClassVar[Change] = "parameters"
    tunes: ClassVar[tuple[Tuned, ...]] = ("full",)

    method: Literal["hft"]

    def prepare_model(
        self,
        model: torch.nn.Module,
        batches: Iterable[Mapping[str, torch.Tensor]],
        seed: int,
    ) -> str:
        """See TrainingMethod."""
        frozen = draw_frozen([name for name, _ in model.named_parameters()], seed)
        counts = [0, 0]
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in frozen)
            counts[name in frozen] += parameter.numel()
        return f"{counts[1] / sum(counts):.1%} of the weights frozen"


def draw_frozen(names: list[str], seed: int) -> set[str]:
    """Draw the parameters that are frozen; the same for the same names and seed.

    Raises:
        ValueError: if a block has other matrices than those of a Llama-like model.
    """
    blocks: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in names:
        if found := BLOCK.search(name):
            blocks[int(found[1])][found[2].rsplit(".", 1)[-1]].append(name)  # weight and bias
    rng = np.random.default_rng(seed)
    more = set(rng.permutation(len(blocks))[: len(blocks) // 2].tolist())
    frozen: set[str] = set()
    for place, block in enumerate(modules for _, modules in sorted(blocks.items())):
        if missing := [each for each in (*ATTENTION, *FEED_FORWARD) if each not in block]:
            raise ValueError(f"hft knows Llama-like blocks alone; one has no {', '.join(missing)}")
        norms = sorted(block.keys() - {*ATTENTION, *FEED_FORWARD})
        for modules, count in (
            (ATTENTION, len(ATTENTION) // 2),
            (FEED_FORWARD, 2 if place in more else 1),
            (norms, len(norms) // 2),
        ):
            for module in rng.permutation(sorted(modules))[:count].tolist():
                frozen.update(block[module])
    if not frozen:
        raise ValueError("hft knows Llama-like models alone; this one has no blocks named layers")
    return frozen
