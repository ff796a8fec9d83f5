"""Which checkpoint to go on from after a process was killed.

transformers 5.23 writes a checkpoint straight into its folder: adapter, optimizer, scheduler,
random states, and trainer_state.json last. A kill can leave any part of that. A checkpoint counts
only if every part is there and whole; what does not count is removed, so that nothing of it is
mistaken for part of the checkpoint that will be written in its place.
"""

import json
import shutil
import zipfile
from pathlib import Path

from safetensors import SafetensorError, safe_open

PREFIX = "checkpoint-"
ARCHIVES = ("optimizer.pt", "scheduler.pt", "rng_state.pth")
"""Written by torch.save: zip files, whose directory of contents is written last."""


def last_complete_checkpoint(directory: Path) -> Path | None:
    """The whole checkpoint of the most steps, or None; broken ones in the folder are removed."""
    whole: list[tuple[int, Path]] = []
    for path in sorted(directory.glob(f"{PREFIX}*")):
        steps = read_steps(path)
        if steps is None:
            shutil.rmtree(path)
        else:
            whole.append((steps, path))
    return max(whole)[1] if whole else None  # by number: as text, 1000 comes before 900


def read_steps(checkpoint: Path) -> int | None:
    """Optimizer steps done in a checkpoint; None if any part of it is missing or cut short."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_bytes())
        # Of an adapter one file; of a model one, or several that its index names.
        files = sorted(checkpoint.glob("*.safetensors"))
        for index in checkpoint.glob("*.safetensors.index.json"):
            named = json.loads(index.read_bytes())["weight_map"].values()
            files += [checkpoint / name for name in set(named)]
        tensors = [name for file in files for name in tensor_names(file)]
    except (OSError, ValueError, SafetensorError):  # missing, or cut short by the kill
        return None
    steps = int(state["global_step"])
    named_so = checkpoint.name == f"{PREFIX}{steps}"  # a copy under another name is nobody's
    archives = all(zipfile.is_zipfile(checkpoint / name) for name in ARCHIVES)
    return steps if tensors and named_so and archives else None


def tensor_names(file: Path) -> list[str]:
    """Names of the tensors in a file of weights."""
    with safe_open(file, framework="np") as weights:
        return list(weights.keys())
