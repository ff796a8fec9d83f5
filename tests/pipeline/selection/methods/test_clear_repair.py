import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.generation.make import repair_key
from pipeline.generation.makers.repair import Repair
from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.measure import MeasureJob, Repairs
from pipeline.measuring.stage import plan_measures
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.methods.clear_repair import RepairRule, select_repaired
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.database import read_workspace
from tests.fake_endpoint import Body, Canned, completion, serve
from tests.scripted_maker import make
from tests.stage_runner import count_words, score, start, store_measurement

NAN = np.nan
LOW, HIGH = 0.2, 0.9
RULE = RepairRule(eta=0.8, gamma=0.5)


@pytest.mark.parametrize(
    ("confidence", "preference", "outcome"),
    [
        (HIGH, HIGH, ("repaired", "")),  # replacing wins over keeping
        (LOW, HIGH, ("repaired", "")),  # and over dropping
        (NAN, HIGH, ("repaired", "")),
        (HIGH, LOW, ("", "not_better")),
        (LOW, LOW, ("low_confidence", "not_better")),
        (HIGH, 0.8, ("", "not_better")),  # above eta, not at it
        (0.5, LOW, ("low_confidence", "not_better")),  # above gamma, not at it
        (HIGH, NAN, ("", "not_better")),
        (LOW, NAN, ("low_confidence", "not_better")),
        (NAN, NAN, ("no_score", "not_better")),
    ],
)
def test_the_table_of_decisions(
    confidence: float, preference: float, outcome: tuple[str, str]
) -> None:
    picked = select_repaired(
        np.array([confidence, NAN]),
        np.array([preference, NAN]),
        np.array([1, -1]),
        np.array([False, True]),
        np.array(["given", "repair"]),
        RULE,
    )
    assert tuple(picked.reasons) == outcome
    assert len(picked.indices) <= 1, "never both"
    if outcome[0] == "repaired":
        assert picked.because_of[0] == 1
        np.testing.assert_array_equal(picked.value, [preference, preference])


def test_the_half_is_counted_off_the_given_responses_alone() -> None:
    # Four given, all alike in confidence, and four repairs that have none and lose.
    confidence = np.array([0.7] * 4 + [NAN] * 4)
    picked = select_repaired(
        confidence,
        np.zeros(8),
        np.array([4, 5, 6, 7, -1, -1, -1, -1]),
        np.repeat([False, True], 4),
        np.array(list("dcbahgfe")),
        RepairRule(),
    )
    np.testing.assert_array_equal(picked.indices, [3, 2])
    groups = RepairRule(groups=np.array(["x", "x", "x", "y", *"zzzz"]))
    by_source = select_repaired(
        confidence[:4],
        np.zeros(4),
        np.full(4, -1),
        np.zeros(4, bool),
        np.array(list("dcba")),
        groups,
    )
    np.testing.assert_array_equal(by_source.indices, [3, 2, 1])  # a; b and c of d, c, b


def test_two_responses_may_have_one_repair() -> None:
    picked = select_repaired(
        np.array([HIGH, LOW, NAN]),
        np.array([0.3, 0.95, NAN]),
        np.array([2, 2, -1]),
        np.array([False, False, True]),
        np.array(list("abc")),
        RULE,
    )
    assert list(picked.reasons) == ["", "repaired", ""]
    np.testing.assert_array_equal(picked.value, [HIGH, 0.95, 0.95])


def test_a_repair_that_was_given_too_stays_if_it_was_confident_or_won() -> None:
    def reason(confidence: float, preference: float) -> str:
        picked = select_repaired(
            np.array([HIGH, confidence]),
            np.array([preference, NAN]),
            np.array([1, -1]),
            np.array([False, False]),
            np.array(list("ab")),
            RULE,
        )
        return str(picked.reasons[1])

    assert reason(HIGH, LOW) == ""
    assert reason(LOW, HIGH) == ""
    assert reason(LOW, LOW) == "low_confidence"


def test_a_repair_without_what_it_repairs_is_out() -> None:
    picked = select_repaired(
        np.array([NAN]), np.array([NAN]), np.array([-1]), np.array([True]), np.array(["r"]), RULE
    )
    assert list(picked.reasons) == ["no_original"]


ROWS: list[dict[str, Any]] = [
    {"prompt": f"question {n}", "completion": f"answer {n}"} for n in range(4)
]
ROWS += [{"prompt": "question 0", "completion": "second answer to 0"}]
ROWS += [{"messages": [{"role": "user", "content": "nobody answered"}]}]


