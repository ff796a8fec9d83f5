"""The rows of a run as one flat table: where each stands, why it is out, and all of its scores.

A page that a person looks at filters, sorts and counts them again and again. What a row's place is
made of stands in six tables, and joining those takes seconds where there are a million rows; so
they are joined once for each run, into a table that DuckDB holds in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.asked import asking_about
from storage.database import Connection
from storage.duckdb_instance import CONFIG
from storage.measurements import MeasureKey, relation_of_key
from storage.runs import STAGE_ORDER
from storage.scores import ScoreKey
from storage.selections import CONTROLS

ROWS = """
with steps as (
    select stage, step, 1000 * list_position($stages, stage) + step as place
    from stage_counts where run_id = $run_id
),
told as (
    select o.*, place from outcomes o join steps using (stage, step) where run_id = $run_id
),
entered as (
    select example_id, arg_min(source_id, (source_id, position)) as source_id, 0 as place
    from occurrences
    where source_id in (select source_id from run_sources where run_id = $run_id)
    group by example_id
    union all
    select example_id, null, max(place) from told where outcome = 'added' group by example_id
),
there as (
    select example_id, any_value(source_id) as source_id, max(place) as place
    from entered group by example_id
),
gone as (  -- the last time that a step dropped it; it may have come in again since
    select example_id, max(place) as place, arg_max(stage, place) as stage,
        arg_max(step, place) as step, arg_max(reason, place) as reason,
        arg_max(because_of, place) as because_of, arg_max(value, place) as value
    from told where outcome = 'dropped' group by example_id
),
picked as (
    select kind, rank, example_id
    from run_selections join selection_rows using (selection_id) where run_id = $run_id
)
select t.example_id,
    case when c.rank is not null then 'chosen' when g.reason = 'held_out' then 'held out'
         when g.place >= t.place then 'out' else 'undecided' end as status,
    c.rank, coalesce(s.path, 'generated') as source, coalesce(s.license, '') as license,
    {language} as language,
    case when status in ('out', 'held out') then g.stage end as stage,
    case when status in ('out', 'held out') then g.step end as step,
    case when status in ('out', 'held out') then g.reason end as reason,
    case when status in ('out', 'held out') then g.because_of end as because_of,
    case when status in ('out', 'held out') then g.value end as value,
    t.place as entered, case when g.place >= t.place then g.place end as dropped,
    {controls}{scores}
from there t
left join gone g using (example_id)
left join (select example_id, rank from picked where kind = 'choice') c using (example_id)
left join sources s on s.source_id = t.source_id
{joins}
"""

CONTROL = "t.example_id in (select example_id from picked where kind = '{kind}') as {kind}"

SCORE = """
left join (
    select example_id, value from scores
    where scorer = $scorer{n} and version = $version{n} and settings = $settings{n}
) k{n} on k{n}.example_id = t.example_id
"""

LANGUAGE = """
left join (
    select example_id, any_value(language) as language from {view}
    where measure_key = $language_key group by example_id
) l on l.example_id = t.example_id
"""

HEADS = """
select example_id, left(prompt, $most) as prompt, left(response, $most) as response,
    length(prompt) as prompt_length, length(response) as response_length
from asked join examples using (example_id)
"""

WITH_TEXT = r"""
select example_id from examples
where prompt ilike $pattern escape '\' or response ilike $pattern escape '\'
"""

FACETS = ("status", "stage", "reason", "source", "license", "language")

HEAD_CHARACTERS = 280


class Bound(NamedTuple):
    """Between what a score must lie, both ends included; None for an open end."""

    score: str
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows are wanted; what is empty does not matter."""

    status: str = ""
    stage: str = ""
    step: int | None = None
    reason: str = ""
    source: str = ""
    license: str = ""
    language: str = ""
    control: str = ""  # one of CONTROLS: rows that it drew
    kept_by: int | None = None  # the place of a step, as `step_place` gives it: rows that it kept
    text: str = ""  # that stands in the prompt or the response, in capitals or not
    start: str = ""  # of the id
    area: str = ""  # of a map, whose rows the caller gives as those that a text stands in
    bounds: Sequence[Bound] = ()


@dataclass(frozen=True, slots=True)
class RowOrder:
    """By what rows are sorted: a score, or the rank in the choice where none is named."""

    score: str = ""
    descending: bool = True


@dataclass(frozen=True, slots=True)
class RowLine:
    """A row as a table shows it."""

    example_id: str
    status: str
    rank: int | None
    source: str
    license: str
    language: str | None
    stage: str | None
    step: int | None
    reason: str | None
    because_of: str | None
    value: float | None
    controls: Sequence[str]
    scores: Mapping[str, float | None]
    prompt: str = ""
    response: str = ""
    characters: int = 0  # of prompt and response, of which only the beginnings are here


