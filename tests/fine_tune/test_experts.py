"""Experts behind routers: what a layer computes, and that what is written is read as it was."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel

from fine_tune.experts import fresh_experts, load_experts, routers
from fine_tune.saved_weights import write_weights
from fine_tune.trained_model import load_trained_model
from scorers.measures.models.loading import resolve_model
from scorers.measures.models.model_folder import UnusableModelError
from tests.fine_tune.tiny import byte_tokenizer
from tests.tiny_models import tiny_llama

EXPERTS, RANK = 4, 2
IDS = torch.arange(20).view(2, 10)


def routed(seed: int = 0) -> Any:  # noqa: ANN401 - peft
    """A tiny model whose experts and routers do something."""
    one = LoraConfig(r=RANK, lora_alpha=3 * RANK)
    model: Any = fresh_experts(tiny_llama(), EXPERTS, one)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "lora_B" in name or "lora_router" in name:
                weights.normal_(std=0.3)
    return model.eval()


def test_each_expert_counts_as_the_router_says_of_the_token() -> None:
    layer = routed().base_model.model.model.layers[0].mlp.gate_proj
    read = torch.randn(2, 5, layer.in_features)
    with torch.no_grad():
        found = layer(read)
        gates = (read @ layer.lora_router["default"].weight.T).softmax(-1)
        expected = read @ layer.get_base_layer().weight.T
        for expert in range(EXPERTS):
            its = slice(RANK * expert, RANK * (1 + expert))
            down, up = layer.lora_A["default"].weight[its], layer.lora_B["default"].weight[:, its]
            expected = expected + 3 * gates[..., expert, None] * (read @ down.T @ up.T)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_the_feed_forward_layers_have_experts_that_begin_with_no_effect() -> None:
    model: Any = fresh_experts(tiny_llama(), EXPERTS, LoraConfig(r=RANK, lora_alpha=RANK))
    assert len(routers(model)) == 3 * 2
    trained = {name.rsplit(".", 3)[-3] for name, w in model.named_parameters() if w.requires_grad}
    assert trained == {"lora_A", "lora_B", "lora_router"}
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, tiny_llama()(IDS).logits)


def test_what_is_written_is_read_with_equal_logits(tmp_path: Path) -> None:
    model = routed()
    write_weights(model, byte_tokenizer(), tmp_path / "adapter")
    again = load_experts(tiny_llama(), tmp_path / "adapter").eval()
    with torch.no_grad():
        assert torch.equal(again(IDS).logits, model(IDS).logits)
        assert not torch.allclose(model(IDS).logits, tiny_llama()(IDS).logits, atol=1e-2)
    assert all(router.weight.requires_grad for router in routers(again).values())


def test_no_reader_of_plain_adapters_reads_experts_without_their_router(tmp_path: Path) -> None:
    write_weights(routed(), byte_tokenizer(), tmp_path / "adapter")
    with pytest.raises(ValueError, match="adapter_config"):
        PeftModel.from_pretrained(tiny_llama(), str(tmp_path / "adapter"))
    with pytest.raises(UnusableModelError, match="experts behind a router, which cannot be merged"):
        resolve_model(f"adapter:{tmp_path / 'adapter'}")


def test_experts_of_another_model_are_refused(tmp_path: Path) -> None:
    write_weights(routed(), byte_tokenizer(), tmp_path / "adapter")
    other = tiny_llama()
    other.model.layers = other.model.layers[:1]
    with pytest.raises(ValueError, match="are of another model"):
        load_experts(other, tmp_path / "adapter")


def test_a_trained_folder_is_measured_with_its_experts(tmp_path: Path) -> None:
    tiny_llama().save_pretrained(tmp_path / "base")
    byte_tokenizer().save_pretrained(tmp_path / "base")
    write_weights(routed(), byte_tokenizer(), tmp_path / "training" / "adapter")
    found: Any = load_trained_model(tmp_path / "base", tmp_path / "training")
    with torch.no_grad():
        assert torch.equal(found.model(IDS).logits, routed()(IDS).logits)


def test_a_model_with_other_names_is_refused() -> None:
    model = tiny_llama()
    for layer in model.model.layers:
        layer.mlp.fc_in = layer.mlp.gate_proj
        del layer.mlp.gate_proj
    with pytest.raises(ValueError, match="finds no gate_proj in the model"):
        fresh_experts(model, EXPERTS, LoraConfig(r=RANK))
