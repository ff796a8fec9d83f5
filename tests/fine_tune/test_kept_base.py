"""An adapter that begins with something: the model begins as it was, and its weights stay."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    LoraConfig,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)

from fine_tune.method import TrainingMethod
from fine_tune.methods.corda import CorDA
from fine_tune.methods.lora_ga import LoRAGA
from fine_tune.mixed_export import MixedExport
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from tests.fine_tune.tiny import heldout_loss
from tests.tiny_models import tiny_llama

RANK = 4
METHODS = [
    CorDA(method="corda"),
    CorDA(method="corda", knowledge=MixedExport(export="questions")),
    LoRAGA(method="lora_ga"),
]
every_method = pytest.mark.parametrize("method", METHODS, ids=["corda", "knowledge", "lora_ga"])


def batches(rows: int = 4, tokens: int = 30) -> list[dict[str, torch.Tensor]]:
    torch.manual_seed(3)
    ids = torch.randint(0, 200, (rows, tokens))
    mask = torch.ones_like(ids)
    mask[-1, tokens // 2 :] = 0
    labels = ids.where(mask.bool(), -100)
    return [{"input_ids": ids, "labels": labels, "attention_mask": mask}]


def begun(method: TrainingMethod, rank: int = RANK, notes: list[str] | None = None) -> Any:  # noqa: ANN401 - peft
    config = LoraConfig(
        r=rank, lora_alpha=3 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    model: Any = get_peft_model(tiny_llama(), config)
    torch.manual_seed(0)
    did = method.init_adapter(model, batches())
    if notes is not None:
        notes.append(did)
    return model


@every_method
def test_the_model_begins_as_it_was_and_its_weights_stay(method: TrainingMethod) -> None:
    model, plain = begun(method), tiny_llama()
    ids = batches()[0]["input_ids"]
    with torch.no_grad():
        now, before = model(input_ids=ids).logits, plain(input_ids=ids).logits
    torch.testing.assert_close(now, before, atol=1e-4, rtol=0)
    weights = dict(plain.named_parameters())
    for name, parameter in model.get_base_model().named_parameters():
        if "lora_" not in name:
            assert torch.equal(parameter, weights[name.replace(".base_layer", "")])
            assert not parameter.requires_grad
    assert all(bool(w.detach().any()) for n, w in model.named_parameters() if "lora_" in n)


@every_method
def test_what_is_taken_off_is_not_trained(method: TrainingMethod) -> None:
    model = begun(method)
    start = {n: w.detach().clone() for n, w in model.named_parameters() if w.requires_grad}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    for _ in range(2):
        model(**batches()[0]).loss.backward()
        optimizer.step()
    for name, weights in model.named_parameters():
        if name in start:
            moved = (weights != start[name]).any(dim=1 if "lora_A" in name else 0)
            assert moved[:RANK].all() and not moved[RANK:].any()


@every_method
def test_the_adapter_is_a_plain_one_for_the_model_as_it_was(method: TrainingMethod) -> None:
    model = begun(method)
    config = model.peft_config["default"]
    assert (
        config.r == 2 * RANK and config.lora_alpha == 6 * RANK and config.init_lora_weights is True
    )
    state = get_peft_model_state_dict(model)
    state = {n: w + 0.01 * torch.sin(torch.arange(w.numel())).view_as(w) for n, w in state.items()}
    again: Any = get_peft_model(tiny_llama(), config)
    for each in (model, again):
        set_peft_model_state_dict(each, state)
    ids = batches()[0]["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=ids).logits, again(input_ids=ids).logits)


@every_method
def test_a_rank_that_the_smallest_layer_has_not_is_refused(method: TrainingMethod) -> None:
    with pytest.raises(ValueError, match=f"{method.method} finds 32 directions .* lower lora_rank"):
        begun(method, rank=33)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS[::2], ids=["corda", "lora_ga"])
def test_what_is_written_is_what_was_trained(
    method: TrainingMethod, tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    settings = TrainSettings.model_validate(
        {"lora_rank": 2, "learning_rate": 1e-2, "methods": [method.model_dump()]}
    )
    report = train_adapter(tiny_export, tiny_model, tmp_path / "out", settings)
    assert report.heldout_before and report.heldout_after
    read = heldout_loss(tiny_model, tmp_path / "out" / "adapter", tiny_export)
    assert read.nats_per_token == pytest.approx(report.heldout_after.nats_per_token, rel=1e-5)
    assert read.nats_per_token < report.heldout_before.nats_per_token
