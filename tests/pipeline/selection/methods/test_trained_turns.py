"""Single turns that are not trained: by hand, and from the selection to the export."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from flows.cli.explain import explanation_lines
from pipeline.export.stage import export_rows
from pipeline.reporting.what_if import count_retrained
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.candidates import read_candidates, read_vectors
from pipeline.selection.methods.trained_turns import TrainedTurns, select_trained_turns
from pipeline.selection.run_steps import SelectSettings, choose_rows, later_objections
from pipeline.selection.sensitivity import measure_sensitivity
from pipeline.selection.stage import select_examples
from storage.database import read_workspace
from storage.explain import read_explanation, records
from storage.runs import read_counts
from storage.selections import read_run_selections, read_selected_turns, read_selection
from tests.stage_runner import count_words, score, start, store_measurement

NAN = np.nan

LOSSES = {  # nats per token of each trained turn; None: the model could not be asked
    "first": [9.0, 1.0, 1.0],
    "middle": [1.0, 9.0, 2.0],
    "last": [1.0, 1.0, 9.0],
    "all": [9.0, 8.0, 9.0],
    "none": [1.0, 2.0],
    "single": [1.0],
    "bad": [9.0],
    "failed": None,
}
TOKENS = [4, 10, 6]
"""Loss tokens of the first, second and third turn of each."""


def test_turns_outside_the_bounds_go_and_rows_without_a_turn() -> None:
    values = np.array([[1, 5, 2], [5, 5, NAN], [NAN, 2, NAN], [NAN, NAN, NAN], [0, 2, 5.0]])
    trained = np.array([[1, 1, 1], [1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 1]], dtype=bool)
    ids = np.array(list("edcba"), dtype=object)
    outcome = select_trained_turns(values, trained, ids, 1, 3)
    assert outcome.turns is not None
    # The third turn of row 1 is behind its last; the second of row 4 was taken before.
    assert outcome.turns.reasons.tolist() == [
        ["", "above_threshold", ""],
        ["above_threshold", "above_threshold", ""],
        ["no_score", "", ""],
        ["no_score", "", ""],
        ["below_threshold", "", "above_threshold"],
    ]
    assert outcome.reasons.tolist() == ["", "no_turn_left", "", "no_score", "no_turn_left"]
    assert outcome.indices.tolist() == [2, 0], "in the order of the ids"
    kept = select_trained_turns(values, trained, ids, 1, 3, keep_unscored=True)
    assert kept.reasons.tolist() == ["", "no_turn_left", "", "", "no_turn_left"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "give at_least, at_most or both"),
        ({"at_least": 2, "at_most": 1}, "at_least 2.0 is above at_most 1.0"),
    ],
)
def test_a_step_without_sound_bounds_is_refused(given: dict[str, float], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TrainedTurns.model_validate({"method": "trained_turns", "score": "grape", **given})


def dialogue(name: str) -> dict[str, object]:
    losses = LOSSES[name] or [0.0, 0.0]
    turns = [
        {"role": role, "content": f"{name} {n} {role}"}
        for n in range(len(losses))
        for role in ("user", "assistant")
    ]
    return {"messages": [{"role": "system", "content": "be kind"}, *turns]}


def measured(folder: Path) -> tuple[RunContext, list[str], dict[str, str]]:
    """The pool with its numbers; and the id of each example by its name."""
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(dialogue(name)) for name in LOSSES))
    run, pool = start(folder / "w", [folder / "rows.jsonl"])
    with read_workspace(run.workspace) as con:
        found = records(
            con, "select example_id, split_part(response, ' ', 1) as n from examples", {}
        )
    names = {row["n"]: row["example_id"] for row in found}
    ids, losses = [names[name] for name in LOSSES], list(LOSSES.values())
    tokens = [TOKENS[: len(each or "ab")] for each in losses]
    sums = [each and np.multiply(each, n).tolist() for each, n in zip(losses, tokens, strict=True)]
    totals = [sum(each) for each in tokens]
    counted = {
        "state": pa.array(["ok"] * len(ids)),
        "prompt_tokens": pa.array([30 - total for total in totals], pa.int64()),
        "response_tokens": pa.array(totals, pa.int64()),
        "turn_reads": pa.array([[10, 20, 30][: len(each)] for each in tokens]),
        "turn_tokens": pa.array(tokens),
    }
    run = store_measurement(run, "token_counts", ids, counted)
    means = [each and sum(each) / total for each, total in zip(sums, totals, strict=True)]
    read = {
        "state": pa.array(["ok" if each else "failed" for each in losses]),
        "mean_nll": pa.array(means, pa.float64()),
        "turn_tokens": pa.array([each and n for each, n in zip(losses, tokens, strict=True)]),
        "turn_nll": pa.array(sums, pa.list_(pa.float64())),
    }
    run = store_measurement(run, "losses", ids, read)
    return score(run, ScoreSettings(scorer="grape"), pool), pool, names


def settings(*filters: dict[str, object], **budget: object) -> SelectSettings:
    rank = {"method": "top_k", "score": "grape", "budget": budget or {"fraction": 1}}
    return SelectSettings.model_validate({"held_out": 0, "steps": [*filters, rank]})


BY_LOSS = {"method": "trained_turns", "score": "grape", "at_least": -4}  # grape is -loss


@pytest.mark.slow
def test_from_the_selection_to_the_export(tmp_path: Path) -> None:
    run, pool, names = measured(tmp_path)
    chosen = select_examples(run, settings(BY_LOSS), pool)
    # first: 10 + 6; middle: 4 + 6; last: 4 + 10; none: 4 + 10; single: 4
    assert (chosen.rows, chosen.loss_tokens) == (5, 16 + 10 + 14 + 14 + 4)
    with read_workspace(run.workspace) as con:
        choice = read_run_selections(con, run.run_id)["choice"]
        rows = [*export_rows(con, run, choice.selection_id, "train")]
        (count,) = (c for c in read_counts(con, run.run_id) if "trained_turns" in c.label)
        told = {name: read_explanation(con, names[name], None) for name in LOSSES}
    assert sum(row.loss_tokens for row in rows) == choice.loss_tokens == chosen.loss_tokens
    trained: dict[str, list[str]] = {}
    for row in rows:
        said = str(row.completion[0]["content"]).split()
        trained.setdefault(said[0], []).append(said[1])
    assert trained == {
        "first": ["1", "2"],
        "middle": ["0", "2"],
        "last": ["0", "1"],
        "none": ["0", "1"],
        "single": ["0"],
    }
    # What is not trained is read all the same, before the turn that is.
    (third,) = (row for row in rows if row.example_id == f"{names['middle']}-6")
    assert [m["content"] for m in third.prompt][3:5] == ["middle 1 user", "middle 1 assistant"]
    assert (third.prompt_tokens, third.loss_tokens) == (24, 6)
    assert dict(count.dropped) == {"no_turn_left": 2, "no_score:failed": 1}
    assert list(count.notes) == [
        "3 of 12 trained turns of the rows that stay are context from here on, and their 20 loss "
        "tokens are not trained: below_threshold 3"
    ]
    details = {name: each["decisions"][-2]["detail"] for name, each in told.items()}
    assert details["middle"] == "message 5 is not trained: below_threshold at -9.0000"
    assert details["none"] is None
    assert "below_threshold at -8.0000; message 7" in told["all"]["decisions"][-1]["detail"]
    lines = [line.strip() for line in explanation_lines(told["middle"])]
    label = "trained_turns(score=grape, at_least=-4.0)"
    assert f"select    {label}: kept; {details['middle']}" in lines
    assert "choice (choice), rank 5 of 5; of it is trained message 3, message 7" in lines
    turns = {name: each["selections"][0]["turns"] for name, each in told.items() if name in trained}
    assert (turns["middle"], turns["last"], turns["none"]) == ([2, 6], [2, 4], None)


def test_rows_without_the_score_can_stay_whole(tmp_path: Path) -> None:
    run, pool, names = measured(tmp_path)
    with read_workspace(run.workspace) as con:
        rows = read_candidates(con, run, pool)
        kept = later_objections(rows, settings({**BY_LOSS, "unscored": "keep"}), None)
        dropped = later_objections(rows, settings(BY_LOSS), None)
    at = [rows.ids.tolist().index(names[name]) for name in ("failed", "all", "bad", "first")]
    assert kept[at].tolist() == ["", "no_turn_left", "no_turn_left", ""]
    assert dropped[at].tolist() == ["no_score", "no_turn_left", "no_turn_left", ""]


def test_a_budget_and_its_controls_count_the_turns_that_are_trained(tmp_path: Path) -> None:
    run, pool, names = measured(tmp_path)
    select_examples(run, settings(BY_LOSS, loss_tokens=34), pool)
    with read_workspace(run.workspace) as con:
        found = read_run_selections(con, run.run_id)
        ids, _ = read_selection(con, found["choice"].selection_id)
    # By loss: single (1), none (24 / 14), first (52 / 20). 4 + 14 and of `first` 10 + 6 of its 20.
    assert ids == [names["single"], names["none"], names["first"]]
    assert found["choice"].loss_tokens == 34
    # As long as 16, 14 and 4: of the pool's 20, 14 and 4 tokens, 5 % up or down, 14, 14 and 4.
    assert found["length_matched"].loss_tokens == 14 + 14 + 4
    assert found["random_tokens"].loss_tokens <= 34


@pytest.mark.slow
def test_two_steps_take_turns_one_after_the_other(tmp_path: Path) -> None:
    run, pool, names = measured(tmp_path)
    long = {"method": "trained_turns", "score": "response_length", "at_least": 7}
    run = score(run, ScoreSettings(scorer="response_length"), pool)
    both = settings(BY_LOSS, long)
    # Each step alone leaves a turn of `middle`: the first and third by their losses, and by its 10
    # tokens the second. Of first, last and none the second stays; single has 4 tokens.
    chosen = select_examples(run, both, pool)
    assert (chosen.rows, chosen.loss_tokens) == (3, 10 + 10 + 10)
    with read_workspace(run.workspace) as con:
        rows = read_candidates(con, run, pool)
        reasons = dict(zip(rows.ids, later_objections(rows, both, None), strict=True))
    assert reasons[names["middle"]] == "no_turn_left" and reasons[names["first"]] == ""


@pytest.mark.slow
def test_which_turns_are_trained_is_part_of_what_a_selection_is(tmp_path: Path) -> None:
    run, pool, _ = measured(tmp_path)
    found: dict[int, set[str]] = {2: set(), 3: set()}
    for bound in (-4, -100):
        for rows, ids in found.items():  # the third is `first`, whose first turn has a loss of 9
            chosen = select_examples(run, settings({**BY_LOSS, "at_least": bound}, rows=rows), pool)
            ids.add(chosen.selection_id)
    assert (len(found[2]), len(found[3])) == (1, 2)


@pytest.mark.slow
def test_a_single_answer_is_a_row_or_none(tmp_path: Path) -> None:
    """With `turns: last` the step is a threshold by the last turn's score."""
    rows = [{"messages": [*talk("q", "a b", "q", "c d e")]}, {"messages": [*talk("q", "a")]}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"], turns="last")
    run = score(count_words(run, pool), ScoreSettings(scorer="response_length"), pool)
    step = {"method": "trained_turns", "score": "response_length", "at_least": 2}
    rank = {"method": "random", "budget": {"fraction": 1}}
    select = SelectSettings.model_validate({"held_out": 0, "steps": [step, rank]})
    chosen = select_examples(run, select, pool)
    assert (chosen.rows, chosen.loss_tokens) == (1, 3)
    with read_workspace(run.workspace) as con:
        (row,) = export_rows(con, run, chosen.selection_id, "train")
        assert read_selected_turns(con, chosen.selection_id) == {}
    assert len(row.prompt) == 3 and "-" not in row.example_id


def talk(*texts: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]


@pytest.mark.slow
def test_rows_move_by_their_turns_alone(tmp_path: Path) -> None:
    """At -8.5 the nines go: of three rows a turn each, of `all` two, and `bad` altogether."""
    run, pool, _ = measured(tmp_path)
    bound = {**BY_LOSS, "at_least": -8.5}
    select_examples(run, settings(bound), pool)
    with read_workspace(run.workspace) as con:
        rows = read_candidates(con, run, pool)
        chosen = choose_rows(rows, settings(bound), read_vectors, 0).chosen
        moved = measure_sensitivity(rows, chosen, settings(bound), read_vectors, 0)
        shares = {each.change: (each.moved, each.rows) for each in moved}
        change = "select.steps.0.at_least -8.5 → {}"
        assert shares[change.format(-9.35)] == (4 / 6, 7), "four have turns more"
        assert shares[change.format(-7.65)] == (1 / 6, 5), "`all` is gone"
        assert shares["seed 0 → 1"] == (0, 6)
        then = np.isin(rows.ids, chosen.ids)
        assert count_retrained(con, run.run_id, chosen, then) == 0
        wider = choose_rows(rows, settings({**bound, "at_least": -9.35}), read_vectors, 0).chosen
        assert count_retrained(con, run.run_id, wider, then) == 4
        whole = choose_rows(rows, settings(), read_vectors, 0).chosen
        assert count_retrained(con, run.run_id, whole, then) == 4
        assert count_retrained(con, run.run_id, whole, ~then) == 0, "they are no rows of both"
