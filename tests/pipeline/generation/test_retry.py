"""Answers that failed are asked for again, by their numbers, and no others."""

from pathlib import Path

from pipeline.generation.retry import cut_failed_answers, find_failed_answers, still_failed
from pipeline.generation.stage import (
    GenerateSettings,
    answer_prompts,
    choose_prompts,
    commit_answers,
    cut_prompts,
)
from pipeline.measuring.endpoint import Endpoint
from storage.database import read_workspace
from tests.fake_endpoint import Body, Canned, completion, serve
from tests.stage_runner import start

STATES = "select state, count(*) from generation_attempts group by 1 order by 1"


def respond(body: Body, attempt: int) -> Canned:
    """Refuses one prompt for good, and of the others each first answer."""
    if not body:
        return Canned(body={"data": [{"id": "m"}]})
    if "refused" in str(body["messages"]):
        return Canned(422)
    return (
        completion("")
        if attempt == 0 and body["seed"] % 2
        else completion(f"answer {body['seed']}")
    )


def test_only_what_failed_is_asked_for_again_and_an_answer_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    prompts = [*(f"question {n}" for n in range(20)), "refused"]
    path.write_text("\n".join(f'{{"prompt": "{prompt}"}}' for prompt in prompts))
    run, _ = start(tmp_path / "w", [path])
    with serve(respond) as endpoint:
        asked = Endpoint(base_url=endpoint.base_url, retries=0)
        settings = GenerateSettings(model="m", endpoint=asked, answers=2)
        for batch in cut_prompts(run, settings, choose_prompts(run, settings)):
            commit_answers(run, settings, answer_prompts(batch))
        failed = find_failed_answers(run, settings)
        reasons = {each.detail: each.rows for each in failed.reasons}
        assert reasons["http_422"] == 2 and reasons["empty_answer"] == len(failed.attempts) - 2
        assert find_failed_answers(run, settings, "http").attempts == [
            each for each in failed.attempts if each.detail == "http_422"
        ]
        before = len(endpoint.received)
        for batch in cut_failed_answers(run, failed):
            commit_answers(run, settings, answer_prompts(batch))
        questions = [each.body for each in endpoint.received[before:] if each.body]
        left = still_failed(run, failed)
    assert len(questions) == len(failed.attempts) > 10
    assert [each.detail for each in left.attempts] == ["http_422"] * 2
    with read_workspace(run.workspace) as con:
        assert con.execute(STATES).fetchall() == [("failed", 2), ("ok", 40)]
        distinct = con.execute("select count(distinct example_id) from generation_attempts")
        assert distinct.fetchone() == (40,)
