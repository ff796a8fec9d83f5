"""Token ids counted again; files, rows and sources are in test_exports_manifest.py."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.exports_check import recount_tokens
from storage.exports_manifest import ExportedFile, ExportManifest
from tests.some_model import SOME_MODEL

ROWS: list[dict[str, Any]] = [
    {
        "turns": [1, 3],
        "input_ids": [7, 8, 9, 4],
        "labels": [-100, 8, -100, 4],
        "loss_weights": [0.0, 1.0, 0.0, 0.5],
    },
    {"turns": [1], "input_ids": [5, 6], "labels": [-100, 6], "loss_weights": [0.0, 1.0]},
]


def manifest_of(folder: Path, *shards: list[dict[str, Any]]) -> ExportManifest:
    """A manifest that names shards of token ids, which are written."""
    (folder / "tokens").mkdir()
    names = [f"tokens/train-{number:05d}.parquet" for number in range(len(shards))]
    for name, rows in zip(names, shards, strict=True):
        pq.write_table(pa.Table.from_pylist(rows), folder / name)
    return ExportManifest(
        export_id="",
        name="n",
        selection_id="s",
        run_id="r",
        parent=None,
        recipe_hash="h",
        seed=0,
        model=SOME_MODEL,
        max_length=None,
        splits={},
        sources=(),
        files=tuple(ExportedFile(path=name, sha256="", bytes=0, rows=1) for name in names),
        libraries={},
    )


def test_rows_turns_and_labels_of_all_shards_are_counted(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path, ROWS, ROWS[:1])
    assert recount_tokens(tmp_path, manifest, "train") == (3, 5, 5)
    assert recount_tokens(tmp_path, manifest, "validation") == (0, 0, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": [-100, 8, -100, 5]}, "a label is another token"),
        ({"labels": [-100, 8, -100]}, "not a label and a weight for each"),
        ({"loss_weights": [0.0, 1.0, 0.0]}, "not a label and a weight for each"),
    ],
)
def test_labels_and_weights_have_to_fit_the_tokens(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    manifest = manifest_of(tmp_path, [ROWS[1], {**ROWS[0], **change}])
    with pytest.raises(ValueError, match=said):
        recount_tokens(tmp_path, manifest, "train")


def test_a_row_whose_label_moved_to_its_neighbour_is_told_apart(tmp_path: Path) -> None:
    # As many labels as tokens in all, and not in each row.
    rows = [{**ROWS[0], "labels": [-100, 8, -100, 4, -100]}, {**ROWS[1], "labels": [6]}]
    manifest = manifest_of(tmp_path, rows)
    with pytest.raises(ValueError, match="not a label and a weight for each"):
        recount_tokens(tmp_path, manifest, "train")
