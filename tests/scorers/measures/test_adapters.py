"""An adapter is a model like any other: merged once, known by what it holds."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from scorers.measures.models.loading import MissingModelError, resolve_model
from tests.fine_tune.conftest import tiny_model  # noqa: F401

IDS = torch.tensor([[70, 71, 72, 73, 40]])


@pytest.fixture
def adapter(tiny_model: Path, tmp_path: Path) -> Path:  # noqa: F811
    """A LoRA adapter whose two matrices are both random, so that it changes the model."""
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    base.name_or_path = str(tiny_model)
    tuned = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    for name, weights in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weights, std=0.5)
    tuned.save_pretrained(str(tmp_path / "adapter"))
    return tmp_path / "adapter"


def logits(folder: Path, adapter: Path | None = None) -> torch.Tensor:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    with torch.inference_mode():
        found: torch.Tensor = model.eval()(IDS).logits
    return found


def test_the_merged_model_says_what_base_and_adapter_say(
    adapter: Path,
    tiny_model: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    merged = resolve_model(f"adapter:{adapter}", cache=tmp_path / "cache")
    expected = logits(tiny_model, adapter)
    torch.testing.assert_close(logits(merged.path), expected, atol=1e-5, rtol=1e-4)
    assert (expected - logits(tiny_model)).abs().max() > 1e-3
    assert merged.fingerprint != resolve_model(str(tiny_model)).fingerprint


def test_its_fingerprint_is_of_weights_and_base_and_not_of_places(
    adapter: Path,
    tiny_model: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    cache = tmp_path / "cache"
    first = resolve_model(f"adapter:{adapter}", cache=cache)
    moved = shutil.copytree(adapter, tmp_path / "moved")
    base = shutil.copytree(tiny_model, tmp_path / "base")
    settings = json.loads((moved / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = str(base)
    (moved / "adapter_config.json").write_text(json.dumps(settings))
    assert resolve_model(f"adapter:{moved}", cache=cache).fingerprint == first.fingerprint
    settings["lora_alpha"] = 99
    (moved / "adapter_config.json").write_text(json.dumps(settings))
    assert resolve_model(f"adapter:{moved}", cache=cache).fingerprint != first.fingerprint


def test_what_is_no_adapter_is_refused(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingModelError, match="the folder that PEFT wrote"):
        resolve_model(f"adapter:{tmp_path}")
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(MissingModelError, match="no pickle is read"):
        resolve_model(f"adapter:{adapter}")
    with pytest.raises(MissingModelError, match=f"write adapter:{adapter}"):
        resolve_model(str(adapter))
