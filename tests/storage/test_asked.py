"""Whoever reads something of given examples answers in the order in which they are given.

Each reader is asked about shuffled ids, some of them twice, and has to say of each what it says of
it alone. A reader that is in neither table below fails the last test.
"""

import inspect
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import storage
from storage.asked import asking_about, number_ids, read_aligned
from storage.conversations import Conversation
from storage.database import Connection, open_workspace
from storage.examples import (
    MadeBy,
    read_example_table,
    read_examples,
    read_trained_at,
    write_edited,
)
from storage.indexes import RowIndex
from storage.measurements import (
    MeasureKey,
    add_measure,
    commit_shards,
    read_answers,
    read_measurement_blocks,
    read_measurements,
    read_text_lists,
    read_texts,
)
from storage.pool_columns import (
    read_members,
    read_pool_scores,
    read_pool_sources,
    read_pool_tokens,
    read_pool_vectors,
    read_prompt_rows,
    read_text_column,
    register_pool,
)
from storage.rejected import read_stored_answers
from storage.repairs import REPAIRED, read_repair_places
from storage.scores import ScoreKey, read_scores, write_scores
from storage.sources import ReadRow, Source, add_source, write_rows
from storage.texts import read_text_blocks, read_text_parts, read_texts_of
from storage.vectors import read_vector_blocks
from storage.workspace import Workspace

ROWS = 9

SOURCES = ("first", "second", "third")

SCORE = ScoreKey("ifd", 1, "{}")

Reader = Callable[[Connection, list[str]], Sequence[object]]


def key_of(measure: str) -> MeasureKey:
    return MeasureKey(measure, "m", "fingerprint", "", {})


def talk(n: int) -> Conversation:
    asked = {"role": "user", "content": f"question {n // 2}"}
    system = [{"role": "system", "content": "be kind"}] if n // 2 == 1 else []
    return Conversation([*system, asked, {"role": "assistant", "content": f"answer {n}"}])


def store(con: Connection, workspace: Workspace) -> list[str]:
    """Examples of three sources with numbers and texts that are all different; their ids."""
    for place, name in enumerate(SOURCES):
        add_source(con, Source(name, f"{name}.jsonl", None, None, f"licence {name}", name, 1))
        rows = [ReadRow(n, talk(n), "messages") for n in range(place, ROWS, len(SOURCES))]
        write_rows(con, name, rows, [])
    ids = [talk(n).example_id for n in range(ROWS)]
    numbers = np.arange(ROWS, dtype=np.float64)
    columns: dict[str, dict[str, list[Any]]] = {
        "losses": {
            "mean_nll": numbers.tolist(),
            "nll": [[n, -n] for n in numbers.tolist()],
            "vector": [[n, 1.0, 0.0] for n in numbers.tolist()],
        },
        "token_counts": {"response_tokens": list(range(ROWS))},
        "tags": {"tags": [[f"tag {n}"] for n in range(ROWS)]},
        "samples": {"answers": [[f"sampled {n}"] for n in range(ROWS)]},
        "language": {"language": [f"language {n}" for n in range(ROWS)]},
    }
    for measure, measured in columns.items():
        key, path = key_of(measure), f"{measure}/shard.parquet"
        base = {"example_id": ids, "measure_key": [key.measure_key] * ROWS}
        said = {"state": [f"state {n}" for n in range(ROWS)], "detail": ids}
        workspace.measurements.write(path, pa.table({**base, **said, **measured}))
        add_measure(con, key)
        commit_shards(con, workspace, key, [(path, 1.0)])
    values = np.where(numbers % 2, numbers, np.nan)
    write_scores(con, SCORE, ids, values, ["ok" if n % 2 else f"no {n}" for n in range(ROWS)])
    write_edited(con, "indicated", [(ids[0], talk(ROWS))], MadeBy("repairs", "{}", "run"))
    con.execute("update lineage set method = $m, example_id = $i", {"m": REPAIRED, "i": ids[1]})
    return ids


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Connection, list[str]]]:
    workspace = Workspace(tmp_path_factory.mktemp("asked") / "w")
    with open_workspace(workspace) as con:
        ids = store(con, workspace)
    index = RowIndex(workspace.directory / "index", 2)
    index.add(ids, np.arange(2 * ROWS, dtype=np.uint32).reshape(-1, 2))
    READERS["RowIndex.read"] = lambda con, ids: stack(*index.read(con, pooled(con, ids)))
    with open_workspace(workspace) as con:
        yield con, ids


