"""`sluice retry` on a real flow: what failed is said, asked again and scored; no other row is."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness
from typer.testing import CliRunner

from flows.cli.main import app
from flows.retry_rows import NothingFailedError
from pipeline.scoring.backfill import BackfillError
from storage.database import read_workspace
from storage.workspace import Workspace
from tests.fake_endpoint import Body, Canned, FakeEndpoint, completion, listed, serve

pytestmark = pytest.mark.slow

RECIPE = """
name: judged
workspace: work
target: wheel:smollm2-135m-instruct
sources: [{{path: rows.jsonl}}]
generate: [{{model: m, endpoint: {{base_url: {url}, retries: 0}}}}]
measure: {{ratings: [{{model: m, endpoint: {{base_url: {url}, retries: 0}}}}]}}
scores: [{{scorer: rating, of: quality}}]
select: {{held_out: 0, steps: [{{method: top_k, score: rating, budget: {{rows: 2}}}}]}}
"""
ROWS = [
    *({"prompt": f"ask {n}", "completion": f"say {n}"} for n in range(6)),
    {"prompt": "who?"},
    {"prompt": "bad one?"},
]


@pytest.fixture(scope="module")
def harness() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


def respond(body: Body, attempt: int) -> Canned:
    """Refuses what is odd."""
    odd = "say 3" in str(body) or "say 5" in str(body) or "bad one?" in str(body)
    return Canned(400) if odd else mended(body, attempt)


def mended(body: Body, attempt: int) -> Canned:
    if not body:
        return Canned(body={"data": [{"id": "m"}]})
    return listed(**{"1": 0.3, "6": 0.5}) if "logprobs" in body else completion("An answer.")


def sluice(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


def questions(endpoint: FakeEndpoint) -> int:
    return sum(bool(each.body) for each in endpoint.received)


def states(project: Path) -> list[tuple[str, int]]:
    with read_workspace(Workspace(project / "work")) as con:
        query = "select 'scores ' || state, count(*) from scores group by 1 union all "
        query += (
            "select 'answers ' || state, count(*) from generation_attempts group by 1 order by 1"
        )
        return con.execute(query).fetchall()


def test_what_failed_is_asked_again_and_scored(tmp_path: Path, harness: None) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    recipe = tmp_path / "recipe.yaml"
    with serve(respond) as endpoint:
        recipe.write_text(RECIPE.format(url=endpoint.base_url))
        sluice("score", str(recipe))
        assert states(tmp_path) == [
            ("answers failed", 1),
            ("answers ok", 1),
            ("scores failed", 2),
            ("scores not_applicable", 2),
            ("scores ok", 5),
        ]
        before = questions(endpoint)
        shown = json.loads(sluice("retry", str(recipe), "--plan", "--json"))
        assert [(each["what"], each["rows"]) for each in shown["failed"]] == [
            ("answer", 1),
            ("ratings_quality", 2),
        ]
        assert shown["retried"] is None and questions(endpoint) == before
        failed_still = sluice("retry", str(recipe), "--scorer", "rating")
        assert "ratings_quality: 2 asked again, 0 ok now; still 2 failed: http_400" in failed_still
        endpoint.respond = mended
        before = questions(endpoint)
        told = sluice("retry", str(recipe), "--reason", "http_400")
        assert questions(endpoint) == before + 3
        assert "answer: 1 asked again, 1 ok now" in told
        assert "ratings_quality: 2 asked again, 2 ok now\n" in told
        assert states(tmp_path) == [
            ("answers ok", 2),
            ("scores not_applicable", 2),
            ("scores ok", 7),
        ]
        nothing = CliRunner().invoke(app, ["retry", str(recipe)])
        assert isinstance(nothing.exception, NothingFailedError)
        assert nothing.exception.exit_code == 2 and "nothing has failed" in str(nothing.exception)
        unknown = CliRunner().invoke(app, ["retry", str(recipe), "--scorer", "ratting"])
        assert isinstance(unknown.exception, BackfillError) and "rating" in str(unknown.exception)
        before = questions(endpoint)
        sluice("score", str(recipe))
        assert questions(endpoint) == before + 1, "the new answer alone is new to be rated"
