"""A trained model in memory reads as the trainer left it."""

from pathlib import Path

import pytest

from fine_tune.prepared_rows import load_split
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from fine_tune.trained_model import load_trained_model
from scorers.measures.models.loading import load_tokenizer, resolve_model
from scorers.measures.reading.chat_format import render


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["lora", "full"])
def test_its_losses_are_the_held_out_loss_of_the_training(
    tiny_model: Path, tiny_export: Path, tmp_path: Path, tune: str
) -> None:
    given = {"tune": tune, "learning_rate": 0.05, "lora_rank": 2}
    settings = TrainSettings.model_validate(given)
    report = train_adapter(tiny_export, tiny_model, tmp_path / "trained", settings)
    tokenizer = load_tokenizer(resolve_model(str(tiny_model)))
    rows = load_split(tiny_export, "validation", tmp_path / "cache")
    read = [
        render(tokenizer, [*row["prompt"], *row["completion"]], row["tools"] or (), 2, "chat")
        for row in rows
    ]

    def loss(training: Path | None) -> float:
        model = load_trained_model(tiny_model, training)
        found = model.token_losses([r.prompt for r in read], [r.response for r in read])
        return sum(float(each.nll.sum()) for each in found) / sum(len(r.response) for r in read)

    assert report.heldout_after and report.heldout_before
    after, before = report.heldout_after.nats_per_token, report.heldout_before.nats_per_token
    assert abs(before - after) > 1e-3, "the training moved something"
    assert loss(tmp_path / "trained") == pytest.approx(after, rel=1e-6)
    assert loss(None) == pytest.approx(before, rel=1e-6)


def test_a_folder_without_weights_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no adapter and no model"):
        load_trained_model(tiny_model, tmp_path)