def stack(*columns: object) -> list[tuple[object, ...]]:
    """What columns say of each row."""
    return list(zip(*(np.asarray(each).tolist() for each in columns), strict=True))


def pooled(con: Connection, ids: list[str]) -> int:
    register_pool(con, ids)
    return len(ids)


def measured(con: Connection, ids: list[str]) -> Sequence[object]:
    states, columns = read_measurements(con, key_of("losses"), ("mean_nll", "nll"), ids)
    return stack(states, columns["mean_nll"], columns["nll"])


def texts_in_blocks(con: Connection, ids: list[str]) -> Sequence[object]:
    answers: list[object] = [None] * len(ids)
    for places, columns in read_text_blocks(con, {"text": "both"}, ids):
        for place, text in zip(places.tolist(), columns["text"], strict=True):
            answers[place] = text
    return answers


def vectors_in_blocks(con: Connection, ids: list[str]) -> Sequence[object]:
    answers: list[object] = [None] * len(ids)
    for places, vectors in read_vector_blocks(con, key_of("losses"), "vector", ids):
        for place, vector in zip(places.tolist(), vectors.tolist(), strict=True):
            answers[place] = vector
    return answers


def measured_in_blocks(con: Connection, ids: list[str]) -> Sequence[object]:
    answers: list[object] = [None] * len(ids)
    for places, states, columns in read_measurement_blocks(con, key_of("losses"), ("nll",), ids):
        for place, *answer in stack(places, states, columns["nll"]):
            assert isinstance(place, int)
            answers[place] = answer
    return answers


def listed(con: Connection, ids: list[str]) -> Sequence[object]:
    found = read_text_lists(con, key_of("tags"), "tags", ids)
    return stack(found.states, found.details, found.lists)


def numbered(con: Connection, ids: list[str]) -> Sequence[object]:
    query = "select response from asked join examples using (example_id)"
    texts: list[str] = read_aligned(con, query, ids)["response"].to_pylist()
    return texts


def repaired(con: Connection, ids: list[str]) -> Sequence[object]:
    places = read_repair_places(con, "repairs", pooled(con, ids)).tolist()
    return ["" if place < 0 else ids[place] for place in places]


READERS: dict[str, Reader] = {
    "number_ids": lambda _, ids: number_ids(ids)["example_id"].to_pylist(),
    "read_aligned": numbered,
    "read_answers": lambda con, ids: read_answers(con, key_of("samples"), ids),
    "read_example_table": lambda con, ids: read_example_table(con, ids).to_pylist(),
    "read_examples": read_examples,
    "read_measurement_blocks": measured_in_blocks,
    "read_measurements": measured,
    "read_vector_blocks": vectors_in_blocks,
    "read_members": lambda con, ids: read_members(con, SOURCES[:1], pooled(con, ids)).tolist(),
    "read_pool_scores": lambda con, ids: stack(*read_pool_scores(con, SCORE, pooled(con, ids))),
    "read_pool_sources": lambda con, ids: stack(*read_pool_sources(con, SOURCES, pooled(con, ids))),
    "read_pool_tokens": lambda con, ids: stack(
        *read_pool_tokens(con, key_of("token_counts").measure_key, pooled(con, ids))
    ),
    "read_pool_vectors": lambda con, ids: read_pool_vectors(
        con, key_of("losses"), "vector", np.arange(pooled(con, ids))
    ).tolist(),
    "read_prompt_rows": lambda con, ids: read_prompt_rows(con, SOURCES, pooled(con, ids)).tolist(),
    "read_repair_places": repaired,
    "read_scores": lambda con, ids: stack(*read_scores(con, SCORE, ids)),
    "read_stored_answers": lambda con, ids: read_stored_answers(con, "run", ids),
    "read_text_column": lambda con, ids: read_text_column(
        con, "response", pooled(con, ids)
    ).tolist(),
    "read_text_lists": listed,
    "read_texts": lambda con, ids: read_texts(con, key_of("language"), "language", ids),
    "read_text_blocks": texts_in_blocks,
    "read_text_parts": read_text_parts,
    "read_texts_of": lambda con, ids: read_texts_of(con, "both", ids),
    "read_trained_at": read_trained_at,
    "RowIndex.read": lambda con, ids: [],  # the fixture puts one with a folder here
}
"""Function of storage/ → what it answers about ids: an entry for each of them."""

A_MAPPING = "answers by id, not by place"
SORTED = "answers with a set of ids, sorted or by prompt"
WRITES = "writes: each number stands beside its id"

