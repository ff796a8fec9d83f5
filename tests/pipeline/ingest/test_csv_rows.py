import csv
import io
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ingest.compression import BrokenStreamError
from pipeline.ingest.csv_rows import MANY_LINES, TallRow, read_csv_rows
from pipeline.ingest.lines import read_lines
from pipeline.ingest.rows import RawRow, UnreadableRow, UnreadableSourceError

LIMIT = 1000
TEXTS = st.text(st.sampled_from('ab",; \té\n'), max_size=10)


def read(text: bytes, limit: int = LIMIT) -> list[RawRow | UnreadableRow]:
    return list(read_csv_rows(read_lines([text], limit), limit))


def values(rows: list[RawRow | UnreadableRow]) -> list[object]:
    return [row.value if isinstance(row, RawRow) else row.reason for row in rows]


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=6), st.sampled_from(["\n", "\r\n"]))
def test_what_python_writes_comes_back(table: list[tuple[str, str]], end: str) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=end).writerows([("prompt", "completion"), *table])
    text = file.getvalue().encode()
    rows = read(text)
    assert values(rows) == [{"prompt": a, "completion": b} for a, b in table]
    assert [row.position for row in rows] == list(range(1, len(table) + 1))
    body = text.split(b"\n", 1)[1]
    assert b"\n".join(row.raw for row in rows) == body.removesuffix(b"\n")


@pytest.mark.parametrize(
    ("text", "row"),
    [
        (b"instruction;output\na, b;c, d\n", {"instruction": "a, b", "output": "c, d"}),
        (b"prompt\tcompletion\na;b\tc\n", {"prompt": "a;b", "completion": "c"}),
        (b"question|answer\na|b\n", {"question": "a", "answer": "b"}),
        (b'"input";"output"\n"a;b";"c\nd"\n', {"input": "a;b", "output": "c\nd"}),
        (b'id;prompt;"if any, a note"\n1;a;b\n', {"id": "1", "prompt": "a", "if any, a note": "b"}),
        (b"prompt,output,a;b;c;d\na;b,c,d\n", {"prompt": "a;b", "output": "c", "a;b;c;d": "d"}),
        (b"foo;bar\n1;2\n", {"foo": "1", "bar": "2"}),  # no name is known
        (b"foo;bar,baz\n1;2,3\n", {"foo;bar": "1;2", "baz": "3"}),
        (b"text\na;b\n", {"text": "a;b"}),
        (b"\nsep=;\r\nprompt;foo\r\na;b\r\n", {"prompt": "a", "foo": "b"}),
        (b"SEP=^\nprompt^foo;bar\na,1^b\n", {"prompt": "a,1", "foo;bar": "b"}),
    ],
)
def test_the_separator_is_told_from_the_header(text: bytes, row: dict[str, str]) -> None:
    assert values(read(text)) == [row]


def test_blank_lines_are_no_rows() -> None:
    assert values(read(b"\n\na\n\n1\n\n\n2\n")) == [{"a": "1"}, {"a": "2"}]
    assert read(b"") == read(b"\n") == read(b"a,b\n") == []


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"only one", "wrong_field_count"),
        (b"one,two,three", "wrong_field_count"),
        (b'"one" more,two', "invalid_csv"),
        (b"one,tw\xff", "invalid_utf8"),
        (b'"o\xffne\nmore",two', "invalid_utf8"),
        (b"one,t\0wo", "nul_character"),
        (b"one,tw\ro", "invalid_csv"),
        (b"one," + b"x" * LIMIT, "too_large"),
    ],
)
def test_a_bad_row_costs_itself(bad: bytes, reason: str) -> None:
    rows = read(b"a,b\n1,2\n" + bad + b"\n3,4\n")
    assert values(rows) == [{"a": "1", "b": "2"}, reason, {"a": "3", "b": "4"}]
    assert rows[1].raw == bad
    assert [row.position for row in rows] == [1, 2, 3]


def test_an_open_quote_does_not_take_in_the_rest() -> None:
    rows = read(b'a,b\n1,2\n"3,4\n5,6\n7,8\n')
    assert values(rows) == [
        {"a": "1", "b": "2"},
        "invalid_csv",
        {"a": "5", "b": "6"},
        {"a": "7", "b": "8"},
    ]
    assert rows[1].raw == b'"3,4'
    many = b'a,b\n"3,4\n' + b"5,6\n" * LIMIT
    assert len(read(many)) == LIMIT + 1


def test_a_row_whose_end_is_too_far_is_given_up_line_by_line() -> None:
    rows = read(b'a,b\none,"' + b"x" * 600 + b"\n" + b"x" * 600 + b'"\n3,4\n')
    assert values(rows) == ["invalid_csv", "wrong_field_count", {"a": "3", "b": "4"}]


