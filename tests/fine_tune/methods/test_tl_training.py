from typing import Any

import numpy as np
import pytest

from fine_tune.method import TrainedTurn
from fine_tune.methods.tl_training import (
    TLTraining,
    adverse_calls,
    bare_text,
    key_tokens,
    shared_beginning,
    token_at,
    weigh_keys,
)

ID = "ab" * 16


def call(name: str) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function", "function": {"name": name, "arguments": {}}}],
    }


def turn(text: str, answer: dict[str, Any], tools: tuple[str, ...], size: int = 3) -> TrainedTurn:
    """A turn whose tokens are pieces of its text, of so many characters each."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return TrainedTurn(
        example_id=ID,
        message=1,
        answer=answer,
        tools=tuple({"type": "function", "function": {"name": name}} for name in tools),
        tokens=np.arange(len(pieces)),
        decode=lambda ids: "".join(pieces[each] for each in ids),
    )


def test_the_weight_of_key_tokens_makes_up_for_their_number_within_bounds() -> None:
    # 2 of 10 are key: 8 / 2
    np.testing.assert_array_equal(weigh_keys(10, [0, 4], 9), [4, 1, 1, 1, 4, 1, 1, 1, 1, 1])
    assert weigh_keys(100, [0], 9)[0] == 9  # 99 / 1, but no more than 9
    assert weigh_keys(4, [0, 1], 9).tolist() == [1] * 4, "as many as others"
    assert weigh_keys(4, [0, 1, 2], 9).tolist() == [1] * 4, "more than others"
    assert weigh_keys(3, [], 9).tolist() == [1] * 3


def test_keys_are_the_first_token_and_where_names_part() -> None:
    text = '{"name": "get_weather", "arguments": {}}'
    found = key_tokens(turn(text, call("get_weather"), ("get_weather", "get_week", "list")))
    # get_wea|ther parts from get_we|ek at the a of weather, from list at its first letter
    assert found == sorted({0, (text.index("get_weather") + 6) // 3, text.index("get_w") // 3})


def test_a_tool_alone_and_a_turn_without_calls_have_no_more_keys() -> None:
    assert key_tokens(turn("get()", call("get"), ("get",))) == [0]
    assert key_tokens(turn("Hello.", {"role": "assistant", "content": "Hello."}, ("get",))) == []
    assert key_tokens(turn("<call>", call("get"), ("get", "put"))) == [0], "written otherwise"
    # a name that begins another one: where it ends is not in it
    assert key_tokens(turn("get()", call("get"), ("get", "get_all"))) == [0]


def test_the_second_of_two_calls_is_found_behind_the_first() -> None:
    answer = call("read")
    answer["tool_calls"] += call("reap")["tool_calls"] + call("read")["tool_calls"]
    text = "read(); reap(); read()"
    found = key_tokens(turn(text, answer, ("read", "reap"), size=1))
    assert found == [0, 3, text.index("reap") + 3, text.rindex("read") + 3]


@pytest.mark.parametrize("size", [1, 2, 5, 40])
def test_the_token_of_a_character_is_found_whatever_their_size(size: int) -> None:
    text = "abcdefghijklmnopqrstuvwxyz"
    made = turn(text, call("x"), (), size)
    for character in range(len(text)):
        assert token_at(made.tokens, character, made.decode) == character // size


def test_names_are_compared_from_their_beginning() -> None:
    assert shared_beginning("get", "get_all") == 3 == shared_beginning("get_all", "get")
    assert shared_beginning("a", "b") == 0 == shared_beginning("", "b")


def row(*messages: dict[str, Any], turn: int) -> dict[str, Any]:
    return {"example_id": f"{ID}-{turn}", "prompt": list(messages)}


def tool(text: str) -> dict[str, Any]:
    return {"role": "tool", "content": text}


USER: dict[str, Any] = {"role": "user", "content": "Do it."}


@pytest.mark.parametrize(
    "said",
    [
        "NameError: name 'x' is not defined",
        '{"Error" : "no such city"}',
        "got an unexpected keyword argument 'q'",
        "TypeError: Object is not JSON-serializable",
    ],
)
def test_the_call_before_an_error_is_adverse(said: str) -> None:
    rows = [row(USER, call("a"), tool(said), call("b"), tool("fine"), turn=5)]
    assert adverse_calls(rows, TLTraining(method="tl_training").errors) == {(ID, 1)}


def test_of_several_results_one_error_is_enough_and_the_user_is_no_tool() -> None:
    errors = ("is not defined",)
    rows = [row(USER, call("a"), tool("ok"), tool("x is not defined"), turn=4)]
    assert adverse_calls(rows, errors) == {(ID, 1)}
    user = {"role": "user", "content": "x is not defined"}
    assert adverse_calls([row(user, call("a"), user, turn=3)], errors) == set()
    assert (
        adverse_calls([row(USER, call("a"), {"role": "tool", "content": None}, turn=3)], errors)
        == set()
    )


def test_an_error_of_no_letters_matches_nothing() -> None:
    assert bare_text("4_0-0: Client ERROR!") == "400clienterror"
    rows = [row(USER, call("a"), tool("ok"), turn=3)]
    assert adverse_calls(rows, ("...",)) == set(), "else every text would hold it"


def test_an_adverse_turn_counts_nothing_and_others_as_their_keys_say() -> None:
    method = TLTraining(method="tl_training", most_weight=2)
    weigh = method.token_weights([row(USER, call("get"), tool("is not defined"), turn=3)])
    made = turn("get(now=True)", call("get"), ("get", "put"))
    assert weigh(made).tolist() == [0] * 5
    other = TrainedTurn(ID, 9, made.answer, made.tools, made.tokens, made.decode)
    assert weigh(other).tolist() == [2, 1, 1, 1, 1]
