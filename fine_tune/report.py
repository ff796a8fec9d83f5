"""What a training left behind: report.json, written last, and training.json, written first.

training.json says which training a folder belongs to, so that a killed one is gone on with and
another one is refused. report.json says that it is done. Neither holds a time or a path: a training
that was killed and resumed leaves the same bytes as one that was not.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict
from pydantic.dataclasses import dataclass

from fine_tune.files import write_whole
from fine_tune.settings import TrainSettings
from storage.conversations import content_hash
from storage.exports_manifest import SplitCounts

OnStep: TypeAlias = Callable[[int, int, float], None]
"""Called after each optimizer step with the step, all steps, and the loss in nats per token."""

TRAINING_FILE = "training.json"
REPORT_FILE = "report.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Training(_Frozen):
    """What makes a training this one and no other."""

    export_id: str
    model_fingerprint: str
    settings: TrainSettings

    @property
    def key(self) -> str:
        """Hash of export, model and settings."""
        return content_hash(self.model_dump(mode="json"))


@dataclass(frozen=True, slots=True)
class HeldOutLoss:
    """The loss over the response tokens of some rows."""

    nats_per_token: float
    tokens: int
    rows: int


class TrainReport(_Frozen):
    """What was trained, and what came of it."""

    report_version: Literal[1] = 1
    key: str
    training: Training
    train: SplitCounts  # rows and tokens the trainer held, equal to what the export promises
    steps: int  # optimizer steps
    losses: tuple[float, ...]
    """Training loss of each step, nats per response token of its batch, before the step."""
    heldout_before: HeldOutLoss | None
    """On the validation split, without the adapter; None where the export has none."""
    heldout_after: HeldOutLoss | None
    heldout_note: str  # "" or why there is no held-out loss
    method_notes: tuple[str, ...] = ()
    """What each method did of which there is something to say."""
    precision: Literal["float32", "bfloat16"]
    libraries: Mapping[str, str]


class OtherTrainingError(ValueError):
    """The folder belongs to another training."""

    exit_code: ClassVar[int] = 2


def claim_folder(output: Path, training: Training) -> None:
    """Make a folder this training's own, or find that it is already.

    Raises:
        OtherTrainingError: if it belongs to another training, or to something else; the message
            says what differs. Nothing is changed then.
    """
    path = output / TRAINING_FILE
    if path.is_file():
        found = Training.model_validate_json(path.read_bytes())
        if found != training:
            raise OtherTrainingError(
                f"{output} belongs to another training, which differs in "
                f"{', '.join(training_differences(found, training))}; choose another folder"
            )
        return
    # A hidden file may be ours, cut short before it was renamed.
    if output.is_dir() and any(not item.name.startswith(".") for item in output.iterdir()):
        raise OtherTrainingError(f"{output} is not empty and holds no training of ours")
    output.mkdir(parents=True, exist_ok=True)
    write_whole(path, _text(training))


def read_train_report(output: Path) -> TrainReport | None:
    """The report of a finished training, or None where there is none yet."""
    path = output / REPORT_FILE
    return TrainReport.model_validate_json(path.read_bytes()) if path.is_file() else None


def write_train_report(output: Path, report: TrainReport) -> None:
    """Write the report; from here on the training is done."""
    write_whole(output / REPORT_FILE, _text(report))


def _text(model: BaseModel) -> bytes:
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(model.model_dump(mode="json"), option=options)


def training_differences(found: Training, wanted: Training) -> list[str]:
    """In what one training differs from another: the names of what, and both values of settings."""
    names = ("export_id", "model_fingerprint")
    pairs = {
        f"settings.{name}": (getattr(found.settings, name), getattr(wanted.settings, name))
        for name in TrainSettings.model_fields
    }
    return [name for name in names if getattr(found, name) != getattr(wanted, name)] + [
        f"{name} ({was!r}, not {new!r})" for name, (was, new) in pairs.items() if was != new
    ]
