"""Verify a handoff: the trainer's own code reads it, and every row is compared with the prediction.

What runs is the trainer's loading, converting and tokenising, in an environment with its versions
(environment.py) and by a script of readers/. Rows are compared by the hash of their ids and labels,
whatever their order: some trainers shuffle what they load.
"""

import json
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, TypeAlias

import orjson

from pipeline.handoff.catalogue import TRAINERS
from pipeline.handoff.manifest import HandoffManifest, read_handoff
from pipeline.handoff.prediction import TrainedRow
from pipeline.handoff.trainer import TOKENIZER_FOLDER, Trainer
from pipeline.handoff.write import PREDICTION_FILE, HandoffError
from pipeline.serving.own_environment import clean_variables, last_line
from pipeline.serving.process_groups import running
from storage.exports_manifest import SPLITS, Split, hash_file

READERS = Path(__file__).parent / "readers"
STAND_IN = "model"
"""Folder of what readers take for the model: the tokenizer, and the configuration of a tiny one."""
POSITIONS = 2**20  # of the stand-in: no row is longer than its model

Hashed: TypeAlias = tuple[Split, str]
"""A split, and the hash of a row's ids and labels."""


class TrainerFailedError(RuntimeError):
    """A trainer's own code ended with an error on a handoff; the message has its last line."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class TrainerCode:
    """What runs a trainer's own code."""

    python: Path
    """An interpreter that has it."""
    checkout: Path | None = None
    """A checkout of its code, for a trainer that is installed nowhere."""
    any_version: bool = False
    """Whether another version than the one that was tried will do."""


@dataclass(frozen=True, slots=True)
class VerifiedSplit:
    """Rows of a split as predicted, beside those that the trainer holds."""

    split: Split
    predicted: int
    held: int
    missing: tuple[str, ...]
    """Ids of rows that it holds otherwise, or not at all."""

    @property
    def unexpected(self) -> int:
        """How many rows it holds that were not predicted."""
        return self.held - (self.predicted - len(self.missing))


def compare_handoff(folder: Path, own: TrainerCode) -> list[VerifiedSplit]:
    """Have the trainer's own code read a handoff, and compare each row with its prediction.

    Raises:
        FileNotFoundError: if the folder is no handoff.
        HandoffError: if its files were changed, it has no rows, or the trainer is another version.
        TrainerFailedError: if the trainer's code fails on it.
    """
    manifest = read_handoff(folder)
    trainer = trainer_of(folder, manifest)
    _require_unchanged(folder, manifest)
    _require_version(trainer, own)
    kept: dict[Split, list[tuple[str, str]]] = defaultdict(list)  # hash and id of each row
    for line in (folder / PREDICTION_FILE).read_bytes().splitlines():
        row = orjson.loads(line)
        if row["outcome"] == "kept":
            kept[row["split"]].append((row["sha256"], row["row_id"]))
    held = Counter(read_held_rows(folder, manifest.files, trainer, own))
    verified = []
    for split in SPLITS:
        if not kept[split] and not any(name == split for name, _ in held):
            continue
        total = sum(count for (name, _), count in held.items() if name == split)
        missing = []
        for sha256, row_id in kept[split]:
            if held[split, sha256]:
                held[split, sha256] -= 1
            else:
                missing.append(row_id)
        verified.append(VerifiedSplit(split, len(kept[split]), total, tuple(missing)))
    return verified


def trainer_of(folder: Path, manifest: HandoffManifest) -> Trainer:
    """The trainer that a handoff is for.

    Raises:
        HandoffError: if this version does not know it, or the handoff has no rows.
    """
    trainer = TRAINERS.get(manifest.trainer)
    if trainer is None:
        raise HandoffError(f"{folder} is for {manifest.trainer}, which this version does not know")
    if not manifest.complete:
        raise HandoffError(f"{folder} holds no rows, only the list of those that would be lost")
    return trainer


