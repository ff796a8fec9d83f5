"""Items are read from any file, the right choice is found in every way it is written."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from pipeline.ingest.rows import UnreadableSourceError
from pipeline.trials.questions import TrialQuestion, read_questions
from pipeline.trials.settings import TrialEvaluation

CHOICE = {"metric": "choice", "prompt": "q", "answer": "a", "choices": "c"}


def read(
    folder: Path, rows: list[Any], **given: object
) -> tuple[list[TrialQuestion], dict[str, int]]:
    path = folder / "items.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    settings = TrialEvaluation.model_validate({"path": str(path), **given})
    questions, left_out = read_questions(settings)
    return questions, dict(left_out)


def test_rows_by_shape_and_by_fields(tmp_path: Path) -> None:
    shaped = {"messages": [{"role": r, "content": r} for r in ("system", "user", "assistant")]}
    (by_shape,), _ = read(tmp_path, [shaped])
    assert [m["content"] for m in by_shape.conversation.messages] == ["system", "user", "assistant"]
    (by_field,), _ = read(
        tmp_path, [{"q": "Why?", "a": 3, "g": "p1"}], prompt="q", answer="a", cluster="g"
    )
    assert [m["content"] for m in by_field.conversation.messages] == ["Why?", "3"]
    assert (by_field.position, by_field.cluster) == (1, "p1")


@pytest.mark.parametrize(
    ("choices", "answer", "right"),
    [
        (["Rhine", "Danube"], 1, 1),
        (["Rhine", "Danube"], "B", 1),
        (["Rhine", "Danube"], "Danube", 1),
        (["A", "B"], "B", 1),
        ({"text": ["Rhine", "Danube"], "label": ["1", "2"]}, "2", 1),
        ({"text": ["Rhine", "Danube"], "label": ["B", "A"]}, "A", 1),
    ],
)
def test_the_right_choice_by_text_label_letter_or_number(
    tmp_path: Path, choices: object, answer: object, right: int
) -> None:
    (found,), _ = read(tmp_path, [{"q": "Which?", "c": choices, "a": answer}], **CHOICE)
    assert found.right == right
    assert found.conversation.messages[-1]["content"] == found.choices[right]


def test_what_is_no_item_is_counted_with_its_reason(tmp_path: Path) -> None:
    good = {"q": "Which?", "c": ["x", "y"], "a": 0}
    wrong = [
        {**good, "a": 2},
        {**good, "a": True},
        {**good, "a": "Z"},
        {**good, "c": ["x", "x"]},
        {**good, "c": ["x"]},
        {**good, "q": ""},
    ]
    found, left_out = read(tmp_path, [good, *wrong], **CHOICE)
    assert len(found) == 1 and sum(left_out.values()) == 6
    assert left_out["wrong_type (a is none of the choices)"] == 3


def test_a_file_without_items_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSourceError, match=r"no row of .* is an item: missing_key"):
        read(tmp_path, [{"other": 1}], prompt="q", answer="a")
    with pytest.raises(UnreadableSourceError, match="there is nothing at"):
        read_questions(TrialEvaluation(path=str(tmp_path / "none.jsonl")))
