"""The recipe's blocks of personal data and licences reach the stages that act on them."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.begin_run import RunState
from flows.recipe.schema import Recipe
from flows.stages import STAGES
from pipeline.run_context import RunContext
from tests.stage_runner import count_words, start

ROWS = [("a", "mail jane@firm.io"), ("b", "no mail")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunContext, list[str]]:
    folder = tmp_path_factory.mktemp("made")
    lines = [json.dumps({"prompt": p, "completion": c}) for p, c in ROWS]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    run, pool = start(folder / "w", [folder / "rows.jsonl"])
    return count_words(run, pool), pool


def state(made: tuple[RunContext, list[str]], **blocks: Any) -> RunState:  # noqa: ANN401
    recipe = Recipe.model_validate(
        {
            "name": "test",
            "workspace": str(made[0].workspace.directory),
            "target": "t",
            "sources": [{"path": str(Path("rows.jsonl"))}],
            "select": {"held_out": 0, "steps": [{"method": "random", "budget": {"rows": 9}}]},
            **blocks,
        }
    )
    return RunState(recipe, recipe, made[0], pool=made[1])


def test_personal_data_is_looked_for_before_anything_is_measured() -> None:
    order = list(STAGES)
    assert order.index("generate") < order.index("clean") < order.index("measure")


def test_a_recipe_without_the_block_leaves_the_pool_alone(
    made: tuple[RunContext, list[str]],
) -> None:
    before = state(made)
    assert STAGES["clean"](before) is before


def test_the_block_acts_on_the_pool(made: tuple[RunContext, list[str]]) -> None:
    removed = STAGES["clean"](state(made, personal_data={"action": "remove"}))
    assert len(removed.pool) == 1
    redacted = STAGES["clean"](state(made, personal_data={"action": "redact"}))
    assert len(redacted.pool) == 2 and len(set(redacted.pool) & set(made[1])) == 1


def test_licences_reach_the_selection(made: tuple[RunContext, list[str]]) -> None:
    chosen = STAGES["select"](state(made, licenses={"allowed": ["MIT"]})).chosen
    assert chosen is not None and chosen.rows == 0
    chosen = STAGES["select"](state(made, licenses={"allowed": ["unknown"]})).chosen
    assert chosen is not None and chosen.rows == 2
