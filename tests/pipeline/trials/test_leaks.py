"""An item that stands in an arm is found in that arm, and in no other."""

from pathlib import Path

import orjson

from pipeline.trials.evaluations import TrialItem, TrialItems
from pipeline.trials.leaks import find_leaks
from pipeline.trials.settings import TrialEvaluation
from storage.database import read_workspace
from storage.examples import read_examples
from tests import stage_runner

LEAKED = "How many apples does Natalia have left after she gave five of her twelve to each friend?"


def test_items_in_the_rows_of_arms(tmp_path: Path) -> None:
    prompts = [LEAKED, *(f"Tell me about the town number {at} and its river." for at in range(5))]
    rows = [{"instruction": each, "output": "It has one."} for each in prompts]
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    run, pool = stage_runner.start(tmp_path / "work", [file])
    items = [
        TrialItem(4, None, LEAKED, ["Two."], 0, []),
        TrialItem(9, None, "What is the largest of the moons that go round Jupiter?", ["G"], 0, []),
    ]
    gold = TrialItems("gold", "id", TrialEvaluation(path="x"), items, {})
    with read_workspace(run.workspace) as con:
        (leak,) = (e.example_id for e in read_examples(con, pool) if "Natalia" in e.prompt)
        others = {each for each in pool if each != leak}
        found = find_leaks(con, [gold], {"choice": set(pool), "random": others})
    assert found == {"choice": {"gold": {4}}, "random": {"gold": set()}}
