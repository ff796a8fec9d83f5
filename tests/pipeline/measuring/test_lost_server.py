"""A server that goes away in the midst of a stage: what it answered stays, and no row is failed."""

from collections import Counter
from pathlib import Path

import pytest

from pipeline.generation.stage import GenerateSettings, answer_prompts, commit_answers, cut_prompts
from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.endpoint import Endpoint
from pipeline.measuring.measures.samples import ConfidenceSettings, SampleSettings
from pipeline.measuring.shards import measure_here
from pipeline.measuring.stage import plan_measures
from scorers.measures.endpoint.client import ServerLostError
from scorers.measures.models.loading import MissingModelError
from storage.database import read_workspace
from tests.fake_endpoint import Body, Canned, FakeEndpoint, completion, serve
from tests.stage_runner import start

ROWS = 12
LISTED = Canned(body={"data": [{"id": "m"}]})


def write_rows(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    lines = [f'{{"prompt": "ask {n}", "completion": "say {n}"}}' for n in range(ROWS)]
    path.write_text("\n".join(lines))
    return path


def go_after(endpoint: FakeEndpoint, answers: int) -> None:
    """Have the server answer so many questions and then be gone."""
    left = iter(range(answers, 0, -1))

    def respond(body: Body, attempt: int) -> Canned:
        if not body:
            return LISTED
        endpoint.gone = next(left) == 1
        return completion("an answer")

    endpoint.respond = respond


def come_back(endpoint: FakeEndpoint) -> None:
    endpoint.gone = False
    endpoint.respond = lambda body, attempt: completion("an answer") if body else LISTED


def questions(endpoint: FakeEndpoint) -> Counter[str]:
    return Counter(
        str(received.body["messages"]) for received in endpoint.received if received.body
    )


def of(endpoint: FakeEndpoint) -> Endpoint:
    return Endpoint(base_url=endpoint.base_url, retries=0, max_concurrency=1)


def test_measuring_goes_on_when_the_server_is_back(tmp_path: Path) -> None:
    run, pool = start(tmp_path / "workspace", [write_rows(tmp_path)])
    with serve(lambda body, attempt: LISTED) as endpoint:
        samples = SampleSettings(model="m", endpoint=of(endpoint), answers=1)
        settings = MeasureSettings(confidence=ConfidenceSettings(samples=samples))

        def measure() -> None:
            job = plan_measures(run.workspace, settings, pool, run.seed)["samples"]
            measure_here(run.workspace, job.measure, job.ids)

        go_after(endpoint, 5)
        with pytest.raises(ServerLostError, match="run the same command again"):
            measure()
        with pytest.raises(MissingModelError, match="Is the server up"):
            measure()
        with read_workspace(run.workspace) as con:
            assert con.execute("select count(*) from samples").fetchall() == [(0,)]
        come_back(endpoint)
        measure()
        asked = questions(endpoint)
    assert len(asked) == ROWS and set(asked.values()) == {1}
    with read_workspace(run.workspace) as con:
        states = con.execute("select state, count(*) from samples group by state").fetchall()
    assert states == [("ok", ROWS)]


def test_generating_goes_on_when_the_server_is_back(tmp_path: Path) -> None:
    run, _ = start(tmp_path / "workspace", [write_rows(tmp_path)])
    with serve(lambda body, attempt: LISTED) as endpoint:
        settings = GenerateSettings(model="m", endpoint=of(endpoint), prompts="all")
        with read_workspace(run.workspace) as con:
            ids = [row[0] for row in con.execute("select example_id from examples").fetchall()]
        go_after(endpoint, 5)
        (batch,) = cut_prompts(run, settings, ids)
        with pytest.raises(ServerLostError):
            answer_prompts(batch)
        come_back(endpoint)
        (batch,) = cut_prompts(run, settings, ids)
        commit_answers(run, settings, answer_prompts(batch))
        asked = questions(endpoint)
    assert len(asked) == ROWS and set(asked.values()) == {1}
    with read_workspace(run.workspace) as con:
        attempts = con.execute("select state, count(*) from generation_attempts group by 1")
        assert attempts.fetchall() == [("ok", ROWS)]
