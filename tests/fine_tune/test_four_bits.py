"""Beside weights in 4 bits. Where bitsandbytes is missing, that is said, and nothing begun."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fine_tune import four_bits
from fine_tune.four_bits import MissingLibraryError, require_library
from fine_tune.libraries import quiet_libraries
from fine_tune.method import Tuned
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from fine_tune.trainer import load_model, with_adapter
from tests.fine_tune.test_train import files_of
from tests.fine_tune.tiny import heldout_loss

needs_library = pytest.mark.skipif(
    find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)

SETTINGS: dict[str, Any] = {
    "tune": "qlora",
    "lora_rank": 4,
    "learning_rate": 1e-2,
    "epochs": 2,
    "save_every_steps": 2,
}


def settings(**more: Any) -> TrainSettings:  # noqa: ANN401 - settings of any kind
    return TrainSettings.model_validate({**SETTINGS, **more})


def test_without_the_library_nothing_is_begun(
    tiny_model: Path, tiny_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(four_bits, "find_spec", lambda _: None)
    with pytest.raises(MissingLibraryError, match=r"pip install -e '.\[qlora\]'") as raised:
        train_adapter(tiny_export, tiny_model, tmp_path / "out", settings())
    assert raised.value.exit_code == 5 and not (tmp_path / "out").exists()
    wholes: tuple[Tuned, ...] = ("lora", "full")
    for tune in wholes:
        require_library(tune)


@pytest.mark.parametrize("method", ["corda", "lora_ga", "lora_sb", "eva"])
def test_methods_that_read_whole_weights_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match=f"{method} is not for tune: qlora"):
        settings(methods=[{"method": method}])


@needs_library
@pytest.mark.slow
def test_weights_are_in_four_bits_and_the_adapter_is_not(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    report = train_adapter(tiny_export, tiny_model, tmp_path / "out", settings())
    assert report.heldout_before and report.heldout_after and "bitsandbytes" in report.libraries
    assert report.heldout_after.nats_per_token < report.heldout_before.nats_per_token
    assert report.heldout_before != heldout_loss(tiny_model, None, tiny_export)
    weights = load_file(tmp_path / "out" / "adapter" / "adapter_model.safetensors")
    assert {each.dtype for each in weights.values()} == {torch.float32} and len(weights) == 28
    with quiet_libraries():
        model: Any = with_adapter(load_model(tiny_model, "qlora"), tmp_path / "out" / "adapter")
    layer = model.base_model.model.model.layers[0].mlp.up_proj
    assert layer.base_layer.weight.dtype == torch.uint8
    whole = load_model(tiny_model).model.layers[0].mlp.up_proj.weight
    assert layer.base_layer.weight.numel() == whole.numel() // 2
    # Of another model, an ordinary adapter: no worse than the loss without it.
    plain = heldout_loss(tiny_model, tmp_path / "out" / "adapter", tiny_export)
    assert plain.nats_per_token == pytest.approx(report.heldout_after.nats_per_token, rel=0.05)


@needs_library
@pytest.mark.slow
@pytest.mark.parametrize("packing", [False, True])
def test_a_training_that_was_cut_ends_with_the_same_bytes(
    packing: bool, tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    def stop(step: int, *_: object) -> None:
        if step == 5:
            raise KeyboardInterrupt

    given = settings(packing=packing, methods=[{"method": "lines"}])
    train_adapter(tiny_export, tiny_model, tmp_path / "whole", given)
    with pytest.raises(KeyboardInterrupt):
        train_adapter(tiny_export, tiny_model, tmp_path / "cut", given, stop)
    train_adapter(tiny_export, tiny_model, tmp_path / "cut", given)
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


@needs_library
@pytest.mark.slow
def test_packed_rows_and_stages_train_beside_the_same_weights(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    apart = train_adapter(tiny_export, tiny_model, tmp_path / "a", settings())
    joined = train_adapter(tiny_export, tiny_model, tmp_path / "b", settings(packing=True))
    assert joined.losses == pytest.approx(apart.losses, rel=1e-4)
    stages = {"stages": [{}, {}], "epochs": 1}
    staged = train_adapter(tiny_export, tiny_model, tmp_path / "c", settings(**stages))
    assert staged.heldout_before == apart.heldout_before and staged.heldout_after
    assert apart.heldout_before and staged.steps == 6
    assert staged.heldout_after.nats_per_token < apart.heldout_before.nats_per_token
