from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.export import shards as export_shards
from pipeline.export.dataset_card import ExportFacts
from pipeline.export.files import ExportExistsError, write_export
from pipeline.export.rows import ExportRow
from storage.exports_check import verify_export
from storage.exports_manifest import Split, read_manifest
from tests.some_model import SOME_MODEL

WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"lat": {}}}},
}
FACTS = ExportFacts(
    name="small",
    selection_id="s1",
    run_id="r1",
    recipe={"name": "small", "seed": 1},
    recipe_hash="h1",
    seed=1,
    model=SOME_MODEL,
    max_length=100,
)


def call(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "weather", "arguments": arguments}}


def make_rows(n: int = 3, split: Split = "train") -> list[ExportRow]:
    """Rows whose tool calls have different arguments, and whose messages have different keys."""
    first = 0 if split == "train" else 1_000
    return [
        ExportRow(
            example_id=f"{first + i:032x}",
            prompt=[
                {"role": "system", "content": "Bé brief.\u2028"},
                {"role": "user", "content": f"Weather in {i}?"},
                {"role": "assistant", "content": "", "tool_calls": [call({f"a{i}": [i, None]})]},
                {"role": "tool", "content": "0.1", "tool_call_id": "x", "name": "weather"},
            ],
            completion=[
                {"role": "assistant", "content": "Rain.", "reasoning_content": "Clouds."}
                if i % 2
                else {"role": "assistant", "content": "", "tool_calls": [call({"lat": 3.699e-06})]}
            ],
            tools=[WEATHER] if i % 2 else [],
            prompt_tokens=10,
            loss_tokens=4 + i,
            split=split,
            rank=i + 1,
            weight=1.0,
            source="b.jsonl" if i % 2 else "a.jsonl",
            license="MIT" if i % 2 else None,
        )
        for i in range(n)
    ]


def read_back(directory: Path, split: str = "train") -> list[dict[str, Any]]:
    loaded = datasets.load_dataset(str(directory), cache_dir=str(directory.parent / "cache"))
    rows: list[dict[str, Any]] = loaded[split].to_list()
    return rows


def files_of(directory: Path) -> dict[str, bytes]:
    paths = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


def test_the_files_are_where_a_loader_looks(tmp_path: Path) -> None:
    write_export(tmp_path / "e", [*make_rows(3), *make_rows(2, "validation")], FACTS)
    assert sorted(files_of(tmp_path / "e")) == [
        "README.md",
        "data/train-00000-of-00001.parquet",
        "data/validation-00000-of-00001.parquet",
        "manifest.json",
        "recipe.json",
        "train.jsonl",
        "validation.jsonl",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["e"]
    assert orjson.loads((tmp_path / "e" / "recipe.json").read_bytes()) == FACTS.recipe


def test_the_manifest_counts_what_went_in(tmp_path: Path) -> None:
    manifest = write_export(tmp_path / "e", [*make_rows(3), *make_rows(2, "validation")], FACTS)
    train, validation = manifest.counts("train"), manifest.counts("validation")
    assert (train.rows, train.prompt_tokens, train.loss_tokens) == (3, 30, 4 + 5 + 6)
    assert (validation.rows, validation.prompt_tokens, validation.loss_tokens) == (2, 20, 9)
    counts = [(item.source, item.license, item.rows) for item in manifest.sources]
    assert counts == [("a.jsonl", None, 3), ("b.jsonl", "MIT", 2)]
    assert {file.path: file.rows for file in manifest.files}["validation.jsonl"] == 2
    assert read_manifest(tmp_path / "e") == manifest
    assert verify_export(tmp_path / "e") == []


def test_load_dataset_gives_back_the_messages_that_went_in(tmp_path: Path) -> None:
    rows = [*make_rows(5), *make_rows(2, "validation")]
    write_export(tmp_path / "e", rows, FACTS)
    for split in ("train", "validation"):
        expected = [row for row in rows if row.split == split]
        for read, row in zip(read_back(tmp_path / "e", split), expected, strict=True):
            assert read["prompt"] == row.prompt
            assert read["completion"] == row.completion
            assert read["tools"] == (row.tools or None)
            assert (read["example_id"], read["rank"]) == (row.example_id, row.rank)
            assert (read["prompt_tokens"], read["loss_tokens"]) == (10, row.loss_tokens)
            assert (read["source"], read["license"]) == (row.source, row.license)


def test_the_parquet_files_load_without_the_card_too(tmp_path: Path) -> None:
    write_export(tmp_path / "e", make_rows(), FACTS)
    pattern = str(tmp_path / "e" / "data" / "train-*")
    loaded = datasets.load_dataset(
        "parquet", data_files=pattern, split="train", cache_dir=str(tmp_path / "cache")
    )
    assert loaded[0]["prompt"] == make_rows()[0].prompt


def test_jsonl_holds_the_same_rows(tmp_path: Path) -> None:
    write_export(tmp_path / "e", make_rows(4), FACTS)
    lines = (tmp_path / "e" / "train.jsonl").read_bytes().splitlines()
    assert [orjson.loads(line) for line in lines] == read_back(tmp_path / "e")


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.text(max_size=5)
    | st.integers(-(2**53), 2**53)
    | st.floats(min_value=1e-200, max_value=1e200),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
ASSISTANT = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.text()},
    optional={
        "reasoning_content": st.text(),
        "tool_calls": st.lists(
            st.dictionaries(st.text(max_size=5), JSON_VALUES, max_size=3).map(call),
            min_size=1,
            max_size=2,
        ),
    },
)
OTHERS = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "tool"]), "content": st.text()},
    optional={"name": st.text(), "tool_call_id": st.text()},
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.lists(OTHERS | ASSISTANT, min_size=1, max_size=3), ASSISTANT),
        min_size=1,
        max_size=4,
    )
)
def test_any_conversation_survives(
    tmp_path_factory: pytest.TempPathFactory, conversations: Sequence[tuple[Any, Any]]
) -> None:
    directory = tmp_path_factory.mktemp("export") / "e"
    template = make_rows(1)[0]
    rows = [
        replace(template, example_id=f"{i:032x}", rank=i + 1, prompt=prompt, completion=[answer])
        for i, (prompt, answer) in enumerate(conversations)
    ]
    write_export(directory, rows, FACTS)
    read = [(row["prompt"], row["completion"]) for row in read_back(directory)]
    assert read == [(row.prompt, row.completion) for row in rows]


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    write_export(tmp_path / "one", make_rows(), FACTS)
    write_export(tmp_path / "two", iter(make_rows()), FACTS)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_writing_it_again_changes_nothing(tmp_path: Path) -> None:
    first = write_export(tmp_path / "e", make_rows(), FACTS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "e").rglob("*")}
    again = write_export(tmp_path / "e", make_rows(), replace(FACTS, run_id="r2"))
    assert again == first and again.run_id == "r1"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "e").rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


