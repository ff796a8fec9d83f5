"""A server that goes away in the midst of a stage: what it answered stays, and no row is failed."""

from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from pipeline.generation.makers.answer import Answer
from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.endpoint import Endpoint
from pipeline.measuring.measures.samples import ConfidenceSettings, SampleSettings
from pipeline.measuring.shards import measure_here
from pipeline.measuring.stage import plan_measures
from scorers.measures.endpoint.client import ServerLostError
from scorers.measures.models.loading import MissingModelError
from storage.database import read_workspace
from tests.fake_endpoint import Body, Canned, FakeEndpoint, completion, serve
from tests.scripted_maker import make
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
    run, pool = start(tmp_path / "workspace", [write_rows(tmp_path)])
    with serve(lambda body, attempt: LISTED) as endpoint:
        settings = Answer(model="m", endpoint=of(endpoint), prompts="all")
        go_after(endpoint, 5)
        with pytest.raises(ServerLostError):
            make(run, settings, pool)
        come_back(endpoint)
        make(run, settings, pool)
        asked = questions(endpoint)
    assert len(asked) == ROWS and set(asked.values()) == {1}
    with read_workspace(run.workspace) as con:
        attempts = con.execute("select state, count(*) from generation_attempts group by 1")
        assert attempts.fetchall() == [("ok", ROWS)]


PAGE = Canned(body=b"<html>log in</html>")
ELSEWHERE = Canned(302, headers={"Location": "https://login.example/"})


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (Canned(401), "http_401"),
        (Canned(403), "http_403"),
        (Canned(404, {"error": {"code": "model_not_found"}}), "model_not_found"),
        (ELSEWHERE, "login.example"),
        (PAGE, "web_page"),
        (Canned(500), "http_500"),
    ],
)
def test_what_a_server_says_to_everybody_is_stored_of_no_row(
    tmp_path: Path, said: Canned, named: str
) -> None:
    run, pool = start(tmp_path / "workspace", [write_rows(tmp_path)])

    def respond(body: Body, attempt: int) -> Canned:
        return said if body else LISTED

    with serve(respond) as endpoint:
        samples = SampleSettings(model="m", endpoint=of(endpoint), answers=1)
        settings = MeasureSettings(confidence=ConfidenceSettings(samples=samples))
        job = plan_measures(run.workspace, settings, pool, run.seed)["samples"]
        endpoint.respond = lambda body, attempt: completion("an answer") if body else LISTED
        measure_here(run.workspace, job.measure, job.ids[:3])
        endpoint.respond = respond
        with pytest.raises(ServerLostError, match=named) as lost:
            measure_here(run.workspace, job.measure, job.ids)
        assert lost.value.exit_code == 5 and endpoint.base_url in str(lost.value)
        generate = Answer(model="m", endpoint=of(endpoint), prompts="all")
        with pytest.raises(ServerLostError, match=named):
            make(run, generate, pool)
        models: list[Body]
        for models in ([], [{"id": "another"}]):
            endpoint.respond = partial(
                lambda told, body, attempt: told, Canned(body={"data": models})
            )
            with pytest.raises(MissingModelError, match="serves no 'm'"):
                measure_here(run.workspace, job.measure, job.ids)
    with read_workspace(run.workspace) as con:
        states = con.execute("select state, count(*) from samples group by state").fetchall()
        assert con.execute("select count(*) from generation_attempts").fetchone() == (0,)
    assert states == [("ok", 3)]