@dataclass
class RunRows:
    """The rows of one run, in memory; several threads may ask at once."""

    con: duckdb.DuckDBPyConnection
    labels: Sequence[str]  # of the scores, in their order
    counts: dict[tuple[object, ...], int] = field(default_factory=dict)
    choices: dict[str, list[tuple[str, int]]] = field(default_factory=dict)

    def count(self, wanted: RowFilter, having: Sequence[str] | None = None) -> int:
        """How many rows are wanted; a filter is counted once."""
        key = (replace(wanted, bounds=tuple(wanted.bounds)),)
        if key not in self.counts:
            where, values = self.where(wanted, having)
            ((found,),) = self.ask(f"select count(*) from rows {where}", values, having)
            self.counts[key] = int(found)
        return self.counts[key]

    def page(
        self,
        wanted: RowFilter,
        order: RowOrder,
        place: tuple[int, int],
        having: Sequence[str] | None = None,
    ) -> list[RowLine]:
        """Some of the wanted rows in their order; ties go by id.

        Args:
            wanted: which.
            order: how they are sorted; rows without the score come last.
            place: how many rows are left out before, and how many are given.
            having: ids of the rows that have the text, as `find_text` gives them.
        """
        where, values = self.where(wanted, having)
        way, back = ("desc", "asc") if order.descending else ("asc", "desc")
        by = f"{self.column(order.score)} {way if order.score else back} nulls last, rowid"
        limits = {"skipped": place[0], "most": place[1]}
        # Only what decides is read of all rows; the table is sorted by id, so rowid is that order.
        few = f"select rowid from rows {where} order by {by} limit $most offset $skipped"
        at = [row[0] for row in self.ask(few, values | limits, having)]
        found = self.ask("select rowid, * from rows where rowid = any($at)", {"at": at})
        lines = {row[0]: self.line(row[1:]) for row in found}
        return [lines[each] for each in at]

    def find(self, ids: Sequence[str]) -> dict[str, RowLine]:
        """Those of the examples that are rows of the run."""
        rows = self.ask("select * from rows where example_id = any($ids)", {"ids": list(ids)})
        return {str(row[0]): self.line(row) for row in rows}

    def facets(self) -> dict[str, list[tuple[str, int]]]:
        """Each value of each column that can be chosen from, with its rows, most first."""
        if self.choices:  # the table never changes
            return self.choices
        for name in FACETS:
            query = f"""select {name}, count(*) as n from rows where {name} is not null
                and {name} <> '' group by 1 order by n desc, 1 limit 200"""
            self.choices[name] = [(str(value), int(n)) for value, n in self.ask(query, {})]
        return self.choices

    def values(self, label: str) -> NDArray[np.float64]:
        """(rows,) a score of every row in the order of their ids; NaN where there is none."""
        found = self.table(f"select {self.column(label)}::double as v from rows order by rowid")
        return np.asarray(found["v"].to_numpy(zero_copy_only=False), dtype=np.float64)

    def ids(self, wanted: RowFilter | None = None) -> list[str]:
        """Ids of the wanted rows, or of all, sorted; `values` are in the order of all."""
        where, values = self.where(wanted or RowFilter(), None)
        query = f"select example_id from rows {where} order by rowid"
        found: list[str] = self.table(query, values)["example_id"].to_pylist()
        return found

    def members(self, kind: str) -> NDArray[np.bool_]:
        """(rows,) whether each is `chosen`, or in one of the CONTROLS."""
        is_in = "status = 'chosen'" if kind == "chosen" else known(kind, CONTROLS)
        found = self.table(f"select {is_in} as m from rows order by rowid")
        return np.asarray(found["m"].to_numpy(zero_copy_only=False), dtype=np.bool_)

    def codes(self, column: str) -> tuple[NDArray[np.int64], list[str]]:
        """(rows,) which value of one of FACETS each row has, in the order of ids; and the values.

        The values come as `facets` has them; what is none of those is the last, "".
        """
        names = [name for name, _ in self.facets()[known(column, FACETS)]]
        found = self.table(
            f"select coalesce(list_position($names, {column}), 0) as c from rows order by rowid",
            {"names": names},
        )
        at = found["c"].to_numpy().astype(np.int64)  # from 1; 0 where there is none
        return np.where(at == 0, len(names), at - 1), [*names, ""]

    def at(self, place: int) -> RowLine | None:
        """The row that is so many behind the first by id."""
        rows = self.ask("select * from rows where rowid = $place", {"place": place})
        return self.line(rows[0]) if rows else None

    def count_scored(self, label: str) -> int:
        """How many rows have a score."""
        ((found,),) = self.ask(f"select count({self.column(label)}) from rows", {})
        return int(found)

    def shares_below(self, line: RowLine) -> dict[str, float]:
        """Of each score that a row has, the share of the scored rows that have less."""
        had = {label: value for label, value in line.scores.items() if value is not None}
        if not had:
            return {}
        parts = [
            f"count(*) filter ({self.column(label)} < $v{n}) / count({self.column(label)})"
            for n, label in enumerate(had)
        ]
        values = {f"v{n}": value for n, value in enumerate(had.values())}
        (row,) = self.ask(f"select {', '.join(parts)} from rows", values)
        return dict(zip(had, map(float, row), strict=True))

    def column(self, label: str) -> str:
        """The column of a score.

        Raises:
            KeyError: if the run has no such score.
        """
        if not label:
            return "rank"
        if label not in self.labels:
            raise KeyError(label)
        return f"s{list(self.labels).index(label)}"

    def where(self, wanted: RowFilter, having: Sequence[str] | None) -> tuple[str, dict[str, Any]]:
        """The filter as SQL, and its parameters."""
        columns = ("status", "stage", "step", "reason", "source", "license", "language")
        given = {name: getattr(wanted, name) for name in columns}
        values: dict[str, Any] = {k: v for k, v in given.items() if v not in ("", None)}
        parts = [f"{name} = ${name}" for name in values]
        if wanted.control:
            parts.append(known(wanted.control, CONTROLS))
        if wanted.start:
            parts.append("starts_with(example_id, $start)")
            values["start"] = wanted.start
        if wanted.kept_by is not None:
            parts.append("entered <= $kept_by and (dropped is null or dropped > $kept_by)")
            values["kept_by"] = wanted.kept_by
        for n, bound in enumerate(wanted.bounds):
            for sign, name, end in ((">=", "low", bound.low), ("<=", "high", bound.high)):
                if end is not None:
                    parts.append(f"{self.column(bound.score)} {sign} ${name}{n}")
                    values[f"{name}{n}"] = end
        if having is not None:
            parts.append("example_id in (select example_id from having_text)")
        return (f"where {' and '.join(parts)}" if parts else ""), values

    def ask(
        self, query: str, values: Mapping[str, Any], having: Sequence[str] | None = None
    ) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        cursor = self.con.cursor()
        if having is not None:
            cursor.register("having_text", pa.table({"example_id": pa.array(having, pa.string())}))
        found = cursor.execute(query, dict(values)).fetchall()
        cursor.close()
        return found

    def table(self, query: str, values: Mapping[str, Any] | None = None) -> pa.Table:
        """The columns of a query."""
        return self.con.cursor().execute(query, dict(values or {})).to_arrow_table()

    def line(self, row: Sequence[Any]) -> RowLine:
        """A row of the table."""
        names = ("example_id", "status", "rank", "source", "license", "language", "stage", "step")
        told = dict(zip((*names, "reason", "because_of", "value"), row, strict=False))
        drawn = row[13:16]  # between them: when it came in, and when it went
        controls = [kind for kind, there in zip(CONTROLS, drawn, strict=True) if there]
        scores = dict(zip(self.labels, row[16 : 16 + len(self.labels)], strict=True))
        return RowLine(**told, controls=controls, scores=scores)


