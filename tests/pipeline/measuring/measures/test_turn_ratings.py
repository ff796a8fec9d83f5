"""Ratings of turns: how a conversation is cut, by a model in process and by a server."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.measures.turn_ratings import (
    NOT_RATED,
    TurnRated,
    TurnRatingSettings,
    split_turns,
)
from pipeline.scoring.stage import ScoreSettings
from scorers.measures.models.loading import load_language_model, resolve_model
from scorers.measures.ratings import MARKS, rating_question
from storage.conversations import Conversation
from storage.database import read_workspace
from storage.scores import read_scores
from tests.fake_endpoint import Body, Canned, listed, serve
from tests.stage_runner import measure, score, start
from tests.tiny_models import CHAT, WINDOW, save_tiny_llama


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str, **fields: object) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **fields}


def row(*messages: dict[str, Any]) -> dict[str, Any]:
    at = Conversation(messages).response_at
    return {"messages": orjson.dumps(messages).decode(), "response_at": at}


def cut(*messages: dict[str, Any]) -> list[tuple[str, str]] | None:
    turns = split_turns(row(*messages))
    if turns is None:
        return None
    return [(str(turn.prompt_messages[0]["content"]), turn.response) for turn in turns]


def test_a_conversation_is_cut_into_user_turns_with_their_replies() -> None:
    system = {"role": "system", "content": "be kind"}
    assert cut(system, user("a"), said("1"), user("b"), said("2")) == [("a", "1"), ("b", "2")]
    assert cut(said("hello"), user("a"), user("b"), said("1")) == [("a\n\nb", "1")]


def test_what_tools_said_is_part_of_the_reply() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {}}}
    tool = {"role": "tool", "content": "4"}
    turns = cut(user("2 + 2?"), said("", tool_calls=[call]), tool, said("It is 4."))
    reply = '[assistant]\n{"arguments":{},"name":"add"}\n\n[tool]\n4\n\n[assistant]\nIt is 4.'
    assert turns == [("2 + 2?", reply)]


def test_turns_go_up_to_the_trained_response() -> None:
    assert cut(user("a"), said("1"), user("b")) == [("a", "1")]
    assert cut(user("a"), said("1"), user("b"), said("2", weight=0)) == [("a", "1")]
    assert cut(user("a"), said("1", weight=0), user("b"), said("2")) == [("a", "1"), ("b", "2")]
    assert cut(user("a")) is None
    assert cut(said("hello")) == []


def test_each_row_has_its_turns_or_says_why_not(tmp_path: Path) -> None:
    model = str(save_tiny_llama(tmp_path, chat_template=CHAT))
    settings = TurnRatingSettings.model_validate(
        {
            "complexity": {"model": model, "template": "7 {prompt} 9"},
            "quality": {"model": model, "template": "8 {prompt} {response} 9"},
        }
    )
    long = "15 " * WINDOW
    talks = [
        row(user("10"), said("11"), user("12"), said("13"), user("14")),
        row(user("10"), said(long)),
        row(user("10")),
        row(said("10")),
    ]
    table = pa.Table.from_pylist([{"example_id": str(at), **t} for at, t in enumerate(talks)])
    rows = TurnRated(settings=settings).measure(table).to_pylist()
    assert [each["state"] for each in rows] == ["ok", "truncated"] + ["not_applicable"] * 2
    assert rows[0]["detail"] == NOT_RATED
    assert rows[1]["detail"].startswith("quality of turn 1 of 1: ")
    assert "no response" in rows[2]["detail"] and "no user turn" in rows[3]["detail"]
    assert all(rows[at]["complexity"] is None for at in (1, 2, 3))
    asked = split_turns(talks[0])
    assert asked is not None
    loaded = load_language_model(resolve_model(model))
    for name, template in settings.templates().items():
        questions = [rating_question(template, turn) for turn in asked]
        expected = loaded.option_probabilities(questions, MARKS)
        np.testing.assert_allclose(rows[0][name], expected.probabilities, rtol=1e-4)
        np.testing.assert_allclose(rows[0][f"{name}_mass"], expected.mass, rtol=1e-4)


def respond(body: Body, attempt: int) -> Canned:
    """What the server says: marks by the words of the question."""
    if not body:
        return Canned(body={"data": [{"id": "judge", "root": "/weights"}]})
    text = body["messages"][-1]["content"]
    if "odd" in text:
        return listed(The=0.9)
    return listed(**{"6": 0.5, "4": 0.5}) if text.startswith("hard") else listed(**{"3": 0.8})


def test_a_server_is_asked_once_for_each_question_and_deita_adds_up(tmp_path: Path) -> None:
    talks = [[user("a"), said("1"), user("b"), said("2")], [user("c"), said("odd")]]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"messages": t}) for t in talks))
    run, pool = start(tmp_path / "workspace", [tmp_path / "rows.jsonl"])
    with serve(respond) as server:
        judge = {"model": "judge", "endpoint": {"base_url": server.base_url, "retries": 0}}
        block: Mapping[str, Any] = {
            "complexity": {**judge, "template": "hard {prompt}"},
            "quality": {**judge, "template": "good {response}"},
        }
        settings = MeasureSettings.model_validate({"turn_ratings": block})
        run, asked = measure(run, settings, pool)
        assert asked == {"turn_ratings": 2}
        assert sum(bool(received.body) for received in server.received) == 6
        assert measure(run, settings, pool)[1] == {"turn_ratings": 0}
    run = score(run, ScoreSettings(scorer="deita"), pool)
    mean = ScoreSettings(scorer="deita", settings={"average": True}, name="mean")
    run = score(run, mean, pool)
    with read_workspace(run.workspace) as con:
        sums, states = read_scores(con, run.scores["deita"], pool)
        means, _ = read_scores(con, run.scores["mean"], pool)
    found = sorted(zip(sums, means, states, strict=True), key=lambda each: each[2])
    np.testing.assert_array_equal([each[:2] for each in found], [[np.nan, np.nan], [30, 15]])
    assert sorted(states) == ["failed", "ok"]


def test_the_key_has_both_judges_and_questions(tmp_path: Path) -> None:
    model = str(save_tiny_llama(tmp_path, chat_template=CHAT))
    other = str(save_tiny_llama(tmp_path / "other", seed=1, chat_template=CHAT))

    def key(**quality: str) -> str:
        block = {"complexity": {"model": model}, "quality": {"model": model, **quality}}
        return TurnRated(settings=TurnRatingSettings.model_validate(block)).key().measure_key

    assert len({key(), key(model=other), key(template="{response}")}) == 3
    assert key() == key()


def test_a_question_that_cannot_be_put_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"Did you mean '\{response\}'"):
        TurnRatingSettings.model_validate({"quality": {"template": "{respone}"}})
