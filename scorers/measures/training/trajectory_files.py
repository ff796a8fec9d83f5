"""What a run of trajectories leaves on disk, so that a killed one goes on and none starts twice.

    key.json            what the directory belongs to, and the steps to be recorded
    model-STEP/         the weights after STEP as a model folder, unless they are not to be kept
    losses-STEP.npy     (m,) float64, written when STEP is recorded
    state-STEP/         weights and optimizer after STEP; only the newest, none once all is recorded

Everything is written under a name with "partial" in it and renamed, in this order at each step: a
step whose losses are there has its model, and a state never lies ahead of the record.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scorers.arrays import Floats
from scorers.measures.quiet import quiet_transformers

if TYPE_CHECKING:
    from scorers.measures.models.language_model import HuggingFaceLanguageModel
    from scorers.measures.training.proxy_training import ProxyTrainer


@dataclass(frozen=True, slots=True)
class TrajectoryFiles:
    """The files of one run, for one proxy, one pool of m rows and one choice of settings."""

    directory: Path
    steps: Sequence[int]  # to be recorded, ascending
    keep_models: bool  # whether the weights of each step are kept

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
        partial.write_text(json.dumps({"key": key, "steps": list(self.steps)}))
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
        partial = self._losses(step).with_suffix(".partial.npy")  # NumPy adds .npy to other names
        np.save(partial, losses)
        partial.replace(self._losses(step))

    def save_state(self, trainer: ProxyTrainer) -> None:
        """Store what is needed to go on from here; older states are then of no more use."""
        newest = self._state(trainer.steps_taken)
        if not newest.is_dir():
            trainer.save(newest)
        self._remove_states(but=newest)

    def resume(self, trainer: ProxyTrainer) -> None:
        """Load the newest state with all that is wanted of it and of the steps before it.

        Where there is none the trainer stays at its beginning.
        """
        # A state may be newer than the record: losses of its step were lost, or removed.
        for step in sorted(self.steps, reverse=True):
            if self._state(step).is_dir() and self._recorded_up_to(step):
                trainer.load(self._state(step))
                return

    def keep_model(self, step: int, model: HuggingFaceLanguageModel) -> None:
        """Store the weights after a step as a model folder, in place of what a killed run left."""
        folder = model_folder(self.directory, step)
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        with quiet_transformers():
            model.model.save_pretrained(partial)
            model.tokenizer.save_pretrained(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)

    def remove_unfinished(self) -> None:
        """Free the disk of what only an unfinished run needs."""
        self._remove_states(but=None)
        for folder in self.directory.glob("model-*.partial"):
            shutil.rmtree(folder)

    def _recorded_up_to(self, step: int) -> bool:
        """Whether the losses of a step and all before are there, and the models if wanted."""
        steps = [each for each in self.steps if each <= step]
        models = [model_folder(self.directory, each).is_dir() for each in steps]
        losses = [self._losses(each).is_file() for each in steps]
        return all(losses) and (all(models) or not self.keep_models)

    def _remove_states(self, but: Path | None) -> None:
        for folder in self.directory.glob("state-*"):
            if folder != but:
                shutil.rmtree(folder)

    def _losses(self, step: int) -> Path:
        return self.directory / f"losses-{step:08d}.npy"

    def _state(self, step: int) -> Path:
        return self.directory / f"state-{step:08d}"


def model_folder(directory: Path, step: int) -> Path:
    """Where a run keeps the weights after a step."""
    return directory / f"model-{step:08d}"


def kept_models(directory: Path) -> dict[int, Path]:
    """Recorded step → model folder, ascending, of a finished run.

    Empty if one of them is missing, if the run is not finished, or had nothing to train on.
    """
    mark = directory / "key.json"
    if not mark.is_file():
        return {}
    steps = json.loads(mark.read_text()).get("steps", [])
    models = {step: model_folder(directory, step) for step in steps}
    # Somebody may have freed the disk: a folder without its configuration is no model.
    kept = all((folder / "config.json").is_file() for folder in models.values())
    finished = TrajectoryFiles(directory, steps, keep_models=True).complete()
    return models if kept and finished else {}
