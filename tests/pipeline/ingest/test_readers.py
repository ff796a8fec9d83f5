import gzip
import json
import lzma
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.ingest import rows as rows_module
from pipeline.ingest.readers import (
    RawRow,
    UnreadableRow,
    UnreadableSourceError,
    find_format,
    read_rows,
    source_fingerprint,
)

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
GOOD = {"prompt": 'a "quoted": text', "completion": "é\n", "n": [1, 1.5, None, True]}
BAD = {
    b'{"prompt": "a", "comple': "invalid_json",
    b'{"a": 1} {"b": 2}': "invalid_json",
    b'{"a": NaN}': "invalid_json",
    b'{"a": "\\udfff"}': "invalid_json",
    b"nonsense": "invalid_json",
    b"\xef\xbb\xbf{}": "invalid_json",
    b'{"a": "\xc3("}': "invalid_utf8",
    b'{"a": "\x00"}': "nul_character",
    b'{"a": "\\u0000"}': "nul_character",
    b'{"a": 1, "a": 1}': "duplicate_keys",
    b'{"a": 98765432109876543210}': "number_out_of_range",
    b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}": "too_deep",
    b"[1, 2]": "not_an_object",
    b"null": "not_an_object",
    b'{"a": "' + b"x" * 2000 + b'"}': "too_large",
}
LIMIT = 1000


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(COMPRESS[path.suffix if path.suffix in COMPRESS else ""](content))
    return path


def as_line(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("suffix", COMPRESS)
def test_one_bad_line_costs_one_row(tmp_path: Path, suffix: str) -> None:
    good = as_line(GOOD)
    lines = [line for bad in BAD for line in (good, bad)] + [good]
    read = list(read_rows(write(tmp_path, f"a.jsonl{suffix}", b"\n".join(lines)), None, LIMIT))
    assert len(read) == 2 * len(BAD) + 1
    for position, (row, line) in enumerate(zip(read, lines, strict=True), 1):
        assert (row.position, row.raw) == (position, line)
        if isinstance(row, RawRow):
            assert line == good and row.value == GOOD
        else:
            assert row.reason == BAD[line]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_one_bad_element_costs_one_row(tmp_path: Path, suffix: str) -> None:
    bad = [element for element in BAD if element.count(b'"') % 2 == 0]
    elements = [element for each in bad for element in (as_line(GOOD), each)] + [as_line(GOOD)]
    path = write(tmp_path, f"a.json{suffix}", b"[\n" + b",\n".join(elements) + b"\n]\n")
    read = list(read_rows(path, None, LIMIT))
    assert [row.raw for row in read] == elements
    assert [row.position for row in read] == list(range(1, len(elements) + 1))
    assert [row.reason for row in read if isinstance(row, UnreadableRow)] == [
        BAD[element] for element in bad
    ]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_csv(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path, f"a.csv{suffix}", b'\xef\xbb\xbfa,b\r\n1,"2\r\n3"\r\n1\r\n,\r\n')
    first, second, third = read_rows(path)
    assert first == RawRow(1, {"a": "1", "b": "2\r\n3"}, b'1,"2\r\n3"\r')
    assert isinstance(second, UnreadableRow) and second.reason == "wrong_field_count"
    assert third == RawRow(3, {"a": "", "b": ""}, b",\r")


def test_lines_are_counted_blank_or_not(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf\r\n{"a": 1}\r\n\n  \t\n{"a": 2}'
    read = list(read_rows(write(tmp_path, "a.ndjson", content)))
    assert read == [RawRow(2, {"a": 1}, b'{"a": 1}\r'), RawRow(5, {"a": 2}, b'{"a": 2}')]


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.json", "a.csv", "a.jsonl.gz", "a.json.xz", "a.csv.zst"]
)
@pytest.mark.parametrize("content", [b"", b"\n \n\n"])
def test_an_empty_file_has_no_rows(tmp_path: Path, name: str, content: bytes) -> None:
    if "csv" in name and content:
        content = b"\n\n"
    assert list(read_rows(write(tmp_path, name, content))) == []


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_good_lines_survive_whatever_the_others_hold(tmp_path: Path, data: st.DataObject) -> None:
    texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
    good = st.dictionaries(texts, texts | st.integers(-9, 9) | st.lists(texts), max_size=3)
    changed: dict[int, bytes] = {}
    values = data.draw(st.lists(good, max_size=12))
    lines = [as_line(value) for value in values]
    for index in data.draw(st.sets(st.integers(0, 11))) & set(range(len(lines))):
        line = bytearray(lines[index])
        for at in data.draw(st.lists(st.integers(0, len(line) - 1), min_size=1, max_size=3)):
            line[at] = data.draw(st.integers(0, 255))
        end = data.draw(st.integers(0, len(line)))
        changed[index] = bytes(line[:end]).replace(b"\n", b"")
        lines[index] = changed[index]
    read = list(read_rows(write(tmp_path, "a.jsonl", b"\n".join(lines) + b"\n")))
    kept = [i for i, line in enumerate(lines) if line.strip(b" \t\r\n\v\f")]
    if lines and lines[0].startswith(b"\xef\xbb\xbf"):
        return  # a byte order mark made by chance
    assert [row.position - 1 for row in read] == kept
    for row in read:
        assert row.raw == lines[row.position - 1]
        if row.position - 1 not in changed:
            assert isinstance(row, RawRow) and row.value == values[row.position - 1]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["a.jsonl.gz", "a.jsonl.zst", "a.jsonl.xz", "a.json.gz", "a.json"]),
    share=st.floats(0.05, 0.999),
)
def test_a_file_cut_anywhere_gives_its_first_rows_and_says_so(
    tmp_path: Path, name: str, share: float
) -> None:
    values = [{"n": n, "text": str(n**9)} for n in range(300)]
    lines = list(map(as_line, values))
    is_array = ".json" in Path(name).suffixes
    text = b"[" + b",\n".join(lines) + b"]" if is_array else b"\n".join(lines) + b"\n"
    path = write(tmp_path, name, text)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    *read, last = read_rows(path)
    assert isinstance(last, UnreadableRow) and last.reason == "broken_file"
    assert [row.value for row in read if isinstance(row, RawRow)] == values[: len(read)]
    assert last.position == len(read) + 1
    begun = text.split(b",\n" if is_array else b"\n")[len(read) :] or [b""]
    assert begun[0].removeprefix(b"[").startswith(last.raw.strip())


