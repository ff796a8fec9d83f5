"""A retry asks what failed, nothing else, and what it is told takes the old failure's place."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.endpoint import Endpoint
from pipeline.measuring.measures.ratings import RatingSettings
from pipeline.measuring.measures.samples import ConfidenceSettings, SampleSettings
from pipeline.measuring.measures.tags import TagNaming, TagSettings
from pipeline.measuring.measures.token_counts import TokenCounts
from pipeline.measuring.retry import (
    NOT_GONE,
    PERHAPS_GONE,
    FailedMeasures,
    find_failed_rows,
    forget_made_of_failed,
)
from pipeline.measuring.shard_work import measure_shard
from pipeline.measuring.shards import commit_measured, cut_shards, measure_here
from pipeline.measuring.stage import plan_measures
from storage.database import open_workspace, read_workspace
from storage.measurements import MeasureKey, add_measure, commit_shards
from storage.workspace import Workspace
from tests.fake_endpoint import Body, Canned, FakeEndpoint, completion, listed, serve
from tests.stage_runner import start

TOO_LONG = Canned(400, {"error": {"message": "the maximum context length is 8"}})
ROWS = {"fine": None, "refused": Canned(400), "long": TOO_LONG}


def write_rows(folder: Path) -> Path:
    path = folder / "rows.jsonl"
    lines = [f'{{"prompt": "ask {name}", "completion": "{name}"}}' for name in ROWS]
    path.write_text("\n".join([*lines, '{"prompt": "a prompt only"}']))
    return path


def respond(body: Body, attempt: int) -> Canned:
    """What the server says before it is mended."""
    if not body:
        return Canned(body={"data": [{"id": "m", "max_model_len": 4096}]})
    odd = [said for name, said in ROWS.items() if said and name in str(body["messages"])]
    return odd[0] if odd else answer(body)


def mended(body: Body, attempt: int) -> Canned:
    return answer(body) if body else respond(body, attempt)


def answer(body: Body) -> Canned:
    return (
        listed(**{"1": 0.3, "2": 0.1, "A": 0.3, "B": 0.1})
        if "logprobs" in body
        else completion("one, two")
    )


@pytest.fixture
def measured(tmp_path: Path) -> tuple[Workspace, list[str]]:
    run, pool = start(tmp_path / "w", [write_rows(tmp_path)])
    return run.workspace, pool


def settings_for(endpoint: FakeEndpoint) -> MeasureSettings:
    asked = Endpoint(base_url=endpoint.base_url, retries=0)
    return MeasureSettings(
        tokens=TokenCounts(model="wheel:smollm2-135m-instruct"),
        ratings=(RatingSettings(model="m", endpoint=asked),),
        tags=TagSettings(model="m", endpoint=asked, names=TagNaming(least_rows=1)),
        confidence=ConfidenceSettings(samples=SampleSettings(model="m", endpoint=asked, answers=1)),
    )


def measure_all(workspace: Workspace, settings: MeasureSettings, pool: list[str]) -> None:
    for job in plan_measures(workspace, settings, pool, 0).values():
        measure_here(workspace, job.measure, job.ids)


def ask_again(workspace: Workspace, found: FailedMeasures) -> None:
    for rows in found.rows.values():
        job = rows.job
        shards = list(cut_shards(workspace, job.measure, job.ids, found.sizes, job.again))
        commit_measured(
            workspace, job.measure, [measure_shard(each) for each in shards], again=True
        )


def find(
    workspace: Workspace, settings: MeasureSettings, names: Collection[str], reason: str = ""
) -> FailedMeasures:
    return find_failed_rows(workspace, settings, names, 0, None, reason)


def states_of(workspace: Workspace, measure: str) -> dict[str, str]:
    query = f"select response, state from {measure} join examples using (example_id)"
    with read_workspace(workspace) as con:
        return dict(con.execute(query).fetchall())


@pytest.mark.slow
def test_what_failed_is_asked_again_and_nothing_else(
    measured: tuple[Workspace, list[str]],
) -> None:
    workspace, pool = measured
    with serve(respond) as endpoint:
        settings = settings_for(endpoint)
        measure_all(workspace, settings, pool)
        before = states_of(workspace, "ratings")
        assert before == {
            "fine": "ok",
            "refused": "failed",
            "long": "truncated",
            "": "not_applicable",
        }
        found = find(workspace, settings, settings.names())
        assert {name: len(rows.job.ids) for name, rows in found.rows.items()} == {
            "samples": 2,
            "judgements": 2,
            "ratings_quality": 2,
            "tag_replies": 2,
        }
        rated = found.rows["ratings_quality"]
        assert {each.detail: rated.outlook(each) for each in rated.reasons} == {
            "http_400: status 400": PERHAPS_GONE,
            "context_length: status 400": "perhaps: the server reads 4096 tokens now",
        }
        judged = found.rows["judgements"]
        assert {judged.outlook(each) for each in judged.reasons} == {PERHAPS_GONE}
        endpoint.respond = mended
        asked = len(endpoint.received)
        ask_again(workspace, found)
        again = [str(each.body) for each in endpoint.received[asked:] if each.body]
        assert again and not any("ask fine" in each for each in again)
        for measure in ("samples", "judgements", "ratings", "tag_replies"):
            now = states_of(workspace, measure)
            assert now == {"fine": "ok", "refused": "ok", "long": "ok", "": "not_applicable"}
        assert find(workspace, settings, settings.names()).rows == {}
        assert states_of(workspace, "tags")["refused"] == "failed"
        assert forget_made_of_failed(workspace, found.keys.values()) == 1
        measure_all(workspace, settings, pool)
        assert states_of(workspace, "tags")["refused"] == "ok"


@pytest.mark.slow
def test_a_reason_and_a_measure_narrow_it_and_what_is_made_of_a_row_follows_it(
    measured: tuple[Workspace, list[str]],
) -> None:
    workspace, pool = measured
    with serve(respond) as endpoint:
        settings = settings_for(endpoint)
        measure_all(workspace, settings, pool)
        only = find(workspace, settings, {"ratings_quality"}, "http_400")
        assert {name: len(rows.job.ids) for name, rows in only.rows.items()} == {
            "ratings_quality": 1
        }
        both = find(workspace, settings, {"judgements"}, "context_length")
        assert {name: len(rows.job.ids) for name, rows in both.rows.items()} == {
            "samples": 1,
            "judgements": 1,
        }
        assert find(workspace, settings, {"tags"}).rows.keys() == {"tag_replies"}
        assert find(workspace, settings, settings.names(), "no such reason").rows == {}


@pytest.mark.slow
def test_what_fails_again_stays_failed_and_can_be_asked_a_third_time(
    measured: tuple[Workspace, list[str]],
) -> None:
    workspace, pool = measured
    with serve(respond) as endpoint:
        settings = settings_for(endpoint)
        measure_all(workspace, settings, pool)
        names = {"ratings_quality"}
        for _ in range(2):
            asked = len(endpoint.received)
            ask_again(workspace, find(workspace, settings, names))
            assert sum(bool(each.body) for each in endpoint.received[asked:]) == 2
            assert states_of(workspace, "ratings")["refused"] == "failed"
        endpoint.respond = mended
        ask_again(workspace, find(workspace, settings, names))
    assert set(states_of(workspace, "ratings").values()) == {"ok", "not_applicable"}


@pytest.mark.slow
def test_what_was_finished_before_a_kill_is_found_again(
    measured: tuple[Workspace, list[str]],
) -> None:
    workspace, pool = measured
    with serve(respond) as endpoint:
        settings = settings_for(endpoint)
        measure_all(workspace, settings, pool)
        endpoint.respond = mended
        found = find(workspace, settings, {"ratings_quality"})
        job = found.rows["ratings_quality"].job
        (shard,) = cut_shards(workspace, job.measure, job.ids, found.sizes, again=True)
        measure_shard(shard)  # and killed before it was committed
        assert states_of(workspace, "ratings")["refused"] == "failed"
        asked = len(endpoint.received)
        ask_again(workspace, find(workspace, settings, {"ratings_quality"}))
        assert not any(each.body for each in endpoint.received[asked:])
    assert states_of(workspace, "ratings")["refused"] == "ok"


def store_failed(workspace: Workspace, key: MeasureKey, ids: list[str]) -> None:
    """Write rows that a template could not write."""
    n, path = len(ids), f"{key.measure}/{key.measure_key}/failed.parquet"
    columns = {"state": ["failed"] * n, "detail": ["no alternation"] * n}
    keys = {"example_id": ids, "measure_key": [key.measure_key] * n}
    workspace.measurements.write(path, pa.table({**keys, **columns}))
    with open_workspace(workspace) as con:
        add_measure(con, key)
        commit_shards(con, workspace, key, [(path, 0.0)])


def test_of_a_model_here_the_reason_is_not_gone(measured: tuple[Workspace, list[str]]) -> None:
    workspace, pool = measured
    settings = MeasureSettings(tokens=TokenCounts(model="wheel:smollm2-135m-instruct"))
    assert find(workspace, settings, settings.names()).rows == {}
    job = plan_measures(workspace, settings, pool, 0)["token_counts"]
    store_failed(workspace, job.measure.key(), pool)
    rows = find(workspace, settings, settings.names()).rows["token_counts"]
    assert {rows.outlook(each) for each in rows.reasons} == {NOT_GONE}
    assert rows.job.ids == sorted(pool)
    assert find(workspace, settings, {"losses"}).rows == {}, "it was not asked for"
