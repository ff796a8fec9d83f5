"""The ingest stage: every bad row costs exactly itself, and nothing is read twice."""

import json
from pathlib import Path

import pytest

from pipeline.ingest import stage as ingest
from pipeline.ingest.readers import read_rows
from pipeline.ingest.stage import (
    SourceSettings,
    count_ingest,
    identify_sources,
    ingest_sources,
)
from storage.arriving_rows import ArrivingRows
from storage.database import Connection, open_workspace, read_workspace
from storage.examples import read_examples, read_pool
from storage.runs import read_counts
from storage.workspace import Workspace


def line(question: str, answer: str = "yes") -> bytes:
    return json.dumps({"prompt": question, "completion": answer}).encode()


CORRUPT = {
    "truncated line": (line("a")[:-4], "invalid_json"),
    "NUL": (b'{"prompt": "a\\u0000", "completion": "b"}', "nul_character"),
    "invalid UTF-8": (b'{"prompt": "\xff", "completion": "b"}', "invalid_utf8"),
    "duplicate keys": (b'{"prompt": "a", "prompt": "b", "completion": "c"}', "duplicate_keys"),
    "NaN": (b'{"prompt": "a", "completion": NaN}', "invalid_json"),
    "long line": (line("x" * 500), "too_large"),
    "empty response": (line("a", " "), "empty_response"),
    "odd role order": (
        b'{"messages": [{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}, '
        b'{"role": "assistant", "content": "c"}]}',
        "odd_role_order",
    ),
}


def read(workspace: Workspace, *paths: Path, max_row_bytes: int | None = None) -> list[str]:
    settings = [SourceSettings(path=str(path), max_row_bytes=max_row_bytes) for path in paths]
    sources = identify_sources(workspace, settings)
    ingest_sources(workspace, sources)
    return sorted(source.source_id for source in sources)


def test_a_source_is_known_by_what_it_holds_and_how_it_is_read(tmp_path: Path) -> None:
    """Workspaces are full of these: another id would have every source read again."""
    (tmp_path / "rows.jsonl").write_bytes(line("a") + b"\n")
    workspace = Workspace(tmp_path / "w")
    path = str(tmp_path / "rows.jsonl")
    blocks = [SourceSettings(path=path), SourceSettings(path=path, turns="last")]
    found = [source.source_id for source in identify_sources(workspace, blocks)]
    assert found == ["7092d7adbf1d1386", "9b108e5de64e6258"]


def test_it_tells_how_many_rows_are_read_and_of_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.ingest.stage.BATCH_ROWS", 2)
    lines, table = tmp_path / "rows.jsonl", tmp_path / "rows.csv"
    lines.write_bytes(b"\n".join(line(str(n)) for n in range(5)))
    table.write_text("prompt,completion\na,b\n")
    workspace, told = Workspace(tmp_path / "w"), []
    settings = [SourceSettings(path=str(path)) for path in (lines, table)]
    sources = identify_sources(workspace, settings)
    for _ in range(2):  # the second time everything is there
        ingest_sources(workspace, sources, lambda *each: told.append(each))
    what = {source.path: f"ingest: reading {source.path}" for source in sources}
    of_lines, of_table = what["../rows.jsonl"], what["../rows.csv"]
    ends = {name: [each[1:] for each in told if each[0] == name] for name in what.values()}
    assert ends[of_lines] == [(0, None), (0, 5), (2, 5), (4, 5), (5, 5)]
    assert ends[of_table] == [(0, None), (0, None), (1, 1)]


