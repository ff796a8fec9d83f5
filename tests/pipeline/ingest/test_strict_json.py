import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.strict_json import MAX_DEPTH, InvalidJsonError, parse_json

WHOLE = st.integers(-(2**63), 2**64 - 1)
SCALARS = st.none() | st.booleans() | WHOLE | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
VALUES = st.recursive(
    SCALARS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.sampled_from([None, 1]), st.booleans())
def test_what_python_writes_comes_back_the_same(
    value: object, indent: int | None, ascii: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)
    read = parse_json(text.encode())
    assert read == value
    assert repr(read) == repr(value)  # 1 and 1.0 are equal, and are not the same


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4), st.sampled_from(["", " ", "\t "]))
def test_a_key_that_stands_twice_is_found_wherever(value: dict, space: str) -> None:
    inner = json.dumps(value)
    again = json.dumps(next(iter(value)))
    for text in (
        f"{inner[:-1]}, {again}{space}: 0}}",
        f'[1, {{"deep": {inner[:-1]}, {again}{space}: 0}}}}]',
    ):
        with pytest.raises(InvalidJsonError, match=r"^duplicate_keys: "):
            parse_json(text.encode())


def test_two_spellings_of_one_key_are_one_key() -> None:
    with pytest.raises(InvalidJsonError, match=r"^duplicate_keys: the key 'a' stands twice"):
        parse_json(b'{"a": 1, "\\u0061": 2}')


@pytest.mark.parametrize("text", ['":', '\\":', '{"a": 1}', '": ":', "\\u0000"])
def test_a_text_that_looks_like_json_is_text(text: str) -> None:
    assert parse_json(json.dumps({"a": text, "b": text}).encode()) == {"a": text, "b": text}


def nested(depth: int) -> bytes:
    return b'{"a":[' * (depth // 2) + b"1" + b"]}" * (depth // 2)


def test_depth_ends_before_orjson_cannot_write_it() -> None:
    assert parse_json(nested(MAX_DEPTH))
    with pytest.raises(InvalidJsonError, match=r"^too_deep: "):
        parse_json(b"[" + nested(MAX_DEPTH) + b"]")
    with pytest.raises(InvalidJsonError, match=r"^too_deep: "):
        parse_json(nested(5000))
    wide = b"[" + b"[1]," * 1000 + b"1]"
    assert len(parse_json(wide)) == 1001
    assert orjson.dumps([[[[[[[parse_json(nested(MAX_DEPTH))]]]]]]])


@pytest.mark.parametrize(
    ("raw", "reason", "detail"),
    [
        (b'{"a": 1', "invalid_json", "unexpected end"),
        (b'{"a": 1}{"a": 1}', "invalid_json", "unexpected content after"),
        (b'{"a": NaN}', "invalid_json", "NaN is not JSON"),
        (b"[Infinity]", "invalid_json", "Infinity is not JSON"),
        ('{"é": [-Infinity]}'.encode(), "invalid_json", "Infinity is not JSON"),
        (b'{"a": "\\ud800"}', "invalid_json", "lone surrogate"),
        (b'{"a": "\\udc00 x"}', "invalid_json", "lone surrogate"),
        (b"\xef\xbb\xbf{}", "invalid_json", "BOM"),
        (b"{'a': 1}", "invalid_json", ""),
        (b'{"a": 1,}', "invalid_json", ""),
        (b"", "invalid_json", ""),
        (b'{"a": "\xff"}', "invalid_utf8", "at byte 7"),
        (b'{"a": "\xed\xa0\x80"}', "invalid_utf8", "at byte 7"),
        (b'{"a": "\x00"}', "nul_character", "NUL at character 7"),
        (b'{"a": ["b\\u0000"]}', "nul_character", "u0000"),
        (b'{"a\\u0000": 1}', "nul_character", "u0000"),
        (b'{"a": 18446744073709551616}', "number_out_of_range", "20 digits"),
        (b'{"a": [-9223372036854775809]}', "number_out_of_range", "20 digits"),
        (b'{"a": 1' + b"0" * 200 + b"}", "number_out_of_range", "201 digits"),
        (b'{"a": 1e999}', "number_out_of_range", "infinity"),
    ],
)
def test_refuses_by_name(raw: bytes, reason: str, detail: str) -> None:
    with pytest.raises(InvalidJsonError, match=f"^{reason}: .*{detail}"):
        parse_json(raw)


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 1e300, -1e300, 0.1, 2.0**63])
def test_numbers_at_the_edge_are_exact(number: float) -> None:
    read = parse_json(json.dumps([number]).encode())[0]
    assert read == number and type(read) is type(number)
