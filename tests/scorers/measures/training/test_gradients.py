"""Gradients against autograd's own, updates against torch's AdamW, and what a warm-up leaves."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scorers.measures.reading.chat_format import RenderedExample
from scorers.measures.training import gradients
from scorers.measures.training.adapter_training import (
    AdapterSettings,
    checkpoint_folders,
    epoch_rates,
    make_trainer,
    train_adapters,
)
from scorers.measures.training.gradient_cost import time_gradients
from scorers.measures.training.gradients import (
    Projection,
    adam_direction,
    gradient_of,
    record_gradients,
)
from scorers.measures.training.projection import signs
from scorers.measures.training.proxy_schedule import LinearSchedule, ProxySettings
from scorers.measures.training.proxy_training import AdamMoments, ProxyTrainer
from tests.tiny_models import count_up, save_tiny_llama

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]  # they train

TRAINING = ProxySettings(
    epochs=2, batch_rows=4, learning_rate=3e-3, max_tokens=64, device="cpu", dtype="float32"
)
SETTINGS = AdapterSettings(rank=4, alpha=8, modules=("q_proj", "v_proj"), training=TRAINING)
ROWS = [count_up(7 * at, 3 + at % 4, 4 + at % 5) for at in range(10)]
UPDATE = Projection(dimension=96, seed=0, adam="code")
PLAIN = replace(UPDATE, adam=None)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="module")
def warm(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("warm")
    train_adapters(model, ROWS, SETTINGS, directory)
    return directory


def loaded(model: Path, folder: Path) -> ProxyTrainer:
    trainer = make_trainer(model, ROWS, SETTINGS)
    trainer.load(folder)
    return trainer


def test_only_adapters_are_trained_and_kept(model: Path, warm: Path) -> None:
    start = make_trainer(model, ROWS, SETTINGS)
    trainer = loaded(model, checkpoint_folders(warm, 2)[-1])
    names = list(trainer.parameters)
    assert len(names) == 8 and all("lora_" in name for name in names), "2 layers, 2 matrices each"
    before = dict(start.model.named_parameters())
    for name, parameter in trainer.model.named_parameters():
        assert torch.equal(parameter, before[name]) is (name not in trainer.parameters), name
    assert epoch_rates(warm) == start.schedule.epoch_rates()  # type: ignore[attr-defined]
    size = (checkpoint_folders(warm, 2)[0] / "weights.safetensors").stat().st_size
    assert size < 4 * 8 * 64 * 4 + 2000, "the model itself is not among it"


def test_fresh_adapters_change_nothing_and_follow_from_the_seed(model: Path) -> None:
    torch.manual_seed(5)
    first = make_trainer(model, ROWS, SETTINGS)
    torch.manual_seed(6)
    second = make_trainer(model, ROWS, SETTINGS)
    other = make_trainer(model, ROWS, replace(SETTINGS, training=replace(TRAINING, seed=1)))
    for name, parameter in first.parameters.items():
        assert torch.equal(parameter, second.parameters[name])
        assert ("lora_B" in name) is not bool(parameter.any())
        assert torch.equal(parameter, other.parameters[name]) is ("lora_B" in name)


def test_rates_fall_in_a_line_and_are_averaged_by_epoch() -> None:
    schedule = LinearSchedule(
        rows=8, epochs=2, batch_rows=4, learning_rate=0.8, warmup_share=0.25, seed=0
    )
    # 4 steps, 1 of them warm-up: 0.8, then 0.8 * 3/3, 2/3, 1/3
    assert [schedule.rate(step) for step in range(4)] == pytest.approx([0.8, 0.8, 1.6 / 3, 0.8 / 3])
    assert schedule.epoch_rates() == pytest.approx([0.8, 0.4])


def test_a_gradient_is_that_of_the_mean_loss_of_the_response(model: Path, warm: Path) -> None:
    trainer = loaded(model, checkpoint_folders(warm, 2)[0])
    row = ROWS[3]
    found = gradient_of(trainer, row)
    again = gradient_of(trainer, row)
    assert torch.equal(found, again), "nothing of the row before is left"
    text = torch.tensor([row.prompt + row.response])
    labels = text.clone()
    labels[0, : len(row.prompt)] = -100
    loss = trainer.model(input_ids=text, labels=labels).loss
    plain = torch.autograd.grad(loss, list(trainer.parameters.values()))
    np.testing.assert_allclose(found, torch.cat([g.flatten() for g in plain]), atol=1e-6)
    assert float(found.norm()) > 1e-3


def test_where_squares_are_tiny_the_two_ways_of_adam_are_far_apart() -> None:
    # m' = 1e-7 and v' = 1e-12. In the root: 1e-7 / sqrt(1e-12 + 1e-8) = 0.001.
    # Outside: 1e-7 / (1e-6 + 1e-8) = 0.099; after many steps there is nothing to correct.
    moments = AdamMoments(torch.tensor([1e-7 / 0.9]), torch.tensor([1e-12 / 0.999]), 10**6)
    nothing = torch.zeros(1)
    assert float(adam_direction(nothing, moments, "code")) == pytest.approx(0.001, abs=1e-5)
    assert float(adam_direction(nothing, moments, "textbook")) == pytest.approx(0.099, abs=1e-4)


def test_the_textbook_direction_is_what_the_optimizer_does_next(model: Path, warm: Path) -> None:
    trainer = loaded(model, checkpoint_folders(warm, 2)[0])
    before = torch.cat([p.detach().flatten().clone() for p in trainer.parameters.values()])
    moments = copy.deepcopy(trainer.moments())
    assert moments.steps == 3, "ten rows in batches of four"
    wanted = adam_direction(gradient_of(trainer, ROWS[0]), moments, "textbook")
    for group in trainer._optimizer.param_groups:
        group["lr"] = 0.01
    trainer._optimizer.step()
    after = torch.cat([p.detach().flatten() for p in trainer.parameters.values()])
    np.testing.assert_allclose((before - after) / 0.01, wanted, atol=2e-4)
    plain = adam_direction(torch.zeros_like(wanted), moments, "textbook")
    assert float((wanted - plain).abs().max()) > 0.1


def test_directions_are_projected_updates_of_unit_length(model: Path, warm: Path) -> None:
    found = record_gradients(model, ROWS, SETTINGS, warm, UPDATE)
    plain = record_gradients(model, ROWS, SETTINGS, warm, PLAIN)
    assert found.states == ["ok"] * 10 and found.rates == epoch_rates(warm)
    assert found.vectors.shape == (10, 2, 96)
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=2), 1, atol=1e-5)
    for checkpoint, folder in enumerate(checkpoint_folders(warm, 2)):
        trainer = loaded(model, folder)
        gradient = gradient_of(trainer, ROWS[4])
        for record, whole in (
            (found, adam_direction(gradient, trainer.moments(), "code")),
            (plain, gradient),
        ):
            short = whole @ signs(0, len(whole), 96, 0, torch.device("cpu"))
            expected = short / short.norm()
            np.testing.assert_allclose(record.vectors[4, checkpoint], expected, atol=1e-5)
    assert np.abs(found.vectors[:, 0] - found.vectors[:, 1]).max() > 0.01


def test_a_row_depends_on_no_other_row(
    model: Path, warm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = record_gradients(model, ROWS, SETTINGS, warm, UPDATE).vectors
    monkeypatch.setattr(gradients, "GRADIENT_BYTES_CPU", 1)  # one row is projected at a time
    backwards = record_gradients(model, ROWS[::-1], SETTINGS, warm, UPDATE).vectors[::-1]
    np.testing.assert_allclose(backwards, together, atol=1e-5)


def test_rows_that_cannot_be_read_have_a_state_and_no_number(model: Path, warm: Path) -> None:
    odd = [ROWS[0], RenderedExample([1, 2], [2], []), count_up(0, 60, 20), ROWS[1]]
    found = record_gradients(model, odd, SETTINGS, warm, PLAIN)
    assert found.states == ["ok", "not_applicable", "truncated", "ok"]
    assert np.isnan(found.vectors[1:3]).all() and np.isfinite(found.vectors[[0, 3]]).all()
    assert found.details[2] == "80 tokens, 64 fit"


def test_a_gradient_of_nothing_is_a_failure(
    model: Path, warm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = iter([torch.zeros(2048), torch.full((2048,), torch.nan)] * 2)
    monkeypatch.setattr(gradients, "gradient_of", lambda trainer, row: next(taken))
    found = record_gradients(model, ROWS[:2], SETTINGS, warm, PLAIN)
    assert found.states == ["failed", "failed"] and np.isnan(found.vectors).all()


def test_a_warm_up_that_was_killed_goes_on_to_the_same_weights(
    model: Path, warm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    sound = ProxyTrainer.step

    def die_in_the_second_epoch(self: ProxyTrainer) -> float:
        steps.append(self.steps_taken)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return sound(self)

    monkeypatch.setattr(ProxyTrainer, "step", die_in_the_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        train_adapters(model, ROWS, SETTINGS, tmp_path)
    assert epoch_rates(tmp_path) == []
    train_adapters(model, ROWS, SETTINGS, tmp_path)
    assert steps == [0, 1, 2, 3, 4, 3, 4, 5], "the first epoch is not trained again"
    train_adapters(model, ROWS, SETTINGS, tmp_path)
    assert len(steps) == 8
    for ours, theirs in zip(
        checkpoint_folders(tmp_path, 2), checkpoint_folders(warm, 2), strict=True
    ):
        for name in ("weights.safetensors", "optimizer.safetensors"):
            assert (ours / name).read_bytes() == (theirs / name).read_bytes()


def test_a_checkpoint_that_is_gone_is_trained_again_as_it_was(
    model: Path, warm: Path, tmp_path: Path
) -> None:
    ours = shutil.copytree(warm, tmp_path / "warm")
    shutil.rmtree(checkpoint_folders(ours, 2)[0])
    train_adapters(model, ROWS, SETTINGS, ours)
    for own, other in zip(checkpoint_folders(ours, 2), checkpoint_folders(warm, 2), strict=True):
        for name in ("weights.safetensors", "step.json"):
            assert (own / name).read_bytes() == (other / name).read_bytes()


def test_rows_that_are_alike_have_like_gradients(model: Path, warm: Path) -> None:
    near = [count_up(90 + by, 6, 6) for by in (-2, -1, 1, 2)]
    far = [count_up(20 * at, 6, 6) for at in range(4)]
    projection = replace(PLAIN, dimension=1024)
    found = record_gradients(model, [*near, *far], SETTINGS, warm, projection).vectors
    wanted = record_gradients(model, [count_up(90, 6, 6)], SETTINGS, warm, projection).vectors[0]
    cosines = np.einsum("ncd,cd->n", found, wanted) / 2
    assert cosines[:4].min() > cosines[4:].max() + 0.1


def test_costs_are_above_nothing(model: Path) -> None:
    cost = time_gradients(model, ROWS, SETTINGS, UPDATE)
    assert cost.train > 0 and cost.record > 0


def test_errors(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no row that adapters could be warmed up on"):
        train_adapters(model, [], SETTINGS, tmp_path)
    with pytest.raises(ValueError, match="nothing_proj"):
        make_trainer(model, ROWS, replace(SETTINGS, modules=("nothing_proj",)))
