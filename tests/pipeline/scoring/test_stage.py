"""The score stage: stored measurements and texts in, scores with states out."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.run_context import RunContext
from pipeline.scoring import stage
from pipeline.scoring.stage import ScoreSettings, score_examples, score_key
from scorers import SCORERS
from storage.database import open_workspace, read_workspace
from storage.examples import read_examples
from storage.measurements import MeasureKey
from storage.scores import read_scores, write_scores
from tests.stage_runner import LONGEST, count_words, score, start, store_measurement


def test_a_scorer_may_tell_equal_rows_apart_by_their_ids(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "completion": f"r{n}"} for n in range(5)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    losses = [None, [1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [0.5, 0.5]]
    columns = {
        "state": pa.array(["failed", "ok", "ok", "ok", "ok"]),
        "trajectory": pa.array(losses, pa.list_(pa.float64())),
    }
    run = store_measurement(run, "trajectories", pool, columns)
    run = score(run, ScoreSettings(scorer="sftmix_class"), pool)
    with read_workspace(run.workspace) as con:
        values, states = read_scores(con, run.scores["sftmix_class"], pool)
    # The fifth is the most confident; of the three alike the lowest id joins it.
    np.testing.assert_array_equal(values, [np.nan, 1, 0, 0, 1])
    assert states == ["failed", "ok", "ok", "ok", "ok"]


def test_a_scorer_may_read_a_column_of_two_blocks(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "completion": f"r{n}"} for n in range(4)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    vectors = {
        "prompt": ([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], None], ["ok", "ok", "ok", "failed"]),
        "response": ([[1.0, 0.0], [0.6, 0.8], None, [1.0, 0.0]], ["ok", "ok", "truncated", "ok"]),
    }
    for block, (found, states) in vectors.items():
        columns = {"state": pa.array(states), "embedding": pa.array(found, pa.list_(pa.float32()))}
        run = store_measurement(run, f"embeddings_{block}", pool, columns)
    settings = ScoreSettings(scorer="prompt_response_similarity")
    run = score(run, settings, pool)
    with read_workspace(run.workspace) as con:
        values, states = read_scores(con, run.scores[settings.label], pool)
    np.testing.assert_allclose(values, [1, 0.6, np.nan, np.nan], rtol=1e-6)
    assert states == ["ok", "ok", "truncated", "failed"], "each has the state that it lacks for"
    other = {**run.measures, "embeddings_prompt": run.measures["embeddings_response"]}
    assert score_key(settings, other) != run.scores[settings.label], "both blocks are in its key"


def test_a_reduction_of_turns_is_a_score_of_its_own(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "completion": f"r{n}"} for n in range(3)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    # Two turns; one turn; and one that was measured before turns were.
    columns = {
        "state": pa.array(["ok"] * 3),
        "mean_nll": pa.array([2.8, 1.0, 5.0]),
        "turn_tokens": pa.array([[10, 40], [8], None], pa.list_(pa.int64())),
        "turn_nll": pa.array([[40.0, 100.0], [8.0], None], pa.list_(pa.float64())),
    }
    run = store_measurement(run, "losses", pool, columns)
    found = {}
    for reduction in (None, "token", "turn", "worst", "last"):
        settings = ScoreSettings(scorer="grape", reduction=reduction)
        run = score(run, settings, pool)
        with read_workspace(run.workspace) as con:
            values, _ = read_scores(con, run.scores[settings.label], pool)
        found[settings.label] = [-value for value in values.tolist()]
    assert found == {
        "grape": [2.8, 1.0, 5.0],
        "grape:token": [2.8, 1.0, 5.0],
        "grape:turn": [(4.0 + 2.5) / 2, 1.0, 5.0],
        "grape:worst": [4.0, 1.0, 5.0],
        "grape:last": [2.5, 1.0, 5.0],
    }
    assert run.scores["grape"] == run.scores["grape:token"], "by token is what is stored already"


def lengths(folder: Path) -> tuple[RunContext, list[str]]:
    """A pool whose responses have 0 to 7 words, and one that is too long for the trainer."""
    rows = [{"prompt": f"p{n}", "completion": "w " * n + "."} for n in (*range(8), 99)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, pool = start(folder / "w", [folder / "rows.jsonl"])
    return count_words(run, pool), pool


def scores_of(run: RunContext, pool: list[str]) -> tuple[list[float], list[str]]:
    with read_workspace(run.workspace) as con:
        values, states = read_scores(con, run.scores["response_length"], pool)
    return values.tolist(), states


@pytest.mark.parametrize("seed", range(3))
def test_each_row_has_its_own_score_in_whatever_order_the_pool_is(
    tmp_path: Path, seed: int
) -> None:
    run, pool = lengths(tmp_path)
    shuffled = np.random.default_rng(seed).permutation(pool).tolist()
    assert shuffled != pool
    run = score(run, ScoreSettings(scorer="response_length"), shuffled)
    values, states = scores_of(run, pool)
    with read_workspace(run.workspace) as con:
        words = [len(each.response.split()) for each in read_examples(con, pool)]
    expected = [math.nan if n > LONGEST else float(n) for n in words]
    np.testing.assert_array_equal(values, expected)
    assert states == ["truncated" if n > LONGEST else "ok" for n in words]


@pytest.mark.parametrize("wrong", ["values", "states"])
def test_a_wrong_score_that_is_stored_is_put_right(tmp_path: Path, wrong: str) -> None:
    run, pool = lengths(tmp_path)
    run = score(run, ScoreSettings(scorer="response_length"), pool)
    right = values, states = scores_of(run, pool)
    if wrong == "values":
        values = [value + 1 for value in values]
    else:
        states = ["failed" if state == "truncated" else state for state in states]
    with open_workspace(run.workspace) as con:
        write_scores(con, run.scores["response_length"], pool, np.array(values), states)
    assert repr(scores_of(run, pool)) != repr(right)
    score(run, ScoreSettings(scorer="response_length"), pool)
    assert repr(scores_of(run, pool)) == repr(right)


def test_scores_that_are_stored_already_are_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, pool = lengths(tmp_path)
    score(run, ScoreSettings(scorer="response_length"), pool)
    monkeypatch.setattr(stage, "write_scores", None)
    score(run, ScoreSettings(scorer="response_length"), pool[::-1])


def test_a_row_without_a_score_says_why(tmp_path: Path) -> None:
    rows = [json.dumps({"prompt": f"p{n}", "completion": "r"}) for n in range(6)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    states = ["ok", "ok", "failed", "truncated", "not_applicable"]
    tokens = pa.array([3, None, None, None, None], pa.int64())
    counted = {"state": pa.array(states), "response_tokens": tokens}
    run = store_measurement(run, "token_counts", pool[:5], counted)
    run = score(run, ScoreSettings(scorer="response_length"), pool)
    values, found = scores_of(run, pool)
    # The second was measured and can have no such score; the last was never asked about.
    assert found == ["ok", "not_applicable", *states[2:], "not_measured"]
    np.testing.assert_array_equal(values, [3.0] + [math.nan] * 5)


ANSWERS = {"a a": "one two", "b": "one one", "c": None, "d": "?!", "e": "one two one two"}


@pytest.fixture
def asked(tmp_path: Path) -> tuple[RunContext, list[str]]:
    """Prompts with their answers; one has none, and one is without words. Nothing is measured."""
    rows = []
    for prompt, answer in ANSWERS.items():
        user = {"role": "user", "content": prompt}
        rows.append([user] if answer is None else [user, {"role": "assistant", "content": answer}])
    lines = [json.dumps({"messages": messages}) for messages in rows]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    return start(tmp_path / "w", [tmp_path / "rows.jsonl"])


def by_prompt(
    run: RunContext, settings: ScoreSettings, pool: list[str]
) -> dict[str, tuple[float, str]]:
    """Prompt → its score and state."""
    run = score(run, settings, pool)
    with read_workspace(run.workspace) as con:
        prompts = [example.prompt for example in read_examples(con, pool)]
        values, states = read_scores(con, run.scores[settings.label], pool)
    return dict(zip(prompts, zip(values.tolist(), states, strict=True), strict=True))


def test_a_scorer_reads_texts_of_which_nothing_was_measured(
    asked: tuple[RunContext, list[str]],
) -> None:
    run, pool = asked
    assert run.measures == {}
    found = by_prompt(run, ScoreSettings(scorer="type_token_ratio"), pool)
    none = (pytest.approx(np.nan, nan_ok=True), "not_applicable")
    ok = {"a a": (1.0, "ok"), "b": (0.5, "ok"), "e": (0.5, "ok")}
    assert found == {**ok, "c": none, "d": none}


def test_a_recipe_says_which_text(asked: tuple[RunContext, list[str]]) -> None:
    run, pool = asked
    prompts = by_prompt(run, ScoreSettings(scorer="type_token_ratio", of="prompt"), pool)
    assert {prompt: value for prompt, (value, _) in prompts.items()} == {
        **dict.fromkeys("bcde", 1.0),
        "a a": 0.5,
    }
    both = by_prompt(run, ScoreSettings(scorer="type_token_ratio", of="both"), pool)
    assert both["a a"] == (0.75, "ok") and both["d"] == (1.0, "ok")
    assert both["c"][1] == "not_applicable"


def test_a_scorer_may_compare_a_response_with_its_prompt(
    asked: tuple[RunContext, list[str]],
) -> None:
    found = by_prompt(asked[0], ScoreSettings(scorer="prompt_copying"), asked[1])
    assert found["a a"] == (0.0, "ok")
    assert [found[prompt][1] for prompt in "cd"] == ["not_applicable"] * 2


def test_texts_in_several_blocks_stay_with_their_rows(
    asked: tuple[RunContext, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, pool = asked
    whole = by_prompt(run, ScoreSettings(scorer="words_per_line", of="prompt"), pool)
    monkeypatch.setattr("storage.texts.BLOCK_TEXTS", 2)
    again = ScoreSettings(scorer="words_per_line", of="prompt", name="again")
    assert by_prompt(run, again, pool) == whole
    assert whole["a a"] == (2.0, "ok") and whole["b"] == (1.0, "ok")


def test_the_key_names_the_text_or_the_measurement_and_the_settings() -> None:
    losses = MeasureKey("losses", "model", "print", "template", {"version": 1})
    assert score_key(ScoreSettings(scorer="ifd"), {"losses": losses}) == (
        "ifd",
        1,
        f'{{"measure_key":"{losses.measure_key}","settings":{{}}}}',
    )
    repeats = ScoreSettings(scorer="duplicate_ngrams", of="prompt", settings={"n": 3})
    assert score_key(repeats, {}) == (
        "duplicate_ngrams",
        SCORERS["duplicate_ngrams"].version,
        '{"settings":{"n":3},"texts":{"text":"prompt"}}',
    )
    copying = score_key(ScoreSettings(scorer="prompt_copying"), {})[2]
    texts = {"prompt": "prompt", "response": "response"}
    assert json.loads(copying) == {"settings": {"n": 4}, "texts": texts}
    default = score_key(ScoreSettings(scorer="duplicate_ngrams"), {})
    named = score_key(ScoreSettings(scorer="duplicate_ngrams", of="response"), {})
    assert default == named, "the response, said or not"


def test_an_example_that_is_not_there_is_not_scored(asked: tuple[RunContext, list[str]]) -> None:
    run, _ = asked
    settings = ScoreSettings(scorer="refusal_phrases")
    assert score_examples(run.workspace, settings, {}, ["0" * 32]) == {"not_measured": 1}
