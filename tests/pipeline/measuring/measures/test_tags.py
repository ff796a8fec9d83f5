"""Tags by a server, named over the pool, and a choice that is made by them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.cost import plan_measure
from pipeline.measuring.measures.tags import TagNaming, TagSettings
from pipeline.measuring.stage import plan_measures
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.database import read_workspace
from storage.measurements import read_text_lists
from storage.scores import read_scores
from storage.selections import read_run_selections, read_selection
from tests.fake_endpoint import Body, Canned, FakeEndpoint, completion, serve
from tests.stage_runner import count_words, measure, score, start

WRITTEN = {
    "p0": "Loops, Python, unit tests",
    "p1": "loop, python",
    "p2": "unit test",
    "p3": "I do not want to say what that asks for",
    "p4": "rust",
}


def respond(body: Body, attempt: int) -> Canned:
    if not body:
        return Canned(body={"data": [{"id": "tagger", "root": "/weights"}]})
    return completion(WRITTEN[body["messages"][-1]["content"].removeprefix("Tag: ")])


def settings(server: FakeEndpoint, **names: object) -> MeasureSettings:
    block: dict[str, Any] = {
        "model": "tagger",
        "endpoint": {"base_url": server.base_url, "retries": 0},
        "template": "Tag: {prompt}",
        "names": names,
    }
    return MeasureSettings.model_validate({"tags": block})


def ingest(folder: Path, count: int = 5) -> tuple[RunContext, list[str]]:
    rows = [{"prompt": f"p{at}", "completion": "reply"} for at in range(count)]
    rows.append({"prompt": "p0", "completion": "another reply"})
    file = folder / f"rows{count}.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    return start(folder / "workspace", [file])


def stored(run: RunContext, pool: Sequence[str]) -> dict[str, tuple[str, Any]]:
    """Prompt → state and tags."""
    with read_workspace(run.workspace) as con:
        said = read_text_lists(con, run.measures["tags"], "tags", pool)
        query = "select example_id, prompt from examples"
        prompts = dict(con.execute(query).fetchall())
    pairs = zip(pool, said.states, said.lists, strict=True)
    return {prompts[example_id]: (state, tags) for example_id, state, tags in pairs}


def asked(server: FakeEndpoint) -> int:
    return sum(bool(received.body) for received in server.received)


def test_each_prompt_is_asked_once_and_named_over_the_pool(tmp_path: Path) -> None:
    run, pool = ingest(tmp_path)
    with serve(respond) as server:
        run, _ = measure(run, settings(server), pool)
        assert asked(server) == 5
        assert stored(run, pool) == {
            "p0": ("ok", ["loops", "python", "unit tests"]),
            "p1": ("ok", ["loops", "python"]),
            "p2": ("ok", ["unit tests"]),
            "p3": ("failed", None),
            "p4": ("ok", []),
        }
        run, again = measure(run, settings(server, by="none", least_rows=1), pool)
        assert again == {"tag_replies": 0, "tags": 6} and asked(server) == 5
        assert stored(run, pool)["p1"] == ("ok", ["loop", "python"])
        assert stored(run, pool)["p4"] == ("ok", ["rust"])


@pytest.mark.slow
def test_new_rows_are_asked_alone_and_all_named_anew(tmp_path: Path) -> None:
    with serve(respond) as server:
        run, pool = ingest(tmp_path, 1)
        run, _ = measure(run, settings(server), pool)
        assert stored(run, pool)["p0"] == ("ok", ["loops", "python", "unit tests"])
        few = run.measures["tags"].measure_key
        run, pool = ingest(tmp_path, 2)
        run, new = measure(run, settings(server), pool)
        assert run.measures["tags"].measure_key != few, "other rows, other names"
        assert new == {"tag_replies": 1, "tags": 3} and asked(server) == 2


def test_rows_are_scored_and_picked_by_their_tags(tmp_path: Path) -> None:
    run, pool = ingest(tmp_path)
    with serve(respond) as server:
        run, _ = measure(run, settings(server, least_rows=1), pool)
    run = score(count_words(run, pool), ScoreSettings(scorer="tag_count"), pool)
    with read_workspace(run.workspace) as con:
        counts, states = read_scores(con, run.scores["tag_count"], pool)
    assert sorted(counts[~np.isnan(counts)]) == [1, 1, 2, 3, 3]
    assert states[int(np.flatnonzero(np.isnan(counts))[0])] == "failed"
    steps = [{"method": "instag", "again": False, "budget": {"rows": 5}}]
    select = SelectSettings.model_validate({"held_out": 0, "steps": steps})
    select_examples(run, select, pool)
    with read_workspace(run.workspace) as con:
        choice = read_selection(con, read_run_selections(con, run.run_id)["choice"].selection_id)[0]
        query = "select example_id, prompt from examples"
        prompts = dict(con.execute(query).fetchall())
        drops = con.execute(
            "select reason, count(*) from decisions where outcome = 'dropped' group by reason"
        ).fetchall()
    assert [prompts[each] for each in choice] == ["p0", "p4"]
    assert dict(drops) == {"no_new_tag": 3, "no_tags": 1}


def test_a_plan_is_made_before_anything_is_written(tmp_path: Path) -> None:
    run, pool = ingest(tmp_path)
    run = count_words(run, pool)
    sizes = run.measures["token_counts"]
    with serve(respond) as server:
        jobs = plan_measures(run.workspace, settings(server), pool, 0)
        plans = {
            name: plan_measure(run.workspace, name, jobs[name], sizes, 6)
            for name in ("tag_replies", "tags")
        }
    assert [plan.missing for plan in plans.values()] == [6, 6]
    assert all(plan.seconds is not None for plan in plans.values())


class Meanings:
    """An embedder of a few words on a circle."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        degrees = {"python": 0, "py code": 10, "python 3": 19, "rust": 90}
        turned = np.radians([degrees[text] for text in texts])
        return np.stack((np.cos(turned), np.sin(turned)), axis=1).astype(np.float32)


