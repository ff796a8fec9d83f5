"""The walk from an export to its sources: whole, and with each link broken in turn."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.export import verify
from pipeline.export.verify import Link, verify_workspace
from pipeline.ingest.stage import read_source
from storage.database import read_tables
from storage.exports_manifest import (
    ExportManifest,
    export_identity,
    hash_file,
    manifest_text,
    read_manifest,
)
from storage.workspace import Workspace
from tests.exported_workspace import export_workspace
from tests.pipeline.export.test_rejected import BELOW, export_with

EXAMPLES = 15
ROWS = EXAMPLES + 1
"""One example has two trained turns, and a row for each."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    export_workspace(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def walk(folder: Path) -> dict[str, Link]:
    workspace = Workspace(folder / "workspace")
    with read_tables(workspace) as con:
        return {each.link: each for each in verify_workspace(con, workspace)}


def change(folder: Path, statement: str) -> None:
    with duckdb.connect(str(folder / "workspace" / "workspace.duckdb")) as con:
        assert con.execute(statement).fetchall() == [(1,)], "one row was to be changed"


def export_of(folder: Path) -> Path:
    (path,) = (folder / "workspace" / "exports").iterdir()
    return path


def only_broken(links: dict[str, Link], link: str, count: int = 1) -> str:
    """The details of the one link that is broken."""
    assert {name: each.broken for name, each in links.items() if each.broken} == {link: count}
    return " ".join(links[link].details)


@pytest.mark.slow
def test_every_link_of_an_untouched_export_holds(folder: Path) -> None:
    links = walk(folder)
    names = ["files", "loading", "rows", "examples", "origins", "sources", "measurements"]
    assert list(links) == names
    assert not any(each.broken or each.closed or each.details for each in links.values())
    assert [links[name].walked for name in names[1:6]] == [ROWS] * 5


def test_it_tells_how_far_it_is(folder: Path) -> None:
    told: dict[str, tuple[int, int | None]] = {}
    workspace = Workspace(folder / "workspace")
    with read_tables(workspace) as con:
        verify_workspace(con, workspace, lambda *each: told.update({each[0]: each[1:]}))
    pieces = {name.split(" ../")[0]: ends for name, ends in told.items()}
    assert pieces["verify: exports"] == pieces["verify: files of measurements"] == (1, 1)
    again = [ends for name, ends in told.items() if name.startswith("verify: reading ../")]
    assert len(again) == 2 and all(done == total for done, total in again)
    assert sum(done for done, _ in again) == EXAMPLES + 1, "one stands in two sources"


def rewrite_row(folder: Path, column: str, value: object) -> str:
    """Change one exported row of the train split, and the manifest so that the files hold."""
    export = export_of(folder)
    manifest = read_manifest(export)
    (name,) = manifest.data_files("train")
    table = pq.read_table(export / name)
    values = table[column].to_pylist()
    values[0] = value
    changed = pa.array(values, type=pa.list_(pa.string()) if column == "completion" else pa.int64())
    place = table.schema.get_field_index(column)
    field = table.schema.field(column)
    pq.write_table(table.set_column(place, field, changed.cast(field.type)), export / name)
    files = tuple(
        file.model_copy(
            update={"sha256": hash_file(export / name), "bytes": (export / name).stat().st_size}
        )
        if file.path == name
        else file
        for file in manifest.files
    )
    forged = manifest.model_copy(update={"files": files})
    forged = forged.model_copy(update={"export_id": export_identity(forged)})
    assert isinstance(forged, ExportManifest)
    (export / "manifest.json").write_bytes(manifest_text(forged))
    return str(table["example_id"][0])


def test_a_changed_file_of_an_export_stops_its_walk(folder: Path) -> None:
    (export_of(folder) / "train.jsonl").write_text("{}")
    links = walk(folder)
    assert "train.jsonl" in only_broken(links, "files")
    assert "rows" not in links


