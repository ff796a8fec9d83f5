"""What models said of examples: Parquet shards, listed in `shards`, keyed in `measures`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from storage.asked import asking_about, read_aligned
from storage.conversations import content_hash
from storage.database import Connection, transaction
from storage.long_rows import in_bounded_memory
from storage.shard_checks import require_sound
from storage.views import columns_of, relation_of
from storage.workspace import Workspace

ADD_MEASURE = """
insert into measures values
($measure_key, $measure, $model_fingerprint, $template_fingerprint, $settings, $model)
on conflict do nothing
"""

ADD_SHARD = """
insert into shards (measure_key, path, rows, seconds, sha256)
values ($measure_key, $path, $rows, $seconds, $sha256)
on conflict do update set rows = excluded.rows, seconds = excluded.seconds, sha256 = excluded.sha256
"""
"""What is committed is the file as it is now."""

SIZES_OF = """
select
    example_id,
    coalesce(tokens, (length(prompt) + length(response)) // 4 + 1)::bigint as tokens,
    coalesce(response_tokens, length(response) // 4 + 1)::bigint as response_tokens
from asked
{without}
join examples using (example_id)
left join ({counts}) using (example_id)
order by left(prompt, 65536), example_id  -- sorted, long ones would take memory without end
"""

MEASURED_KEYS = """
select model, settings from measures
where measure = $measure and model_fingerprint = $model_fingerprint
  and template_fingerprint = $template_fingerprint
  and measure_key in (select measure_key from shards)
order by measure_key
"""

STORED_KEYS = """
select any_value(model), model_fingerprint, template_fingerprint, any_value(settings)
from measures join shards using (measure_key)
where measure = $measure
group by measure_key, model_fingerprint, template_fingerprint
order by sum(rows) desc, measure_key
"""

WITHOUT_MEASURED = """
anti join (select example_id from {measure} where measure_key = $measure_key) using (example_id)
"""

COUNTS = """
select example_id, prompt_tokens + response_tokens as tokens, response_tokens
from token_counts where measure_key = $counts_key
"""

NO_COUNTS = """
select null::varchar as example_id, null::bigint as tokens, null::bigint as response_tokens
where $counts_key is null
"""

READ_SHARDS = "select path, seconds from shards where measure_key = $measure_key order by path"

DROP_SHARD = "delete from shards where measure_key = $measure_key and path = $path"

SMALL_BYTES = 1 << 26  # a file of measurements smaller than this is merged with others

MANY_SMALL = 32

READ = """
select n, coalesce(state, 'not_measured') as state, {columns} from asked
left join (select * from {measure} where measure_key = $measure_key) m using (example_id)
"""

BLOCK_ROWS = 1024  # rows of long arrays that are in memory together


class ExampleBlock(NamedTuple):
    """Some of the examples that were asked for."""

    indices: NDArray[np.int64]
    """Of each among them."""
    states: list[str]
    columns: Mapping[str, NDArray[Any]]
    """What was read of them."""


@dataclass(frozen=True, slots=True)
class MeasureKey:
    """Everything that can change a measured number."""

    measure: str
    model: str  # as the recipe names it; not part of the identity
    model_fingerprint: str
    template_fingerprint: str
    settings: dict[str, Any]

    @property
    def measure_key(self) -> str:
        """The hash under which measurements are stored."""
        identity = [self.measure, self.model_fingerprint, self.template_fingerprint, self.settings]
        return content_hash(identity)[:16]


def add_measure(con: Connection, key: MeasureKey) -> None:
    """Record a measurement key."""
    con.execute(
        ADD_MEASURE,
        {
            "measure_key": key.measure_key,
            "measure": key.measure,
            "model_fingerprint": key.model_fingerprint,
            "template_fingerprint": key.template_fingerprint,
            "settings": orjson.dumps(key.settings, option=orjson.OPT_SORT_KEYS).decode(),
            "model": key.model,
        },
    )


def read_measured_keys(con: Connection, like: MeasureKey) -> list[MeasureKey]:
    """Keys of the same measure, model and template under which something is stored, sorted."""
    parameters = {
        "measure": like.measure,
        "model_fingerprint": like.model_fingerprint,
        "template_fingerprint": like.template_fingerprint,
    }
    rows = con.execute(MEASURED_KEYS, parameters).fetchall()
    return [replace(like, model=model, settings=orjson.loads(stored)) for model, stored in rows]


def read_stored_keys(con: Connection, measure: str) -> list[MeasureKey]:
    """Keys of a measure under which something is stored, the one with most rows first."""
    rows = con.execute(STORED_KEYS, {"measure": measure}).fetchall()
    return [
        MeasureKey(measure, model, fingerprint, template, orjson.loads(stored))
        for model, fingerprint, template, stored in rows
    ]


def relation_of_key(con: Connection, key: MeasureKey) -> str:
    """SQL that a query may read a key's measure from, its files being what was committed.

    Raises:
        DamagedMeasurementsError: if one is not.
    """
    require_sound(con, key.measure_key)
    return relation_of(con, key.measure)


def read_missing(
    con: Connection, key: MeasureKey, ids: Sequence[str], counts: MeasureKey | None = None
) -> pa.Table:
    """Those of the examples with no measurement under the key, with their sizes.

    Returns:
        example_id, tokens and response_tokens, ordered by prompt, so that what begins alike stands
        together. Tokens are those counted under `counts`; where there is no count, a quarter of the
        characters.
    """
    without = WITHOUT_MEASURED.format(measure=relation_of_key(con, key))
    return _read_sizes(con, ids, counts, without, {"measure_key": key.measure_key})


def read_sizes(con: Connection, ids: Sequence[str], counts: MeasureKey | None = None) -> pa.Table:
    """The same of all of the examples."""
    return _read_sizes(con, ids, counts, "", {})


def _read_sizes(
    con: Connection,
    ids: Sequence[str],
    counts: MeasureKey | None,
    without: str,
    parameters: dict[str, str],
) -> pa.Table:
    counts_key = None
    if counts is not None and "prompt_tokens" in columns_of(con, "token_counts"):
        counts_key = counts.measure_key
        require_sound(con, counts_key)
    query = SIZES_OF.format(without=without, counts=COUNTS if counts_key else NO_COUNTS)
    with asking_about(con, ids), in_bounded_memory(con):
        return con.execute(query, {**parameters, "counts_key": counts_key}).to_arrow_table()


def commit_shards(
    con: Connection, workspace: Workspace, key: MeasureKey, shards: Sequence[tuple[str, float]]
) -> None:
    """Make finished shards part of the workspace: all of them, or none.

    Views show them when the workspace is opened the next time.

    Args:
        con: an open workspace.
        workspace: the same workspace.
        key: what the shards measure.
        shards: name of each file below the workspace's measurements, and the seconds it took.
    """
    with transaction(con):
        for path, seconds in shards:
            add_shard(con, workspace, key, path, seconds)


def read_shards(con: Connection, key: MeasureKey) -> list[tuple[str, float]]:
    """The files of a key and the seconds that each took, by name."""
    rows = con.execute(READ_SHARDS, {"measure_key": key.measure_key}).fetchall()
    return [(str(path), float(seconds)) for path, seconds in rows]


def merge_small_shards(con: Connection, workspace: Workspace, key: MeasureKey) -> None:
    """Merge a key's small files once there are many: reading opens each of them.

    The merged file is whole before the table names it, and the old ones are removed after that: a
    kill on the way leaves files that nothing names, and loses none.
    """
    folder = f"{key.measure}/{key.measure_key}"
    files = workspace.measurements
    sizes = files.below(folder).sizes()
    small = {
        path: seconds
        for path, seconds in read_shards(con, key)
        if sizes.get(path.removeprefix(f"{folder}/"), SMALL_BYTES) < SMALL_BYTES
    }
    if len(small) < MANY_SMALL:
        return
    require_sound(con, key.measure_key)  # or the hash of the merged file would vouch for damage
    merged = f"{folder}/merged-{content_hash(list(small))[:16]}.parquet"
    files.concatenate(list(small), merged)
    with transaction(con):
        for path in small:
            con.execute(DROP_SHARD, {"measure_key": key.measure_key, "path": path})
        add_shard(con, workspace, key, merged, sum(small.values()))
    for path in small:  # once no table names them
        files.remove(path)


def add_shard(
    con: Connection, workspace: Workspace, key: MeasureKey, path: str, seconds: float
) -> None:
    """Name one file in the table of shards."""
    described = {
        "measure_key": key.measure_key,
        "path": path,
        "rows": workspace.measurements.count_rows(path),
        "seconds": seconds,
        "sha256": workspace.measurements.hash_file(path),
    }
    con.execute(ADD_SHARD, described)


def read_measurements(
    con: Connection, key: MeasureKey, columns: Sequence[str], ids: Sequence[str]
) -> tuple[list[str], dict[str, NDArray[np.float64]]]:
    """States (n,) and columns (n, …) of examples, in the order of the ids.

    A list column becomes (n, k), a list of lists (n, k, j); NaN where a row has no number. A row
    without a measurement has the state "not_measured".
    """
    query = READ.format(columns=_select(con, key, columns), measure=relation_of_key(con, key))
    table = read_aligned(con, query, ids, {"measure_key": key.measure_key})
    return table["state"].to_pylist(), {name: to_array(table[name]) for name in columns}


def read_measurement_blocks(
    con: Connection, key: MeasureKey, columns: Sequence[str], ids: Sequence[str]
) -> Iterator[ExampleBlock]:
    """The same in blocks of a bounded number of rows and in any order, for arrays that are long.

    Nothing else may be asked of the connection meanwhile.
    """
    query = READ.format(columns=_select(con, key, columns), measure=relation_of_key(con, key))
    with asking_about(con, ids):
        con.execute(query, {"measure_key": key.measure_key})
        for batch in con.to_arrow_reader(BLOCK_ROWS):
            arrays = {name: to_array(batch[name]) for name in columns}
            yield ExampleBlock(batch["n"].to_numpy(), batch["state"].to_pylist(), arrays)


def _select(con: Connection, key: MeasureKey, columns: Sequence[str]) -> str:
    """The columns as SQL; null where no shard has one."""
    present = columns_of(con, key.measure)
    return ", ".join(
        f"m.{name}" if name in present else f"null::double as {name}" for name in columns
    )


def to_array(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """A column as float64, null as NaN; lists as further dimensions, short ones padded with NaN."""
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if not is_list(column.type):
        numbers = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return np.asarray(numbers, dtype=np.float64)
    # A null list has no numbers: its row stays NaN throughout.
    lengths = np.array(column.value_lengths().fill_null(0).to_pylist(), dtype=np.int64)
    inner = to_array(column.flatten())
    width = int(lengths.max(initial=0))
    padded = np.full((len(column), width, *inner.shape[1:]), np.nan)
    rows = np.repeat(np.arange(len(column)), lengths)  # of each inner number, the list it is in
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)  # … and where that list begins
    padded[rows, np.arange(len(inner)) - starts] = inner
    return padded


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


@dataclass(frozen=True, slots=True)
class TextLists:
    """A column of lists of texts, with the states of its rows."""

    states: list[str]
    details: list[str]
    lists: list[list[str] | None]  # null where there is none


def read_text_lists(con: Connection, key: MeasureKey, column: str, ids: Sequence[str]) -> TextLists:
    """A list of texts for each example, in the order of the ids."""
    present = columns_of(con, key.measure)
    selected = f"m.{column}" if column in present else f"null::varchar[] as {column}"
    query = READ.format(
        columns=f"coalesce(m.detail, '') as detail, {selected}", measure=relation_of_key(con, key)
    )
    table = read_aligned(con, query, ids, {"measure_key": key.measure_key})
    return TextLists(*(table[name].to_pylist() for name in ("state", "detail", column)))


def read_texts(
    con: Connection, key: MeasureKey, column: str, ids: Sequence[str]
) -> list[str | None]:
    """A column of text of examples, in the order of the ids; None where there is none."""
    if column not in columns_of(con, key.measure):
        return [None] * len(ids)
    query = READ.format(columns=f"m.{column}", measure=relation_of_key(con, key))
    table = read_aligned(con, query, ids, {"measure_key": key.measure_key})
    texts: list[str | None] = table[column].to_pylist()
    return texts


def read_answers(con: Connection, key: MeasureKey, ids: Sequence[str]) -> list[list[str] | None]:
    """Sampled answers of examples, in the order of the ids; None where there are none."""
    return read_text_lists(con, key, "answers", ids).lists
