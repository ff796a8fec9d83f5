import math
import sys
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from datasets import Json
from hypothesis import given
from hypothesis import strategies as st

from pipeline.export import rows
from pipeline.export.rows import ExportRow, check_row, encode_objects, spell_number

NUMBERS = st.one_of(
    st.integers(min_value=-(2**63), max_value=2**64 - 1),
    st.floats(min_value=1e-290, max_value=1e290),
    st.floats(min_value=-1e290, max_value=-1e-290),
    st.just(0.0),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.text(), NUMBERS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def make_row(changes: Mapping[str, Any]) -> ExportRow:
    fields: dict[str, Any] = {
        "example_id": "a" * 32,
        "prompt": [{"role": "user", "content": "Hello?"}],
        "completion": [{"role": "assistant", "content": "Hello."}],
        "tools": [],
        "prompt_tokens": 10,
        "loss_tokens": 4,
        "split": "train",
        "rank": 1,
        "weight": 1.0,
        "source": "rows.jsonl",
        "license": None,
    }
    return ExportRow(**{**fields, **changes})


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_every_reader_gets_the_value_that_went_in(value: Mapping[str, Any]) -> None:
    (text,) = encode_objects([value], "row")
    for read in (orjson.loads(text), Json().decode_example(text.decode())):
        assert read == value
        assert repr(read) == repr(value)  # also 1 and 1.0, and the order of the keys


def test_numbers_that_the_trainers_parser_would_change_are_spelled_for_it() -> None:
    # What is being worked around: if this assertion fails one day, the spelling can go.
    assert Json().decode_example("0.7520692883059177") != 0.7520692883059177
    for number in (0.7520692883059177, 3.699e-06, -10.0446453, 5e-324, 1.7976931348623157e308):
        text = spell_number(number)
        assert float(text) == number == Json().decode_example(text)


def test_texts_are_read_alike_whatever_their_characters() -> None:
    # What has no number is not decoded before it is written: here it is, of all characters.
    points = [*range(0xD800), *range(0xE000, sys.maxunicode + 1)]  # without the surrogates
    texts = ["".join(map(chr, points[at : at + 4096])) for at in range(0, len(points), 4096)]
    deep: object = [True, False, None, "", {}, []]
    for _ in range(100):
        deep = {"x": [deep]}
    value = {"content": texts, "deep": deep, **dict.fromkeys(texts[:20], None)}
    (text,) = encode_objects([value], "row")
    assert Json().decode_example(text.decode()) == value == orjson.loads(text)


def test_messages_without_a_number_need_no_datasets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_decoder", lambda: pytest.fail("a text was decoded"))
    encode_objects([{"role": "user", "content": "1.5", "calls": [{"a": None, "b": True}]}], "row")


def test_a_message_that_needs_no_care_is_plain_json() -> None:
    assert encode_objects([{"role": "user", "content": "é", "n": 0.5}], "row") == [
        '{"role":"user","content":"é","n":0.5}'.encode()
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**64, 2.2250738585072014e-308, (1,)])
def test_a_value_that_cannot_be_carried_is_refused_by_name(value: object) -> None:
    with pytest.raises(ValueError, match="row-7: a message or tool"):
        encode_objects([{"x": [value]}], "row-7")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": []}, "the prompt has no message"),
        ({"completion": []}, r"one assistant message, got \[\]"),
        ({"completion": [{"role": "user", "content": ""}]}, r"got \['user'\]"),
        ({"loss_tokens": 0}, "at least 1 loss token"),
        ({"loss_tokens": 11}, "21 tokens, more than max_length 20"),
    ],
)
def test_a_row_that_cannot_be_trained_is_refused_by_name(
    changes: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{'a' * 32}: .*{message}"):
        check_row(make_row(changes), max_length=20)


def test_a_row_of_the_longest_length_is_not_refused() -> None:
    check_row(make_row({"loss_tokens": 10}), max_length=20)
    check_row(make_row({"loss_tokens": 10_000}), max_length=None)
