from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fine_tune.experts import load_experts, routers
from fine_tune.methods.loramoe import LoRAMoE, uneven
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from fine_tune.trainer import load_model
from fine_tune.weighted_trainer import WeightedTrainer
from tests.fine_tune.fake_forward import FakeForward
from tests.fine_tune.steps import Row, difference, step_of, trainer_of

METHOD = LoRAMoE(method="loramoe", experts=4, strength=2.0)
SAID = {"method": "loramoe", "experts": 4, "strength": 0.5}


def test_the_balance_is_of_each_row_and_layer_by_hand() -> None:
    forward = FakeForward([[-1.0, -2.0], [-3.0, 0.0]])
    forward.mask[1, 1] = False  # the second row has one trained token, and ends with padding
    one = torch.tensor([[[0.5, 0.5], [1.0, 0.0], [0.75, 0.25]], [[0.25, 0.75], [0.5, 0.5], [1, 0]]])
    forward.chosen = [one, one]
    batch = forward.batch()
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    batch = replace(batch, inputs={**batch.inputs, "attention_mask": mask})
    # used 2.25 and 0.75: variance 9/8, mean 1.5; 0.75 and 1.25: variance 1/8, mean 1
    spread = (9 / 8 / 1.5**2, 1 / 8)
    expected = 6.0 + 2.0 * 2 * (spread[0] * 2 + spread[1] * 1)
    found = LoRAMoE(method="loramoe", experts=2, strength=2.0).batch_loss(batch)
    assert float(found.detach()) == pytest.approx(expected)
    # Kinds 0 and 1: the first row's is the first expert's, the second row's the second's.
    apart = LoRAMoE(method="loramoe", experts=2, strength=2.0, apart=0.5)
    told = apart.batch_loss(replace(batch, tasks=torch.tensor([0, 1])))
    spread = (
        float(uneven(torch.tensor([[2.25 * 1.5, 0.75 * 0.5]]))[0]),
        float(uneven(torch.tensor([[0.75 * 0.5, 1.25 * 1.5]]))[0]),
    )
    assert float(told.detach()) == pytest.approx(6.0 + 2.0 * 2 * (spread[0] * 2 + spread[1] * 1))


@pytest.fixture(scope="module")
def trainer(
    tiny_export: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> WeightedTrainer:
    settings = TrainSettings.model_validate({"lora_rank": 2, "methods": [SAID]})
    return trainer_of(tiny_export, tiny_model, tmp_path_factory.mktemp("moe"), settings)


@pytest.fixture(scope="module")
def rows(trainer: WeightedTrainer) -> list[Row]:
    prepared: Any = trainer.train_dataset
    return [{"input_ids": r["input_ids"], "labels": r["labels"]} for r in prepared.select(range(4))]


def test_a_step_is_the_same_however_it_is_cut_and_packed(
    trainer: WeightedTrainer, rows: list[Row]
) -> None:
    whole, expected = step_of(trainer, [rows], [METHOD])
    assert any("lora_router" in name and bool(g.any()) for name, g in expected.items())
    for cut in ([rows[:1], rows[1:]], [[row] for row in rows]):
        for packed in (False, True):
            loss, grads = step_of(trainer, cut, [METHOD], packed=packed)
            assert loss == pytest.approx(whole, rel=1e-5)
            assert difference(grads, expected) < 1e-5


def test_rows_of_two_kinds_are_told_apart_however_a_step_is_cut(
    trainer: WeightedTrainer, rows: list[Row]
) -> None:
    apart = METHOD.model_copy(update={"apart": 0.5})

    def loss_of(kinds: list[int], *, packed: bool) -> float:
        told = [
            {**row, "task": kind, "loss_weights": [1.0]}
            for row, kind in zip(rows, kinds, strict=True)
        ]
        return step_of(trainer, [told[:1], told[1:]], [apart], packed=packed)[0]

    first = loss_of([0, 1, 1, 0], packed=False)
    assert loss_of([0, 1, 1, 0], packed=True) == pytest.approx(first, rel=1e-5)
    assert loss_of([1, 0, 0, 1], packed=False) != pytest.approx(first, rel=1e-3)


def test_without_a_balance_the_loss_is_the_plain_one(
    trainer: WeightedTrainer, rows: list[Row]
) -> None:
    plain, grads = step_of(trainer, [rows])
    none = METHOD.model_copy(update={"strength": 0.0})
    loss, same = step_of(trainer, [rows], [none])
    assert loss == pytest.approx(plain, rel=1e-6) and difference(same, grads) < 1e-6
    more, other = step_of(trainer, [rows], [METHOD])
    assert more > plain and difference(other, grads) > 1e-4


def test_the_balance_has_its_gradient_where_activations_are_made_again(
    trainer: WeightedTrainer, rows: list[Row]
) -> None:
    expected = step_of(trainer, [rows], [METHOD])[1]
    model: Any = trainer.loaded_model()
    model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    model.enable_input_require_grads()
    found = step_of(trainer, [rows], [METHOD])[1]
    model.gradient_checkpointing_disable()
    assert difference(found, expected) < 1e-6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tune": "qlora"}, "loramoe is not for tune: qlora"),
        ({"tune": "full"}, "loramoe is not for tune: full"),
        ({"soup": {"seeds": [1, 2]}}, "soup: loramoe routes between experts"),
        ({"methods": [SAID, {"method": "eva"}]}, "eva changes a plain adapter"),
        ({"methods": [SAID, {"method": "lines"}]}, "lines changes a plain adapter"),
        ({"methods": [SAID, {"method": "dft"}]}, "loramoe and dft all change the loss"),
        ({"methods": [], "stages": [{"methods": [SAID]}]}, "no stage can go on"),
        ({"methods": [{**SAID, "apart": 0.1}]}, "give balance a mapping of two names"),
        (
            {"methods": [{**SAID, "apart": 0.1}], "balance": {"a": 1, "b": 1, "c": 1}},
            "give balance a mapping of two names",
        ),
    ],
)
def test_what_experts_cannot_do_is_told_before_work(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainSettings.model_validate({"methods": [SAID], **settings})


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bytes_and_is_read_as_it_was(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    settings = TrainSettings.model_validate(
        {"lora_rank": 2, "learning_rate": 1e-2, "save_every_steps": 1, "methods": [SAID]}
    )

    def stop(step: int, *_: object) -> None:
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_adapter(tiny_export, tiny_model, tmp_path / "killed", settings, stop)
    steps: list[int] = []
    train_adapter(
        tiny_export, tiny_model, tmp_path / "killed", settings, lambda n, *_: steps.append(n)
    )
    report = train_adapter(tiny_export, tiny_model, tmp_path / "whole", settings)
    assert steps[0] == 2 and report.steps == steps[-1]
    for name in ("experts.safetensors", "experts_config.json"):
        one, other = (tmp_path / each / "adapter" / name for each in ("killed", "whole"))
        assert one.read_bytes() == other.read_bytes()
    assert report.heldout_before is not None and report.heldout_after is not None
    assert report.heldout_after.nats_per_token < report.heldout_before.nats_per_token
    model = load_experts(load_model(tiny_model), tmp_path / "whole" / "adapter")
    assert len(routers(model)) == 3 * 2
