"""Write a handoff: a folder with an export's rows in a trainer's dialect, and all that starts it.

    data/train.jsonl or .parquet   the rows that the trainer holds as promised, and no others
    prediction.jsonl               what it will make of every row of the export
    not_representable.jsonl        the rows that it would lose or train otherwise, and why
    tokenizer/                     the tokenizer, with the chat template that was counted in
    README.md, and the trainer's own files
    handoff.json                   what this folder is: the last file that is written

Where a row would be lost the folder holds the two lists alone, unless that is allowed. It is
written under another name and renamed, so that it exists only whole; the same handoff written twice
gives the same bytes.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.handoff.manifest import HANDOFF_FILE, HandoffManifest, LostRows, read_handoff
from pipeline.handoff.prediction import RowPrediction, UnheldRowError, keep, lose
from pipeline.handoff.promises import PromisedRow, read_promises
from pipeline.handoff.readme import write_readme
from pipeline.handoff.trainer import (
    TOKENIZER_FOLDER,
    Dialect,
    Form,
    HandoffFacts,
    Trainer,
    make_target,
)
from pipeline.progress import Report, tell_nobody
from scorers.measures.models.language_model import read_tokenizer
from scorers.measures.reading.chat_format import template_fingerprint
from storage.error_notes import partial_folder
from storage.exports_check import verify_export
from storage.exports_manifest import (
    SPLITS,
    ExportManifest,
    Split,
    SplitCounts,
    hash_file,
    read_manifest,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PREDICTION_FILE = "prediction.jsonl"
LOST_FILE = "not_representable.jsonl"
ROWS_PER_GROUP = 1_000


class HandoffError(ValueError):
    """An export cannot be handed over as it was asked; the message says what to do."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be handed over, to whom, and how."""

    export: Path
    trainer: Trainer
    form: Form
    tokenizer: Path
    """Folder of the trained model, with the chat template that tokens were counted in."""
    model: str
    """What the trainer's files name as the model to be trained."""
    allow_lost: bool
    """Whether rows that the trainer cannot hold are left out; else nothing is handed over."""


def write_handoff(wish: Wish, out: Path, report: Report = tell_nobody) -> HandoffManifest:
    """Write a handoff, or the lists of what would be lost.

    Args:
        wish: what is handed over.
        out: the handoff's own folder; one that holds a handoff is replaced.
        report: told how many rows were read.

    Returns:
        What was written; its `complete` says whether the rows were.

    Raises:
        FileNotFoundError: if the export's folder is not a finished export.
        HandoffError: if the export is damaged, was counted in another template, or the folder
            holds something else.
        ValueError: if a row has other tokens than the export says.
    """
    manifest = read_manifest(wish.export)
    _require_whole(wish.export, manifest)
    there = _replaceable(out)
    tokenizer = read_tokenizer(wish.tokenizer)
    _require_template(manifest, tokenizer)
    with partial_folder(out) as partial:
        (partial / "data").mkdir()
        written = _Writing(wish, manifest, tokenizer, partial, report).write()
        if there is not None and there.complete and not written.complete:
            raise HandoffError(
                f"{written.lost_rows} of {written.rows} rows would be lost: "
                f"{written.lost[0].reason}. {out} holds an earlier handoff, and is left as it is; "
                "name another folder with --out to see them all"
            )
        if there is not None:
            shutil.rmtree(out)
        partial.rename(out)
    return written


def _require_whole(export: Path, manifest: ExportManifest) -> None:
    if problems := verify_export(export):
        raise HandoffError(f"{export} is not whole: {'; '.join(map(str, problems))}; export again")
    if manifest.model.template != "chat":
        raise HandoffError(
            f"the export counts tokens in template {manifest.model.template!r}, which no trainer "
            "knows; measure and export with template 'chat'"
        )


def _replaceable(out: Path) -> HandoffManifest | None:
    """The handoff that a folder holds, with nothing else beside it; None where there is none."""
    if not out.exists():
        return None
    try:
        there = read_handoff(out)
    except (FileNotFoundError, ValueError) as error:
        raise HandoffError(
            f"{out} is there and holds no handoff; move it away or name another with --out"
        ) from error
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    if more := sorted(found - {*there.files, HANDOFF_FILE}):
        raise HandoffError(
            f"{out} holds more than the handoff, {more[0]} among it, as a training leaves it; move "
            "it away or name another folder with --out"
        )
    return there


def _require_template(manifest: ExportManifest, tokenizer: "PreTrainedTokenizerBase") -> None:
    if template_fingerprint(tokenizer, "chat") != manifest.model.template_fingerprint:
        raise HandoffError(
            "the model's chat template is not the one that the export's tokens were counted in "
            f"({manifest.model.reference}); name that model with --model, wherever it lies now, or "
            "export with its template as the recipe's `chat_template`"
        )


