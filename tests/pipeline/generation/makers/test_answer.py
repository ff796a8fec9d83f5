"""Answers from a real server on the loopback: examples with their lineage, no lost attempt."""

import json
from pathlib import Path

import pytest

from pipeline.generation.make import find_workload
from pipeline.generation.makers.answer import Answer
from pipeline.measuring.endpoint import Endpoint
from pipeline.measuring.measures.samples import request_seed
from pipeline.run_context import RunContext
from storage.database import read_workspace
from storage.runs import read_counts
from tests.fake_endpoint import Body, Canned, completion, serve
from tests.scripted_maker import begin, kept_attached, make, script, write_sums

ROWS = [
    *({"messages": [{"role": "user", "content": f"question {n}"}]} for n in range(4)),
    {"prompt": "answered", "completion": "yes"},
]


def respond(body: Body, attempt: int) -> Canned:
    if "messages" not in body:
        return Canned(body={"data": [{"id": "served"}]})
    question = body["messages"][-1]["content"]
    if question == "question 0":
        return completion("cut off in the mid", finish_reason="length")
    if question == "question 1":
        return Canned(status=400, body={"error": "no"})
    return completion(f"answer to {question}")


def block(base_url: str) -> Answer:
    endpoint = Endpoint(base_url=base_url, retries=0)
    return Answer(model="served", endpoint=endpoint, answers=2, max_new_tokens=9)


@pytest.fixture
def pool(tmp_path: Path) -> tuple[RunContext, list[str]]:
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    return begin(tmp_path, tmp_path / "rows.jsonl")


def test_answers_become_examples_with_their_lineage(pool: tuple[RunContext, list[str]]) -> None:
    run, before = pool
    with serve(respond) as server:
        made, after = make(run, block(server.base_url), before)
        again, same = make(run, block(server.base_url), before)
        seeds = [each.body["seed"] for each in server.received if each.body]
    assert (made.asked, again.asked) == (8, 0)
    assert after == same
    assert len(after) == len(before) + 2  # two answers alike to each of two questions
    with read_workspace(run.workspace) as con:
        query = "select p.prompt, e.response, method, model from lineage l join examples e using "
        query += "(example_id) join examples p on p.example_id = l.parent_id order by all"
        assert con.execute(query).fetchall() == [
            ("question 2", "answer to question 2", "answer", "served"),
            ("question 3", "answer to question 3", "answer", "served"),
        ]
        failed = "select detail, count(*) from generation_attempts "
        failed += "where state = 'failed' group by detail"
        assert sorted(con.execute(failed).fetchall()) == [("cut_off", 2), ("http_400", 2)]
        (count,) = [each for each in read_counts(con, run.run_id) if each.stage == "generate"]
        prompts = con.execute(
            "select prompt_id from examples where starts_with(prompt, 'question')"
        ).fetchall()
    assert (count.rows_in, count.added, count.kept) == (5, 2, 7)
    assert "2 dropped cut_off, 2 dropped http_400, 4 kept answer" in count.notes[0]
    # As they always were: replies that a server gave to these seeds are found again.
    wanted = {request_seed(0, prompt, number) % 2**31 for (prompt,) in prompts for number in (0, 1)}
    assert {*seeds} == wanted and len(seeds) == 8


def test_only_prompts_without_an_answer_are_asked_and_each_once(tmp_path: Path) -> None:
    rows = [*ROWS, {"prompt": "answered", "completion": "no"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    run, _ = begin(tmp_path, tmp_path / "rows.jsonl")
    with serve(respond) as server:
        unanswered = block(server.base_url)
        every = unanswered.model_copy(update={"prompts": "all"})
        limited = unanswered.model_copy(update={"limit": 2})
        few, all_of_them, two = (
            find_workload(run, each).chosen for each in (unanswered, every, limited)
        )
    with read_workspace(run.workspace) as con:
        query = "select min(example_id) from examples group by prompt_id order by all"
        lowest = [example_id for (example_id,) in con.execute(query).fetchall()]
    assert (len(few), len(all_of_them), len(two)) == (4, 5, 2)
    assert all_of_them == lowest and {*two} <= {*few} <= {*lowest}


def test_the_keys_are_what_they_were_and_no_server_is_pressed_in_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Answer, "identity", lambda self: "the model")
    # Recorded of the code before makers: answers that are stored are not asked for again.
    assert Answer().key(0) == "bdff0afd65d18002" != Answer().key(1)
    other = Answer(answers=2, temperature=0, max_new_tokens=9)
    assert other.key(5) == "753f34fce451b676"
    pressed = {"prompts": "all", "limit": 3, "endpoint": Endpoint(base_url="http://h/v1")}
    assert other.model_copy(update=pressed).key(5) == other.key(5)


def test_no_maker_reads_what_it_made_nor_what_another_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, lambda text, seed: f"so {seed % 5}")
    with kept_attached():
        run, pool = begin(tmp_path, write_sums(tmp_path))
        _, grown = make(run, Answer(prompts="all"), pool)
        assert len(grown) == 16
        for maker in (Answer(prompts="all"), Answer(prompts="all", answers=2)):
            assert list(find_workload(run, maker).chosen) == pool, "or each run would make more"
