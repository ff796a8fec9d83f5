"""Where models compute: which devices there are, whose turn it is, and how many cores to use.

On a machine with several GPUs each piece of work borrows one for as long as it asks a model, so
that they work side by side; what only prepares the work borrows none. A machine without one has a
single device, its CPU, which a model fills by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from queue import LifoQueue

CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
"""Where Linux says how much of the processor a container may use."""

_borrowed: ContextVar[str | None] = ContextVar("borrowed", default=None)


def usable_devices() -> list[str]:
    """Every GPU that is visible, as torch names them, or else the CPU."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return [f"cuda:{number}" for number in range(count)] or ["cpu"]


@cache
def _free_devices() -> LifoQueue[str]:
    # The last one given back is lent first: it has models loaded.
    queue: LifoQueue[str] = LifoQueue()
    for device in reversed(usable_devices()):  # last in, first out: cuda:0 is lent first
        queue.put(device)
    return queue


@contextmanager
def borrowed_device() -> Iterator[str]:
    """Wait for a device; "auto" means it while it is borrowed. Within another, the same one."""
    held = _borrowed.get()
    if held is not None:  # one who waited for a second one could wait for itself
        yield held
        return
    free = _free_devices()
    device = free.get()
    token = _borrowed.set(device)
    try:
        yield device
    finally:
        _borrowed.reset(token)
        free.put(device)


def resolve_device(device: str = "auto") -> str:
    """Where to compute: for "auto" what is borrowed, or else the first device there is."""
    if device != "auto":
        return device
    return _borrowed.get() or usable_devices()[0]


def resolve_dtype(dtype: str = "auto", device: str = "auto") -> str:
    """What the weights are held and multiplied in: "float32" or "bfloat16".

    "auto" is bfloat16 where the device multiplies it natively: a GPU, or a processor with AMX or
    AVX-512 BF16, where it is twice as fast. A token's loss differs between the two by some 0.05
    nats (docs/measuring.md), so it belongs in a measurement's key.

    Raises:
        ValueError: if it is neither of the two nor "auto".
    """
    if dtype not in ("auto", "float32", "bfloat16"):
        raise ValueError(f"dtype must be 'auto', 'float32' or 'bfloat16', got {dtype!r}")
    if dtype != "auto":
        return dtype
    on_cpu = resolve_device(device) == "cpu"
    return "bfloat16" if not on_cpu or cpu_has_bfloat16() else "float32"


def resolve_autocast(dtype: str = "auto", device: str = "auto") -> str:
    """The same for float32 weights that are cast in each pass, as a proxy's in training are.

    "auto" is bfloat16 on a GPU alone: casting costs a processor what bfloat16 saves.
    """
    if dtype == "auto" and resolve_device(device).startswith("cpu"):
        return "float32"
    return resolve_dtype(dtype, device)


@cache
def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 by itself."""
    import torch

    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def use_allowed_cores() -> None:
    """Have torch use no more threads than a container's processor limit allows.

    torch counts the cores it may run on, but not the time it gets on them: in a container with two
    of 64 cores' time it would start 64 threads that wait for each other.
    """
    import torch

    allowed = read_core_limit(CPU_LIMIT)
    if allowed is not None and torch.get_num_threads() > allowed:
        torch.set_num_threads(allowed)


def read_core_limit(path: Path) -> int | None:
    """Whole cores' worth of time that a `cpu.max` file allows; None without a limit.

    The file holds a quota and a period in microseconds, or "max" for the quota.
    """
    try:
        quota, period = path.read_text().split()
    except (OSError, ValueError):  # no Linux, or control groups of version 1
        return None
    return None if quota == "max" else max(1, math.floor(int(quota) / int(period)))