@dataclass(slots=True)
class _Writing:
    """A handoff as it is written."""

    wish: Wish
    manifest: ExportManifest
    tokenizer: "PreTrainedTokenizerBase"
    folder: Path
    report: Report
    counts: dict[Split, SplitCounts] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    longest: int = 0
    stops: Counter[str] = field(default_factory=Counter)

    def write(self) -> HandoffManifest:
        """Write all files; the rows only where none is lost, or that is allowed."""
        joined = self._is_joined()
        target = make_target(self.tokenizer, last_only=not joined)
        dialect = self.wish.trainer.forms[self.wish.form].make(target)
        suffix = ".jsonl" if dialect.schema is None else ".parquet"
        with ExitStack() as opened:
            predictions = opened.enter_context((self.folder / PREDICTION_FILE).open("wb"))
            losses = opened.enter_context((self.folder / LOST_FILE).open("wb"))
            for split in self._splits():
                path = self.folder / "data" / f"{split}{suffix}"
                with RowWriter(path, dialect.schema) as rows:
                    for row in self._promises(split, joined=joined):
                        prediction = self._hold(row, dialect, rows)
                        predictions.write(_line(asdict(prediction)))
                        if prediction.outcome != "kept":
                            losses.write(_line(asdict(prediction)))
                            continue
                        if (stop := target.stop_token(row)) is not None:
                            self.stops[stop] += 1
        complete = bool(self.counts.get("train")) and (self.wish.allow_lost or not self.lost)
        if complete:
            facts = HandoffFacts(
                manifest=self.manifest,
                model=self.wish.model,
                model_type=read_model_type(self.wish.tokenizer),
                counts=self.counts,
                longest=self.longest,
                stop_tokens=[stop for stop, _ in self.stops.most_common()],
                last_only=target.last_only,
                suffix=suffix,
            )
            self._configure(dialect, facts)
        else:
            shutil.rmtree(self.folder / "data")
        return self._describe(complete=complete)

    def _splits(self) -> list[Split]:
        return [split for split in SPLITS if self.manifest.counts(split).rows]

    def _promises(self, split: Split, *, joined: bool) -> Iterator[PromisedRow]:
        return read_promises(self.wish.export, self.manifest, split, self.tokenizer, joined=joined)

    def _is_joined(self) -> bool:
        """Whether turns are trained within one row: where the trainer can be told which."""
        masks = self.wish.trainer.forms[self.wish.form].masks
        if masks in ("each", "all"):
            return True
        if masks == "last":
            return False
        # All turns of every row, or the last of every row: all, if that is what was promised.
        rows = (row for split in self._splits() for row in self._promises(split, joined=True))
        return all(row.all_trained for row in rows)

    def _hold(self, row: PromisedRow, dialect: Dialect, rows: "RowWriter") -> RowPrediction:
        try:
            held = dialect.hold(row)
            prediction = keep(row, held.trained, held.columns)
        except UnheldRowError as error:
            self.lost[f"{error.outcome}: {error}"] += 1
            return lose(row, error)
        rows.write(held.line)
        self.longest = max(self.longest, prediction.tokens)
        before = self.counts.get(row.split, SplitCounts())
        self.counts[row.split] = SplitCounts(
            rows=before.rows + 1,
            prompt_tokens=before.prompt_tokens + prediction.tokens - prediction.loss_tokens,
            loss_tokens=before.loss_tokens + prediction.loss_tokens,
        )
        self.report("handoff: rows", sum(each.rows for each in self.counts.values()), None)
        return prediction

    def _configure(self, dialect: Dialect, facts: HandoffFacts) -> None:
        for name, text in dialect.configure(facts).items():
            (self.folder / name).write_text(text, encoding="utf-8", newline="\n")
        self.tokenizer.save_pretrained(str(self.folder / TOKENIZER_FOLDER))
        readme = write_readme(self.wish.trainer, dialect.command, facts, self.lost)
        (self.folder / "README.md").write_text(readme, encoding="utf-8", newline="\n")

    def _describe(self, *, complete: bool) -> HandoffManifest:
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        described = HandoffManifest(
            export_id=self.manifest.export_id,
            trainer=self.wish.trainer.name,
            version=self.wish.trainer.version,
            form=self.wish.form,
            complete=complete,
            rows=sum(self.lost.values()) + sum(each.rows for each in self.counts.values()),
            counts=self.counts if complete else {},
            lost=tuple(LostRows(reason=why, rows=n) for why, n in self.lost.most_common()),
            files={path.relative_to(self.folder).as_posix(): hash_file(path) for path in files},
        )
        text = json.dumps(described.model_dump(mode="json"), indent=2)
        (self.folder / HANDOFF_FILE).write_text(text + "\n", encoding="utf-8")
        return described


def read_model_type(folder: Path) -> str | None:
    """What a model's configuration calls its kind; None where it does not say."""
    path = folder / "config.json"
    kind = orjson.loads(path.read_bytes()).get("model_type") if path.is_file() else None
    return kind if isinstance(kind, str) else None


class RowWriter:
    """Writes rows as JSON lines, or as Parquet of a schema; used as a context manager."""

    def __init__(self, path: Path, schema: pa.Schema | None) -> None:
        self._path = path
        self._schema = schema
        self._pending: list[Mapping[str, object]] = []
        self._parquet: pq.ParquetWriter | None = None
        self._lines = path.open("wb") if schema is None else None

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self._flush()
        for file in (self._parquet, self._lines):
            if file is not None:
                file.close()
        if kind is None and self._path.exists() and not self._path.stat().st_size:
            self._path.unlink()  # a split without rows leaves no file

    def write(self, row: Mapping[str, object]) -> None:
        """Add a row."""
        if self._lines is not None:
            self._lines.write(_line(row))
            return
        self._pending.append(row)
        if len(self._pending) == ROWS_PER_GROUP:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        if self._parquet is None:
            self._parquet = pq.ParquetWriter(self._path, self._schema, compression="zstd")
        self._parquet.write_table(pa.Table.from_pylist(self._pending, schema=self._schema))
        self._pending.clear()


def _line(row: Mapping[str, object]) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