def _require_unchanged(folder: Path, manifest: HandoffManifest) -> None:
    """Refuse other rows than were written; what configures a training is the user's to change."""
    for name, sha256 in manifest.files.items():
        if name != PREDICTION_FILE and name.partition("/")[0] not in ("data", TOKENIZER_FOLDER):
            continue
        path = folder / name
        if not path.is_file() or hash_file(path) != sha256:
            raise HandoffError(f"{path} is not as it was written; hand over again")


def _require_version(trainer: Trainer, own: TrainerCode) -> None:
    """Refuse another version of a trainer than the one that was tried, unless any will do."""
    require_source(trainer, own.checkout)
    if own.any_version:
        return
    if own.checkout is not None:
        _require_commit(trainer, own.checkout)
        return
    code = f"import importlib.metadata as m; print(m.version({trainer.distribution!r}))"
    asked = subprocess.run(
        [own.python, "-c", code], env=clean_variables(), capture_output=True, text=True
    )
    found = asked.stdout.strip()
    if asked.returncode or found != trainer.version:
        raise HandoffError(
            f"{own.python} has {trainer.name} {found or 'not installed'}; predictions are for "
            f"{trainer.version}. --any-version compares all the same"
        )


def require_source(trainer: Trainer, checkout: Path | None) -> None:
    """Refuse a checkout of a trainer that is installed, and none of one that is not.

    Raises:
        HandoffError: saying which it is.
    """
    if trainer.found == "checkout" and checkout is None:
        raise HandoffError(
            f"{trainer.name} is on no package index: name a checkout of its code with --checkout"
        )
    if trainer.found != "checkout" and checkout is not None:
        raise HandoffError(f"{trainer.name} is installed, not checked out: leave --checkout out")


def _require_commit(trainer: Trainer, checkout: Path) -> None:
    """Refuse a checkout of another commit than was tried."""
    asked = subprocess.run(
        ["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True
    )
    found = asked.stdout.strip()
    if not found.startswith(trainer.version):
        raise HandoffError(
            f"{checkout} is {trainer.name} at {found[:7] or 'no commit'}; predictions are for "
            f"{trainer.version}. --any-version compares all the same"
        )


def read_held_rows(
    folder: Path, files: Iterable[str], trainer: Trainer, own: TrainerCode
) -> Iterator[Hashed]:
    """What the trainer's own code makes of the rows of a handoff with these files, in its order.

    Raises:
        TrainerFailedError: if it fails.
    """
    script = READERS / f"read_{trainer.name.replace('-', '_')}.py"
    with _working_copy(folder, files) as work:
        out, log = work.parent / "rows.jsonl", work.parent / "log.txt"
        variables = {
            **clean_variables(),
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(work.parent / "cache"),
            "CUDA_VISIBLE_DEVICES": "",
            "TOKENIZERS_PARALLELISM": "false",
        }
        if own.checkout is not None:
            variables["PYTHONPATH"] = str(own.checkout.resolve())
        command = [str(own.python), str(script), str(work), str(out)]
        with running(command, variables, log) as process:
            code = process.wait()
        if code:
            kept_log = folder.parent / f"{folder.name}.verify.log"
            shutil.copyfile(log, kept_log)
            raise TrainerFailedError(
                f"{trainer.name} cannot read {folder}: {last_line(log)}. All it said is in "
                f"{kept_log}"
            )
        with out.open("rb") as lines:
            for line in lines:
                row = orjson.loads(line)
                yield row["split"], TrainedRow(row["input_ids"], row["labels"]).sha256()


@contextmanager
def _working_copy(folder: Path, files: Iterable[str]) -> Iterator[Path]:
    """A folder with links to the files of a handoff, and none to what a training made of them."""
    with TemporaryDirectory(prefix="sluice-handoff-") as place:
        work = Path(place) / "handoff"
        work.mkdir()
        for name in files:
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).symlink_to((folder / name).resolve())
        shutil.copytree(folder / TOKENIZER_FOLDER, work / STAND_IN)
        config = {
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_attention_heads": 1,
            "num_hidden_layers": 1,
            "vocab_size": 64,
            "max_position_embeddings": POSITIONS,
        }
        (work / STAND_IN / "config.json").write_text(json.dumps(config), encoding="utf-8")
        yield work
