"""Shares and DMT's stages as a run meets them: by source, license, origin and label."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.allocate_budget import deciding_scores
from pipeline.selection.methods.top_k import TopK
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import Chosen, select_examples
from storage.conversations import content_hash
from storage.database import open_workspace, read_workspace
from storage.runs import read_counts, start_run
from storage.selections import read_run_selections, read_selection
from tests.stage_runner import count_words, score, start

DROPS = """
select example_id, reason from decisions where outcome = 'dropped' and run_id = $run_id
"""

SIZES = {"chat": 20, "code": 8, "math": 4}


def write_sources(folder: Path) -> list[Path]:
    files = []
    for name, rows in SIZES.items():
        files.append(folder / f"{name}.jsonl")
        turns = [
            [
                {"role": "user", "content": f"{name} question {n}"},
                {"role": "assistant", "content": "word " * (n % 7 + 1)},
            ]
            for n in range(rows)
        ]
        text = "\n".join(json.dumps({"messages": each}) for each in turns)
        files[-1].write_text(text, encoding="utf-8")
    return files


Pool = tuple[RunContext, list[str]]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """A workspace with three sources, scored."""
    folder = tmp_path_factory.mktemp("shares")
    run, ids = start(folder / "workspace", write_sources(folder))
    return score(count_words(run, ids), ScoreSettings(scorer="response_length"), ids), ids


def choose(
    pool: Pool, *steps: dict[str, Any]
) -> tuple[Chosen, list[str], dict[str, str], list[str]]:
    """What was chosen; the sources of the picks in order; drops' reasons; what the books note."""
    settings = SelectSettings.model_validate({"held_out": 0, "steps": steps})
    run = replace(pool[0], run_id=content_hash(settings.model_dump(mode="json"))[:12])
    with open_workspace(run.workspace) as con:
        start_run(con, run.run_id, {"name": run.run_id, "seed": 0}, "code", {}, run.source_ids)
    chosen = select_examples(run, settings, pool[1])
    with read_workspace(run.workspace) as con:
        ids, _ = read_selection(con, read_run_selections(con, run.run_id)["choice"].selection_id)
        prompts = dict(con.execute("select example_id, prompt from examples").fetchall())
        reasons = dict(con.execute(DROPS, {"run_id": run.run_id}).fetchall())
        notes = [note for count in read_counts(con, run.run_id) for note in count.notes]
    kinds = {example_id: prompt.split()[0] for example_id, prompt in prompts.items()}
    named = {f"{kinds[each]} {each[:8]}": reason for each, reason in reasons.items()}
    return chosen, [kinds[each] for each in ids], named, notes


def top(shares: dict[str, Any] | None, **budget: object) -> dict[str, Any]:
    limit = budget or {"rows": 10}
    return {"method": "top_k", "score": "response_length", "budget": limit, "shares": shares}


def test_a_source_gets_its_quota_and_one_that_falls_short_is_said(pool: Pool) -> None:
    quotas = {"chat.jsonl": 0.2, "code.jsonl": 0.2, "math.jsonl": 0.6}
    chosen, picks, reasons, notes = choose(pool, top({"quotas": quotas}))
    assert Counter(picks) == {"chat": 3, "code": 3, "math": 4}
    assert notes == [
        "shares: chat.jsonl 30.0%, code.jsonl 30.0%, math.jsonl 40.0%",
        "math.jsonl was to get 6 rows and got 4: every row is taken",
        "the other groups got 2 rows more than their shares",
    ]
    assert chosen.notes == tuple(notes) and chosen.rows == 10
    assert set(reasons.values()) == {"over_budget"} and len(reasons) == 22


def test_a_temperature_moves_shares_towards_equal(pool: Pool) -> None:
    natural = choose(pool, top({"temperature": 1}, rows=16))[1]
    hot = choose(pool, top({"temperature": 1e9}, rows=12))[1]
    assert Counter(natural) == {"chat": 10, "code": 4, "math": 2}
    assert Counter(hot) == {"chat": 4, "code": 4, "math": 4}


@pytest.mark.parametrize(("by", "group"), [("origin", "source"), ("license", "unknown")])
def test_any_column_can_be_shared_by(pool: Pool, by: str, group: str) -> None:
    chosen, _, _, notes = choose(pool, top({"by": by, "quotas": {group: 1}}))
    assert chosen.rows == 10 and notes == [f"shares: {group} 100.0%"]


def test_a_label_can_be_shared_by_and_is_given_in_tokens_too(pool: Pool) -> None:
    shares = {"by": "response_length", "quotas": {3: 0.5, 7: 0.5}, "others": "drop"}
    chosen, _, reasons, notes = choose(pool, top(shares, loss_tokens=28))
    assert chosen.loss_tokens == 26
    assert notes == [
        "shares: 3 46.2%, 7 53.8%",
        "2 of the budget's 28 loss tokens are not spent: the next row does not fit",
    ]
    assert set(reasons.values()) == {"over_budget", "no_share"}


def test_a_score_that_groups_decides_too() -> None:
    by_label = TopK.model_validate(top({"by": "cluster", "temperature": 1}))
    assert deciding_scores(by_label) == ("response_length", "cluster")
    assert deciding_scores(TopK.model_validate(top({"temperature": 1}))) == ("response_length",)


def test_a_quota_for_no_row_is_an_error(pool: Pool) -> None:
    with pytest.raises(ValueError, match=r"no row has the origin 'hub'. There are: source"):
        choose(pool, top({"by": "origin", "quotas": {"hub": 0.5}}))


def test_the_two_stages_of_dmt(pool: Pool) -> None:
    everything = {"method": "random", "budget": {"fraction": 1}}
    dmt = {"method": "dmt", "specialised": ["math.jsonl", "code.jsonl"], "fraction": "1/4"}
    first = choose(pool, {**dmt, "stage": 1}, everything)
    assert Counter(first[1]) == {"code": 8, "math": 4}
    assert set(first[2].values()) == {"other_stage"}
    second = choose(pool, {**dmt, "stage": 2}, everything)
    assert Counter(second[1]) == {"chat": 20, "code": 2, "math": 1}
    assert set(second[2].values()) == {"not_drawn"}


def test_a_specialised_source_that_is_not_there_is_an_error(pool: Pool) -> None:
    dmt = {"method": "dmt", "specialised": ["maths"], "stage": 1}
    with pytest.raises(ValueError, match="no row has the source 'maths'"):
        choose(pool, dmt, top(None))
