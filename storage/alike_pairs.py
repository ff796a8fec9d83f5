"""Pairs of a run: rows that went because of another, and rows that hold something of an item."""

from dataclasses import dataclass, replace
from typing import Any

import orjson

from storage.database import Connection, fetch_count

OF_ROWS = """
from outcomes where run_id = $run_id and outcome = 'dropped' and because_of is not null
    and ($reason = '' or reason = $reason)
"""

ROW_PAIRS = f"""
select example_id, because_of, reason, value, coalesce(detail, '') {OF_ROWS}
order by value nulls last, example_id limit $most offset $skipped
"""

REASONS = f"select reason, count(*) {OF_ROWS} group by reason order by 2 desc, 1"

OF_ITEMS = "from contamination_hits where run_id = $run_id"

ITEM_PAIRS = f"""
select example_id, evaluation, item, matched, rule, similarity, evidence {OF_ITEMS}
order by similarity, evaluation, item, example_id, rule limit $most offset $skipped
"""


@dataclass(frozen=True, slots=True)
class RowPair:
    """A row that went, and the one because of which it did."""

    example_id: str
    because_of: str
    reason: str
    similarity: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class ItemPair:
    """A row, and an item of an evaluation set that it holds something of."""

    example_id: str
    evaluation: str
    item: int  # line or row number in its file, from 1
    matched: str
    rule: str
    similarity: float
    evidence: Any  # a dict: the words that are shared and where, or the beginning of both


def count_pairs(con: Connection, run_id: str) -> dict[str, int]:
    """Reason → how many rows went because of another; the most frequent first."""
    rows = con.execute(REASONS, {"run_id": run_id, "reason": ""}).fetchall()
    return {str(reason): int(n) for reason, n in rows}


def read_row_pairs(
    con: Connection, run_id: str, reason: str, place: tuple[int, int]
) -> list[RowPair]:
    """Pairs of rows, those least alike first; `place` is how many are left out, and how many given.

    An empty reason means all.
    """
    values = {"run_id": run_id, "reason": reason, "skipped": place[0], "most": place[1]}
    return [RowPair(*row) for row in con.execute(ROW_PAIRS, values).fetchall()]


def count_item_pairs(con: Connection, run_id: str) -> int:
    """How many hits a run's check has."""
    return fetch_count(con, f"select count(*) {OF_ITEMS}", {"run_id": run_id})


def read_item_pairs(con: Connection, run_id: str, place: tuple[int, int]) -> list[ItemPair]:
    """Hits of the check, those least alike first."""
    values = {"run_id": run_id, "skipped": place[0], "most": place[1]}
    rows = con.execute(ITEM_PAIRS, values).fetchall()
    pairs = [ItemPair(*row) for row in rows]
    return [replace(pair, evidence=orjson.loads(pair.evidence)) for pair in pairs]
