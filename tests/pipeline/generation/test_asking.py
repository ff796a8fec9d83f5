"""What is asked of a model for makers: the form of a reply is part of it, and is kept with it."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from pipeline.generation import asking
from pipeline.generation.asking import Asking, CallBatch, answer_batch
from pipeline.generation.maker import Ask
from pipeline.generation.makers.answer import Answer
from pipeline.generation.makers.s3ft import S3FT
from pipeline.progress import tell_nobody
from scorers.measures.protocols import GeneratedAnswer, GenerationRequest, JsonForm, OneOf
from storage.database import Connection, read_workspace
from storage.maker_calls import StoredReply, write_replies
from tests.fake_endpoint import Canned
from tests.scripted_maker import begin, make, rows_of, script, scripted, served_by, write_sums

PLAIN = Ask("s", 0, [{"role": "user", "content": "Is it?"}], 0.0, 9)
WORDS = replace(PLAIN, form=OneOf(("yes", "no")))
JSON = replace(PLAIN, form=JsonForm({"type": "object"}))


def test_a_form_makes_another_request_and_its_probabilities_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = script(monkeypatch, lambda text, seed: "yes")
    monkeypatch.setattr(type(model), "answer", answer_with_options)
    run, _ = begin(tmp_path, write_sums(tmp_path))
    asks = [("a", each) for each in (PLAIN, WORDS, JSON, WORDS)]
    first = Asking(run, Answer(), tell_nobody)
    had = first.ask(asks)
    assert first.asked == 3 and had[1] == had[3]
    again = Asking(run, Answer(), tell_nobody)
    assert again.ask(asks) == had and again.asked == 0
    told = [each.options for each in had if isinstance(each, GeneratedAnswer)]
    assert told == [None, {"yes": 0.75, "no": 0.125}, None, {"yes": 0.75, "no": 0.125}]
    # As it was before there were forms: what is stored is found.
    assert first.key("a", PLAIN) == "fe785c6ca52cb91330b8caf72a05fee9"


@pytest.mark.parametrize(("seconds", "commits"), [(0.0, [2, 2]), (3600.0, [4])])
def test_what_was_answered_before_a_failure_is_stored(
    seconds: float, commits: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer_two(batches: Iterable[CallBatch]) -> Iterator[list[StoredReply]]:
        yield from map(answer_batch, islice(batches, 2))
        raise ConnectionError

    def write(con: Connection, replies: Sequence[StoredReply]) -> None:
        written.append(len(replies))
        write_replies(con, replies)

    written: list[int] = []
    monkeypatch.setattr(asking, "TOGETHER", 2)
    monkeypatch.setattr(asking, "STORE_SECONDS", seconds)
    monkeypatch.setattr(asking, "write_replies", write)
    script(monkeypatch, lambda text, seed: "yes")
    run, _ = begin(tmp_path, write_sums(tmp_path))
    asks = [("a", replace(PLAIN, attempt=attempt, temperature=1.0)) for attempt in range(6)]
    with pytest.raises(ConnectionError):
        Asking(run, Answer(), tell_nobody, answer_two).ask(asks)
    again = Asking(run, Answer(), tell_nobody)
    again.ask(asks)
    assert written == [*commits, 2] and again.asked == 2


def answer_with_options(model: object, request: GenerationRequest) -> GeneratedAnswer:
    options = {"yes": 0.75, "no": 0.125} if isinstance(request.form, OneOf) else None
    return GeneratedAnswer("yes", 1, finished=True, options=options)


def test_a_judge_is_held_to_its_words_and_its_probabilities_are_in_the_workspace(
    tmp_path: Path,
) -> None:
    def say(text: str, seed: int) -> str | Canned:
        if "to be judged:" not in text:
            return "1 + 1 = 2"
        top = [{"token": "yes", "logprob": -0.25}, {"token": "no", "logprob": -2.0}]
        opened, closed = '{"answer": "', '"}'
        pieces = [{"token": opened}, {"token": "yes", "top_logprobs": top}, {"token": closed}]
        message = {"content": f"{opened}yes{closed}"}
        said = {"message": message, "finish_reason": "stop", "logprobs": {"content": pieces}}
        return Canned(body={"choices": [said]})

    with scripted(say) as server:
        run, pool = begin(tmp_path, write_sums(tmp_path))
        make(run, served_by(S3FT(method="s3ft", judge="model"), server), pool)
        forms = {
            "response_format" in each.body for each in server.received if "logprobs" in each.body
        }
    assert forms == {True}
    verdicts = {row[7] for row in rows_of(run) if row[0] == "calls" and row[5] == "judge"}
    assert verdicts == {"model"}, "each was read as yes"
    with read_workspace(run.workspace) as con:
        kept = con.execute("select distinct options from replies where text = 'yes'").fetchall()
    assert [json.loads(options) for (options,) in kept] == [
        {"yes": pytest.approx(0.7788, abs=1e-4), "no": pytest.approx(0.1353, abs=1e-4)}
    ]
