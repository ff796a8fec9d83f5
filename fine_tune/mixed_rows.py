"""The rows of several exports as one training's, each as its own export promises it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from datasets import Dataset, Features, List, Value, concatenate_datasets

from fine_tune.balance import weighted_rows
from fine_tune.collate import LOSS_WEIGHTS, PAIR_COLUMNS
from fine_tune.files import CACHE_FOLDER
from fine_tune.mixed_export import OWN, MixedExport
from fine_tune.mixture import draw_places, find_export
from fine_tune.prepared_rows import (
    TokenCount,
    load_split,
    load_trained,
    promised_counts,
    rendered_rows,
    trained_rows,
)
from fine_tune.rejected_rows import rows_of_methods
from fine_tune.row_checks import require_scores, require_trainable
from fine_tune.settings import TrainSettings
from fine_tune.trainer import load_chat_tokenizer, prepare_without_model
from fine_tune.verify_tokens import SplitRows, compare_labels, require_promised
from storage.exports_manifest import SCORE_PREFIX, read_manifest


def mix_rows(
    own: Dataset, export: Path, model: Path, output: Path, settings: TrainSettings
) -> Dataset:
    """Draw the rows of each export that a training mixes, and put them together.

    Args:
        own: rows of its own export, compared and weighed.
        export: its folder; others are found beside it.
        model: folder of the tokenizer.
        output: of the training.
        settings: of the training.

    Raises:
        TokenMismatchError: if the trainer would drop or cut a row, or train another token of it.
        ValueError: as of the own export.
    """
    parts = [
        own if each.export == OWN else prepared_part(each, export, model, output, settings)
        for each in settings.mix
    ]
    drawn = [
        rows.select(draw_places(rows["example_id"], each, settings.seed))
        for each, rows in zip(settings.mix, parts, strict=True)
    ]
    weighed = any(LOSS_WEIGHTS in rows.column_names for rows in drawn)
    scores = settings.scores()
    return concatenate_datasets([one_kind(rows, scores, weighed=weighed) for rows in drawn])


def rows_looked_at(
    export: Path, model: Path, output: Path, settings: TrainSettings
) -> dict[MixedExport, Dataset]:
    """Draw the rows of each export that methods look at, not weighed by any; see mix_rows."""
    plain = settings.model_copy(update={"methods": (), "balance": None})
    found = {}
    for named in (each for method in settings.methods for each in method.looks_at().values()):
        rows = prepared_part(named, export, model, output, plain)
        found[named] = rows.select(draw_places(rows["example_id"], named, settings.seed))
    return found


def prepared_part(
    mixed: MixedExport,
    export: Path,
    model: Path,
    output: Path,
    settings: TrainSettings,
) -> Dataset:
    """The rows of another export as a trainer holds them, compared and weighed as the own ones."""
    folder = find_export(mixed.export, export.resolve().parent)
    manifest, tokenizer = read_manifest(folder), load_chat_tokenizer(model)
    require_trainable(folder, manifest)
    cache = output / CACHE_FOLDER / manifest.export_id  # one for each export
    if manifest.pretokenized:
        compare_labels(folder, model, settings.max_length)
    given = load_trained(manifest, folder, "train", cache)
    require_scores(given, settings.scores())
    prepared = prepare_without_model(weighted_rows(given, balance=None), model, settings.max_length)
    promised = trained_rows(given) if manifest.pretokenized else rendered_rows(given, tokenizer)
    compared = SplitRows("train", promised, promised_counts(given), prepared)
    require_promised([compared], {"train": manifest.trained()["train"]})
    conversations = load_split(folder, "train", cache)
    rows, _ = rows_of_methods(prepared, conversations, settings, tokenizer)
    return rows


def one_kind(rows: Dataset, scores: Sequence[str], *, weighed: bool) -> Dataset:
    """Rows with the columns that a training reads, the same for each export."""
    numbers = List(Value("int64"))
    features = {"example_id": Value("string"), "input_ids": numbers, "labels": numbers}
    features |= {f"{SCORE_PREFIX}{name}": Value("float64") for name in scores}
    beside = [name for name in PAIR_COLUMNS if name in rows.column_names]
    features |= dict.fromkeys(beside, numbers)
    kept = rows.select_columns(list(features))
    if weighed:
        given = rows[LOSS_WEIGHTS] if LOSS_WEIGHTS in rows.column_names else [[1.0]] * len(rows)
        # One weight may stand for all tokens of its row.
        weights = [
            list(ws) * (1 if len(ws) == len(ids) else len(ids))
            for ws, ids in zip(given, rows["input_ids"], strict=True)
        ]
        kept = kept.add_column(LOSS_WEIGHTS, weights)
        features[LOSS_WEIGHTS] = List(Value("float32"))
    return kept.cast(Features(features))


def counts_of_rows(rows: Dataset) -> list[TokenCount]:
    """What a training holds of each prepared row."""
    return [row.count() for row in trained_rows(rows)]