def test_a_huge_line_needs_no_huge_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "KEPT_BYTES", 2**20)
    size = 2**26
    content = b'{"a": 1}\n{"b": "' + b"x" * size + b'"}\n{"c": 3}\n'
    path = write(tmp_path, "a.jsonl.gz", content)
    del content
    tracemalloc.start()
    first, huge, last = read_rows(path, None, 2**16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(huge, UnreadableRow) and huge.reason == "too_large"
    assert f"{size + 9} bytes" in huge.detail and "sha256" in huge.detail
    assert huge.raw == b'{"b": "' + b"x" * (2**20 - 7)
    assert isinstance(first, RawRow) and isinstance(last, RawRow)
    assert peak < 2**24


@pytest.mark.parametrize(
    ("name", "format"),
    [
        *(
            ("a.jsonl", "jsonl"),
            ("a.ndjson.ZST", "jsonl"),
            ("a.tsv", "csv"),
            ("a.JSON", "json"),
            ("a.json.gz", "json"),
        ),
        *(("a.csv.xz", "csv"), ("a.b.parquet", "parquet"), ("hub:org/name", "hub")),
    ],
)
def test_the_name_shows_the_format(name: str, format: str) -> None:
    assert find_format(name) == format


@pytest.mark.parametrize("name", ["a.txt", "a", "a.gz", "a.parquet.gz", ".jsonl", "a.jsonl.bz2"])
def test_an_unknown_name_is_answered_with_the_known(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b'{"a": 1}\n')
    with pytest.raises(UnreadableSourceError, match=r"Known: \.jsonl, \.ndjson, \.json, \.csv"):
        read_rows(path)
    with pytest.raises(UnreadableSourceError, match=r"no format 'text'; there are: jsonl, json"):
        read_rows(path, "text")


def test_a_named_format_needs_no_suffix(tmp_path: Path) -> None:
    for name in ("a.txt", "a.json"):
        read = list(read_rows(write(tmp_path, name, b'{"a": 1}\n{"a": 2}\n'), "jsonl"))
        assert [row.value for row in read if isinstance(row, RawRow)] == [{"a": 1}, {"a": 2}]
    path = write(tmp_path, "a.txt.gz", b'{"a": 1}\n')
    assert len(list(read_rows(path, "jsonl"))) == 1


def test_what_is_not_there_or_not_of_the_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSourceError, match="there is no "):
        read_rows(tmp_path / "a.jsonl")
    with pytest.raises(UnreadableSourceError, match="cannot tell the format"):
        read_rows(tmp_path)
    (tmp_path / "b.jsonl").mkdir()
    with pytest.raises(UnreadableSourceError, match=r"b.jsonl is a directory.* jsonl"):
        read_rows(tmp_path / "b.jsonl")
    with pytest.raises(UnreadableSourceError, match=r"c.jsonl is a file.* dataset"):
        read_rows(write(tmp_path, "c.jsonl", b""), "dataset")
    for limit in (0, 10**9 + 1):
        with pytest.raises(ValueError, match="expected max_row_bytes in"):
            read_rows(tmp_path / "c.jsonl", None, limit)


