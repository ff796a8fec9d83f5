"""Whatever a tool calls it, an answer that is not to be trained is not, or the row is out."""

from typing import Any

import pytest

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes import read_conversation
from pipeline.ingest.shapes.marks import mark_keys, read_weight

FLAGS = ("train", "training", "trainable", "train_on_turn", "loss", "loss_mask", "step_loss_mask")
WEIGHTS = ("weight", "loss_weight", "loss_scale")


def weight(turn: dict[str, Any], role: str = "assistant") -> float:
    return read_weight(turn, role, "message 1")


@pytest.mark.parametrize("key", FLAGS)
def test_a_flag_says_whether_an_answer_is_trained(key: str) -> None:
    assert [weight({key: value}) for value in (True, 1, 1.0, None)] == [1, 1, 1, 1]
    assert [weight({key: value}) for value in (False, 0, 0.0)] == [0, 0, 0]


def test_a_mask_says_it_the_other_way_round() -> None:
    assert [weight({"masked": value}) for value in (True, 1, False, 0, None)] == [0, 0, 1, 1, 1]


@pytest.mark.parametrize("key", WEIGHTS)
def test_a_weight_is_a_number(key: str) -> None:
    given = (0, False, 0.25, 1, True, 10)
    assert [weight({key: value}) for value in given] == [0, 0, 0.25, 1, 1, 10]


def test_marks_that_agree_are_one() -> None:
    assert weight({"weight": 0.5, "train": True, "masked": False, "loss_scale": 0.5}) == 0.5
    assert weight({"weight": 0, "train": False, "masked": True}) == 0


@pytest.mark.parametrize(
    "marks",
    [
        {"weight": 0.5, "train": False},
        {"weight": 0, "loss": True},
        {"weight": 0.5, "loss_scale": 0.25},
        {"train": True, "masked": True},
    ],
)
def test_marks_that_differ_are_refused(marks: dict) -> None:
    with pytest.raises(UnreadableRowError, match=f"conflicting_fields: {' and '.join(marks)}"):
        weight(marks)


@pytest.mark.parametrize(
    "mark",
    [
        *({"weight": value} for value in (-1, -0.0001, 10.5, float("nan"), float("inf"), "0", [0])),
        *({"loss": value} for value in (2.3, -1, "false", {"a": 1})),
        {"masked": 0.5},
        {"mask": False},
        {"no_loss": True},
        {"dontTrain": False},
        {"untrained": 0},
        {"TRAIN": False},
        {"training_detail": [{"begin_offset": 0}]},
        {"ignore": True},
        {"is_masked": 0},
        {"supervised": "no"},
    ],
    ids=str,
)
def test_a_mark_that_is_not_understood_is_named(mark: dict) -> None:
    (key,) = mark
    with pytest.raises(UnreadableRowError, match=f"^unclear_mark: {key} of message 1 "):
        weight(mark)


def test_other_words_are_no_marks() -> None:
    keys = (
        "content",
        "strain",
        "restraint",
        "massage",
        "closs",
        "height",
        "explain",
        "id",
        "lossy",
    )
    assert mark_keys(keys) == ("lossy",)


def test_other_turns_are_not_trained_and_may_not_ask_to_be() -> None:
    assert weight({"weight": 0.5, "loss": None, "train": False, "masked": True}, "user") == 1
    for mark in ({"loss": True}, {"train": 1}, {"masked": False}):
        with pytest.raises(UnreadableRowError, match="unsupported_content"):
            weight(mark, "user")