def test_a_row_with_another_answer_is_named_even_under_a_forged_manifest(folder: Path) -> None:
    answer = orjson.dumps({"role": "assistant", "content": "199"}).decode()
    example_id = rewrite_row(folder, "completion", [answer])
    details = only_broken(walk(folder), "rows")
    assert "not the example of its id" in details and example_id in details


def test_a_trained_turn_that_is_not_exported_is_named(folder: Path) -> None:
    change(folder, "update short_examples set trained_at = [1, 2, 3] where len(trained_at) = 2")
    details = only_broken(walk(folder), "rows")
    assert "not with each trained turn once" in details


@pytest.mark.slow
def test_a_turn_that_the_selection_does_not_train_is_no_row_and_not_missed(tmp_path: Path) -> None:
    # The answers have 3 tokens, but for the second of the dialogue and the generated one: 2.
    step = {"method": "trained_turns", "score": "response_length", "at_least": 3}
    _, exported = export_workspace(tmp_path, 0, [step])
    rows = [json.loads(line) for line in (exported.path / "train.jsonl").open()]
    (part,) = (row for row in rows if "-" in row["example_id"])
    assert part["example_id"].endswith("-1") and part["loss_tokens"] == 3
    assert len(rows) == EXAMPLES - 1
    assert not any(each.broken for each in walk(tmp_path).values())
    change(tmp_path, "update selection_rows set turns = null where turns is not null")
    assert "not with each trained turn once" in only_broken(walk(tmp_path), "rows")


def test_a_row_at_another_rank_is_named(folder: Path) -> None:
    example_id = rewrite_row(folder, "rank", 0)
    details = only_broken(walk(folder), "rows", count=2)  # one out of place, and one missing there
    assert "not at its rank" in details and example_id in details


def test_a_row_that_the_selection_does_not_have_is_named(folder: Path) -> None:
    change(
        folder,
        "delete from selection_rows where rank = 2 and selection_id = (select selection_id "
        "from run_selections where kind = 'choice')",
    )
    only_broken(walk(folder), "rows")


def test_an_example_whose_stored_answer_was_changed_is_named(folder: Path) -> None:
    change(
        folder,
        "update short_examples set messages = replace(messages, '\"20 11\"', '\"21 11\"') "
        "where contains(messages, '\"20 11\"')",
    )
    assert "hashes to another id" in only_broken(walk(folder), "examples")


def test_an_argument_that_was_changed_is_named_where_the_keys_are_not_sorted(folder: Path) -> None:
    change(
        folder,
        'update short_examples set messages = replace(messages, \'"unit":"g"\', \'"unit":"kg"\') '
        "where contains(messages, '\"unit\"')",
    )
    links = walk(folder)
    assert {name: each.broken for name, each in links.items() if each.broken} == {
        "rows": 1,
        "examples": 1,
    }
    assert "hashes to another id" in links["examples"].details[0]


def test_an_exported_row_with_its_keys_in_another_order_is_not_the_same() -> None:
    stored = '[{"content":"q"},{"content":"a","tool_calls":[{"b":15e-1,"a":2}]}]'
    asked, same = '{"content":"q"}', '{"content":"a","tool_calls":[{"b":1.5,"a":2}]}'
    other = '{"content":"a","tool_calls":[{"a":2,"b":1.5}]}'
    assert verify.is_same_row(asked, same, "", stored, 1, "[]")
    assert not verify.is_same_row(asked, other, "", stored, 1, "[]")


def test_a_prompt_that_an_answer_was_made_from_is_hashed_as_well(folder: Path) -> None:
    change(
        folder,
        "update short_examples set messages = replace(messages, '\"50\"', '\"52\"') "
        "where response_at is null",
    )
    only_broken(walk(folder), "examples")


def test_an_example_that_is_gone_is_named(folder: Path) -> None:
    change(folder, "delete from short_examples where prompt = '21 10'")
    assert "not in the workspace" in only_broken(walk(folder), "examples")


