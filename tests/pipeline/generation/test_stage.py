"""The generate stage against a real server on the loopback: answers, lineage, no lost attempt."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.generation.stage import (
    GenerateSettings,
    PromptBatch,
    answer_prompts,
    as_attempt,
    choose_prompts,
    commit_answers,
    count_generated,
    cut_prompts,
)
from pipeline.measuring.endpoint import Endpoint
from pipeline.run_context import RunContext
from scorers.measures.protocols import GeneratedAnswer
from storage.database import read_workspace
from storage.examples import Example
from storage.runs import read_counts
from tests.fake_endpoint import Body, Canned, completion, serve
from tests.stage_runner import start

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


def settings(base_url: str) -> GenerateSettings:
    endpoint = Endpoint(base_url=base_url, retries=0)
    return GenerateSettings(model="served", endpoint=endpoint, answers=2, max_new_tokens=9)


def generate(run: RunContext, block: GenerateSettings, pool: list[str]) -> tuple[int, list[str]]:
    """Prompts asked, and the pool afterwards."""
    chosen = choose_prompts(run, block)
    batches = cut_prompts(run, block, chosen)
    for batch in batches:
        commit_answers(run, block, answer_prompts(batch))
    grown = count_generated(run, [(block, chosen)], pool)
    return sum(len(batch.parents) for batch in batches), grown


@pytest.fixture
def pool(tmp_path: Path) -> tuple[RunContext, list[str]]:
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    return start(tmp_path / "w", [tmp_path / "rows.jsonl"])


def test_answers_become_examples_with_their_lineage(pool: tuple[RunContext, list[str]]) -> None:
    run, before = pool
    with serve(respond) as server:
        asked, after = generate(run, settings(server.base_url), before)
        again, same = generate(run, settings(server.base_url), before)
    assert (asked, again) == (4, 0)
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
    assert (count.rows_in, count.added, count.kept) == (5, 2, 7)
    assert "without an answer: 2 cut_off, 2 http_400" in count.notes[0]


def test_an_answer_that_nobody_sees_is_a_failure() -> None:
    question = [{"role": "user", "content": "question"}]
    parent = Example("parent", "prompt", question, [], None, "question", "")
    for text, detail in (("\u200b\ufeff\n", "empty_answer"), ("\u200ba", "")):
        attempt = as_attempt(parent, 0, GeneratedAnswer(text, 1, finished=True))
        assert attempt.detail == detail and (attempt.conversation is None) == bool(detail)


def test_without_a_generator_there_is_no_step(pool: tuple[RunContext, list[str]]) -> None:
    run, before = pool
    assert count_generated(run, [], before[::-1]) == sorted(before)
    with read_workspace(run.workspace) as con:
        assert "generate" not in {each.stage for each in read_counts(con, run.run_id)}


def test_a_batch_that_was_not_committed_asks_only_what_failed(
    pool: tuple[RunContext, list[str]],
) -> None:
    run, _ = pool
    with serve(respond) as server:
        block = settings(server.base_url)
        (batch,) = cut_prompts(run, block, choose_prompts(run, block))
        first = answer_prompts(batch)
        before = sum(bool(received.body) for received in server.received)
        assert answer_prompts(batch) == first
        again = sum(bool(received.body) for received in server.received) - before
    assert (before, again) == (8, 2)


def test_only_prompts_without_an_answer_are_asked(pool: tuple[RunContext, list[str]]) -> None:
    run, _ = pool
    with serve(respond) as server:
        block = settings(server.base_url)
        assert len(choose_prompts(run, block)) == 4
        assert len(choose_prompts(run, block.model_copy(update={"prompts": "all"}))) == 5
        limited = choose_prompts(run, block.model_copy(update={"limit": 2}))
    assert len(limited) == 2
    assert set(limited) <= set(choose_prompts(run, block))


@pytest.mark.parametrize(
    "change", [{}, {"prompts": "unanswered"}, {"answers": 2}, {"temperature": 0.1}]
)
def test_a_repair_is_the_likeliest_answer_to_each_row(change: dict[str, object]) -> None:
    repair = {"method": "repair", "prompts": "all", "answers": 1, "temperature": 0}
    if not change:
        assert GenerateSettings.model_validate(repair).method == "repair"
        return
    assert GenerateSettings.model_validate({**repair, **change, "method": "answer"})
    with pytest.raises(ValidationError, match="a repair is the likeliest answer to each row"):
        GenerateSettings.model_validate({**repair, **change})


def test_every_row_with_one_answer_is_repaired_and_each_prompt_is_answered_once(
    tmp_path: Path,
) -> None:
    turns = [{"role": role, "content": role} for role in ("user", "assistant") * 2]
    rows: list[dict[str, object]] = [{"prompt": "p", "completion": str(n)} for n in range(3)]
    rows += [{"messages": turns}, {"messages": turns[:1]}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, _ = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    repair = {"method": "repair", "prompts": "all", "answers": 1, "temperature": 0}
    with read_workspace(run.workspace) as con:
        prompts = dict(con.execute("select example_id, prompt_id from examples").fetchall())
        query = "select example_id from examples where prompt = 'p' order by all"
        repaired = [example_id for (example_id,) in con.execute(query).fetchall()]
    assert choose_prompts(run, GenerateSettings.model_validate(repair)) == repaired
    answered = choose_prompts(run, GenerateSettings(prompts="all"))
    assert answered == sorted(answered) and len(answered) == len(set(prompts.values()))
    assert sorted(prompts[i] for i in answered) == sorted(set(prompts.values()))


def test_a_batch_for_a_server_is_done_where_the_replies_are_kept(tmp_path: Path) -> None:
    block = settings("http://127.0.0.1:1")
    served, loaded = (
        PromptBatch(each, 0, [], tmp_path, "key", "code") for each in (block, GenerateSettings())
    )
    assert loaded.anywhere() and not served.anywhere()


def test_how_hard_a_server_is_pressed_changes_no_answer() -> None:
    with serve(respond) as server:
        one = settings(server.base_url)
        other = one.model_copy(update={"endpoint": Endpoint(base_url=server.base_url, retries=9)})
        assert one.key(0) == other.key(0)
        assert one.key(0) != one.key(1) and len(one.key(0)) == 16
        assert one.key(0) != one.model_copy(update={"temperature": 0.1}).key(0)
