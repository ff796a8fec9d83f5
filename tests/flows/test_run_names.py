from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from flows import run_names as name_runs
from flows.recipe.schema import Recipe
from flows.run_names import name_curation, name_record, name_report, name_training

RECIPE = {
    "name": "daily",
    "workspace": "w",
    "target": "wheel:m",
    "sources": [{"path": "rows.jsonl"}],
    "select": {"steps": [{"method": "top_k", "score": "ifd", "budget": {"rows": 1}}]},
}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The parameters of a run that was due at three."""
    parameters: dict[str, object] = {}
    due = datetime(2026, 11, 21, 3, 0, 12, tzinfo=UTC)
    run = SimpleNamespace(parameters=parameters, scheduled_start_time=due)
    monkeypatch.setattr(name_runs, "flow_run", run)
    return parameters


@pytest.mark.parametrize("recipe", [RECIPE, Recipe.model_validate(RECIPE)])
def test_a_curation_is_named_by_its_recipe(given: dict[str, object], recipe: object) -> None:
    given |= {"recipe": recipe, "until": "export"}
    assert name_curation() == "daily, up to export, 2026-11-21 03:00"


def test_a_recipe_that_is_a_file_gives_its_stem(given: dict[str, object]) -> None:
    given |= {"recipe_file": "recipes/demo.yaml", "until": "train"}
    assert name_curation() == "demo, up to train, 2026-11-21 03:00"


def test_other_runs_are_named_by_what_they_are_about(given: dict[str, object]) -> None:
    given |= {
        "export": "/w/exports/best-1-2",
        "workspace": "/data/w",
        "outcome": {"trial_id": "t1"},
    }
    assert name_training() == "fine-tune on best-1-2, 2026-11-21 03:00"
    assert name_report() == "report on w, 2026-11-21 03:00"
    assert name_record() == "record training t1, 2026-11-21 03:00"
