"""Languages as they are told and stored, and the filter that goes by them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flows.recipe.check import find_problems
from flows.recipe.form import validate
from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.measures.languages import Languages, tell_language
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.database import read_workspace
from tests.stage_runner import count_words, measure, start

ROWS = {
    "en": ("What is the capital of France?", "The capital of France is Paris, on the Seine."),
    "de": ("Was ist die Hauptstadt?", "Die Hauptstadt von Frankreich heißt Paris."),
    "short": ("4", "7."),
    "digits": ("8462735194 5267357841", "1948571 236 9182736450"),
}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (ROWS["en"][1], "en"),
        (ROWS["de"][1], "de"),
        ("これはペンです。明日は雨が降ります。", "ja"),
        ("Сегодня мы читали большую книгу про море.", "ru"),
    ],
)
def test_a_sentence_has_its_language(text: str, language: str) -> None:
    said = tell_language(text, "both")
    assert said["language"] == language and 0.5 <= said["confidence"] <= 1


@pytest.mark.parametrize("text", ["", "  \n", "4.", "Lima.", "x = 3", "\ud800", "🙂"])
def test_what_is_too_little_has_none(text: str) -> None:
    said = tell_language(text, "response")
    assert said["state"] == "not_applicable" and said["detail"]
    assert "language" not in said and "confidence" not in said


def test_code_and_digits_are_no_language() -> None:
    said = tell_language("8462735194\n5267357841\n1948571 236\n" * 3, "both")
    assert said == {"state": "not_applicable", "detail": "no language: code or digits"}


def test_the_key_changes_with_the_text_that_is_judged() -> None:
    assert Languages().key().measure_key != Languages(of="response").key().measure_key
    assert Languages().key() == Languages(of="both").key()


def test_the_table_has_a_row_for_each_example() -> None:
    examples = pa.table(
        {
            "example_id": ["1", "2"],
            "prompt": ["What?", "Was?"],
            "response": [ROWS["de"][1], ""],
            "response_at": pa.array([1, None], pa.int64()),
        }
    )
    first, second = Languages(of="response").measure(examples).to_pylist()
    assert (first["state"], first["language"]) == ("ok", "de")
    assert (second["state"], second["language"]) == ("not_applicable", None)
    assert second["detail"] == "no response text" and second["confidence"] is None


@pytest.mark.parametrize(
    ("unclear", "dropped"),
    [
        ("drop", {"de": "other_language", "short": "no_language", "digits": "no_language"}),
        ("keep", {"de": "other_language"}),
    ],
)
def test_the_filter_goes_by_what_is_stored(
    unclear: str, dropped: dict[str, str], tmp_path: Path
) -> None:
    lines = [json.dumps({"prompt": p, "completion": c}) for p, c in ROWS.values()]
    lines.append(json.dumps({"messages": [{"role": "user", "content": "No answer to it."}]}))
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    run = count_words(run, pool)
    run, asked = measure(run, MeasureSettings.model_validate({"language": {}}), pool)
    assert asked == {"language": 5}
    assert measure(run, MeasureSettings.model_validate({"language": {}}), pool)[1] == {
        "language": 0
    }
    steps = [
        {"method": "language", "keep": ["en"], "unclear": unclear},
        {"method": "random", "budget": {"rows": 9}},
    ]
    select_examples(run, SelectSettings.model_validate({"held_out": 0, "steps": steps}), pool)
    with read_workspace(run.workspace) as con:
        rows = con.execute(
            "select response, reason, d.value from decisions d join examples using (example_id) "
            "where reason not in ('', 'no_response')"
        ).fetchall()
        (confidence,) = con.execute(
            "select confidence from language where language = 'de'"
        ).fetchall()
    names = {response: name for name, (_, response) in ROWS.items()}
    assert {names[response]: reason for response, reason, _ in rows} == dropped
    values = {names[response]: value for response, _, value in rows}
    assert values["de"] == pytest.approx(confidence[0]) and np.isfinite(values["de"])
    assert all(value is None for name, value in values.items() if name != "de")


def problems(recipe: dict[str, Any]) -> list[str]:
    blocks, wrong = validate(recipe)
    return wrong + find_problems(blocks, Path())


def test_a_recipe_without_the_measure_is_told_to_add_it() -> None:
    steps: list[dict[str, Any]] = [
        {"method": "language", "keep": ["en"]},
        {"method": "random", "budget": {"fraction": 0.5}},
    ]
    recipe = {"name": "r", "workspace": "w", "target": "t", "select": {"steps": steps}}
    said = "select.steps.0: language reads language: add the block measure.language"
    assert said in problems({**recipe, "sources": [{"path": "x"}]})
    measured = {**recipe, "measure": {"language": {}}, "sources": [{"path": "x"}]}
    assert said not in problems(measured)
    steps[0]["keep"] = ["English"]
    assert any("should match pattern" in problem for problem in problems(measured))
