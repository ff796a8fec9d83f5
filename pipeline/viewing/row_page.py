"""What a page says of one row: its conversation, scores, decisions, origin and neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pipeline.measuring.measures.embeddings import embeddings_name
from pipeline.viewing.bring_in import WayIn, way_in
from pipeline.viewing.opened_run import OpenedRun
from storage.conversations import TextField
from storage.database import Connection
from storage.explain import read_explanation
from storage.measurements import MeasureKey
from storage.run_rows import RowFilter, RowLine, with_heads
from storage.vectors import find_nearest

NEAREST = 6

NEAR_AT_ONCE = 30_000
"""Rows of which nearest ones are found with the page: a third of a second."""

OF: tuple[TextField, ...] = ("both", "response", "prompt")
"""Which embeddings of a run nearness goes by: the first of these that it has."""


@dataclass(frozen=True, slots=True)
class ShownScore:
    """One score of a row."""

    label: str
    value: float | None
    below: float | None
    """Share of the scored rows of the run that have less."""


@dataclass(frozen=True, slots=True)
class NearRow:
    """A row that reads alike."""

    line: RowLine
    similarity: float
    """Cosine of the embeddings."""


@dataclass(frozen=True, slots=True)
class ShownMessage:
    """One message of a conversation."""

    role: str
    trained: bool
    text: str
    calls: Sequence[str]
    """Tool calls, as JSON."""
    reasoning: str


@dataclass(frozen=True, slots=True)
class RowPage:
    """One row."""

    line: RowLine
    messages: Sequence[ShownMessage]
    scores: Sequence[ShownScore]
    way: WayIn | None
    """What would bring it in; None where it is in."""
    near: Sequence[NearRow]
    near_later: bool
    """Whether they are to be asked for: all embeddings of the run are read for them."""
    named: Mapping[str, RowLine]
    """The rows that decisions name."""
    told: Mapping[str, Any]
    """All that `sluice explain` tells."""


def read_row_page(
    con: Connection, opened: OpenedRun, example_id: str, near: bool = False
) -> RowPage | None:
    """All of a row; None where it is none of the run's.

    Nearest rows are found if that is quick, or they are asked for.
    """
    line = opened.rows.find([example_id]).get(example_id)
    if line is None:
        return None
    told = read_explanation(con, example_id, opened.listed.run_id)
    below = opened.rows.shares_below(line)
    scores = [ShownScore(k, value, below.get(k)) for k, value in line.scores.items()]
    out = line.status != "chosen"
    quick = opened.rows.count(RowFilter()) <= NEAR_AT_ONCE or embedded(opened) is None
    causes = {each["because_of"] for each in told["decisions"] if each["because_of"]}
    others = {*causes, *told["candidates"][:NEAREST], *told["children"][:NEAREST]}
    found = opened.rows.find(sorted(others))
    return RowPage(
        line=line,
        messages=[shown_message(at, each, told) for at, each in enumerate(told["messages"])],
        scores=scores,
        way=way_in(line, opened.described.recipe, opened.counts) if out else None,
        near=find_near(con, opened, example_id) if near or quick else [],
        near_later=not (near or quick),
        named={each.example_id: each for each in with_heads(con, list(found.values()))},
        told=told,
    )


def shown_message(at: int, message: Mapping[str, Any], told: Mapping[str, Any]) -> ShownMessage:
    """A message as a page shows it."""
    calls = [
        orjson.dumps(each.get("function", each), option=orjson.OPT_INDENT_2).decode()
        for each in message.get("tool_calls") or ()
    ]
    return ShownMessage(
        role=str(message["role"]),
        trained=at in told["trained_at"],
        text=str(message.get("content") or ""),
        calls=calls,
        reasoning=str(message.get("reasoning_content") or message.get("thinking") or ""),
    )


def embedded(opened: OpenedRun) -> tuple[str, MeasureKey] | None:
    """Which text of a run's rows was embedded, and what the vectors are stored under."""
    found = ((of, opened.measures.get(embeddings_name(of))) for of in OF)
    return next(((of, key) for of, key in found if key is not None), None)


def find_near(con: Connection, opened: OpenedRun, example_id: str) -> list[NearRow]:
    """The rows of the run nearest to one, by stored embeddings; none where there are none."""
    found_key = embedded(opened)
    if found_key is None:
        return []
    key = found_key[1]
    most = NEAREST
    while True:  # the workspace may have nearer rows that are none of the run's
        near = find_nearest(con, key, "embedding", example_id, most)
        found = opened.rows.find([each for each, _ in near])
        if len(found) >= NEAREST or len(near) < most:
            break
        most *= 8
    own = [(each, cosine) for each, cosine in near if each in found][:NEAREST]
    heads = {e.example_id: e for e in with_heads(con, [found[each] for each, _ in own])}
    return [NearRow(heads[each], cosine) for each, cosine in own]
