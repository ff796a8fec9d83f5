"""From stored items to tables and verdicts: nothing is aligned by luck, and leaks are left out."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.trials.evaluations import TrialItem, TrialItems
from pipeline.trials.outcome import Design, TrialValues, at_floor, judge_trial, tabulate
from pipeline.trials.settings import TrialEvaluation
from storage.database import Connection, open_workspace
from storage.trial_items import ItemValues, Replicate, write_items
from storage.workspace import Workspace
from tests.empty_workspace import lay_out

ITEMS = list(range(1, 41))
TOKENS = [3 + at % 5 for at in ITEMS]
RATES = (0.001, 0.004)
DESIGN = Design("random", "gold", 0.01, 0.05)
GOLD = TrialItems(
    "gold",
    "gold-id",
    TrialEvaluation(path="x"),
    [TrialItem(at, None, "", ["a"], 0, []) for at in ITEMS],
    {},
)
CHOICES = replace(
    GOLD,
    name="choices",
    evaluation_id="choices-id",
    settings=TrialEvaluation(path="x", metric="choice", prompt="q", answer="a", choices="c"),
    items=[TrialItem(at, None, "", ["a", "b"], 0, []) for at in ITEMS],
)
NO_LEAKS = {"choice": {"gold": set[int](), "choices": set[int]()}}


@pytest.fixture
def con(tmp_path: Path) -> Iterator[Connection]:
    workspace = Workspace(tmp_path)
    lay_out(workspace)
    with open_workspace(workspace) as opened:
        yield opened


def store(
    con: Connection, effects: dict[str, float], leaked: dict[str, set[int]] | None = None
) -> list[Replicate]:
    """Losses of arms that differ from random by `effects`, and by a nat where an item leaks."""
    rng = np.random.default_rng(3)
    base = rng.normal(1.5, 0.3, len(ITEMS))
    found = [Replicate("untrained", "model", None, 0, None)]
    write_items(con, "model", "gold-id", [values(base + 0.5)])
    for arm, effect in effects.items():
        gained = np.isin(ITEMS, sorted((leaked or {}).get(arm, ())))
        for rate in RATES:
            for seed in range(3):
                name = f"{arm}-{rate}-{seed}"
                losses = base + effect - gained + rng.normal(0, 0.02, len(ITEMS))
                write_items(con, name, "gold-id", [values(losses)])
                found.append(Replicate(arm, name, rate, seed, "e"))
    return found


def values(losses: Any) -> ItemValues:  # noqa: ANN401
    sums = (np.asarray(losses) * TOKENS).tolist()
    return ItemValues("nll", ITEMS, [None] * len(ITEMS), sums, TOKENS)


def test_a_planted_gain_and_harm_are_found_and_an_arm_like_random_is_none(con: Connection) -> None:
    made = store(con, {"random": 0, "good": -0.2, "bad": 0.2, "same": 0})
    found = judge_trial(TrialValues(con, made), GOLD, set(), replace(DESIGN, smallest=0.03))
    words = {name: each.word for name, each in found.items()}
    same = "no difference larger than"
    assert words == {"good": "better", "bad": "worse", "same": same}


def test_tables_have_every_arm_at_every_rate_beside_random(con: Connection) -> None:
    made = store(con, {"random": 0, "good": -0.2})
    (table,) = tabulate(TrialValues(con, made), [GOLD], NO_LEAKS, DESIGN)
    assert (table.metric, table.items, table.unleaked, table.unleaked_rows) == ("nll", 40, 40, ())
    rows = {(each.arm, each.learning_rate): each for each in table.rows}
    assert set(rows) == {(a, r) for a in ("random", "good", "untrained") for r in RATES}
    good, random = rows["good", 0.004], rows["random", 0.004]
    assert random.difference is None and good.difference == pytest.approx(good.mean - random.mean)
    assert good.interval and good.interval[0] < -0.2 < good.interval[1]
    assert len(good.seed_means) == 3 and np.mean(good.seed_means) == pytest.approx(good.mean)
    bare = rows["untrained", 0.001]
    assert len(bare.seed_means) == 1 and bare.interval and bare.shares
    assert bare.difference == pytest.approx(0.5, abs=0.02) and bare.shares[1] == 0


def test_a_gain_by_leaks_alone_is_gone_on_the_items_that_are_in_no_arm(con: Connection) -> None:
    leaks = {"good": {"gold": set(range(1, 21))}, "random": {"gold": set[int]()}}
    made = store(con, {"random": 0, "good": 0}, {"good": leaks["good"]["gold"]})
    read = TrialValues(con, made)
    (table,) = tabulate(read, [GOLD], leaks, DESIGN)
    assert table.unleaked == 20
    (clean,) = (e for e in table.unleaked_rows if (e.arm, e.learning_rate) == ("good", 0.001))
    assert clean.difference == pytest.approx(0, abs=0.02)
    assert judge_trial(read, GOLD, set(), DESIGN)["good"].word == "better"
    assert judge_trial(read, GOLD, leaks["good"]["gold"], DESIGN)["good"].word != "better"


def test_trainings_with_other_items_are_not_compared(con: Connection) -> None:
    made = store(con, {"random": 0, "good": 0})
    fewer = ItemValues("nll", ITEMS[:-1], [None] * 39, [1.0] * 39, TOKENS[:-1])
    con.execute("delete from trial_items where replicate_id = 'good-0.001-0'")
    write_items(con, "good-0.001-0", "gold-id", [fewer])
    with pytest.raises(ValueError, match="other items of evaluation gold-id"):
        judge_trial(TrialValues(con, made), GOLD, set(), DESIGN)


def store_choices(con: Connection, right: float) -> list[Replicate]:
    rng = np.random.default_rng(0)
    made = []
    for arm in ("random", "good"):
        for seed in range(3):
            margins = np.where(np.arange(40) < right * 40, 1.0, -1.0) + rng.normal(0, 0.1, 40)
            both = [margins.tolist(), (margins > 0).astype(float).tolist()]
            of_items = [
                ItemValues(metric, ITEMS, [None] * 40, found, [1] * 40)
                for metric, found in zip(("margin", "accuracy"), both, strict=True)
            ]
            write_items(con, f"{arm}-{seed}", "choices-id", of_items)
            made.append(Replicate(arm, f"{arm}-{seed}", 0.001, seed, "e"))
    return made


def test_arms_that_all_guess_are_at_floor(con: Connection) -> None:
    read = TrialValues(con, store_choices(con, 0.55))
    assert at_floor(read, CHOICES) and not at_floor(read, GOLD)
    design = replace(DESIGN, primary="choices")
    assert judge_trial(read, CHOICES, set(), design)["good"].word == "at floor"
    # 2.8 sqrt(.25 / 40) = .22 above guessing
    assert not at_floor(TrialValues(con, store_choices(con, 0.8)), CHOICES)


def test_of_a_margin_more_is_better(con: Connection) -> None:
    made = store_choices(con, 0.8)
    lower = [-1.0 + at / 100 for at in range(40)]
    for seed in range(3):
        shifted = [each + seed / 1000 for each in lower]
        write_items(
            con,
            f"good-{seed}",
            "choices-id",
            [ItemValues("margin", ITEMS, [None] * 40, shifted, [1] * 40)],
        )
    design = replace(DESIGN, primary="choices")
    assert judge_trial(TrialValues(con, made), CHOICES, set(), design)["good"].word == "worse"
