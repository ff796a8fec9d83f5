"""One correctness model for each fold of a pool, kept on disk, and who scores which row.

    key.json     what the directory belongs to, the fold of each prompt, and the folds with a model
    fold-N/      the model that was trained on the pairs of all folds but N

A model is written under another name and renamed, so that a killed training begins again with the
first fold that has none, and ends with the same numbers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from scorers.measures.models.model_cache import text_fingerprint
from scorers.measures.training.cappy import Correctness, PairRegressor, RegressionSettings
from scorers.measures.training.graded_pair import GradedPair


@dataclass(frozen=True, slots=True)
class FoldModels:
    """The models of one pool and one choice of settings."""

    directory: Path
    settings: RegressionSettings
    device: str = "cpu"

    def train(
        self, encoder: Path, dealt: Mapping[str, int], pairs: Mapping[int, Sequence[GradedPair]]
    ) -> None:
        """Train what is not trained yet.

        Args:
            encoder: folder of the model that each begins with; it is read only.
            dealt: prompt id → fold.
            pairs: fold → its pairs. A fold that no other has pairs for gets no model.

        Raises:
            ValueError: if the directory belongs to other pairs or settings.
        """
        folds = sorted(set(dealt.values()))
        able = [fold for fold in folds if any(pairs.get(each) for each in folds if each != fold)]
        self._claim(dealt, pairs, able)
        for fold in able:
            if self._folder(fold).is_dir():
                continue
            learnt = [pair for each in folds if each != fold for pair in pairs.get(each, ())]
            model = PairRegressor.from_directory(
                encoder, self.settings.max_tokens, self.settings.seed, self.device
            )
            model.train(learnt, self.settings)
            model.save(self._folder(fold))

    def complete(self) -> bool:
        """Whether every model is there."""
        mark = self._mark
        return mark.is_file() and all(
            self._folder(fold).is_dir() for fold in json.loads(mark.read_text())["able"]
        )

    def score(
        self, prompts: Sequence[Sequence[str]], pairs: Sequence[tuple[str, str]]
    ) -> Correctness:
        """Score rows, each by a model that did not see its prompt.

        Args:
            prompts: (n,) the ids that each prompt has or had, the first one dealt counts; where
                none was dealt, all models are averaged.
            pairs: (n,) instruction and response.

        Returns:
            Of all rows; NaN where there is no model.
        """
        mark = json.loads(self._mark.read_text())
        dealt, able = mark["dealt"], mark["able"]
        # (n,) the fold of each prompt, -1 where it was not dealt.
        found = [next((dealt[name] for name in names if name in dealt), -1) for names in prompts]
        folds = np.array(found, dtype=np.int64)
        sums, counts = np.zeros(len(pairs)), np.zeros(len(pairs))
        tokens, read = np.zeros(len(pairs), np.int64), np.zeros(len(pairs), np.int64)
        for fold in able:
            rows = np.flatnonzero((folds == fold) | (folds < 0))  # of which it saw none
            if not rows.size:
                continue
            model = PairRegressor.from_directory(
                self._folder(fold), self.settings.max_tokens, device=self.device
            )
            said = model.predict([pairs[row] for row in rows.tolist()])
            sums[rows] += said.values
            counts[rows] += 1
            tokens[rows], read[rows] = said.tokens, said.read
        values = np.full(len(pairs), np.nan)
        np.divide(sums, counts, out=values, where=counts > 0)
        return Correctness(values, tokens, read)

    def _claim(
        self,
        dealt: Mapping[str, int],
        pairs: Mapping[int, Sequence[GradedPair]],
        able: Sequence[int],
    ) -> None:
        graded = {fold: [asdict(pair) for pair in pairs[fold]] for fold in sorted(pairs)}
        written = json.dumps([asdict(self.settings), graded, dict(dealt)], sort_keys=True)
        key = text_fingerprint(written)
        if self._mark.is_file():
            if json.loads(self._mark.read_text())["key"] != key:
                raise ValueError(
                    f"{self.directory} holds models of other pairs or settings; name another "
                    "directory, or remove it"
                )
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        # The folds are kept as they were dealt: rows that come later must not deal them again.
        partial = self._mark.with_suffix(".partial")
        partial.write_text(json.dumps({"key": key, "dealt": dict(dealt), "able": list(able)}))
        partial.replace(self._mark)

    @property
    def _mark(self) -> Path:
        return self.directory / "key.json"

    def _folder(self, fold: int) -> Path:
        return self.directory / f"fold-{fold}"