def test_a_line_over_the_limit_ends_an_open_quote() -> None:
    lines = iter([b"a,b", b'"1,2', b"3,4", *read_lines([b"x" * 60, b"x" * 60 + b"\n5,6"], 50)])
    rows = list(read_csv_rows(lines, 50))
    assert values(rows) == ["invalid_csv", {"a": "3", "b": "4"}, "too_large", {"a": "5", "b": "6"}]
    assert [len(row.raw) for row in rows] == [4, 3, 120, 3]


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        (b"a,b,a", "twice: a"),
        (b"a,\xff", "not UTF-8.*Windows-1252"),
        (b"a\0,\0b\0", "UTF-16"),
        (b'"a,b', "not CSV"),
        (b'"a"b', "not CSV"),
    ],
)
def test_a_bad_header_is_refused(header: bytes, detail: str) -> None:
    with pytest.raises(UnreadableSourceError, match=detail):
        read(header + b"\n1,2\n")


def test_a_broken_stream_hands_over_its_last_row() -> None:
    def lines() -> Iterator[bytes]:
        yield from (b"a,b", b"1,2", b'3,"4')
        raise BrokenStreamError("damaged", b"5,")

    rows = read_csv_rows(lines(), LIMIT)
    assert isinstance(next(rows), RawRow)
    with pytest.raises(BrokenStreamError, match="damaged") as broken:
        next(rows)
    assert broken.value.rest == b'3,"4\n5,'


OPEN = {
    "in the first field": (b'"3,4', b'"x",y'),
    "in the last field": (b'3,"4', b'"x",y'),
    "closed by a quote in a last field": (b'3,"4', b'x,"y"'),
    "closed before a separator": (b'3,"4', b'x",y'),
    "with an escaped quote": (b'3,"say ""4', b'"x",y'),
}


@pytest.mark.parametrize("kind", OPEN)
@pytest.mark.parametrize("between", [1, 2, 40])
def test_what_an_open_quote_took_in_is_given_back(kind: str, between: int) -> None:
    bad, end = OPEN[kind]
    rows = read(b"\n".join([b"a,b", b"1,2", bad, *[b"5,6"] * between, end, b"7,8"]))
    assert [row.position for row in rows] == list(range(1, between + 5))
    assert rows[1].raw == bad and isinstance(rows[1], UnreadableRow)
    assert values(rows)[2 : 2 + between] == [{"a": "5", "b": "6"}] * between
    assert values(rows)[-1] == {"a": "7", "b": "8"}


def test_two_open_quotes_cost_two_rows() -> None:
    rows = read(b'a,b\n1,"2\n3,4\n5,6\n7,"8\n9,10\n11,12\n"x",y\n')
    kinds = [type(row) for row in rows]
    assert kinds.count(UnreadableRow) == 2 and kinds.count(RawRow) == 5


@pytest.mark.parametrize(
    ("bad", "raw"),
    [
        (b'"one\n\ntwo, and\nthree" x,y', b'"one\n\ntwo, and\nthree" x,y'),  # lines of a text
        (b'"one\n1,2\ntwo\nthree\nfour"', b'"one\n1,2\ntwo\nthree\nfour"'),  # a column is missing
    ],
)
def test_a_broken_row_of_several_lines_is_one_where_its_lines_are_no_rows(
    bad: bytes, raw: bytes
) -> None:
    rows = read(b"a,b\n1,2\n" + bad + b"\n3,4\n")
    assert len(rows) == 3 and rows[1].raw == raw and isinstance(rows[1], UnreadableRow)


def test_a_text_that_is_a_table_itself_is_never_cut() -> None:
    table = "name,age\nAda,36\nAlan,41\n" * 30
    rows = read(f'a,b\nas a table,"{table}"\n3,4\n'.encode())
    assert values(rows) == [{"a": "as a table", "b": table}, {"a": "3", "b": "4"}]


@pytest.mark.parametrize(
    ("before", "line"), [(b"", 3), (b"\n\n", 5), (b"sep=;\n", 4), (b"\nsep=;\n", 5)]
)
def test_rows_of_many_lines_are_told_with_their_lines_and_read_as_they_are(
    before: bytes, line: int
) -> None:
    mark = b";" if b"sep" in before else b","
    text = b"\n".join(b"line %d" % n for n in range(MANY_LINES + 1))
    tall: list[TallRow] = []
    rows = [b"prompt,completion", b"q,a", b'q,"%b"' % text, b"", b'q,"b\nc"', b'q,"%b"' % text[8:]]
    rows += [b'"q,a', b"q,b", b'q,"%b' % text, b"q,c"]  # quotes that are not closed
    content = before + b"\n".join(rows).replace(b",", mark)
    found = list(read_csv_rows(read_lines([content], LIMIT), LIMIT, tall))
    assert tall == [TallRow(line, MANY_LINES + 1)]
    assert found == read(content)
    assert values(found)[1] == {"prompt": "q", "completion": text.decode()}


def test_the_line_is_right_behind_rows_that_were_given_up() -> None:
    text = b"\n".join(b"line %d" % n for n in range(MANY_LINES + 1))
    rows = [b"prompt,completion", b'"q,a', *[b"q,b"] * 3, b'q,"%b"' % text, b"q,c"]
    tall: list[TallRow] = []
    found = list(read_csv_rows(read_lines([b"\n".join(rows)], LIMIT), LIMIT, tall))
    assert values(found)[0] == "invalid_csv" and len(found) == 6
    assert tall == [TallRow(6, MANY_LINES + 1)]