NOT_ALIGNED = {
    "RunRows.find": A_MAPPING,
    "asking_about": "gives nothing back",
    "count_above_zero": "counts",
    "count_copies": A_MAPPING,
    "count_members": "counts",
    "cut_blocks": "the ids themselves",
    "in_bounded_memory": "gives nothing back",
    "read_attempted": SORTED,
    "read_documents_of": A_MAPPING,
    "read_details": "counts",
    "read_first_sources": A_MAPPING,
    "relation_with": "SQL",
    "read_judged": A_MAPPING,
    "read_made_of": SORTED,
    "read_licenses": A_MAPPING,
    "read_model_licenses": A_MAPPING,
    "read_writers_licenses": A_MAPPING,
    "read_makers": A_MAPPING,
    "read_missing": SORTED,
    "read_origins": A_MAPPING,
    "read_repairs": A_MAPPING,
    "read_rejected_places": "needs pairs; tests/storage/test_rejected.py",
    "read_response_lengths": A_MAPPING,
    "read_sizes": SORTED,
    "read_unlisted": SORTED,
    "read_unscored": "answers with some of the ids",
    "read_source_passages": "of passages; tests/storage/test_documents.py",
    "register_pool": "gives nothing back",
    "stream_examples": "answers with examples, which know their ids, in no order",
    "stream_messages": "answers by id, in no order",
    "write_scores": WRITES,
    "RowIndex.add": WRITES,
}
"""Function of storage/ that is given ids → why its answer has no order of theirs."""


ANSWERS: dict[str, dict[str, object]] = {}


def answers_alone(con: Connection, ids: list[str], name: str) -> dict[str, object]:
    """What a reader says of each example when it is asked about that one."""
    if name == "read_repair_places":
        return {i: ids[1] if i == ids[0] else "" for i in ids}
    return {i: READERS[name](con, [i])[0] for i in ids}


@pytest.mark.parametrize("name", sorted(READERS))
@settings(max_examples=15)
@given(data=st.data())
def test_of_shuffled_ids_each_has_its_own_answer(
    stored: tuple[Connection, list[str]], name: str, data: st.DataObject
) -> None:
    con, ids = stored
    alone = ANSWERS.get(name) or answers_alone(con, ids, name)
    ANSWERS[name] = alone
    assert len({repr(answer) for answer in alone.values()}) > 1, "any order would do"
    shuffled: st.SearchStrategy[list[str]] = st.permutations(ids)
    if name != "read_repair_places":  # of a pool in which each example has one place
        shuffled |= st.lists(st.sampled_from(ids), max_size=2 * ROWS)
    asked = data.draw(shuffled)
    answers = READERS[name](con, asked)
    assert [repr(each) for each in answers] == [repr(alone[i]) for i in asked]


def test_an_example_that_is_not_there_is_not_passed_over(
    stored: tuple[Connection, list[str]],
) -> None:
    con, ids = stored
    for name in ("read_examples", "read_example_table", "read_text_column", "read_texts_of"):
        with pytest.raises(ValueError, match="2 examples were asked for, 1 found"):
            READERS[name](con, [ids[0], "unknown"])


def test_nothing_is_left_of_a_question_that_fails(stored: tuple[Connection, list[str]]) -> None:
    con, ids = stored
    with pytest.raises(RuntimeError), asking_about(con, ids):
        raise RuntimeError
    assert con.execute("select * from duckdb_views() where view_name = 'asked'").fetchall() == []


def about_examples(function: Callable[..., object]) -> bool:
    """Whether a function is given ids of examples, or reads the pool that is registered."""
    takes = inspect.signature(function).parameters.keys()
    named = {"ids", "parents", "example_ids", "pool", "slots"} & takes
    return bool(named) or {"con", "n"} <= takes


def test_every_function_that_is_given_ids_is_in_a_table() -> None:
    found: set[str] = set()
    for each in pkgutil.iter_modules(storage.__path__):
        module = import_module(f"storage.{each.name}")
        own = [o for o in vars(module).values() if getattr(o, "__module__", "") == module.__name__]
        for member in own:
            if inspect.isclass(member):
                methods = [m for m in vars(member).values() if inspect.isfunction(m)]
                found |= {m.__qualname__ for m in methods if about_examples(m)}
            elif inspect.isfunction(member) and about_examples(member):
                found.add(member.__name__)
    public = {name for name in found if not name.split(".")[-1].startswith("_")}
    assert public == READERS.keys() | NOT_ALIGNED.keys()