@pytest.mark.parametrize(
    "statement",
    [
        "delete from occurrences where example_id = "
        "(select example_id from examples where prompt = '21 10')",
        "delete from lineage",
    ],
)
def test_a_row_from_nowhere_is_named(folder: Path, statement: str) -> None:
    change(folder, statement)
    assert "in no source of the run" in only_broken(walk(folder), "origins")


def test_a_row_that_a_model_made_of_no_row_comes_from_there(folder: Path) -> None:
    change(folder, "update lineage set parent_id = ''")
    assert not walk(folder)["origins"].broken


def test_an_occurrence_at_the_wrong_line_is_named(folder: Path) -> None:
    change(
        folder,
        "update occurrences set position = 99 where position = 5",
    )
    assert "another row there" in only_broken(walk(folder), "sources")


@pytest.mark.parametrize(
    "mend",
    [lambda path: path.unlink(), lambda path: path.write_text("{}")],
    ids=["gone", "changed"],
)
def test_a_source_that_is_gone_or_changed_is_no_damage(
    folder: Path, mend: Callable[[Path], object]
) -> None:
    mend(folder / "first.jsonl")
    links = walk(folder)
    assert not any(each.broken for each in links.values())
    assert links["sources"].closed == 13
    (detail,) = links["sources"].details
    assert "13 rows cannot be walked further: ../first.jsonl is" in detail


def test_each_source_is_read_once_for_all_exports(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(
        folder,
        "insert into exports select 'again', selection_id, path, rows, loss_tokens from exports",
    )
    read: list[str] = []

    def count(name: str, source: object) -> object:
        read.append(name)
        return read_source(name, source)  # type: ignore[arg-type]

    monkeypatch.setattr(verify, "read_source", count)
    links = walk(folder)
    assert len(read) == 2
    assert not any(each.broken for each in links.values())


def test_a_file_of_measurements_is_hashed(folder: Path) -> None:
    (path,) = (folder / "workspace" / "measurements").rglob("*.parquet")
    whole = path.read_bytes()
    pq.write_table(pq.read_table(path), path, compression="snappy")
    assert "SHA-256" in only_broken(walk(folder), "measurements")
    path.write_bytes(whole)
    assert not walk(folder)["measurements"].broken
    path.unlink()
    assert "is missing" in only_broken(walk(folder), "measurements")


def test_a_file_of_an_older_version_is_counted(folder: Path) -> None:
    change(folder, "update shards set sha256 = null")
    assert not walk(folder)["measurements"].broken
    change(folder, "update shards set rows = rows + 1")
    assert "rows, expected" in only_broken(walk(folder), "measurements")


def test_a_number_that_the_export_spells_anew_is_the_same_number(folder: Path) -> None:
    lines = (export_of(folder) / "train.jsonl").read_text().splitlines()
    lines += (export_of(folder) / "validation.jsonl").read_text().splitlines()
    (called,) = (line for line in lines if "grams" in line)
    assert "3.699e-06" not in called and json.loads(called)["tools"]
    (call,) = json.loads(called)["completion"][0]["tool_calls"]
    assert list(call["function"]["arguments"]) == ["unit", "grams"]  # as the row has them
    assert walk(folder)["rows"].broken == 0


@pytest.mark.slow
def test_a_rejected_answer_has_to_be_a_dropped_one_to_the_same_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [{"prompt": f"{n} 10", "completion": "99"} for n in (20, 21, 22)]
    export_with(tmp_path, more, BELOW, monkeypatch)
    links = walk(tmp_path)
    assert links["rejected"].walked == 3 and not any(each.broken for each in links.values())
    change(
        tmp_path,
        "update outcomes set reason = 'over_budget' where reason = 'below_threshold' "
        "and example_id = (select min(example_id) from examples where response = '99')",
    )
    assert "another answer, or dropped otherwise: 1 rows" in only_broken(walk(tmp_path), "rejected")