def test_each_corrupt_kind_loses_exactly_its_row(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [b"\xef\xbb\xbf" + line("with a byte order mark")]
    for number, (bad, _) in enumerate(CORRUPT.values()):
        rows += [bad, line(f"good {number}")]
    file.write_bytes(b"\n".join(rows) + b"\n")
    workspace = Workspace(tmp_path / "w")
    ids = read(workspace, file, max_row_bytes=400)
    with read_workspace(workspace) as con:
        query = "select position, reason, raw from quarantine order by position"
        found = con.execute(query).fetchall()
        questions = {row[0] for row in con.execute("select prompt from examples").fetchall()}
    expected = [(2 * n + 2, reason, bad) for n, (bad, reason) in enumerate(CORRUPT.values())]
    assert found == expected
    good = {f"good {number}" for number in range(len(CORRUPT))}
    assert questions == good | {"with a byte order mark"}
    count = count_ingest(workspace, "run", ids)
    assert (count.rows_in, count.kept) == (17, 9)
    assert (count.stage, count.step) == ("ingest", 1)


def test_an_empty_file_is_a_source_without_rows(tmp_path: Path) -> None:
    (tmp_path / "none.jsonl").write_bytes(b"")
    workspace = Workspace(tmp_path / "w")
    assert count_ingest(workspace, "run", read(workspace, tmp_path / "none.jsonl")).rows_in == 0


def test_the_same_conversation_is_one_example_with_every_occurrence(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(line("q") + b"\n" + line("q") + b"\n")
    shared = {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "yes"}]}
    (tmp_path / "b.jsonl").write_text(json.dumps(shared))
    workspace = Workspace(tmp_path / "w")
    ids = read(workspace, tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    count = count_ingest(workspace, "run", ids)
    assert (count.rows_in, count.kept, count.dropped) == (3, 1, {"exact_duplicate": 2})
    with read_workspace(workspace) as con:
        found = con.execute("select shape, position from occurrences order by all").fetchall()
    assert found == [("prompt_completion", 1), ("prompt_completion", 2), ("sharegpt", 1)]


def test_a_source_that_was_read_is_not_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_bytes(line("q"))
    workspace = Workspace(tmp_path / "w")
    read(workspace, tmp_path / "a.jsonl")
    monkeypatch.setattr(ingest, "read_source", lambda *_: pytest.fail("it was read again"))
    read(workspace, tmp_path / "a.jsonl")
    (tmp_path / "copy.jsonl").write_bytes(line("q"))
    assert len(read(workspace, tmp_path / "a.jsonl", tmp_path / "copy.jsonl")) == 1


def test_a_source_cut_short_is_finished_with_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(line(f"q{n}") for n in range(25)))
    monkeypatch.setattr(ingest, "BATCH_ROWS", 10)
    workspace, real = Workspace(tmp_path / "w"), ArrivingRows.write
    calls = []

    def killed_at_the_second_batch(rows: ArrivingRows, con: Connection) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(rows, con)

    monkeypatch.setattr(ArrivingRows, "write", killed_at_the_second_batch)
    with pytest.raises(KeyboardInterrupt):
        read(workspace, tmp_path / "a.jsonl")
    with read_workspace(workspace) as con:
        assert con.execute("select count(*) from occurrences").fetchall() == [(10,)]
        assert con.execute("select complete, rows from sources").fetchall() == [(False, None)]
    ids = read(workspace, tmp_path / "a.jsonl")
    assert count_ingest(workspace, "run", ids).kept == 25
    with open_workspace(workspace) as con:
        assert con.execute("select complete, rows from sources").fetchall() == [(True, 25)]
        assert [count.stage for count in read_counts(con, "run")] == ["ingest"]


def test_a_folder_is_all_its_files_and_hidden_ones_are_not_meant(tmp_path: Path) -> None:
    folder = tmp_path / "incoming"
    for name in ("b.jsonl", "deep/a.jsonl", ".git/config", "deep/.half.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(line(name))
    found = SourceSettings(path=str(folder)).files()
    assert found == [str(folder / "b.jsonl"), str(folder / "deep" / "a.jsonl")]


@pytest.mark.parametrize("path", ["", "*.jsonl", "**/*.jsonl"])
def test_the_files_of_a_folder_and_of_a_pattern_are_in_the_order_of_their_names(
    tmp_path: Path, path: str
) -> None:
    names = [tmp_path / f"{n}.jsonl" for n in (7, 3, 9, 1, 8, 2)]
    names += [tmp_path / "0" / "4.jsonl"] * (path != "*.jsonl")
    for name in names:
        name.parent.mkdir(exist_ok=True)
        name.touch()
    found = SourceSettings(path=str(tmp_path / path)).files()
    assert found == [str(name) for name in sorted(names)]


def test_a_new_file_of_a_folder_is_read_and_the_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, workspace = tmp_path / "incoming", Workspace(tmp_path / "w")
    folder.mkdir()
    (folder / "monday.jsonl").write_bytes(line("a"))
    settings = [SourceSettings(path=str(folder))]
    ingest_sources(workspace, identify_sources(workspace, settings))
    (folder / "monday.jsonl").rename(folder / "renamed.jsonl")
    (folder / "tuesday.jsonl").write_bytes(line("b"))
    read: list[str] = []

    def noted(name: str, format: str | None, limit: int) -> object:
        read.append(Path(name).name)
        return read_rows(name, format, limit)

    monkeypatch.setattr("pipeline.ingest.stage.read_rows", noted)
    ingest_sources(workspace, identify_sources(workspace, settings))
    assert read == ["tuesday.jsonl"]


def test_a_source_is_read_for_the_turns_that_its_recipe_trains(tmp_path: Path) -> None:
    roles = ("user", "assistant")
    turns = [{"role": roles[n % 2], "content": str(n)} for n in range(4)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"messages": turns[:n]}) for n in (2, 4)))
    workspace = Workspace(tmp_path / "w")
    found = {}
    for name, setting in (("all", None), ("last", "last")):
        settings = [SourceSettings(path=str(path), turns=setting)]  # type: ignore[arg-type]
        sources = identify_sources(workspace, settings)
        ingest_sources(workspace, sources)
        with read_workspace(workspace) as con:
            pool = read_pool(con, [each.source_id for each in sources])
            found[name] = {len(e.messages): e for e in read_examples(con, pool)}
    assert [found[name][4].trained_at for name in ("all", "last")] == [[1, 3], [3]]
    assert [found[name][4].prompt for name in ("all", "last")] == ["0", "0\n\n1\n\n2"]
    assert [found[name][4].response for name in ("all", "last")] == ["1\n\n3", "3"]
    assert found["all"][2] == found["last"][2], "one turn is one example, however it is read"
    assert found["all"][4].conversation.example_id == found["all"][4].example_id
    assert found["last"][4].conversation.example_id == found["last"][4].example_id
