"""What a run's check against evaluation sets found, in the tables of that name.

They are `contamination_hits`, `evaluation_items_unchecked` and `contamination_checks`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

from storage.database import Connection, transaction
from storage.rows import TEXT, as_table, write_table

CLEAR = (
    "delete from contamination_hits where run_id = $run_id",
    "delete from evaluation_items_unchecked where run_id = $run_id",
    "delete from contamination_checks where run_id = $run_id",
)

WRITE_HITS = "insert into contamination_hits select $run_id, * from found"

WRITE_UNCHECKED = "insert into evaluation_items_unchecked select $run_id, * from unchecked"

WRITE_CHECK = "insert into contamination_checks values ($run_id, $summary)"

READ_CHECK = "select summary from contamination_checks where run_id = $run_id"

READ_HITS = """
select example_id, evaluation, item, matched, rule, similarity, evidence
from contamination_hits where run_id = $run_id
order by similarity desc, evaluation, item, example_id, matched, rule limit $most
"""

READ_UNCHECKED = """
select evaluation, item, reason, detail from evaluation_items_unchecked
where run_id = $run_id order by all
"""

COUNT_HITS = """
select evaluation, count(*), count(distinct example_id), count(distinct item)
from contamination_hits where run_id = $run_id group by all order by all
"""

WORST = """
select example_id, max(similarity) from contamination_hits where run_id = $run_id
group by example_id order by example_id
"""

HIT_COLUMNS = {
    "example_id": TEXT,
    "evaluation": TEXT,
    "item": pa.int64(),
    "matched": TEXT,
    "rule": TEXT,
    "similarity": pa.float64(),
    "evidence": TEXT,
}

UNCHECKED_COLUMNS = {"evaluation": TEXT, "item": pa.int64(), "reason": TEXT, "detail": TEXT}

HITS_AT_ONCE = 1_000
"""Written together: to write a few costs as much as to compare a thousand rows."""

ALL = 2**62  # a limit that none reaches, where SQL has no word for none


class HitRow(NamedTuple):
    """A part of an item that an example holds."""

    example_id: str
    evaluation: str
    item: int
    matched: str
    rule: str
    similarity: float
    evidence: Mapping[str, Any]


class UncheckedRow(NamedTuple):
    """An item that no rule can find."""

    evaluation: str
    item: int
    reason: str
    detail: str


class SetCounts(NamedTuple):
    """What was found of one evaluation set."""

    hits: int
    rows: int
    """With one or more."""
    items: int
    """With one or more."""


def write_check(
    con: Connection,
    run_id: str,
    blocks: Iterable[Sequence[HitRow]],
    unchecked: Sequence[UncheckedRow],
    summary: Mapping[str, Any],
) -> None:
    """Store what a run's check found, replacing what it found before.

    Args:
        con: an open workspace.
        run_id: the run.
        blocks: hits, as they are found.
        unchecked: items that could not be checked.
        summary: sets, rules and recall.
    """
    key = {"run_id": run_id}
    with transaction(con):
        for statement in CLEAR:
            con.execute(statement, key)
        for hits in gather_hits(blocks):
            rows = [(*hit[:-1], orjson.dumps(hit[-1]).decode()) for hit in hits]
            write_table(con, "found", as_table(HIT_COLUMNS, rows), WRITE_HITS, key)
        table = as_table(UNCHECKED_COLUMNS, unchecked)
        write_table(con, "unchecked", table, WRITE_UNCHECKED, key)
        con.execute(WRITE_CHECK, key | {"summary": orjson.dumps(summary).decode()})


def gather_hits(blocks: Iterable[Sequence[HitRow]]) -> Iterator[list[HitRow]]:
    """Hits in portions of HITS_AT_ONCE or a block more: all of them may not fit into memory."""
    gathered: list[HitRow] = []
    for hits in blocks:
        gathered += hits
        if len(gathered) >= HITS_AT_ONCE:
            yield gathered
            gathered = []
    if gathered:
        yield gathered


def read_check(con: Connection, run_id: str) -> dict[str, Any] | None:
    """Sets, rules and recall of a run's check; None if it had none."""
    rows = con.execute(READ_CHECK, {"run_id": run_id}).fetchall()
    return orjson.loads(rows[0][0]) if rows else None


def read_hits(con: Connection, run_id: str, most: int = ALL) -> list[HitRow]:
    """The hits of a run, the most similar first."""
    rows = con.execute(READ_HITS, {"run_id": run_id, "most": most}).fetchall()
    return [HitRow(*row)._replace(evidence=orjson.loads(row[-1])) for row in rows]


def read_unchecked(con: Connection, run_id: str) -> list[UncheckedRow]:
    """The items of evaluation sets that a run could not check."""
    rows = con.execute(READ_UNCHECKED, {"run_id": run_id}).fetchall()
    return [UncheckedRow(*row) for row in rows]


def count_hits(con: Connection, run_id: str) -> dict[str, SetCounts]:
    """Evaluation set → what was found of it; sets without any hit are not in it."""
    rows = con.execute(COUNT_HITS, {"run_id": run_id}).fetchall()
    return {str(row[0]): SetCounts(*row[1:]) for row in rows}


def read_contaminated(con: Connection, run_id: str) -> dict[str, float]:
    """Example → the largest similarity among its hits."""
    return {str(row[0]): float(row[1]) for row in con.execute(WORST, {"run_id": run_id}).fetchall()}
