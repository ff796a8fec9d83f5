"""What is stored beside a selection: of a real run, through the select stage."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.evidence.markdown import evidence_lines, evidence_markdown, length_table
from pipeline.ranking.outcome import Outcome
from pipeline.reporting.report import read_run_report
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.methods.random import Random
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.database import read_workspace
from storage.evidence import read_evidence
from tests.stage_runner import count_words, score, start

BLEND = {"weights": {"response_length": 1.0, "short": -0.9}}


def rows(folder: Path) -> Path:
    lines = []
    for n in range(60):
        turns = [
            {"role": "user", "content": f"question {n}"},
            {"role": "assistant", "content": " ".join(["word"] * (n % 30 + 1) + [str(n)])},
        ]
        lines.append(json.dumps({"messages": turns}))
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines))
    return path


def evidence_of(
    folder: Path, steps: list[dict[str, Any]], seed: int = 3, sensitivity: bool = True
) -> Mapping[str, Any]:
    run, pool = start(folder / "w", [rows(folder)], seed=seed)
    run = score(count_words(run, pool), ScoreSettings(scorer="response_length"), pool)
    run = score(run, ScoreSettings(scorer="response_length", name="short"), pool)
    settings = {"held_out": 0, "steps": steps, "sensitivity": sensitivity}
    select_examples(run, SelectSettings.model_validate(settings), pool)
    with read_workspace(run.workspace) as con:
        found = read_evidence(con, run.run_id)
        assert found is not None
        assert evidence_markdown(found) in read_run_report(con, run.run_id).markdown
    assert all(len(line) < 120 for line in evidence_lines(found))
    return found


def test_lengths_tell_a_selection_that_has_chosen_the_long_ones(tmp_path: Path) -> None:
    top = {"method": "top_k", "score": "response_length", "budget": {"rows": 10}}
    lengths = evidence_of(tmp_path, [top])["lengths"]
    assert lengths["choice"]["quantiles"][0] > lengths["eligible"]["quantiles"][4]
    assert lengths["length_matched"]["quantiles"][3] >= 25
    rows = {kind: each["rows"] for kind, each in lengths.items()}
    assert rows.pop("random_tokens") > 10
    assert rows == {"choice": 10, "random": 10, "length_matched": 10, "eligible": 60}
    # Its tokens are those of the choice, but for what a row more would have taken.
    tokens = {kind: each["tokens"] for kind, each in lengths.items()}
    assert 0 <= tokens["choice"] - tokens["random_tokens"] < 60


def test_a_bound_and_a_weight_that_matter_move_picks_and_the_seed_moves_none(
    tmp_path: Path,
) -> None:
    steps: list[dict[str, Any]] = [
        {"method": "threshold", "score": "response_length", "at_most": 20},
        {"method": "top_k", "score": "response_length", "budget": {"rows": 10}},
    ]
    moved = {each["change"]: each["moved"] for each in evidence_of(tmp_path, steps)["moved"]}
    assert moved["seed 3 → 4"] == 0
    assert moved["select.steps.0.at_most 20 → 18"] > 0
    assert moved["select.steps.1.budget.rows 10 → 9"] == 0.1
    assert set(moved) == {
        "seed 3 → 4",
        "select.steps.0.at_most 20 → 22",
        "select.steps.0.at_most 20 → 18",
        "select.steps.1.budget.rows 10 → 11",
        "select.steps.1.budget.rows 10 → 9",
    }


def test_without_sensitivity_each_step_is_taken_once_and_the_report_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, pick = [], Random.pick

    def count(step: Random, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        taken.append(seed)
        return pick(step, rows, vectors, seed)

    monkeypatch.setattr(Random, "pick", count)
    found = evidence_of(tmp_path, [{"method": "random", "budget": {"rows": 10}}], sensitivity=False)
    assert found["moved"] is None and len(taken) == 1
    assert "`select.sensitivity` is false" in evidence_markdown(found)
    assert not any("moves most" in line for line in evidence_lines(found))


def test_weights_that_cancel_but_for_a_tenth_turn_the_order_round(tmp_path: Path) -> None:
    steps = [{"method": "top_k", "score": BLEND, "budget": {"rows": 10}}]
    moved = {each["change"]: each["moved"] for each in evidence_of(tmp_path, steps)["moved"]}
    assert moved["select.steps.0.score.weights.short -0.9 → -0.81"] == 0
    assert moved["select.steps.0.score.weights.response_length 1 → 1.1"] == 0
    # 1 - 0.99 still prefers long rows, 0.9 - 0.9 prefers none: only that one moves
    assert moved["select.steps.0.score.weights.short -0.9 → -0.99"] == 0
    assert moved["select.steps.0.score.weights.response_length 1 → 0.9"] > 0.5


def test_a_draw_moves_with_the_seed(tmp_path: Path) -> None:
    found = evidence_of(tmp_path, [{"method": "random", "budget": {"rows": 10}}])
    assert found["moved"][0]["moved"] > 0.4
    random, _, matched = found["overlaps"]
    assert random["expected"] == pytest.approx(100 / 60) and matched["expected"] is None
    assert random["shared"] == 10, "a random choice without filters is its own control"


def test_scores_are_compared_with_each_other_and_with_the_length(tmp_path: Path) -> None:
    top = {"method": "top_k", "score": "short", "budget": {"rows": 3}}
    found = evidence_of(tmp_path, [top])
    told = {tuple(each["scores"]): (each["rho"], each["rows"]) for each in found["agreement"]}
    same = (pytest.approx(1), 60)  # all three are the loss tokens
    assert told == {
        ("loss tokens", "response_length"): same,
        ("loss tokens", "short"): same,
        ("response_length", "short"): same,
    }
    lines = list(evidence_lines(found))
    assert not any("goes by length" in line for line in lines), "of two that are the length"
    assert "scores differ   response_length and short most: rank correlation 1.00" in lines


def test_a_selection_that_nothing_moves_names_no_change(tmp_path: Path) -> None:
    found = evidence_of(
        tmp_path, [{"method": "top_k", "score": "response_length", "budget": {"rows": 1}}]
    )
    assert found["moved"] and not any(each["moved"] for each in found["moved"])
    line = "moves by        nothing: no pick goes with any small change (2 tried)"
    assert line in list(evidence_lines(found))


def test_a_line_without_rows_has_as_many_cells_as_the_headings() -> None:
    some = {"rows": 1, "tokens": 5, "quantiles": [5.0] * 7}
    none = {"rows": 0, "tokens": 0, "quantiles": []}
    kinds = {
        "choice": some,
        "random": none,
        "random_tokens": none,
        "length_matched": none,
        "eligible": some,
    }
    lines = length_table(kinds).splitlines()
    assert {line.count("|") for line in lines} == {11}
    assert lines[2] == "| choice | 1 | 5 | 5 | 5 | 5 | 5 | 5 | 5 | 5 |"
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {kind}" for kind in kinds]
