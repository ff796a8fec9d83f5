import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest import json_arrays
from pipeline.ingest.compression import BrokenStreamError
from pipeline.ingest.json_arrays import is_json, read_elements
from pipeline.ingest.rows import OversizedRow, UnreadableSourceError

LIMIT = 10_000
TEXTS = st.text(st.sampled_from('ab"\\[]{},: \n\té'), max_size=8)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def cut(text: bytes, size: int) -> list[bytes]:
    return [text[i : i + size] for i in range(0, len(text), size)]


def read(text: bytes, size: int = 7, limit: int = LIMIT) -> list[bytes]:
    return [
        bytes(element.kept) if isinstance(element, OversizedRow) else element
        for element in read_elements(cut(text, size), limit)
    ]


@given(st.lists(VALUES, max_size=6), st.sampled_from([None, 2]), st.integers(1, 40))
def test_elements_do_not_depend_on_blocks(values: list[Any], indent: int | None, size: int) -> None:
    text = f" \n{json.dumps(values, indent=indent, ensure_ascii=False)}\r\n ".encode()
    assert [json.loads(element) for element in read(text, size)] == values


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    "bad",
    [
        '{"a": }',
        '{"a": [1}',  # an open bracket inside
        '{"a": "b\nc"}',
        "nonsense",
        '{"a": 1} [{"a": 2}]',  # no comma between
        "",  # no element between commas
    ],
)
def test_a_bad_element_costs_itself(bad: str, size: int) -> None:
    found = read(f'[{{"x": 1}}, {bad}, {{"y": 2}}]'.encode(), size)
    assert found == [b'{"x": 1}', bad.encode(), b'{"y": 2}']


def test_a_comma_before_the_end_is_an_empty_element() -> None:
    assert read(b"[1, ]") == [b"1", b""]
    assert read(b"[ ]") == []
    assert read(b"[,]") == [b"", b""]


@pytest.mark.parametrize("text", [b"", b" \n\t", b"\n" * 50])
def test_nothing_is_no_elements(text: bytes) -> None:
    assert read(text) == []


@pytest.mark.parametrize("text", [b'{"data": []}', b'{"a": 1}\n{"a": 2}\n', b"1", b"  x"])
def test_what_is_no_array_is_refused(text: bytes) -> None:
    with pytest.raises(UnreadableSourceError, match=r"must be one array.*jsonl"):
        read(text)


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(
    ("text", "rest", "fault"),
    [
        (b'[{"x": 1}, {"y": 2', b'{"y": 2', "has no end"),
        (b'[{"x": 1}, {"y": "', b'{"y": "', "has no end"),
        (b'[{"x": 1},', b"", "has no end"),
        (b'[{"x": 1}, {"y": "2}, {"z": 3}]', b'{"y": "2}, {"z": 3}]', "has no end"),
        (b'[{"x": 1}, {"y": 2], {"z": 3}]', b'{"y": 2], {"z": 3}]', "has no end"),
        (b'[{"x": 1}] , {"y": 2}', b', {"y": 2}', "goes on"),
    ],
)
def test_what_cannot_be_placed_is_handed_over(
    text: bytes, rest: bytes, fault: str, size: int
) -> None:
    elements = read_elements(cut(text, size), LIMIT)
    assert next(elements) == b'{"x": 1}'
    with pytest.raises(BrokenStreamError, match=fault) as broken:
        next(elements)
    assert broken.value.rest == rest


def test_a_large_element_is_not_gathered() -> None:
    large = b'{"a": "' + b"x" * 100 + b'"}'
    _, element, last = read_elements(cut(b"[1, " + large + b", 2]", 10), limit=50)
    assert isinstance(element, OversizedRow)
    assert bytes(element.kept).strip() == large
    assert last == b"2"


def test_a_broken_stream_hands_over_its_last_element() -> None:
    def blocks() -> Iterator[bytes]:
        yield b'[1, {"a'
        raise BrokenStreamError("damaged")

    elements = read_elements(blocks(), LIMIT)
    assert next(elements) == b"1"
    with pytest.raises(BrokenStreamError, match="damaged") as broken:
        next(elements)
    assert broken.value.rest.strip() == b'{"a'


def element(number: int, text: str = "x") -> bytes:
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": str(number)}]
    return json.dumps({"id": number, "turns": turns}).encode()