ASK, SAY = {"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}


def weights(row: dict[str, Any]) -> list[float]:
    """Of the answers of a row."""
    messages = read_conversation(row)[0].messages
    return [each.get("weight", 1) for each in messages if each["role"] == "assistant"]


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        ({"loss_mask": [0, 1, 1, 0]}, [1, 0]),  # the users' entries say nothing
        ({"loss_mask": [False, True]}, [0, 1]),
        ({"train_on_turn": [True, None]}, [1, 1]),
        ({"weights": [0.5, 2]}, [0.5, 2.0]),
        ({"masked": [1, 0]}, [0, 1]),
        ({"weight": 0.25}, [0.25, 0.25]),
        ({"weight": "0.25"}, [0.25, 0.25]),
        ({"weight": 2, "loss_mask": [0, 1]}, [0, 2.0]),
        ({"loss": True, "train": "True", "weight": ""}, [1, 1]),
        ({"train_loss": 2.3, "skip_reason": "none", "weighted_by": 4}, [1, 1]),  # labels
        ({"train_losses": [2.3, 1.9, 0.4], "mask": "User"}, [1, 1]),
    ],
    ids=str,
)
def test_marks_beside_the_turns_are_for_the_answers(beside: dict, expected: list) -> None:
    assert weights({"conversations": [ASK, SAY, ASK, SAY], **beside}) == expected


def test_a_weight_beside_the_turns_multiplies_their_own() -> None:
    turns = [ASK, {**SAY, "weight": 0.5}, ASK, {**SAY, "loss": False}, ASK, SAY]
    assert weights({"conversations": turns, "weight": 4}) == [2.0, 0, 4.0]


@pytest.mark.parametrize(
    ("beside", "reason"),
    [
        ({"loss_mask": [1, 0, 1]}, "unclear_mark: loss_mask of the row has 3 entries, the row 4"),
        ({"loss_mask": [1, 0.5]}, "unclear_mark: loss_mask of the row"),
        ({"weight": -1}, "unclear_mark: weight of the row .* it is -1"),
        ({"weight": "low"}, "unclear_mark: weight"),
        ({"loss": 2.3}, "unclear_mark: loss"),
        ({"is_train": False}, "unclear_mark: is_train"),
        ({"assistant_masks": [0, 0, 1, 1, 1, 0]}, "unclear_mark: assistant_masks"),
        ({"turn_weights": [0.5, 1]}, "unclear_mark: turn_weights"),
        ({"mask": "Assistant"}, "unclear_mark: mask"),
        ({"mask": [1, 0, 1, 0]}, "unclear_mark: mask"),
        ({"train": False}, "no_trained_turn"),
    ],
    ids=str,
)
def test_marks_beside_the_turns_that_are_not_obeyed_cost_the_row(beside: dict, reason: str) -> None:
    with pytest.raises(UnreadableRowError, match=f"^{reason}"):
        weights({"conversations": [ASK, SAY, ASK, SAY], **beside})


def test_a_list_and_a_turn_may_not_differ() -> None:
    turns = [ASK, {**SAY, "loss": False}, ASK, SAY]
    row = {"conversations": turns, "loss_mask": [1, 1]}
    with pytest.raises(UnreadableRowError, match=r"conflicting_fields: loss_mask .* message 2"):
        weights(row)
    assert weights({**row, "loss_mask": [0, 1]}) == [0, 1]
    turns[1] = {**SAY, "weight": 0.5}
    assert weights(row) == [0.5, 1], "that it is trained says nothing of how much"


def test_single_responses_have_marks_too() -> None:
    assert weights({"instruction": "q", "output": "a", "weight": 0.5}) == [0.5]
    with pytest.raises(UnreadableRowError, match="no_trained_turn"):
        weights({"prompt": "q", "completion": "a", "train": "false"})
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    row = {"prompt": [*turns, turns[0]], "completion": "b", "loss_mask": [1, 0]}
    with pytest.raises(UnreadableRowError, match="no_trained_turn"):  # nor is the prompt's answer
        weights(row)


def test_examples_that_differ_in_a_weight_are_two_and_a_weight_of_one_is_none() -> None:
    plain, one, half = (
        read_conversation({"prompt": "q", "completion": "a", "weight": weight})[0].example_id
        for weight in (None, 1.0, 0.5)
    )
    assert plain == one != half
    other = read_conversation({"prompt": "q", "completion": "a", "weight": "0.50"})[0]
    assert other.example_id == half
    assert other.messages[-1]["weight"] == 0.5
