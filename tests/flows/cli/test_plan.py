"""What a plan says that it does not price."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from flows.begin_run import begin
from flows.cli.plan import call_row, curve_lines, maker_lines, not_planned, plan_recipe, read_gain
from flows.recipe.schema import Recipe
from pipeline.advice.learning_curve import nested_slices
from pipeline.documents.predict import PlannedDocuments
from pipeline.generation.predict import PlannedCalls
from tests.tiny_models import CHAT, save_tiny_llama

PLAIN: dict[str, Any] = {
    "name": "plain",
    "workspace": "work",
    "target": "wheel:smollm2-135m-instruct",
    "sources": [{"path": "rows.jsonl"}],
    "select": {"steps": [{"method": "random", "budget": {"rows": 2}}]},
}
CHECK = {"against": [{"path": "test.jsonl"}]}


MAKERS = "measuring what makers make, and the time of a server that was not asked yet"


@pytest.mark.parametrize(
    ("blocks", "left_out"),
    [
        ({}, []),
        (
            {"generate": [{}]},
            [MAKERS],
        ),
        (
            {"generate": [{}, {"method": "evol_instruct", "reads": ["answer"]}]},
            [MAKERS, "how many rows answer will make for evol_instruct, but for a bound"],
        ),
        (
            {"personal_data": {}},
            ["looking for personal data; what is redacted is measured in its new text"],
        ),
        ({"indicator": {}}, ["measuring what gets a mark a second time, with the mark"]),
        ({"check": CHECK}, ["comparing with the evaluation sets"]),
        (
            {"check": {**CHECK, "semantic": {}}, "train": {}},
            ["comparing with the evaluation sets, and embedding those"],
        ),
    ],
)
def test_what_is_not_priced_is_named(blocks: dict[str, Any], left_out: list[str]) -> None:
    assert not_planned(Recipe.model_validate({**PLAIN, **blocks})) == left_out


@pytest.mark.parametrize(
    ("coming", "told"), [(0, "1,200"), (200, "at most 1,200"), (None, "1,200 and more")]
)
def test_sources_that_are_not_made_yet_are_told_as_a_bound(coming: int | None, told: str) -> None:
    plan = PlannedCalls("orca", "m", "generate", 1200, coming, 0, 9, 9, None, None, None)
    _, _, sources, *_, prompts, _, price, took = call_row(plan)
    assert (sources, prompts) == (told, "not made yet")
    assert (price, took) == ("not known yet", "not asked yet")
    known = replace(plan, prompt_tokens=9, price=2.5)
    assert call_row(known)[-2] == "2.5" and call_row(replace(known, price=None))[-2] == "not stated"
    besides = "but for what is asked about rows that are not made yet"
    (line,) = maker_lines([known])
    assert line.endswith(besides) == (coming is None)
    (line,) = maker_lines([replace(known, coming=0), plan])
    assert line.endswith(besides)


def test_documents_alone_are_planned_before_and_after_they_are_read(tmp_path: Path) -> None:
    save_tiny_llama(tmp_path / "model", chat_template=CHAT)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("One two three. " * 50)
    documents = [{"path": "docs", "license": "mit"}]
    named: dict[str, object] = {"workspace": "w", "sources": [], "documents": documents}
    named["target"] = str(tmp_path / "model")
    recipe = Recipe.model_validate({**PLAIN, **named}).with_target()
    plans, pool, calls, planned = plan_recipe(recipe, tmp_path, 3)
    assert (plans, pool, calls) == ([], [], [])
    assert planned == PlannedDocuments(1, 0, 0, 0, 1, bytes_to_read=750)
    begin(recipe, tmp_path)
    again = plan_recipe(recipe, tmp_path, 3)[3]
    assert again is not None and (again.read, again.to_read) == (1, 0) and again.passages > 0


def test_scores_by_rows_say_what_twice_the_rows_would_add() -> None:
    gain = read_gain([f"{rows}={80 - 120 * rows**-0.5}" for rows in (50, 100, 200, 400)])
    assert gain == pytest.approx(120 * (400**-0.5 - 800**-0.5), rel=0.02)
    (line,) = curve_lines(nested_slices([]), gain)
    assert "twice the rows would add 1.7" in line


@pytest.mark.parametrize("scores", [["50=1", "100=2"], ["50:1"], ["x=1", "100=2", "200=3"]])
def test_scores_that_say_nothing_are_refused(scores: list[str]) -> None:
    with pytest.raises(typer.BadParameter, match="--score takes ROWS=SCORE"):
        read_gain(scores)


def test_without_scores_a_plan_says_how_to_come_by_them() -> None:
    (line,) = curve_lines(nested_slices([f"{n:04d}" for n in range(400)]), None)
    assert "keep 100 aside to test on, train on 50, 100, 200 of the others" in line
    assert list(curve_lines(nested_slices(["a"]), None)) == []