@pytest.mark.parametrize("change", [{"selection_id": "s2"}, {"max_length": 50}])
def test_another_export_is_not_overwritten(tmp_path: Path, change: dict[str, Any]) -> None:
    write_export(tmp_path / "e", make_rows(), FACTS)
    before = files_of(tmp_path / "e")
    with pytest.raises(ExportExistsError, match="holds export"):
        write_export(tmp_path / "e", make_rows(), replace(FACTS, **change))
    with pytest.raises(ExportExistsError, match="holds export"):
        write_export(tmp_path / "e", make_rows(2), FACTS)
    assert files_of(tmp_path / "e") == before
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_a_damaged_export_and_a_foreign_folder_are_not_overwritten(tmp_path: Path) -> None:
    write_export(tmp_path / "e", make_rows(), FACTS)
    (tmp_path / "e" / "train.jsonl").write_text("{}\n")
    with pytest.raises(ExportExistsError, match=r"damaged \(train\.jsonl"):
        write_export(tmp_path / "e", make_rows(), FACTS)
    (tmp_path / "mine").mkdir()
    with pytest.raises(ExportExistsError, match="not a finished export"):
        write_export(tmp_path / "mine", make_rows(), FACTS)


def test_what_a_killed_writer_left_is_not_in_the_way(tmp_path: Path) -> None:
    left = tmp_path / ".e.partial" / "data"
    left.mkdir(parents=True)
    (left / "train-00000").write_bytes(b"half")
    write_export(tmp_path / "e", make_rows(), FACTS)
    assert verify_export(tmp_path / "e") == []
    assert [path.name for path in tmp_path.iterdir()] == ["e"]


def test_a_stream_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[ExportRow]:
        yield make_rows()[0]
        raise OSError("the database went away")

    with pytest.raises(OSError, match="went away"):
        write_export(tmp_path / "e", broken(), FACTS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row to train on"),
        (make_rows(2, "validation"), "at least one row to train on"),
        ([make_rows()[1], make_rows()[0]], "rank 1 in train after 2"),
        ([make_rows()[0], replace(make_rows()[0], split="validation")], "more than once: 0000"),
        ([replace(make_rows()[0], loss_tokens=91)], "101 tokens, more than max_length 100"),
    ],
)
def test_rows_that_break_a_promise_write_nothing(
    tmp_path: Path, rows: list[ExportRow], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_export(tmp_path / "e", rows, FACTS)
    assert list(tmp_path.iterdir()) == []


def test_shards_are_closed_when_they_are_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_shards, "ROWS_PER_GROUP", 2)
    monkeypatch.setattr(export_shards, "BYTES_PER_SHARD", 1)
    manifest = write_export(tmp_path / "e", make_rows(5), FACTS)
    assert manifest.data_files("train") == tuple(
        f"data/train-0000{i}-of-00003.parquet" for i in range(3)
    )
    assert [row["rank"] for row in read_back(tmp_path / "e")] == [1, 2, 3, 4, 5]


def test_a_row_group_of_long_rows_has_fewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_shards, "BYTES_PER_GROUP", 1)
    write_export(tmp_path / "e", make_rows(3), FACTS)
    metadata = pq.read_metadata(tmp_path / "e" / "data" / "train-00000-of-00001.parquet")
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [1, 1, 1]
    assert [row["rank"] for row in read_back(tmp_path / "e")] == [1, 2, 3]


def test_parquet_is_compressed_with_zstandard(tmp_path: Path) -> None:
    write_export(tmp_path / "e", make_rows(), FACTS)
    metadata = pq.read_metadata(tmp_path / "e" / "data" / "train-00000-of-00001.parquet")
    assert metadata.row_group(0).column(0).compression == "ZSTD"
