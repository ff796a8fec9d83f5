"""Write a selection as a folder that a trainer loads as it is.

    data/train-00000-of-00001.parquet    rows for `datasets.load_dataset(folder)` and TRL
    data/validation-00000-of-00001.parquet
    tokens/train-00000-of-00001.parquet  the same as token ids, where they are asked for
    preferences/train-00000-of-00001.parquet   those with a rejected answer, as TRL has pairs
    train.jsonl, validation.jsonl        the same rows, for everything else
    README.md                            the dataset card
    recipe.json                          the recipe that chose them
    chat_template.jinja                  the chat template, where the recipe names one
    manifest.json                        counts and hashes of all that

The folder is written under another name, counted and hashed again from disk, and renamed: it exists
only whole. The same rows written twice give the same bytes, and the second time changes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import ClassVar

import orjson
import pyarrow.parquet as pq

from pipeline.export.dataset_card import ExportFacts, WrittenCounts, write_card
from pipeline.export.preferences import PreferenceWriter
from pipeline.export.pretokenized import Pretokenize, TokenWriter
from pipeline.export.rows import ExportRow, check_row
from pipeline.export.shards import SplitWriter
from scorers.measures.models.model_cache import TEMPLATE_FILE
from storage.error_notes import partial_folder
from storage.exports_check import verify_export
from storage.exports_manifest import (
    DATA_FOLDER,
    MANIFEST_FILE,
    SPLITS,
    ExportedFile,
    ExportManifest,
    SourceCounts,
    Split,
    SplitCounts,
    export_identity,
    hash_file,
    manifest_text,
    read_manifest,
)

LIBRARIES = ("datasets", "orjson", "pyarrow", "tokenizers", "transformers", "trl")


class ExportExistsError(FileExistsError):
    """The folder holds another export, or a damaged one; nothing was overwritten."""

    exit_code: ClassVar[int] = 3


def write_export(
    directory: Path,
    rows: Iterable[ExportRow],
    facts: ExportFacts,
    pretokenize: Pretokenize | None = None,
) -> ExportManifest:
    """Write an export, or find that it is there already.

    Args:
        directory: the export's own folder, which is made.
        rows: in the order of their ranks within each split, those of an example one behind the
            other; read once.
        facts: what the rows do not say of themselves.
        pretokenize: makes token ids of the rows of an example; None: the export has none.

    Returns:
        The manifest on disk: of an earlier run, where that wrote the same export.

    Raises:
        ExportExistsError: if the folder holds something else, or the same export, damaged.
        ValueError: if a row cannot be trained as it is, is longer than `facts.max_length`, or
            stands in the export twice; the message names it. Also if there is no row to train.
    """
    with partial_folder(directory) as partial:
        (partial / DATA_FOLDER).mkdir()
        manifest = _write_whole(partial, rows, facts, pretokenize)
        if directory.exists():  # looked at last: the id is known once all is written
            return _same_export(directory, manifest)
        partial.rename(directory)
    return manifest


def _write_whole(
    partial: Path,
    rows: Iterable[ExportRow],
    facts: ExportFacts,
    pretokenize: Pretokenize | None,
) -> ExportManifest:
    counts = _write_rows(partial, rows, facts, pretokenize)
    if "train" not in counts.splits:
        raise ValueError("an export needs at least one row to train on, got none")
    recipe = orjson.dumps(facts.recipe, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    (partial / "recipe.json").write_bytes(recipe)
    if facts.chat_template is not None:
        (partial / TEMPLATE_FILE).write_text(facts.chat_template, encoding="utf-8", newline="")
    (partial / "README.md").write_text(write_card(facts, counts), encoding="utf-8", newline="\n")
    manifest = _describe(partial, facts, counts)
    (partial / MANIFEST_FILE).write_bytes(manifest_text(manifest))
    if problems := verify_export(partial):
        raise ValueError(f"the export was not written: {'; '.join(map(str, problems))}")
    return manifest


def _same_export(directory: Path, manifest: ExportManifest) -> ExportManifest:
    """The manifest already there, if it is of the same export and holds."""
    try:
        existing = read_manifest(directory)
    except (FileNotFoundError, ValueError) as error:
        raise ExportExistsError(f"{error}; move it away or choose another folder") from error
    if existing.export_id != manifest.export_id:
        raise ExportExistsError(
            f"{directory} holds export {existing.export_id}, not {manifest.export_id}; "
            "move it away or choose another folder"
        )
    if problems := verify_export(directory):
        raise ExportExistsError(
            f"{directory} holds this export, but damaged ({'; '.join(map(str, problems))}); "
            "move it away and run again"
        )
    return existing


def _describe(partial: Path, facts: ExportFacts, counts: WrittenCounts) -> ExportManifest:
    # The manifest is not among the files yet, and its id is a hash of all else in it.
    libraries = facts.libraries or {name: version(name) for name in LIBRARIES}
    files = sorted(path for path in partial.rglob("*") if path.is_file())
    manifest = ExportManifest(
        export_id="",
        name=facts.name,
        selection_id=facts.selection_id,
        run_id=facts.run_id,
        parent=facts.parent,
        recipe_hash=facts.recipe_hash,
        seed=facts.seed,
        model=facts.model,
        max_length=facts.max_length,
        splits=counts.splits,
        pretokenized=counts.pretokenized,
        rejected=counts.rejected,
        template_faults=facts.template_faults,
        sources=tuple(counts.sources),
        files=tuple(_describe_file(partial, path, counts.splits) for path in files),
        libraries=libraries,
    )
    return manifest.model_copy(update={"export_id": export_identity(manifest)})


def _describe_file(partial: Path, path: Path, splits: Mapping[Split, SplitCounts]) -> ExportedFile:
    rows: int | None = None
    if path.suffix == ".parquet":
        rows = pq.read_metadata(path).num_rows
    elif path.suffix == ".jsonl":
        rows = {f"{name}.jsonl": split.rows for name, split in splits.items()}[path.name]
    return ExportedFile(
        path=path.relative_to(partial).as_posix(),
        sha256=hash_file(path),
        bytes=path.stat().st_size,
        rows=rows,
    )


def _write_rows(
    partial: Path,
    rows: Iterable[ExportRow],
    facts: ExportFacts,
    pretokenize: Pretokenize | None,
) -> WrittenCounts:
    sources: Counter[tuple[str, str | None]] = Counter()
    with ExitStack() as opened:
        enter, scores = opened.enter_context, facts.scores
        beside = bool(facts.rejected)
        writers = {
            split: enter(SplitWriter(partial, split, scores, rejected=beside)) for split in SPLITS
        }
        pairs = {split: enter(PreferenceWriter(partial, split)) for split in SPLITS}
        tokens = {split: enter(TokenWriter(partial, split, scores)) for split in SPLITS}
        for (split, _), turns in groupby(rows, key=lambda row: (row.split, row.rank)):
            of_example = list(turns)
            for row in of_example:
                check_row(row, facts.max_length)
                writers[split].write(row)
                pairs[split].write(row)
                sources[row.source, row.license] += 1
            for ids in pretokenize(of_example) if pretokenize else ():
                tokens[split].write(ids)
    written = {split: writer for split, writer in writers.items() if writer.counts.rows}
    # None and a text do not compare, so a licence that is not stated sorts as "".
    ordered = sorted(sources.items(), key=lambda item: (item[0][0], item[0][1] or ""))
    return WrittenCounts(
        splits={split: writer.counts for split, writer in written.items()},
        pretokenized={s: writer.counts for s, writer in tokens.items() if writer.counts.rows},
        rejected={split: each.rejected for split, each in written.items() if each.rejected.rows},
        sources=[
            SourceCounts(source=source, license=stated, rows=count)
            for (source, stated), count in ordered
        ],
        arrow_bytes={split: writer.arrow_bytes for split, writer in written.items()},
        parquet_bytes=sum(writer.shards.bytes for writer in written.values()),
    )
