"""A result as a page: every verdict, each number with its interval, and what belongs to them."""

from typing import Any

from pipeline.evidence.trial_markdown import trial_markdown, verdict_line

ROW: dict[str, Any] = {
    "learning_rate": 0.001,
    "seed_means": [1.1, 1.3],
    "mean": 1.2,
    "variance": 1e-4,
    "shares": [0.5, 0.25, 0.25],
}
CHOICE = {**ROW, "arm": "choice", "difference": -0.021, "interval": [-0.034, -0.008]}
RANDOM = {**ROW, "arm": "random", "difference": None, "interval": None}
RESULT: dict[str, Any] = {
    "plan_id": "abc",
    "against": "random",
    "primary": "gold",
    "smallest": 0.01,
    "level": 0.05,
    "seeds": 2,
    "rates": [0.001],
    "verdicts": {"choice": {"said": "better", "chance": 0.004}},
    "unleaked_verdicts": {"choice": {"said": "not decided (smallest detectable 0.02)"}},
    "arms": {
        "choice": {
            "rows": [30],
            "loss_tokens": [2000],
            "steps": [8],
            "trainings": 2,
            "train_seconds": 12.0,
            "leaked_items": {"gold": 3},
        }
    },
    "chosen_arms": ["choice"],
    "tables": [
        {
            "evaluation": "gold",
            "metric": "nll",
            "items": 40,
            "rows": [CHOICE, RANDOM],
            "unleaked": 37,
            "unleaked_rows": [],
        }
    ],
    "choose_seconds": 100.0,
    "extra_rows": 250,
    "looks": {"planned": [2, 5], "at": 1, "why": "every arm is decided"},
    "changed_after": None,
    "predicted_seconds": 100.0,
    "real_seconds": 120.0,
    "left_out": {"gold": {"more than 1024 tokens": 2}},
}


def test_the_page() -> None:
    page = trial_markdown(RESULT)
    assert (
        "- `choice` beside `random`: **better** (Holm 0.004); on the items that are in no arm: not "
        "decided (smallest detectable 0.02)"
    ) in page
    assert "| choice | 30 | 2,000 | 8 | 2 | 100 s | 12 s | gold 3 |" in page
    assert "-0.0210 \\[-0.0340, -0.0080\\] | items 50%, seeds 50% |" in page
    assert "| random | 0.001 | 1.2000 | 1.1000 1.3000 |  | items 50%" in page
    assert "which would train 250 more random rows" in page
    assert "in 120 s where 100 s were predicted (+20%)" in page
    assert "look 1 of 2, at 2 seeds, level 0.05: every arm is decided" in page
    assert "one learning rate: whether it depends on that is not known" in page
    assert "`gold`: 2 rows are no items: more than 1024 tokens" in page
    assert "changed after results" not in page


def test_a_plan_that_was_changed_and_numbers_without_an_interval() -> None:
    alone = {**CHOICE, "interval": None, "shares": None}
    flat = {**CHOICE, "variance": 0.0, "interval": [0.0, 0.0], "difference": 0.0}
    table = {**RESULT["tables"][0], "rows": [alone, flat]}
    page = trial_markdown({**RESULT, "changed_after": "def", "tables": [table]})
    assert "**the plan was changed after results**: plan `def` had one" in page
    assert "-0.0210 (one seed: no interval)" in page and "+0.0000 (nothing varies)" in page


def test_the_line() -> None:
    assert verdict_line(RESULT) == (
        "compared with `random` by `gold` at 2 seeds: `choice` better (trial `abc`)"
    )
    assert verdict_line(None).startswith("not compared with random yet: `sluice trial RECIPE`")
