import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from fine_tune.checkpoints import last_complete_checkpoint, read_steps


def make_checkpoint(directory: Path, steps: int) -> Path:
    path = directory / f"checkpoint-{steps}"
    path.mkdir(parents=True)
    save_file({"a": np.arange(1_000.0)}, path / "adapter_model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"x": torch.arange(1_000)}, path / name)
    (path / "trainer_state.json").write_text(json.dumps({"global_step": steps}))
    return path


def test_the_one_of_the_most_steps_is_the_last(tmp_path: Path) -> None:
    for steps in (9, 10, 100):  # by name, 9 would be last
        make_checkpoint(tmp_path, steps)
    assert last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-100"


def test_there_may_be_none(tmp_path: Path) -> None:
    assert last_complete_checkpoint(tmp_path / "missing") is None
    (tmp_path / "checkpoint-1").mkdir()
    assert last_complete_checkpoint(tmp_path) is None


PARTS = (
    "trainer_state.json",
    "adapter_model.safetensors",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("left", [None, 0, 0.5, 0.99])
def test_one_with_a_part_missing_or_cut_is_removed(
    tmp_path: Path, part: str, left: float | None
) -> None:
    make_checkpoint(tmp_path, 2)
    broken = make_checkpoint(tmp_path, 4)
    content = (broken / part).read_bytes()
    if left is None:
        (broken / part).unlink()
    else:
        (broken / part).write_bytes(content[: int(len(content) * left)])
    assert last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    assert not broken.exists()


def test_a_whole_one_says_its_steps(tmp_path: Path) -> None:
    assert read_steps(make_checkpoint(tmp_path, 3)) == 3
    renamed = tmp_path / "checkpoint-7"
    make_checkpoint(tmp_path, 5).rename(renamed)
    assert read_steps(renamed) is None


def shard_model(checkpoint: Path) -> None:
    """Put a model of two files where the adapter was, as transformers writes large ones."""
    (checkpoint / "adapter_model.safetensors").unlink()
    names = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for name in names:
        save_file({name: np.arange(1_000.0)}, checkpoint / name)
    index = {"weight_map": dict.fromkeys("ab", names[0]) | {"c": names[1]}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))


def test_of_a_whole_model_every_file_that_its_index_names_counts(tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path, 3)
    shard_model(checkpoint)
    assert read_steps(checkpoint) == 3
    last = checkpoint / "model-00002-of-00002.safetensors"
    whole = last.read_bytes()
    last.write_bytes(whole[: len(whole) // 2])
    assert read_steps(checkpoint) is None
    last.unlink()
    assert read_steps(checkpoint) is None
