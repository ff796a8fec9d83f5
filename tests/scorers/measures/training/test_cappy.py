from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from scorers.measures.training import cappy
from scorers.measures.training.cappy import PairRegressor, RegressionSettings
from scorers.measures.training.graded_pair import GradedPair
from scorers.measures.training.proxy_schedule import LinearSchedule
from tests.tiny_encoder import WINDOW, save_tiny_encoder

pytestmark = pytest.mark.usefixtures("one_thread")

SETTINGS = RegressionSettings(epochs=8, batch_rows=8, learning_rate=5e-3, max_tokens=16, seed=1)


def words(*numbers: int) -> str:
    return " ".join(f"w{at}" for at in numbers)


# A response is right if its word is one of the first thirty, whatever the instruction.
PAIRS = [
    GradedPair(words(at), words((at * 7 + other) % 60), float((at * 7 + other) % 60 < 30))
    for at in range(40)
    for other in (0, 30)
]
TEXTS = [(pair.instruction, pair.response) for pair in PAIRS]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def trained(encoder: Path) -> PairRegressor:
    model = PairRegressor.from_directory(encoder, 16, seed=1)
    model.train(PAIRS, SETTINGS)
    return model


def test_training_fits_the_labels(encoder: Path, trained: PairRegressor) -> None:
    labels = np.array([pair.label for pair in PAIRS])
    before = PairRegressor.from_directory(encoder, 16, seed=1).predict(TEXTS).values
    after = trained.predict(TEXTS).values
    assert ((before - labels) ** 2).mean() > 0.24
    assert ((after - labels) ** 2).mean() < 0.1


def test_the_output_is_not_squeezed_between_0_and_1(encoder: Path) -> None:
    model = PairRegressor.from_directory(encoder, 16, seed=1)
    with torch.no_grad():
        model.model.classifier.bias += 5
    assert (model.predict(TEXTS).values > 4).all()


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    encoder: Path, trained: PairRegressor
) -> None:
    torch.manual_seed(99)  # what else draws numbers does not matter
    few = PAIRS[:16]
    seen = []
    for seed in (1, 1, 2):
        model = PairRegressor.from_directory(encoder, 16, seed=seed)
        model.train(few, replace(SETTINGS, epochs=1, seed=seed))
        seen.append(model.predict(TEXTS).values)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert (seen[0] != seen[2]).any()


def test_a_row_does_not_depend_on_its_company(
    trained: PairRegressor, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed = [(words(*range(at % 5 + 1)), words(at)) for at in range(20)]
    together = trained.predict(mixed).values
    np.testing.assert_allclose(trained.predict(mixed[::-1]).values[::-1], together, atol=1e-5)
    monkeypatch.setattr(cappy, "READ_ROWS", 3)
    np.testing.assert_allclose(trained.predict(mixed).values, together, atol=1e-5)


def test_a_pair_that_does_not_fit_is_cut_at_the_longer_text_and_says_so(
    trained: PairRegressor,
) -> None:
    long = words(*range(30))
    said = trained.predict([(long, words(1)), (words(1), words(2))])
    assert said.tokens.tolist() == [34, 5] and said.read.tolist() == [16, 5]
    short = trained.predict([(words(*range(12)), words(1))])  # what is left of the first
    assert said.values[0] == pytest.approx(short.values[0], abs=1e-6)


def test_the_models_own_window_holds_too(encoder: Path) -> None:
    assert PairRegressor.from_directory(encoder, 10_000, seed=0).max_tokens == WINDOW


def test_what_was_saved_says_the_same(trained: PairRegressor, tmp_path: Path) -> None:
    trained.save(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    again = PairRegressor.from_directory(tmp_path / "model", 16)
    np.testing.assert_array_equal(again.predict(TEXTS).values, trained.predict(TEXTS).values)


def test_weights_that_are_missing_are_made_up_for_the_output_alone(
    encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="lacks weights"):
        PairRegressor.from_directory(encoder, 16)
    broken = save_tiny_encoder(tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    del weights["encoder.layer.0.output.dense.weight"]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="lacks weights"):
        PairRegressor.from_directory(broken, 16, seed=0)


def test_nothing_to_score_gives_nothing(trained: PairRegressor) -> None:
    assert trained.predict([]).values.shape == (0,)


def test_training_that_diverges_says_what_to_do(encoder: Path) -> None:
    model = PairRegressor.from_directory(encoder, 16, seed=0)
    wrong = [GradedPair(words(1), words(2), float("nan"))]
    with pytest.raises(RuntimeError, match="lower learning_rate"):
        model.train(wrong, SETTINGS)


def test_the_rate_rises_for_a_tenth_and_falls_to_nothing() -> None:
    schedule = LinearSchedule(
        rows=20, epochs=1, batch_rows=1, learning_rate=1.0, warmup_share=0.1, seed=0
    )
    rates = [schedule.rate(step) for step in range(20)]
    assert rates[:3] == [0.5, 1.0, 1.0] and rates[-1] == pytest.approx(1 / 18)
    assert rates[2:] == sorted(rates[2:], reverse=True)