def respond(body: Body, attempt: int) -> Canned:
    if "messages" not in body:
        return Canned(body={"data": [{"id": "served"}]})
    question = body["messages"][-1]["content"]
    return completion("answer 1" if question == "question 1" else f"repair of {question}")


def repair_all(run: RunContext, pool: list[str], url: str) -> tuple[RunContext, list[str]]:
    """The run that knows its repairs, and the pool with them."""
    block = Repair.model_validate(
        {"method": "repair", "prompts": "all", "temperature": 0, "model": "served"}
        | {"endpoint": {"base_url": url, "retries": 0}}
    )
    _, grown = make(run, block, pool)
    return replace(run, repairs=repair_key([block], run.seed)), grown


def asked_of(run: RunContext, pool: list[str], url: str) -> dict[str, MeasureJob]:
    """What would be measured."""
    served = {"model": "served", "endpoint": {"base_url": url, "retries": 0}}
    asked = MeasureSettings.model_validate(
        {"confidence": {"samples": served}, "preferences": served}
    )
    with pytest.raises(ValueError, match="generated none"):
        plan_measures(run.workspace, asked, pool, 0)
    repairs = Repairs(run.repairs or "", run.source_ids)
    return plan_measures(run.workspace, asked, pool, 0, repairs=repairs)


@pytest.mark.slow
def test_repairs_are_generated_and_chosen_by_the_numbers_stored(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    with serve(respond) as server:
        run, grown = repair_all(run, pool, server.base_url)
        jobs = asked_of(run, grown, server.base_url)
    with read_workspace(run.workspace) as con:
        query = "select response, example_id from examples where response_at is not null"
        ids = dict(con.execute(query).fetchall())
        lineage = con.execute(
            "select p.response, e.response, method from lineage l join examples e using "
            "(example_id) join examples p on p.example_id = l.parent_id order by all"
        ).fetchall()
    # Every answered row has a repair of its own, two share one, and one came out as it was.
    assert lineage == [
        ("answer 0", "repair of question 0", "repaired"),
        ("answer 2", "repair of question 2", "repaired"),
        ("answer 3", "repair of question 3", "repaired"),
        ("second answer to 0", "repair of question 0", "repaired"),
    ]
    assert set(jobs["preferences"].ids) == {ids[row[0]] for row in lineage}
    assert set(jobs["samples"].ids) == set(pool), "repairs are not asked how sure one is of them"

    preferences = {"answer 0": 0.9, "second answer to 0": 0.1, "answer 2": 0.3, "answer 3": 0.99}
    confidence = {"answer 0": 0.9, "second answer to 0": 0.1, "answer 1": 0.8, "answer 2": 0.2}
    run = count_words(run, grown)
    for name, values in (("preferences", preferences), ("judgements", confidence)):
        measured = sorted(ids[text] for text in values)
        texts = {example: text for text, example in ids.items()}
        numbers = [values[texts[example]] for example in measured]
        run = store_measurement(run, name, measured, columns(name, numbers))
    run = score(run, ScoreSettings(scorer="preference"), grown)
    run = score(run, ScoreSettings(scorer="confidence"), grown)
    steps = [
        {"method": "clear_repair", "above": 0.5},
        {"method": "random", "budget": {"fraction": 1}},
    ]
    settings = SelectSettings.model_validate({"held_out": 0, "steps": steps})
    select_examples(run, settings, grown)
    with read_workspace(run.workspace) as con:
        told = con.execute(
            "select e.response, reason, b.response from decisions d join examples e using "
            "(example_id) left join examples b on b.example_id = d.because_of "
            "where stage = 'select' and step = 3 order by all"
        ).fetchall()
    assert told == [
        ("answer 0", "repaired", "repair of question 0"),
        ("answer 1", "", None),
        ("answer 2", "low_confidence", None),
        ("answer 3", "repaired", "repair of question 3"),
        ("repair of question 0", "", None),
        ("repair of question 2", "not_better", None),
        ("repair of question 3", "", None),
        ("second answer to 0", "low_confidence", None),
    ]


def columns(measure: str, numbers: list[float]) -> dict[str, pa.Array]:
    """Measurements that come out as these scores."""
    state = pa.array(["ok"] * len(numbers))
    if measure == "preferences":
        verdicts = [[[1 - p, p, 0.0]] * 2 for p in numbers]
        return {"state": state, "verdicts": verdicts, "verdict_mass": [[1.0, 1.0]] * len(numbers)}
    return {
        "state": state,
        "contradiction_forward": [[1 - c] for c in numbers],
        "contradiction_backward": [[1 - c] for c in numbers],
        "exact_match": [[c] for c in numbers],
        "reflection": [[[c, 1 - c, 0.0]] for c in numbers],
    }
