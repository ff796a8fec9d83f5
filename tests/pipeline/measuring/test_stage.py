"""The measure stage with a server on the loopback: nothing is asked twice, and nothing is lost."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.rows import answer_table
from pipeline.measuring.shard_work import measure_shard
from pipeline.measuring.shards import cut_shards
from pipeline.measuring.stage import plan_measures
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings, score_key
from scorers.measures.models.loading import MissingModelError
from storage.database import read_workspace
from storage.scores import read_scores
from storage.workspace import Workspace
from tests.fake_endpoint import Body, Canned, FakeEndpoint, completion, listed, serve
from tests.stage_runner import measure, score, start

ROWS = [
    {"prompt": "good {question}", "completion": "reply"},
    {"prompt": "unsampled", "completion": "reply"},
    {"prompt": "unrated", "completion": "reply"},
    {"prompt": "long", "completion": "reply"},
    {"messages": [{"role": "user", "content": "no response"}]},
]

TOO_LONG = Canned(400, {"error": {"message": "maximum context length is 9 tokens"}})

Pool = tuple[RunContext, list[str]]


class Server:
    """Serves one model; what it says depends on the question alone."""

    def __init__(self) -> None:
        self.root = "/weights/1"
        self.down = False

    def respond(self, body: Body, attempt: int) -> Canned:
        if self.down:
            return Canned(503)
        if not body:
            return Canned(body={"data": [{"id": "served", "root": self.root}]})
        text = body["messages"][-1]["content"]
        if "logprobs" not in body:
            return Canned(400) if text == "unsampled" else completion(f"sampled {body['seed']}")
        if text.startswith("Rate: unrated"):
            return Canned(422)
        if text.startswith("Rate: long"):
            return TOO_LONG
        return listed(**{"A": 0.5, "B": 0.1, "6": 0.2, "5": 0.1})


def settings(base_url: str, **endpoint: int) -> MeasureSettings:
    served = {"model": "served", "endpoint": {"base_url": base_url, "retries": 0, **endpoint}}
    return MeasureSettings.model_validate(
        {
            "confidence": {"samples": {**served, "answers": 2}},
            "ratings": [{**served, "name": "worth", "template": "Rate: {prompt} -> {response}"}],
        }
    )


def questions(server: FakeEndpoint) -> int:
    """How many questions the server was asked, besides what it serves."""
    return sum(bool(received.body) for received in server.received)


def test_a_reason_that_could_not_be_stored_is_spelled_out() -> None:
    answers = [{"state": "failed", "detail": "the template: \ud800\0"}, {"state": "ok"}]
    table = answer_table(pa.table({"example_id": ["a", "b"]}), answers, [])
    assert table["detail"].to_pylist() == ["the template: \\ud800\\x00", ""]


def states(workspace: Workspace, measure: str) -> dict[str, tuple[str, str]]:
    """First word of the prompt → state and detail."""
    with read_workspace(workspace) as con:
        query = f"select prompt, state, detail from {measure} join examples using (example_id)"
        return {row[0].split()[0]: row[1:] for row in con.execute(query).fetchall()}


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    return start(tmp_path / "w", [tmp_path / "rows.jsonl"])


def test_a_failing_request_is_a_state_on_its_row_alone(pool: Pool) -> None:
    run, ids = pool
    with serve(Server().respond) as server:
        run, _ = measure(run, settings(server.base_url), ids)
    none = ("not_applicable", "the example has no response")
    ok = ("ok", "")
    assert states(run.workspace, "samples") == {
        "good": ok,
        "unsampled": ("failed", "http_400: status 400"),
        "unrated": ok,
        "long": ok,
        "no": none,
    }
    assert states(run.workspace, "judgements") == {
        "good": ok,
        "unsampled": ("failed", "none of 0 samples is usable"),
        "unrated": ok,
        "long": ok,
        "no": none,
    }
    assert states(run.workspace, "ratings") == {
        "good": ok,
        "unsampled": ok,
        "unrated": ("failed", "http_422: status 422"),
        "long": ("truncated", "context_length: status 400"),
        "no": none,
    }


@pytest.mark.slow
def test_what_a_judge_said_becomes_scores(pool: Pool) -> None:
    run, ids = pool
    with serve(Server().respond) as server:
        run, _ = measure(run, settings(server.base_url), ids)
    rating = ScoreSettings(scorer="rating", of="worth", settings={"least_mass": 0.25})
    run = score(run, rating, ids)
    run = score(run, ScoreSettings(scorer="confidence"), ids)
    with read_workspace(run.workspace) as con:
        stored = con.execute("select probabilities, mass, marks from ratings where state = 'ok'")
        probabilities, mass, marks = stored.fetchall()[0]
        values, found = read_scores(con, run.scores["rating"], ids)
        _, confident = read_scores(con, run.scores["confidence"], ids)
    assert probabilities == pytest.approx([0, 0, 0, 0, 1 / 3, 2 / 3])
    assert mass == pytest.approx(0.3) and marks == [1, 2, 3, 4, 5, 6]
    rated = [value for value, state in zip(values, found, strict=True) if state == "ok"]
    assert rated == pytest.approx([17 / 3] * 2)
    assert sorted(found) == ["failed", "not_applicable", "ok", "ok", "truncated"]
    assert sorted(confident) == ["failed", "not_applicable", "ok", "ok", "ok"]


@pytest.mark.slow
def test_a_second_run_asks_nothing_and_a_new_row_only_for_itself(
    pool: Pool, tmp_path: Path
) -> None:
    run, ids = pool
    with serve(Server().respond) as server:
        measure(run, settings(server.base_url), ids)
        before = questions(server)
        _, asked = measure(run, settings(server.base_url), ids)
        assert questions(server) == before
        assert set(asked.values()) == {0}
        (tmp_path / "more.jsonl").write_text('{"prompt": "new", "completion": "reply"}')
        more, grown = start(run.workspace.directory, [tmp_path / "more.jsonl"])
        _, asked = measure(more, settings(server.base_url), sorted({*ids, *grown}))
        assert set(asked.values()) == {1}


def test_a_shard_that_is_asked_again_asks_the_server_only_what_failed(pool: Pool) -> None:
    run, ids = pool
    with serve(Server().respond) as server:
        jobs = plan_measures(run.workspace, settings(server.base_url), ids, run.seed)
        for name, failures in (("samples", 2), ("ratings_worth", 2)):
            (shard,) = cut_shards(run.workspace, jobs[name].measure, ids)
            measure_shard(shard)
            first, before = shard.measurements.read_bytes(shard.output), questions(server)
            shard.measurements.remove(shard.output)  # as a kill before the rename would have it
            measure_shard(shard)
            assert questions(server) == before + failures
            assert shard.measurements.read_bytes(shard.output) == first


def test_a_server_that_has_gone_is_told_and_not_stored(pool: Pool) -> None:
    run, ids = pool
    model = Server()
    with serve(model.respond) as server:
        jobs = plan_measures(run.workspace, settings(server.base_url), ids, run.seed)
        shards = [
            next(iter(cut_shards(run.workspace, jobs[name].measure, ids)))
            for name in ("samples", "ratings_worth")
        ]
        model.down = True
        for shard in shards:
            with pytest.raises(MissingModelError, match="/models: http_503"):
                measure_shard(shard)
        model.down, model.root = False, "/weights/2"
        for shard in shards:
            with pytest.raises(MissingModelError, match="serves another 'served'"):
                measure_shard(shard)
    assert not any(shard.done() for shard in shards)
    assert questions(server) == 0


@pytest.mark.slow
def test_another_model_under_the_same_name_is_asked_anew(pool: Pool) -> None:
    run, ids = pool
    model = Server()
    with serve(model.respond) as server:
        first, asked = measure(run, settings(server.base_url), ids)
        before = questions(server)
        model.root = "/weights/2"
        second, again = measure(run, settings(server.base_url), ids)
        assert questions(server) == 2 * before
    assert asked == again
    for name, key in first.measures.items():
        assert second.measures[name].measure_key != key.measure_key


def keys(run: RunContext, asked: MeasureSettings) -> dict[str, str]:
    jobs = plan_measures(run.workspace, asked, [], run.seed)
    del jobs["token_counts"]
    return {name: job.measure.key().measure_key for name, job in jobs.items()}


def test_neither_the_workspace_nor_how_hard_a_server_is_pressed_is_part_of_a_key(
    pool: Pool, tmp_path: Path
) -> None:
    run, _ = pool
    elsewhere, _ = start(tmp_path / "elsewhere", [tmp_path / "rows.jsonl"])
    with serve(Server().respond) as server:
        found = keys(run, settings(server.base_url))
        assert keys(elsewhere, settings(server.base_url)) == found
        assert keys(run, settings(server.base_url, retries=7, max_concurrency=2)) == found


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"name": "other"}, True),
        ({"part": {"rows": 2}}, True),
        ({"template": "Mark: {response}"}, False),
        ({"options": [1, 2]}, False),
    ],
)
def test_the_question_is_part_of_the_key_and_the_name_of_its_block_is_not(
    pool: Pool, change: Mapping[str, Any], same: bool
) -> None:
    run, _ = pool
    with serve(Server().respond) as server:
        block = settings(server.base_url).ratings[0].model_dump()
        whole = {"ratings": [block, {**block, "name": "changed", **change}]}
        first, second = keys(run, MeasureSettings.model_validate(whole)).values()
    assert (first == second) is same


def test_scores_of_two_blocks_are_kept_apart(pool: Pool) -> None:
    run, ids = pool
    with serve(Server().respond) as server:
        block = settings(server.base_url).ratings[0].model_dump()
        other = {**block, "name": "other", "options": ["A", "B"]}
        run, _ = measure(run, MeasureSettings.model_validate({"ratings": [block, other]}), ids)
    worth, words = (ScoreSettings(scorer="rating", of=name) for name in ("worth", "other"))
    assert score_key(worth, run.measures) != score_key(words, run.measures)
    run = score(run, words, ids)
    with read_workspace(run.workspace) as con:
        _, found = read_scores(con, run.scores["rating"], ids)
    assert "ok" not in found  # A and B are no numbers
