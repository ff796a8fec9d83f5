"""The tables `replies` and `maker_calls`: what models answered makers, and what became of it."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from storage.database import Connection, transaction
from storage.rows import TEXT, as_table, fetch_counts, fetch_texts, write_table

REPLY_COLUMNS = {
    "reply_key": TEXT,
    "text": TEXT,
    "tokens": pa.int32(),
    "finished": pa.bool_(),
    "reason": TEXT,
    "kept_at": TEXT,
    "options": TEXT,
    "prompt_tokens": pa.int32(),
    "seconds": pa.float64(),
}

CALL_COLUMNS = {
    "generation_key": TEXT,
    "method": TEXT,
    "source_id": TEXT,
    "stage": TEXT,
    "attempt": pa.int32(),
    "kind": TEXT,
    "reply_key": TEXT,
    "outcome": TEXT,
    "reason": TEXT,
}

WRITE_REPLIES = "insert or replace into replies select * from had"

WRITE_CALLS = "insert or replace into maker_calls select * from made_calls"

READ_REPLIES = "select distinct replies.* from replies join wanted using (reply_key)"

READ_LEDGER = """
select kind, calls, tokens, prompt_tokens
from maker_ledger where generation_key = $key order by kind
"""

SPENT = """
select count(*), coalesce(sum(tokens), 0), coalesce(sum(prompt_tokens), 0)
from maker_calls join replies using (reply_key)
where generation_key = $key and source_id = any($sources::varchar[])
"""

SECONDS = """
select avg(seconds) from maker_calls join replies using (reply_key) where generation_key = $key
"""

COUNT_CALLS = """
select kind, count(*) from maker_calls
where generation_key = $key and source_id = any($sources::varchar[])
group by kind
"""

COUNT_OUTCOMES = """
select outcome || if(reason = '', '', ' ' || reason), count(*) from maker_calls
where generation_key = $key group by 1 order by 1
"""

READ_FAILED = """
select r.reason, count(*), min(source_id)
from maker_calls join replies r using (reply_key)
where generation_key = $key and r.reason <> '' and contains(r.reason, $text)
group by r.reason order by count(*) desc, r.reason
"""

FAILED_SOURCES = """
select distinct source_id from maker_calls join replies r using (reply_key)
where generation_key = $key and r.reason <> '' and contains(r.reason, $text)
"""

FORGET_REPLIES = """
delete from replies where reason <> '' and contains(reason, $text) and reply_key in (
    select reply_key from maker_calls where generation_key = $key
)
"""

# Of a maker of a whole pool every row may come out otherwise.
FORGET_ROWS = """
delete from generation_attempts where generation_key = $key
  and (parent_id = any($sources::varchar[]) or '' = any($sources::varchar[]))
"""

FORGET_CALLS = """
delete from maker_calls where generation_key = $key and source_id = any($sources::varchar[])
"""


class StoredReply(NamedTuple):
    """What a model answered to one request, or why it did not."""

    reply_key: str
    text: str | None
    tokens: int
    finished: bool
    reason: str
    kept_at: str
    options: str | None
    """JSON: option → probability, of a reply that is one of some; None where nothing tells."""
    prompt_tokens: int
    """Of a silent server as many as there may be; 0 of a model in process."""
    seconds: float
    """Its share of what the batch took that it was asked in."""


class MakerCall(NamedTuple):
    """One call of a maker, and its one outcome."""

    generation_key: str
    method: str
    source_id: str
    stage: str
    attempt: int
    kind: str
    reply_key: str
    outcome: str
    reason: str


class LedgerEntry(NamedTuple):
    """What a maker spent on calls of one kind."""

    kind: str
    calls: int
    tokens: int
    prompt_tokens: int


def write_replies(con: Connection, replies: Sequence[StoredReply]) -> None:
    """Store what was answered; a later answer to the same takes the place of the earlier."""
    write_table(con, "had", as_table(REPLY_COLUMNS, replies), WRITE_REPLIES)


def read_replies(con: Connection, keys: Sequence[str]) -> dict[str, StoredReply]:
    """reply_key → what was answered, of those that were asked."""
    # A join, for of a hundred thousand keys a list would be searched for each row.
    con.register("wanted", as_table({"reply_key": TEXT}, [(key,) for key in keys]))
    rows = con.execute(READ_REPLIES).fetchall()
    con.unregister("wanted")
    return {str(row[0]): StoredReply(*row) for row in rows}


def write_maker_calls(con: Connection, calls: Sequence[MakerCall]) -> None:
    """Store calls with their outcomes; the same call has one row."""
    write_table(con, "made_calls", as_table(CALL_COLUMNS, calls), WRITE_CALLS)


def read_ledger(con: Connection, generation_key: str) -> list[LedgerEntry]:
    """What was spent under a key, by kind."""
    rows = con.execute(READ_LEDGER, {"key": generation_key}).fetchall()
    return [LedgerEntry(str(kind), *map(int, counts)) for kind, *counts in rows]


def count_outcomes(con: Connection, generation_key: str) -> dict[str, int]:
    """Calls under a key by their outcome and its reason."""
    return fetch_counts(con, COUNT_OUTCOMES, {"key": generation_key})


def count_calls(con: Connection, generation_key: str, sources: Sequence[str]) -> dict[str, int]:
    """Calls for these sources under a key, by kind."""
    return fetch_counts(con, COUNT_CALLS, {"key": generation_key, "sources": list(sources)})


def count_spent(
    con: Connection, generation_key: str, sources: Sequence[str]
) -> tuple[int, int, int]:
    """Calls for these sources under a key, the tokens of their replies, and of their prompts."""
    query = {"key": generation_key, "sources": list(sources)}
    ((calls, tokens, prompt_tokens),) = con.execute(SPENT, query).fetchall()
    return int(calls), int(tokens), int(prompt_tokens)


def read_seconds(con: Connection, generation_key: str) -> float | None:
    """Seconds of a call, on average over those of a key; None where none was timed."""
    ((seconds,),) = con.execute(SECONDS, {"key": generation_key}).fetchall()
    return None if seconds is None else float(seconds)


def read_failed_replies(
    con: Connection, generation_key: str, text: str
) -> list[tuple[str, int, str]]:
    """Why replies were not had, for reasons with a text in them: reason, how many, a source."""
    rows = con.execute(READ_FAILED, {"key": generation_key, "text": text}).fetchall()
    return [(str(reason), int(count), str(source)) for reason, count, source in rows]


def forget_failed_replies(con: Connection, generation_key: str, text: str) -> None:
    """Forget replies that were not had, and what their sources came to: both are made again."""
    failed = {"key": generation_key, "text": text}
    with transaction(con):
        sources = {"key": generation_key, "sources": fetch_texts(con, FAILED_SOURCES, failed)}
        con.execute(FORGET_REPLIES, failed)
        con.execute(FORGET_ROWS, sources)
        con.execute(FORGET_CALLS, sources)
