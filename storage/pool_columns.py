"""Columns of a pool of examples, one at a time, as aligned arrays: what steps decide by.

A pool is registered once and joined with what is asked for, so that a million rows are a second's
work and a step that needs no text reads none.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.asked import number_ids
from storage.database import Connection
from storage.lineage import HELD
from storage.measurements import MeasureKey
from storage.scores import ScoreKey
from storage.views import columns_of

POOL = "pool_of_candidates"

BATCH_ROWS = 1 << 14  # vectors that are in memory beside the result

TextColumn = Literal["prompt_id", "prompt", "response", "messages", "tools", "origin"]

Texts = NDArray[np.object_]

EXAMPLES = f"select n, {{column}} as value from {POOL} join examples using (example_id)"

VECTORS = f"""
select n, m.{{column}} as vector from {POOL} join {{measure}} m using (example_id)
where m.measure_key = $measure_key and m.{{column}} is not null
"""

SCORES = f"""
select n, value, case when value is null then state end as state
from {POOL} join scores using (example_id)
where scorer = $scorer and version = $version and settings = $settings
"""

NO_PATHS: Mapping[str, str] = {}

SOURCES = f"""
select n, path, license
from (
    select example_id, arg_min(source_id, (edits, source_id)) as source_id
    from ({HELD}) where source_id = any($source_ids) group by example_id
)
join {POOL} using (example_id)
join (
    select source_id, coalesce(called.path, sources.path) as path, license
    from sources
    left join (
        select unnest($called::varchar[]) as source_id, unnest($paths::varchar[]) as path
    ) as called using (source_id)
) using (source_id)
"""

MEMBERS = f"""
select distinct n from {POOL} join ({HELD}) using (example_id)
where source_id = any($source_ids)
"""

PROMPT_ROWS = f"""
select n, coalesce(rows, 0)::double as value
from {POOL} join examples using (example_id)
left join (
    select prompt_id, count(*) as rows from occurrences join examples using (example_id)
    where source_id = any($source_ids) group by prompt_id
) using (prompt_id)
"""

CROWDED = f"""
select n from {POOL} join examples using (example_id)
where length(prompt) > $opening
qualify count(*) over (partition by left(prompt, $opening)) >= $many
"""

ALIKE_AT_FIRST = f"""
select n from {POOL} join examples using (example_id)
qualify count(*) over (partition by left(concat_ws(E'\\n\\n', prompt, response), $opening)) > 1
"""

TOKENS = f"""
select n, m.response_tokens::double as value, nullif(m.state, 'ok') as state
from {POOL} join token_counts m using (example_id) where m.measure_key = $measure_key
"""


def register_pool(con: Connection, ids: Sequence[str]) -> None:
    """Make the examples known to the connection, in this order, in place of those before."""
    con.register(POOL, number_ids(ids))


def read_text_column(con: Connection, name: TextColumn, n: int) -> Texts:
    """(n,) a text column of the examples of the registered pool.

    Raises:
        ValueError: if one of them is not in the workspace.
    """
    con.execute(EXAMPLES.format(column=name))
    table = con.to_arrow_table()
    if len(table) != n:
        raise ValueError(f"{n} examples were asked for, {len(table)} found")
    return place_texts(table, "value", n, "")


def read_pool_vectors(
    con: Connection, key: MeasureKey, column: str, slots: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Vectors (m, d) of some examples of the registered pool, NaN where there is none.

    Args:
        con: an open workspace.
        key: the measurement that has them.
        column: its column.
        slots: (n,) for each example of the pool its row in the result, -1 if it is not asked for.
    """
    m = int((slots >= 0).sum())
    vectors = np.full((m, 0), np.nan, dtype=np.float32)
    if column not in columns_of(con, key.measure):
        return vectors
    query = VECTORS.format(column=column, measure=key.measure)
    con.execute(query, {"measure_key": key.measure_key})
    for batch in con.to_arrow_reader(BATCH_ROWS):
        values = batch.column("vector")
        flat = np.asarray(values.flatten())
        if not vectors.size and len(batch):
            vectors = np.full((m, len(flat) // len(batch)), np.nan, dtype=np.float32)
        rows = slots[batch.column("n").to_numpy()]  # -1, those not asked for, are left out
        vectors[rows[rows >= 0]] = flat.reshape(len(batch), -1)[rows >= 0]
    return vectors


def read_pool_scores(con: Connection, key: ScoreKey, n: int) -> tuple[NDArray[np.float64], Texts]:
    """Values (n,), NaN where there is none, and states (n,) of a score."""
    con.execute(SCORES, key._asdict())
    table = con.to_arrow_table()
    return place_numbers(table, n), place_states(table, n)


def read_pool_tokens(
    con: Connection, measure_key: str, n: int
) -> tuple[NDArray[np.float64], Texts]:
    """Response tokens (n,), NaN where they are not known, and states (n,)."""
    if "response_tokens" not in columns_of(con, "token_counts"):
        return np.full(n, np.nan), np.full(n, "not_measured", dtype=object)
    con.execute(TOKENS, {"measure_key": measure_key})
    table = con.to_arrow_table()
    return place_numbers(table, n), place_states(table, n)


def read_pool_sources(
    con: Connection, source_ids: Sequence[str], n: int, paths: Mapping[str, str] = NO_PATHS
) -> tuple[Texts, Texts]:
    """Path (n,) and licence (n,) of the source each example was first read from.

    Both are "generated" where there is none. `paths` are what sources are called, by their ids, if
    not by the paths that the workspace has.
    """
    called = {"called": list(paths), "paths": list(paths.values())}
    con.execute(SOURCES, {"source_ids": list(source_ids), **called})
    table = con.to_arrow_table()
    return tuple(place_names(table, name, n, "generated") for name in ("path", "license"))  # type: ignore[return-value]


def read_members(con: Connection, source_ids: Sequence[str], n: int) -> NDArray[np.bool_]:
    """(n,) whether each example of the registered pool stands in one of these sources."""
    con.execute(MEMBERS, {"source_ids": list(source_ids)})
    members = np.zeros(n, dtype=bool)
    members[con.to_arrow_table()["n"].to_numpy()] = True
    return members


def read_prompt_rows(con: Connection, source_ids: Sequence[str], n: int) -> NDArray[np.int64]:
    """(n,) how many rows of these sources have the prompt of each example of the pool."""
    con.execute(PROMPT_ROWS, {"source_ids": list(source_ids)})
    return place_numbers(con.to_arrow_table(), n).astype(np.int64)


def read_crowded(con: Connection, opening: int, many: int) -> NDArray[np.int64]:
    """(m,) examples of the registered pool whose prompts begin like those of `many` or more.

    Args:
        con: an open workspace.
        opening: characters that are the same; a prompt that is no longer has no such beginning.
        many: rows with the beginning, the example itself among them.
    """
    con.execute(CROWDED, {"opening": opening, "many": many})
    return np.sort(con.to_arrow_table()["n"].to_numpy())


def read_alike_at_first(con: Connection, opening: int) -> NDArray[np.int64]:
    """(m,) examples of the registered pool that share their first characters with another."""
    con.execute(ALIKE_AT_FIRST, {"opening": opening})
    return np.sort(con.to_arrow_table()["n"].to_numpy())


def place_numbers(table: pa.Table, n: int) -> NDArray[np.float64]:
    """The values of a table at the places its column n has; NaN elsewhere."""
    placed = np.full(n, np.nan)
    placed[table["n"].to_numpy()] = table["value"].to_numpy()
    return placed


def place_states(table: pa.Table, n: int) -> Texts:
    """States at the places the column n has, "ok" where it says none; "not_measured" elsewhere."""
    indices = table["n"].to_numpy()
    found = np.zeros(n, dtype=np.int8)
    found[indices] = 1
    placed = np.array(["not_measured", "ok"], dtype=object)[found]  # two texts, n references
    said = table["state"].is_valid().to_numpy()
    placed[indices[said]] = table["state"].drop_null().to_numpy()
    return placed


def place_texts(table: pa.Table, name: str, n: int, otherwise: str) -> Texts:
    """Texts at the places the column n has; `otherwise` elsewhere."""
    placed = np.full(n, otherwise, dtype=object)
    placed[table["n"].to_numpy()] = table[name].to_numpy()
    return placed


def place_names(table: pa.Table, name: str, n: int, otherwise: str) -> Texts:
    """The same for a few texts that repeat: each is one object, not one for each row."""
    encoded = table[name].combine_chunks().dictionary_encode()
    names = np.asarray(encoded.dictionary)
    placed = np.full(n, otherwise, dtype=object)
    if len(names):  # without rows the dictionary is empty, and not to be indexed
        placed[table["n"].to_numpy()] = names[encoded.indices.to_numpy()]
    return placed
