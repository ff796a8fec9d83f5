"""All the tables that know something of one example or passage, for `sluice explain`."""

from typing import Any, Literal

import orjson

from storage.database import Connection, QueryError
from storage.documents import find_passages, read_passage_places, read_passages_of
from storage.examples import TRAINED_AT, find_example, find_examples

SOURCES = """
select path, o.position, o.shape, license, o.rejected, p.example_id as paired_with
from occurrences o join sources using (source_id)
left join occurrences p
    on p.source_id = o.source_id and p.position = o.position and p.rejected <> o.rejected
where o.example_id = $id order by path, o.position, o.rejected
"""

LINEAGE = """
select parent_id, method, model, settings, run_id from lineage
where example_id = $id order by parent_id, generation_key
"""

CHILDREN = "select example_id from lineage where parent_id = $id order by example_id"

CANDIDATES = """
select example_id from examples
where prompt_id = (select prompt_id from examples where example_id = $id) and example_id <> $id
order by example_id
"""

MEASURED = """
select m.measure, m.state, m.detail, k.model, k.settings, m.measure_key
from measurements m join measures k using (measure_key)
where example_id = $id order by all
"""

SCORES = """
select scorer, version, value, state, settings from scores where example_id = $id order by all
"""

DECISIONS = """
select d.run_id, r.name, d.stage, c.label, d.outcome, d.reason, d.because_of, d.value, d.detail,
    (
        select list({'example_id': o.example_id, 'detail': o.detail} order by o.example_id)
        from decisions o
        where o.because_of = $id and o.detail is not null
          and o.run_id = d.run_id and o.stage = d.stage and o.step = d.step
    ) as copies
from decisions d join runs r using (run_id)
join stage_counts c on c.run_id = d.run_id and c.stage = d.stage and c.step = d.step
where example_id = $id and ($run is null or d.run_id = $run)
order by r.started_at, d.run_id,
    list_position(
        ['ingest', 'generate', 'clean', 'indicate', 'dedupe', 'check', 'select', 'export'], d.stage
    ), d.step
"""

CONTAMINATION = """
select run_id, evaluation, item, matched, rule, similarity from contamination_hits
where example_id = $id and ($run is null or run_id = $run) order by all
"""

REVIEWED = """
select distinct verdict, note, reviewer, reviewed_at from reviews
where example_id = $id and verdict is not null order by all
"""
"""One row: each list that the example is on has the same verdict."""

SELECTED = """
select rs.run_id, rs.kind, s.name, sr.rank, s.rows, sr.turns
from selection_rows sr join selections s using (selection_id)
join run_selections rs using (selection_id)
where example_id = $id and ($run is null or rs.run_id = $run) order by all
"""

EXAMPLE = f"""
select example_id, prompt_id, messages, tools, origin,
       {TRAINED_AT} as trained_at
from examples
where example_id = $id
"""


def find_explained(con: Connection, start: str) -> tuple[Literal["example", "passage"], str]:
    """The one example, or the one passage, whose id starts so.

    Raises:
        QueryError: if there is none, or more than one.
    """
    passages = find_passages(con, start)
    if not passages:
        return "example", find_example(con, start)
    examples = find_examples(con, start)
    if len(passages) == 1 and not examples:
        return "passage", passages[0]
    raise QueryError(
        f"{len(examples)} examples and {len(passages)} passages have ids that start with "
        f"{start!r}: give more digits"
    )


def read_explanation(con: Connection, example_id: str, run_id: str | None) -> dict[str, Any]:
    """Everything the workspace knows of an example, in the order it happened.

    Args:
        con: an open workspace.
        example_id: the whole id.
        run_id: leave out the decisions of other runs; None for all runs.
    """
    (example,) = records(con, EXAMPLE, {"id": example_id})
    run = {"id": example_id, "run": run_id}
    one = {"id": example_id}
    return {
        **example,
        "messages": orjson.loads(example["messages"]),
        "tools": orjson.loads(example["tools"]),
        "sources": records(con, SOURCES, one),
        "lineage": records(con, LINEAGE, one),
        "passages": [
            {"passage_id": each, "places": read_passage_places(con, each, run_id)}
            for each in read_passages_of(con, example_id)
        ],
        "children": [row["example_id"] for row in records(con, CHILDREN, one)],
        "candidates": [row["example_id"] for row in records(con, CANDIDATES, one)],
        "measurements": records(con, MEASURED, one),
        "scores": records(con, SCORES, one),
        "decisions": records(con, DECISIONS, run),
        "contamination": records(con, CONTAMINATION, run),
        "reviews": records(con, REVIEWED, one),
        "selections": records(con, SELECTED, run),
    }


def records(con: Connection, query: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a query as dicts by column name."""
    con.execute(query, parameters)
    names = [str(column[0]) for column in con.description or ()]
    return [dict(zip(names, row, strict=True)) for row in con.fetchall()]
