"""Answers that failed are asked for again, by their numbers, and no others."""

from pathlib import Path

from pipeline.generation.makers.answer import Answer
from pipeline.generation.retry import ask_failed_again, find_failed_replies
from pipeline.measuring.endpoint import Endpoint
from pipeline.progress import tell_nobody
from storage.database import read_workspace
from tests.fake_endpoint import Body, Canned, completion, serve
from tests.scripted_maker import begin, make

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
    run, pool = begin(tmp_path, path)
    with serve(respond) as endpoint:
        asked = Endpoint(base_url=endpoint.base_url, retries=0)
        settings = Answer(model="m", endpoint=asked, answers=2)
        make(run, settings, pool)
        failed = find_failed_replies(run, settings)
        reasons = {each.detail: each.rows for each in failed.reasons}
        assert reasons["http_422"] == 2 and reasons["empty_answer"] == failed.count - 2
        only = find_failed_replies(run, settings, "http")
        assert [(each.detail, each.rows) for each in only.reasons] == [("http_422", 2)]
        before = len(endpoint.received)
        left = ask_failed_again(run, failed, "", tell_nobody)
        questions = [each.body for each in endpoint.received[before:] if each.body]
    assert len(questions) == failed.count > 10
    assert [(each.detail, each.rows) for each in left.reasons] == [("http_422", 2)]
    with read_workspace(run.workspace) as con:
        assert con.execute(STATES).fetchall() == [("failed", 2), ("ok", 40)]
        distinct = con.execute("select count(distinct example_id) from generation_attempts")
        assert distinct.fetchone() == (40,)