def test_datasets_and_parquet_are_found(tmp_path: Path) -> None:
    from datasets import Dataset

    dataset = Dataset.from_list([{"a": 1}, {"a": 2}])
    dataset.save_to_disk(tmp_path / "saved")
    dataset.to_parquet(tmp_path / "a.parquet")
    for source in (tmp_path / "saved", tmp_path / "a.parquet", str(tmp_path / "saved")):
        read = list(read_rows(source))
        assert [row.value for row in read if isinstance(row, RawRow)] == [{"a": 1}, {"a": 2}]


def test_fingerprints_follow_the_content_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = source_fingerprint(write(tmp_path, "a.jsonl", b'{"a": 1}\n'))
    assert len(first) == 32 and set(first) <= set("0123456789abcdef")
    assert source_fingerprint(str(write(tmp_path, "b.txt", b'{"a": 1}\n'))) == first
    assert source_fingerprint(write(tmp_path, "b.txt", b'{"a": 2}\n')) != first

    def fingerprint(*files: tuple[str, bytes]) -> str:
        folder = tmp_path / f"folder{len(list(tmp_path.iterdir()))}"
        (folder / "deep").mkdir(parents=True)
        for name, content in files:
            (folder / name).write_bytes(content)
        return source_fingerprint(folder)

    one = fingerprint(("a", b"1"), ("deep/b", b"2"))
    assert one == fingerprint(("deep/b", b"2"), ("a", b"1"))
    others = [
        fingerprint(("a", b"2"), ("deep/b", b"1")),
        fingerprint(("a", b"1"), ("b", b"2")),
        fingerprint(("a", b"12"), ("deep/b", b"")),
        fingerprint(("a", b"1")),
        fingerprint(("c", b"1"), ("deep/b", b"2")),
    ]
    assert len({one, *others}) == 6
    with pytest.raises(UnreadableSourceError, match="there is no "):
        source_fingerprint(tmp_path / "none")

    def hub(_reference: str, _limit: int) -> Iterator[RawRow]:
        return iter(hub_rows)

    monkeypatch.setattr("pipeline.ingest.readers.read_hub_dataset", hub)
    hub_rows = [RawRow(1, {}, b"{}")]
    two = source_fingerprint("hub:org/name")
    hub_rows = [RawRow(1, {}, b"{"), RawRow(2, {}, b"}")]
    assert source_fingerprint("hub:org/name") != two


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", b"prompt;completion\ra;b\r"),
        ("a.tsv", b"prompt\tcompletion\na\tb\n"),
        ("a.jsonl", b'{"prompt": "a", "completion": "b"}\r'),
    ],
)
def test_other_separators_and_line_ends(tmp_path: Path, name: str, text: bytes) -> None:
    read = list(read_rows(write(tmp_path, name, text)))
    assert [row.value for row in read if isinstance(row, RawRow)] == [
        {"prompt": "a", "completion": "b"}
    ]


def test_a_jsonl_file_that_is_one_array_is_refused_with_its_format(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", b'[{"prompt": "a"},\n{"prompt": "b"}]\n')
    with pytest.raises(UnreadableSourceError, match="name its format json"):
        list(read_rows(path))
    assert len(list(read_rows(path, "json"))) == 2


def test_rows_of_many_lines_are_noted_once_for_a_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tall = '"' + "\n".join("abcdefgh"[:8] for _ in range(60)) + '"'
    path = tmp_path / "a\x1b[2J.csv"
    path.write_text("prompt,completion\n" + "".join(f"q{n},{tall}\n" for n in range(5)))
    assert len(list(read_rows(path))) == 5
    (record,) = caplog.records
    said = record.getMessage()
    assert "5 rows have more than 50 lines" in said and "\x1b" not in said
    assert "line 2 (60 lines), 62 (60 lines), 122 (60 lines) on" in said
    caplog.clear()
    path.write_text('prompt,completion\nq,"a\nb"\n')
    assert len(list(read_rows(path))) == 1 and not caplog.records
