"""What a plan says that it does not price."""

from typing import Any

import pytest

from flows.cli.plan import not_planned
from flows.recipe.schema import Recipe

PLAIN: dict[str, Any] = {
    "name": "plain",
    "workspace": "work",
    "target": "wheel:smollm2-135m-instruct",
    "sources": [{"path": "rows.jsonl"}],
    "select": {"steps": [{"method": "random", "budget": {"rows": 2}}]},
}
CHECK = {"against": [{"path": "test.jsonl"}]}


@pytest.mark.parametrize(
    ("blocks", "prompts", "left_out"),
    [
        ({}, 0, []),
        ({}, 3, ["3 prompts to answer first, whose answers will be measured too"]),
        (
            {"personal_data": {}},
            0,
            ["looking for personal data; what is redacted is measured in its new text"],
        ),
        ({"indicator": {}}, 0, ["measuring what gets a mark a second time, with the mark"]),
        ({"check": CHECK}, 0, ["comparing with the evaluation sets"]),
        (
            {"check": {**CHECK, "semantic": {}}, "train": {}},
            0,
            ["comparing with the evaluation sets, and embedding those", "training the target"],
        ),
    ],
)
def test_what_is_not_priced_is_named(
    blocks: dict[str, Any], prompts: int, left_out: list[str]
) -> None:
    assert not_planned(Recipe.model_validate({**PLAIN, **blocks}), prompts) == left_out
