"""The mean of trained weights, of adapters and of models."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from fine_tune.settings import TrainSettings
from fine_tune.soups import write_mean
from fine_tune.train import train_adapter
from fine_tune.trainer import load_model
from pipeline.selection.run_steps import SelectSettings
from tests.fine_tune.tiny import count_rows, export_for, heldout_loss, make_rows


def drawn_adapter(model: Path, folder: Path, seed: int) -> dict[str, torch.Tensor]:
    """Write an adapter of random numbers; the change of each layer."""
    torch.manual_seed(seed)
    config = LoraConfig(r=2, lora_alpha=6, target_modules="all-linear", task_type="CAUSAL_LM")
    made: Any = get_peft_model(load_model(model), config)
    for name, parameter in made.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter)
    made.save_pretrained(folder)
    return changes(made)


def changes(model: Any) -> dict[str, torch.Tensor]:  # noqa: ANN401 - peft
    return {
        name: layer.get_delta_weight("default").detach()
        for name, layer in model.named_modules()
        if hasattr(layer, "get_delta_weight") and "default" in layer.lora_A
    }


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_mean_of_adapters_is_that_of_their_changes(
    count: int, tiny_model: Path, tmp_path: Path
) -> None:
    folders = [tmp_path / str(n) for n in range(count)]
    each = [drawn_adapter(tiny_model, folder, n) for n, folder in enumerate(folders)]
    write_mean(tiny_model, folders, tmp_path / "mean")
    read: Any = PeftModel.from_pretrained(load_model(tiny_model), str(tmp_path / "mean"))
    found = changes(read)
    assert len(found) == 14
    for name, change in found.items():
        wanted = torch.stack([one[name] for one in each]).mean(dim=0)
        torch.testing.assert_close(change, wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["lora", "full"])
@pytest.mark.parametrize("choose", ["uniform", "greedy"])
def test_a_training_is_the_soup_of_its_members(
    tune: str, choose: str, tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    soup = {"seeds": [0, 1], "learning_rates": [1e-3, 1e-2], "choose": choose}
    settings = TrainSettings.model_validate({"tune": tune, "lora_rank": 2, "soup": soup})
    report = train_adapter(tiny_export, tiny_model, tmp_path / "out", settings)
    assert report.heldout_after and report.steps == 4 * 3
    assert report.method_notes[-1].startswith("soup: the mean of ")
    alone = [float(n.rsplit(" ", 1)[1]) for n in report.method_notes if "rows in" in n]
    assert len(alone) == 4
    if choose == "greedy":
        assert report.heldout_after.nats_per_token <= min(alone) + 1e-3
    weights = tmp_path / "out" / ("adapter" if tune == "lora" else "model")
    model, adapter = (tiny_model, weights) if tune == "lora" else (weights, None)
    read = heldout_loss(model, adapter, tiny_export)
    assert read.nats_per_token == pytest.approx(report.heldout_after.nats_per_token, rel=1e-5)
    assert not (tmp_path / "out" / "soup").exists()


def test_a_greedy_soup_without_held_out_rows_names_the_setting_that_keeps_some(
    tiny_model: Path, tmp_path: Path
) -> None:
    export = export_for(tiny_model, tmp_path / "export", count_rows(make_rows(3), tiny_model))
    soup = {"seeds": [0, 1], "choose": "greedy"}
    settings = TrainSettings.model_validate({"lora_rank": 2, "soup": soup})
    with pytest.raises(ValueError, match=r"no validation split: set select\.held_out in") as raised:
        train_adapter(export, tiny_model, tmp_path / "out", settings)
    assert "choose: uniform" in str(raised.value) and not (tmp_path / "out").exists()
    assert "held_out" in SelectSettings.model_fields
