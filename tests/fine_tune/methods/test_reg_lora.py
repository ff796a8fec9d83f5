import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fine_tune.methods.reg_lora import EarlierAdapter, RegLoRA, marked_places, mean_change
from fine_tune.mixture import pin_exports
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from tests.fine_tune.steps import difference, step_of, trainer_of

LAYER = "base_model.model.model.layers.0.self_attn.q_proj"


def write_adapter(folder: Path, up: torch.Tensor, down: torch.Tensor, layer: str = LAYER) -> Path:
    folder.mkdir()
    names = {f"{layer}.lora_A.weight": down, f"{layer}.lora_B.weight": up}
    save_file(names, folder / "adapter_model.safetensors")
    return folder


def method_of(*folders: Path, **more: float) -> RegLoRA:
    earlier = [{"folder": str(folder)} for folder in folders]
    return RegLoRA.model_validate({"method": "reg_lora", "earlier": earlier, **more})


def test_places_are_those_of_the_largest_changes_of_all_adapters(tmp_path: Path) -> None:
    # changes: [[1, -4], [2, 0]] and [[0, 9], [0, 8]]
    one = write_adapter(tmp_path / "one", torch.eye(2), torch.tensor([[1.0, -4.0], [2.0, 0.0]]))
    two = write_adapter(tmp_path / "two", torch.eye(2), torch.tensor([[0.0, 9.0], [0.0, 8.0]]))
    (first,) = marked_places((EarlierAdapter(folder=str(one)),), 0.5).values()
    assert first.tolist() == [1, 2]
    both = tuple(EarlierAdapter(folder=str(each)) for each in (one, two))
    assert marked_places(both, 0.5)[LAYER].tolist() == [1, 2, 3]
    assert marked_places(both, 0.01)[LAYER].tolist() == [1]  # at least one of each adapter


def test_the_penalty_is_the_mean_size_of_the_changes_there() -> None:
    up, down = torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0, -4.0]])
    # changes: [[3, -4], [6, -8]]
    assert mean_change(up, down, torch.tensor([1, 2])) == (4 + 6) / 2


@pytest.fixture(scope="module")
def earlier(tiny_export: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The adapter of a training on the tiny model."""
    output = tmp_path_factory.mktemp("earlier") / "out"
    settings = TrainSettings(lora_rank=2, learning_rate=1e-2, max_steps=2)
    train_adapter(tiny_export, tiny_model, output, settings)
    return output / "adapter"


@pytest.mark.slow
def test_a_step_has_one_penalty_however_it_is_cut_and_packed(
    earlier: Path, tiny_export: Path, tiny_model: Path, tmp_path: Path
) -> None:
    trainer = trainer_of(tiny_export, tiny_model, tmp_path / "t")
    method = method_of(earlier, share=0.1, strength=3.0)
    rows: Any = trainer.train_dataset.select(range(4))  # type: ignore[union-attr]
    rows = [{name: row[name] for name in ("input_ids", "labels")} for row in rows]
    plain, _ = step_of(trainer, [rows])
    whole, expected = step_of(trainer, [rows], [method])
    places = marked_places(method.earlier, 0.1)
    adapter = {n: w.detach() for n, w in trainer.loaded_model().named_parameters()}
    means = [
        (adapter[f"{name}.lora_B.default.weight"] @ adapter[f"{name}.lora_A.default.weight"])
        .flatten()[at]
        .abs()
        .mean()
        for name, at in places.items()
    ]
    assert len(means) == 14
    assert whole == pytest.approx(plain + 3.0 * float(sum(means)) / 14, rel=1e-5)
    for cut in ([rows[:1], rows[1:]], [[row] for row in rows]):
        for packed in (False, True):
            loss, grads = step_of(trainer, cut, [method], packed=packed)
            assert loss == pytest.approx(whole, rel=1e-6)
            assert difference(grads, expected) < 1e-6


def test_an_adapter_is_part_of_what_is_trained(earlier: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(earlier, folder)
    settings = TrainSettings.model_validate({"methods": [method_of(folder).model_dump()]})
    pinned = pin_exports(settings, tmp_path)
    (method,) = pinned.methods
    assert isinstance(method, RegLoRA) and len(method.earlier[0].sha256 or "") == 64
    assert pin_exports(pinned, tmp_path) == pinned
    file = folder / "adapter_model.safetensors"
    weights = {name: 2 * each for name, each in load_file(file).items()}
    save_file(weights, file)
    with pytest.raises(ValueError, match="no longer the adapter that is asked for"):
        pin_exports(pinned, tmp_path)
    shutil.rmtree(folder)
    with pytest.raises(ValueError, match="holds no adapter: there is no adapter_model"):
        pin_exports(settings, tmp_path)


@pytest.mark.parametrize(
    ("layer", "rows"), [("base_model.model.other", 4), (LAYER, 99)], ids=["name", "shape"]
)
def test_an_adapter_of_another_model_is_refused_before_a_step(
    layer: str, rows: int, tiny_export: Path, tiny_model: Path, tmp_path: Path
) -> None:
    other = write_adapter(tmp_path / "other", torch.ones(rows, 1), torch.ones(1, 16), layer)
    settings = TrainSettings.model_validate({"methods": [method_of(other, share=1).model_dump()]})
    with pytest.raises(ValueError, match="which is not of this model"):
        train_adapter(tiny_export, tiny_model, tmp_path / "out", settings)


@pytest.mark.slow
def test_earlier_changes_are_left_alone(
    earlier: Path, tiny_export: Path, tiny_model: Path, tmp_path: Path
) -> None:
    sizes = []
    for name, strength in (("weak", 1e-9), ("strong", 1e3)):
        method = method_of(earlier, share=0.2, strength=strength).model_dump()
        settings = {"lora_rank": 2, "learning_rate": 1e-2, "epochs": 4, "methods": [method]}
        train_adapter(
            tiny_export, tiny_model, tmp_path / name, TrainSettings.model_validate(settings)
        )
        weights = load_file(tmp_path / name / "adapter" / "adapter_model.safetensors")
        changes = [
            (weights[f"{layer}.lora_B.weight"] @ weights[f"{layer}.lora_A.weight"]).flatten()[at]
            for layer, at in marked_places((EarlierAdapter(folder=str(earlier)),), 0.2).items()
        ]
        sizes.append(float(torch.cat(changes).abs().mean()))
    assert sizes[1] < 0.2 * sizes[0]
