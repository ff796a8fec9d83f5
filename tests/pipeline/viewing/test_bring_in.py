"""What would bring a row in: the setting is a real one, and its value lets the row pass."""

from collections.abc import Mapping
from typing import Any

import pytest

from docs.docstrings import ROOT
from pipeline.ranking.outcome import REASONS
from pipeline.selection.run_steps import NOT_HELD_OUT
from pipeline.viewing.bring_in import rounded, way_in
from pipeline.viewing.reasons import MEANINGS
from storage.run_rows import RowLine
from storage.runs import StageCount

COUNTS = [
    StageCount("select", 1, "can be trained on", 9, 9),
    StageCount("select", 2, NOT_HELD_OUT, 9, 9),
    StageCount("select", 3, "threshold", 9, 9),
    StageCount("select", 4, "top_k", 9, 9),
]
RECIPE: Mapping[str, Any] = {
    "dedupe": [{"method": "minhash", "threshold": 0.7}],
    "select": {
        "steps": [
            {"method": "threshold", "score": "ifd", "at_most": 1.0, "unscored": "drop"},
            {"method": "top_k", "budget": {"rows": 50, "fraction": None}},
        ]
    },
}


def out(reason: str, stage: str, step: int, value: float | None) -> RowLine:
    return RowLine("e", "out", None, "s", "", None, stage, step, reason, "other", value, [], {})


@pytest.mark.parametrize(
    ("line", "setting", "can_be_tried"),
    [
        (out("above_threshold", "select", 3, 1.08235), "select.steps.0.at_most=1.0824", True),
        (out("no_score:truncated", "select", 3, None), "select.steps.0.unscored=keep", True),
        (out("over_budget", "select", 4, 0.3), "select.steps.1.budget.rows=100", True),
        (out("held_out", "select", 2, None), "select.held_out=0", True),
        (out("near_duplicate", "dedupe", 1, 0.8788), "dedupe.0.threshold=0.88", False),
        (out("near_duplicate", "dedupe", 1, 1.0), "", False),  # no threshold is above 1
        (out("above_threshold", "select", 1, 1.1), "", False),  # of no step of the recipe's own
        (out("wrong_answer", "select", 3, None), "", False),
    ],
)
def test_the_setting_is_of_the_step_that_dropped_it(
    line: RowLine, setting: str, can_be_tried: bool
) -> None:
    found = way_in(line, RECIPE, COUNTS)
    assert (found.setting, found.can_be_tried) == (setting, can_be_tried)


def test_a_rounded_bound_still_lets_the_value_pass() -> None:
    assert rounded(1.00001, up=True) == 1.0001
    assert rounded(1.0, up=True) > 1.0
    assert rounded(0.99999, up=False) == 0.9999


def test_every_reason_has_the_meaning_that_the_data_model_gives_it() -> None:
    assert set(REASONS) <= set(MEANINGS)
    page = (ROOT / "docs" / "data-model.md").read_text(encoding="utf-8")
    section = page.partition("\n## Reasons")[2].partition("\n## ")[0]
    told = [line.split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert [cells[0].strip("|` ") for cells in told] == list(MEANINGS)
    for cells in told:
        plain = cells[1].rstrip(" |").replace("`", "").replace("](#contamination_hits)", "")
        assert plain.replace("[", "") == MEANINGS[cells[0].strip("|` ")]