BROKEN = {
    "a brace too many": b'{"id": 5, "turns": {',
    "a brace too few": b'{"id": 5, "turns": [{"role": "user"}]',
    "a bracket too few": b'{"id": 5, "turns": [{"role": "user"}',
    "a quote too few": b'{"id": 5, "turns": "}',
    "a quote too many": b'{"id": 5", "turns": []}',
    "cut off": b'{"id": 5, "tu',
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("separator", [b",", b", ", b",\n", b",\n  "])
@pytest.mark.parametrize("size", [7, 10_000])
def test_a_broken_element_costs_itself(kind: str, separator: bytes, size: int) -> None:
    whole = [element(n, 'a "},{"id": ]') for n in range(12)]
    text = b"[" + separator.join([*whole[:5], BROKEN[kind], *whole[5:]]) + b"]"
    blocks = [text[i : i + size] for i in range(0, len(text), size)]
    assert list(read_elements(blocks, 10_000)) == [*whole[:5], BROKEN[kind], *whole[5:]]


def test_several_broken_elements_cost_themselves() -> None:
    bad, texts = BROKEN["a brace too many"], [element(n) for n in range(3)]
    expected = [*texts, bad, bad, texts[0], bad, texts[1]]
    assert list(read_elements([b"[" + b",\n".join(expected) + b"\n]"], 10_000)) == expected


def test_a_broken_last_element_leaves_the_others() -> None:
    texts, bad = [element(n) for n in range(3)], BROKEN["a brace too many"]
    read = read_elements([b"[" + b",\n".join([*texts, bad]) + b"\n]"], 10_000)
    assert [next(read) for _ in texts] == texts
    with pytest.raises(BrokenStreamError, match="has no end of its array"):
        next(read)


def test_an_element_that_holds_one_like_itself_is_whole() -> None:
    nested = b'{"id": 7, "of": [{"id": 8}, {"id": 9}]}'
    texts = [element(1), element(2), nested, element(3)]
    assert list(read_elements([b"[" + b", ".join(texts) + b"]"], 10_000)) == texts


def rows_of(text: bytes, size: int) -> tuple[list[bytes], list[bytes], str]:
    """The elements that are JSON, the others, and what is said of the end."""
    found: list[bytes] = []
    rest, fault = b"", ""
    try:
        for each in read_elements(cut(text, size), 10_000):
            assert isinstance(each, bytes)
            found.append(each)
    except BrokenStreamError as error:
        rest, fault = error.rest, str(error)
    odd = [each for each in found if not is_json(each)] + ([rest] if rest else [])
    return [each for each in found if is_json(each)], odd, fault


ODD = {
    "a brace": (b"%b, %b, }, %b, %b]", [b"}"], ""),
    "a bracket": (b"%b, %b, ], %b, %b]", [b"", b"]"], ""),
    "the end too soon": (b"%b, %b], %b, %b]", [b"]"], ""),
    "the end twice, too soon": (b"%b, %b]\n], %b, %b]", [b"]\n]"], ""),
    "the end twice": (b"%b, %b, %b, %b]]", [b"]"], "goes on"),
    "an array behind another": (b"%b, %b]\n[%b, %b]", [b"]\n["], ""),
    "arrays without lines": (b"%b][%b][%b, %b]", [b"][", b"]["], ""),
    "a missing comma": (b"%b, %b %b, %b]", [b""], ""),
    "no commas": (b"%b\n%b%b\n\n%b]", [b"", b"", b""], ""),
    "no end": (b"%b, %b, %b, %b", [], "has no end"),
    "no end and no comma": (b"%b, %b, %b\n%b\n", [b""], "has no end"),
    "two commas": (b"%b,, %b, %b,%b]", [b""], ""),
    "no end but a comma": (b"%b, %b, %b, %b, ", [], "has no end"),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_what_is_odd_between_elements_costs_none_of_them(kind: str, size: int) -> None:
    form, odd, fault = ODD[kind]
    whole = [element(n, 'a "},{"id": ] ü') for n in range(4)]
    found = rows_of(b"[" + form % tuple(whole), size)
    assert found[:2] == (whole, odd)
    assert fault in found[2] and bool(fault) == bool(found[2])


def test_an_object_of_another_kind_behind_the_end_is_no_element() -> None:
    whole = [element(n) for n in range(3)]
    text = b"[" + b",".join(whole) + b'], {"other": [1]}'
    rows, odd, fault = rows_of(text, 50)
    assert (rows, fault) == (whole, "goes on after the end of its array")
    assert odd == [b', {"other": [1]}']


def test_elements_without_commas_take_no_longer_than_with(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    decoder = json_arrays._DECODER

    class Counting:
        def raw_decode(self, text: str, start: int) -> tuple[object, int]:
            decoded.append(start)
            return decoder.raw_decode(text, start)

    monkeypatch.setattr(json_arrays, "_DECODER", Counting())
    whole = [element(n) for n in range(100)]
    rows, odd, _ = rows_of(b"[" + b"\n".join(whole) + b"]", 500)
    assert rows == whole and odd == [b""] * 99 and len(decoded) == 100
