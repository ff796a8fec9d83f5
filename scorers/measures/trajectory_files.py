"""What a run of trajectories leaves on disk, so that a killed one goes on and none starts twice.

    key.json            what the directory belongs to
    losses-STEP.npy     (m,) float64, written when STEP is recorded
    state-STEP/         weights and optimizer after STEP; only the newest, none once all is recorded
    model-STEP/         a model folder, if asked for

Everything is written under a name with "partial" in it and renamed. The losses of a step are there
before its state, so a state never lies ahead of the record.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scorers.measures.language_model import HuggingFaceLanguageModel
from scorers.measures.protocols import Floats
from scorers.measures.proxy_training import ProxyTrainer


@dataclass(frozen=True, slots=True)
class TrajectoryFiles:
    """The files of one run, for one proxy, one pool of m rows and one choice of settings."""

    directory: Path
    steps: Sequence[int]
    """To be recorded, ascending."""

    def claim(self, key: str) -> None:
        """Mark the directory as this run's, or check that it is.

        Raises:
            ValueError: if it is another's.
        """
        mark = self.directory / "key.json"
        if mark.is_file():
            if json.loads(mark.read_text())["key"] != key:
                raise ValueError(
                    f"{self.directory} holds trajectories of other rows, settings or another "
                    "proxy; name another directory, or remove it"
                )
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        partial = mark.with_suffix(".partial")
        partial.write_text(json.dumps({"key": key}))
        partial.replace(mark)

    def complete(self) -> bool:
        """Whether the losses of all steps are there."""
        return all(self._losses(step).is_file() for step in self.steps)

    def read_losses(self) -> Floats:
        """(m, steps) nats per token.

        Raises:
            FileNotFoundError: if a step is not recorded.
        """
        return np.stack([np.load(self._losses(step)) for step in self.steps], axis=1)

    def write_losses(self, step: int, losses: Floats) -> None:
        """Store the (m,) losses after a step."""
        partial = self._losses(step).with_suffix(".partial.npy")
        np.save(partial, losses)
        partial.replace(self._losses(step))

    def save_state(self, trainer: ProxyTrainer) -> None:
        """Store what is needed to go on from here; older states are then of no more use."""
        newest = self._state(trainer.steps_taken)
        if not newest.is_dir():
            trainer.save(newest)
        self._remove_states(but=newest)

    def resume(self, trainer: ProxyTrainer) -> None:
        """Load the newest state whose losses, and all before, are there; if none is, nothing."""
        for step in sorted(self.steps, reverse=True):
            earlier = TrajectoryFiles(self.directory, [each for each in self.steps if each <= step])
            if self._state(step).is_dir() and earlier.complete():
                trainer.load(self._state(step))
                return

    def keep_model(self, step: int, model: HuggingFaceLanguageModel) -> None:
        """Store the weights after a step as a model folder."""
        folder = self.directory / f"model-{step:08d}"
        partial = folder.with_name(f"{folder.name}.partial")
        if not folder.is_dir():
            model.model.save_pretrained(partial)
            model.tokenizer.save_pretrained(partial)
            partial.rename(folder)

    def remove_states(self) -> None:
        """Free the disk of what only an unfinished run needs."""
        self._remove_states(but=None)

    def _remove_states(self, but: Path | None) -> None:
        for folder in self.directory.glob("state-*"):
            if folder != but:
                shutil.rmtree(folder)

    def _losses(self, step: int) -> Path:
        return self.directory / f"losses-{step:08d}.npy"

    def _state(self, step: int) -> Path:
        return self.directory / f"state-{step:08d}"