def test_tags_that_mean_nearly_the_same_take_the_name_of_the_more_frequent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.measuring.measures.tags.load_embedder", lambda _: Meanings())
    rows = [["python"], ["python"], ["py code"], ["python 3"], ["rust"]]
    near = TagNaming(by="embedding", similarity=0.95)  # 18 degrees
    # "python 3" is near to "py code" but not to "python": a tag that gave its name away takes none.
    assert near.names(rows) == {
        "python": "python",
        "py code": "python",
        "python 3": "python 3",
        "rust": "rust",
    }
    assert near.names([]) == {}


@pytest.mark.slow
def test_how_tags_are_named_is_in_the_key_and_not_in_that_of_the_replies(tmp_path: Path) -> None:
    run, pool = ingest(tmp_path)
    keys = []
    with serve(respond) as server:
        for names in ({}, {"least_rows": 3}, {"similarity": 0.5}, {"by": "none"}):
            run, _ = measure(run, settings(server, **names), pool)
            keys.append((run.measures["tag_replies"].measure_key, run.measures["tags"].measure_key))
    assert len({replies for replies, _ in keys}) == 1
    assert keys[0] == keys[2], "a similarity says nothing where stems are compared"
    assert len({tags for _, tags in keys}) == 3


def test_a_question_that_cannot_be_put_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"has \{prompt\} in it"):
        TagSettings(template="tag it")


def test_what_was_written_stands_beside_its_row_in_any_order(tmp_path: Path) -> None:
    run, pool = ingest(tmp_path)
    with serve(respond) as server:
        jobs = plan_measures(run.workspace, settings(server), pool, run.seed)
        measure(run, settings(server), pool)
    with read_workspace(run.workspace) as con:
        inputs = [jobs["tags"].measure.inputs(con, ids) for ids in (pool, pool[::-1])]
    forward, backward = (table.to_pylist() for table in inputs)
    assert forward == backward[::-1] and [row["example_id"] for row in forward] == pool
    assert len({str(row["tags"]) for row in forward}) > 2
