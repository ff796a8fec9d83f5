"""The select stage: reasons, controls, held-out prompts, and independence of row order."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.candidates import Candidates
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import LastVectors, select_examples
from storage.conversations import Conversation
from storage.database import read_workspace
from storage.runs import read_counts
from storage.selections import read_run_selections, read_selection
from tests.stage_runner import count_words, score, start

TOP = {"method": "top_k", "score": "response_length", "budget": {"rows": 3}}


def chat(question: str, answer: str) -> str:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return json.dumps({"messages": turns})


def content_id(line: str) -> str:
    return Conversation(json.loads(line)["messages"]).example_id


LINES = [chat(f"question {n // 2}", " ".join(["word"] * (n + 1))) for n in range(30)]
LINES += [
    chat("too long", "word " * 60),
    json.dumps({"messages": [{"role": "user", "content": "q"}]}),
]


def choose(
    folder: Path, lines: list[str], settings: dict[str, Any]
) -> tuple[dict[str, list[str]], dict[str, tuple[str, str | None]]]:
    """Selections by kind, and every drop by example: its reason and what caused it."""
    folder.mkdir()
    (folder / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run, pool = start(folder / "workspace", [folder / "rows.jsonl"], seed=3)
    run = score(count_words(run, pool), ScoreSettings(scorer="response_length"), pool)
    select_examples(run, SelectSettings.model_validate(settings), pool)
    with read_workspace(run.workspace) as con:
        selections = read_run_selections(con, run.run_id)
        picked = {
            kind: read_selection(con, each.selection_id)[0] for kind, each in selections.items()
        }
        drops = con.execute(
            "select example_id, reason, because_of from decisions where outcome = 'dropped'"
        ).fetchall()
    return picked, {example_id: (reason, cause) for example_id, reason, cause in drops}


def test_row_order_and_repeats_change_nothing(tmp_path: Path) -> None:
    settings = {"held_out": 0.2, "steps": [{"method": "grape", "score": "response_length"}, TOP]}
    one = choose(tmp_path / "one", LINES, settings)
    other = choose(tmp_path / "other", [*LINES[::-1], *LINES[:5]], settings)
    assert one == other


def test_the_highest_are_chosen_in_their_order(tmp_path: Path) -> None:
    picked, drops = choose(tmp_path / "w", LINES, {"held_out": 0, "steps": [TOP]})
    # Answers have 1 to 30 words; held against the ids of the same rows, made anew.
    best = [content_id(LINES[n]) for n in (29, 28, 27)]
    assert picked["choice"] == best != sorted(best)
    reasons = [reason for reason, _ in drops.values()]
    assert sorted(set(reasons)) == ["no_response", "over_budget", "truncated"]
    assert reasons.count("over_budget") == 27


def test_a_beaten_candidate_names_the_one_that_beat_it(tmp_path: Path) -> None:
    settings = {"held_out": 0, "steps": [{"method": "grape", "score": "response_length"}, TOP]}
    picked, drops = choose(tmp_path / "w", LINES, settings)
    causes = {cause for reason, cause in drops.values() if reason == "not_best_candidate"}
    assert len(causes) == 15
    assert set(picked["choice"]) <= causes


def test_held_out_prompts_keep_their_candidates_together(tmp_path: Path) -> None:
    picked, drops = choose(tmp_path / "w", LINES, {"held_out": 0.5, "steps": [TOP]})
    aside = {example for example, (reason, _) in drops.items() if reason == "held_out"}
    assert set(picked["held_out"]) == aside
    assert len(aside) % 2 == 0 and 0 < len(aside) < 30
    for kind in ("choice", "random", "length_matched"):
        assert not aside & set(picked[kind])


def test_controls_have_the_size_of_the_choice_and_are_not_it(tmp_path: Path) -> None:
    picked, _ = choose(tmp_path / "w", LINES, {"held_out": 0, "steps": [TOP]})
    assert len(picked["random"]) == len(picked["length_matched"]) == 3
    assert set(picked["random"]) != set(picked["choice"])
    # The longest three are chosen; of as many tokens more rows are drawn, those of `random` first.
    assert len(picked["random_tokens"]) > 3
    assert picked["random_tokens"][:3] == picked["random"]


def test_rows_without_the_score_pass_a_filter_that_says_so(tmp_path: Path) -> None:
    lenient = {
        "method": "threshold",
        "score": "response_length",
        "at_least": 99,
        "unscored": "keep",
    }
    picked, drops = choose(tmp_path / "w", LINES, {"held_out": 0, "steps": [lenient, TOP]})
    assert picked["choice"] == []
    assert [reason for reason, _ in drops.values()].count("below_threshold") == 30


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([TOP, TOP], "exactly one step ranks"),
        ([TOP, {"method": "clear"}], "it comes last"),
        ([{"method": "clear"}], "exactly one step ranks"),
        ([{**TOP, "budget": {"rows": 1, "fraction": 0.5}}], "exactly one of rows"),
        ([{**TOP, "budget": {}}], "exactly one of rows"),
        ([{"method": "threshold", "score": "x"}, TOP], "at_least, at_most or both"),
    ],
)
def test_steps_that_make_no_selection_are_refused(steps: list[Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SelectSettings.model_validate({"steps": steps})


def test_the_last_embeddings_are_kept_for_who_asks_for_the_same_rows_again() -> None:
    asked: list[str] = []

    def read(of: str, rows: Candidates) -> NDArray[np.float32]:
        asked.append(of)
        return np.full((len(rows), 2), len(asked), dtype=np.float32)

    def rows(*indices: int) -> Candidates:
        return Candidates(None, np.array(indices))  # type: ignore[arg-type]

    vectors = LastVectors(read)
    first = vectors("both", rows(0, 1))
    assert vectors("both", rows(0, 1)) is first and asked == ["both"]
    assert vectors("prompt", rows(0, 1)).tolist() == [[2, 2]] * 2
    assert vectors("prompt", rows(1, 0)).tolist() == [[3, 3]] * 2
    assert vectors("prompt", rows(1)).tolist() == [[4, 4]]
    assert vectors("both", rows(0, 1)).tolist() == [[5, 5]] * 2, "the last ones alone are kept"


def test_a_filter_that_takes_most_of_a_source_says_so_and_a_budget_does_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(LINES[:10]), encoding="utf-8")
    run, pool = start(tmp_path / "workspace", [tmp_path / "rows.jsonl"], seed=3)
    run = score(count_words(run, pool), ScoreSettings(scorer="response_length"), pool)
    short = {"method": "threshold", "score": "response_length", "at_most": 4}
    top = {"method": "top_k", "score": "response_length", "budget": {"rows": 1}}
    settings = {"held_out": 0.9, "steps": [short, top]}
    select_examples(run, SelectSettings.model_validate(settings), pool)
    with read_workspace(run.workspace) as con:
        told = {c.label: " ".join(c.notes) for c in read_counts(con, run.run_id)}
    settings["held_out"] = 0
    select_examples(run, SelectSettings.model_validate(settings), pool)
    with read_workspace(run.workspace) as con:
        whole = {c.label: " ".join(c.notes) for c in read_counts(con, run.run_id)}
    label = "threshold(score=response_length, at_most=4.0)"
    assert f"{label}: took 6 of the 10 rows of" in whole[label]
    assert not any("took" in said for name, said in {**told, **whole}.items() if name != label)
