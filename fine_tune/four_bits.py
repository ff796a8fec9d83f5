"""QLoRA: an adapter is trained beside weights that are stored in 4 bits.

    y = dequantized(W) x + s B A x        W in NF4, blocks of 64, their scales quantized once more

Only A and B are trained, in float32; W is brought back to the type of the arithmetic where it is
multiplied with, and gradients go through it. For a model whose weights do not fit beside what a
training needs. Not for a small one, which loses most by it. Saves seven eighths of the memory of
linear weights in float32, three quarters in bfloat16 (a model of 135 million parameters takes 159
MiB in place of 513); costs time, as each pass brings weights back.

Losses, held-out ones too, are those of the model in 4 bits, which the adapter fits best; it is an
ordinary one all the same, and may be merged into the whole weights.

Dettmers et al. 2023, "QLoRA", arXiv:2305.14314, by bitsandbytes; tried on a CPU alone. Their
optimizer, whose states are in 8 bits and paged, is not here: of an adapter they are small.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from fine_tune.method import Tuned

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig

LIBRARY = "bitsandbytes"


class MissingLibraryError(ImportError):
    """A library that the training needs is not installed; the message says how it is."""

    exit_code: ClassVar[int] = 5


def require_library(tune: Tuned) -> None:
    """Refuse to train beside weights in 4 bits where nothing can make them.

    Raises:
        MissingLibraryError: if bitsandbytes is not installed.
    """
    if tune == "qlora" and find_spec(LIBRARY) is None:
        raise MissingLibraryError(
            f"tune: qlora needs {LIBRARY}, which is not installed: pip install -e '.[qlora]' in "
            "Sluice's folder, or set tune: lora"
        )


def read_as_stored(model: torch.nn.Module) -> None:
    """Let weights in 4 bits be read as they are stored, in evaluation as in training.

    On some CPUs bitsandbytes packs them anew when a model is evaluated, in bfloat16, and back when
    it is trained. They are then no longer what they were: whether a loss was taken before would
    show in what is trained.
    """
    modules: Iterable[Any] = model.modules()
    for module in modules:
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def in_four_bits(dtype: str) -> BitsAndBytesConfig:
    """How weights are stored; dtype is that of the arithmetic, as torch names it."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )
