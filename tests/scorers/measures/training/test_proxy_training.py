from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

import scorers.measures.training.proxy_training as proxy_training
from scorers.measures.reading.chat_format import RenderedExample
from scorers.measures.reading.vocabulary_head import separable_head
from scorers.measures.training.proxy_schedule import Schedule
from scorers.measures.training.proxy_training import ProxyTrainer
from tests.tiny_models import VOCABULARY, tiny_gemma, tiny_llama

pytestmark = pytest.mark.usefixtures("one_thread")

RNG = np.random.default_rng(0)
SCHEDULE = Schedule(rows=12, epochs=2, batch_rows=5, learning_rate=0.01, warmup_share=0.2, seed=3)


def random_row(prompt: int, response: int) -> RenderedExample:
    ids = RNG.integers(0, VOCABULARY, prompt + response).tolist()
    return RenderedExample(ids[:prompt], ids[prompt - 1 : prompt], ids[prompt:])


ROWS = [random_row(3 + 2 * at, 1 + (7 * at) % 11) for at in range(SCHEDULE.rows)]


def make_trainer(model: PreTrainedModel) -> ProxyTrainer:
    return ProxyTrainer(model.train(False), ROWS, SCHEDULE, nullcontext())


def plain_training(model: PreTrainedModel, steps: int) -> list[float]:
    """The same training as it is usually written: one padded batch, all logits, label -100."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, weight_decay=0.0)
    lengths = np.array([len(row.prompt) + len(row.response) for row in ROWS])
    batches = SCHEDULE.epoch_batches(0, lengths) + SCHEDULE.epoch_batches(1, lengths)
    losses = []
    for step, batch in enumerate(batches[:steps]):
        width = lengths[batch].max()
        ids = torch.zeros(len(batch), width, dtype=torch.int64)
        labels = torch.full((len(batch), width), -100)
        mask = torch.zeros(len(batch), width, dtype=torch.int64)
        for at, row in enumerate(ROWS[row] for row in batch):
            text = torch.tensor(row.prompt + row.response)
            ids[at, : len(text)], mask[at, : len(text)] = text, 1
            labels[at, len(row.prompt) : len(text)] = text[len(row.prompt) :]
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = SCHEDULE.rate(step)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize(("build", "separable"), [(tiny_llama, True), (tiny_gemma, False)])
@pytest.mark.parametrize("micro_tokens", [40, 10_000])
def test_training_equals_the_plain_way(
    build: Callable[[], PreTrainedModel],
    separable: bool,
    micro_tokens: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(proxy_training, "MICRO_BATCH_TOKENS_CPU", micro_tokens)
    monkeypatch.setattr(proxy_training, "HEAD_TOKENS", 4)  # several pieces in each batch
    ours, plain = build(), build().train(False)
    trainer = make_trainer(ours)
    assert (separable_head(ours) is not None) is separable
    losses = [trainer.step() for _ in range(5)]  # into the second epoch
    np.testing.assert_allclose(losses, plain_training(plain, 5), rtol=1e-5)
    expected = dict(plain.named_parameters())
    start = dict(build().named_parameters())
    for name, parameter in ours.named_parameters():
        np.testing.assert_allclose(
            parameter.detach().numpy(), expected[name].detach().numpy(), atol=2e-4, err_msg=name
        )
        moved = (parameter.detach() - start[name].detach()).abs().max()
        assert moved > 0.01, name  # 50 times the tolerance


def test_a_saved_trainer_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    whole = make_trainer(tiny_llama())
    losses = [whole.step() for _ in range(6)]
    first = make_trainer(tiny_llama())
    before = [first.step() for _ in range(3)]
    first.save(tmp_path / "state")
    second = make_trainer(tiny_llama(seed=1))  # other weights, so that all must be loaded
    second.load(tmp_path / "state")
    assert second.steps_taken == 3
    assert before + [second.step() for _ in range(3)] == losses
    expected = dict(whole.model.named_parameters())
    for name, parameter in second.model.named_parameters():
        assert torch.equal(parameter, expected[name]), name


def test_nothing_saved_is_pickled_and_nothing_partial_is_left(tmp_path: Path) -> None:
    (tmp_path / "state.partial").mkdir()
    (tmp_path / "state.partial" / "left by a killed run").touch()
    trainer = make_trainer(tiny_llama())
    trainer.step()
    trainer.save(tmp_path / "state")
    assert sorted(each.name for each in tmp_path.rglob("*") if each.is_file()) == [
        "optimizer.safetensors",
        "step.json",
        "weights.safetensors",
    ]


def test_training_that_diverges_is_an_error_that_says_what_to_do() -> None:
    trainer = make_trainer(tiny_llama())
    with torch.no_grad():
        next(iter(trainer.model.parameters())).fill_(torch.nan)
    with pytest.raises(RuntimeError, match=r"diverged at step 1: .* Lower learning_rate"):
        trainer.step()
