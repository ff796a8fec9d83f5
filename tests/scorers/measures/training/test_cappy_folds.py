from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from scorers.measures.training import cappy_folds
from scorers.measures.training.cappy import Correctness, RegressionSettings
from scorers.measures.training.cappy_folds import FoldModels
from scorers.measures.training.graded_pair import GradedPair

DEALT = {"p": 0, "q": 1, "r": 2}
PAIRS = {
    fold: [GradedPair(prompt, f"of {prompt}", 1.0), GradedPair(prompt, "of none", 0.0)]
    for prompt, fold in DEALT.items()
}
TEXTS = [(prompt, f"of {prompt}") for prompt in DEALT]


@dataclass
class Memory:
    """Says the label of a pair that it was trained on, 0.5 of any other, plus what it is told."""

    known: dict[str, float] = field(default_factory=dict)
    trained: list[int] = field(default_factory=list)

    @classmethod
    def from_directory(
        cls, path: Path, max_tokens: int, seed: int | None = None, device: str = "cpu"
    ) -> "Memory":
        lines = (path / "pairs").read_text().splitlines() if (path / "pairs").is_file() else []
        return cls({line.split("|")[0]: float(line.split("|")[1]) for line in lines})

    def train(self, pairs: Sequence[GradedPair], settings: RegressionSettings) -> None:
        COUNT.append(len(pairs))
        self.known = {f"{pair.instruction}>{pair.response}": pair.label for pair in pairs}

    def save(self, folder: Path) -> None:
        folder.mkdir()
        lines = [f"{text}|{label}" for text, label in self.known.items()]
        (folder / "pairs").write_text("\n".join(lines))

    def predict(self, pairs: Sequence[tuple[str, str]]) -> Correctness:
        values = np.array([self.known.get(">".join(pair), 0.5) for pair in pairs])
        lengths = np.full(len(pairs), 7)
        return Correctness(values, lengths, lengths)


COUNT: list[int] = []


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    COUNT.clear()
    monkeypatch.setattr(cappy_folds, "PairRegressor", Memory)


def models(directory: Path, **settings: int) -> FoldModels:
    return FoldModels(directory / "models", RegressionSettings(**settings))


def test_no_row_is_scored_by_a_model_that_saw_it(tmp_path: Path) -> None:
    kept = models(tmp_path)
    kept.train(tmp_path, DEALT, PAIRS)
    said = kept.score([[prompt] for prompt in DEALT], TEXTS)
    assert said.values.tolist() == [0.5] * 3, "1 would be a memory"
    assert said.tokens.tolist() == said.read.tolist() == [7] * 3
    assert COUNT == [4, 4, 4]


def test_a_row_of_no_fold_gets_the_average_of_all_models(tmp_path: Path) -> None:
    kept = models(tmp_path)
    kept.train(tmp_path, DEALT, PAIRS)
    said = kept.score([["new"], ["p"]], [("p", "of p"), ("p", "of p")])
    np.testing.assert_allclose(said.values, [(0.5 + 1 + 1) / 3, 0.5])


def test_an_edited_prompt_is_scored_where_it_was_dealt_before(tmp_path: Path) -> None:
    kept = models(tmp_path)
    kept.train(tmp_path, DEALT, PAIRS)
    said = kept.score([["p [IND]", "p"], ["q", "p"]], [("p", "of p"), ("q", "of q")])
    assert said.values.tolist() == [0.5, 0.5], "1 would be a memory"


def test_a_killed_training_goes_on_with_the_first_fold_that_has_no_model(tmp_path: Path) -> None:
    models(tmp_path).train(tmp_path, DEALT, PAIRS)
    for file in (tmp_path / "models" / "fold-1").iterdir():
        file.unlink()
    (tmp_path / "models" / "fold-1").rmdir()
    kept = models(tmp_path)
    assert not kept.complete()
    COUNT.clear()
    kept.train(tmp_path, DEALT, PAIRS)
    assert COUNT == [4] and kept.complete()


def test_models_of_other_pairs_or_settings_are_not_taken(tmp_path: Path) -> None:
    models(tmp_path).train(tmp_path, DEALT, PAIRS)
    with pytest.raises(ValueError, match="other pairs or settings"):
        models(tmp_path).train(tmp_path, DEALT, {**PAIRS, 0: PAIRS[0][:1]})
    with pytest.raises(ValueError, match="other pairs or settings"):
        models(tmp_path, epochs=7).train(tmp_path, DEALT, PAIRS)


def test_a_fold_with_nothing_to_learn_from_has_no_number(tmp_path: Path) -> None:
    kept = models(tmp_path)
    kept.train(tmp_path, {"p": 0}, {0: PAIRS[0]})
    assert COUNT == [] and kept.complete()
    assert np.isnan(kept.score([["p"]], [("p", "of p")]).values).all()