def step_place(stage: str, step: int) -> int:
    """The place of a step among all steps of a run."""
    return 1000 * (STAGE_ORDER.index(stage) + 1) + step


def known(name: str, names: Sequence[str]) -> str:
    """A name that may stand in SQL.

    Raises:
        KeyError: if it is none of them.
    """
    if name not in names:
        raise KeyError(name)
    return name


def read_run_rows(
    con: Connection, run_id: str, scores: Mapping[str, ScoreKey], language: MeasureKey | None
) -> RunRows:
    """Join what the workspace knows of the rows of a run, once.

    Args:
        con: an open workspace.
        run_id: the run.
        scores: label → key of its scores.
        language: the key of its languages; None where it measured none.
    """
    values: dict[str, Any] = {"run_id": run_id, "stages": [*STAGE_ORDER]}
    joins = ""
    for n, key in enumerate(scores.values()):
        joins += SCORE.format(n=n)
        values |= {f"{name}{n}": value for name, value in key._asdict().items()}
    if language is not None:
        joins += LANGUAGE.format(view=relation_of_key(con, language))
        values["language_key"] = language.measure_key
    query = ROWS.format(
        controls=", ".join(CONTROL.format(kind=kind) for kind in CONTROLS),
        scores="".join(f", k{n}.value as s{n}" for n in range(len(scores))),
        language="l.language" if language else "null::varchar",
        joins=joins,
    )
    joined = con.execute(query, values).to_arrow_table()
    own = duckdb.connect(":memory:", config=CONFIG)
    own.register("joined", joined)
    own.execute("create table rows as from joined order by example_id")
    own.unregister("joined")
    return RunRows(own, list(scores))


def find_text(con: Connection, text: str) -> list[str]:
    """Ids of the examples of a workspace that have a text, in capitals or not."""
    escaped = text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    found = con.execute(WITH_TEXT, {"pattern": f"%{escaped}%"}).to_arrow_table()
    ids: list[str] = found["example_id"].to_pylist()
    return ids


def with_heads(con: Connection, lines: Sequence[RowLine]) -> list[RowLine]:
    """The same rows with the beginnings of their texts."""
    with asking_about(con, [line.example_id for line in lines]):
        found = con.execute(HEADS, {"most": HEAD_CHARACTERS}).fetchall()
    heads = {row[0]: row[1:] for row in found}
    return [
        replace(
            line,
            prompt=heads[line.example_id][0],
            response=heads[line.example_id][1],
            characters=sum(heads[line.example_id][2:]),
        )
        for line in lines
    ]
