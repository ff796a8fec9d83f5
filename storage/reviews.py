"""The `reviews` table: which rows of a selection a person is to read, and what was found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from storage.database import Connection, transaction
from storage.rows import TEXT, as_table, fetch_texts, write_table

ADD = """
insert into reviews
select selection_id, example_id, source, drawn, known.verdict, coalesce(known.note, ''),
    known.reviewed_at, known.reviewer
from queued left join (
    select example_id, arg_max(verdict, reviewed_at) as verdict,
        arg_max(note, reviewed_at) as note, max(reviewed_at) as reviewed_at,
        arg_max(reviewer, reviewed_at) as reviewer
    from reviews where verdict is not null group by example_id
) known using (example_id)
on conflict do update set
    drawn = case when excluded.drawn = 'random' then 'random' else reviews.drawn end
"""
"""A verdict is of an example: what was read in another selection is not read again."""

READ = """
select example_id, source, drawn, verdict, note from reviews
where selection_id = $selection_id order by example_id
"""

KNOWN = "select distinct example_id from reviews where example_id = any($ids)"

VERDICTS_OF = """
select example_id, any_value(verdict), any_value(note) from reviews
where example_id = any($ids) and verdict is not null group by example_id
"""

JUDGE = """
update reviews set verdict = judged.verdict, note = judged.note, reviewed_at = now(),
    reviewer = $reviewer
from judged where reviews.example_id = judged.example_id
"""

MARKED_BAD = "select distinct example_id from reviews where verdict = 'bad' order by example_id"
"""All lists have the same verdict of an example: what is judged is judged in each."""

RECIPE_OF_RUN = "select recipe, seed from runs where run_id = $run_id"


@dataclass(frozen=True, slots=True)
class Review:
    """A row that is to be read, or was."""

    example_id: str
    source: str
    drawn: str  # "random" or "suspect", or "shown" on a page: one that was chosen by nobody
    verdict: str | None  # "ok" or "bad"; None: not read yet
    note: str = ""


def add_reviews(con: Connection, selection_id: str, reviews: Sequence[Review]) -> None:
    """Put rows of a selection on the list; verdicts that are known stay."""
    columns = dict.fromkeys(("selection_id", "example_id", "source", "drawn"), TEXT)
    rows = [(selection_id, each.example_id, each.source, each.drawn) for each in reviews]
    queued = as_table(columns, rows)
    with transaction(con):
        write_table(con, "queued", queued, ADD)


def read_reviews(con: Connection, selection_id: str) -> list[Review]:
    """The list of a selection, by example."""
    return [Review(*row) for row in con.execute(READ, {"selection_id": selection_id}).fetchall()]


def read_judged(con: Connection, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Example → its verdict and the note, of those that were judged."""
    rows = con.execute(VERDICTS_OF, {"ids": list(ids)}).fetchall()
    return {str(row[0]): (str(row[1]), str(row[2])) for row in rows}


def read_unlisted(con: Connection, ids: Sequence[str]) -> list[str]:
    """Those of the examples that are on no list, sorted."""
    return sorted(set(ids) - set(fetch_texts(con, KNOWN, {"ids": list(ids)})))


def read_marked_bad(con: Connection) -> list[str]:
    """Ids of the examples that a person marked bad, sorted."""
    return fetch_texts(con, MARKED_BAD)


def write_verdicts(
    con: Connection, verdicts: Mapping[str, tuple[str, str]], reviewer: str = ""
) -> None:
    """Store what was found: example id → "ok" or "bad", and a note; "" if nobody says who."""
    columns = dict.fromkeys(("example_id", "verdict", "note"), TEXT)
    judged = as_table(columns, [(example_id, *found) for example_id, found in verdicts.items()])
    with transaction(con):
        write_table(con, "judged", judged, JUDGE, {"reviewer": reviewer or None})


def read_run_recipe(con: Connection, run_id: str) -> tuple[dict[str, Any], int]:
    """The recipe that a run had, resolved, and its seed."""
    recipe, seed = con.execute(RECIPE_OF_RUN, {"run_id": run_id}).fetchall()[0]
    return orjson.loads(recipe), int(seed)
