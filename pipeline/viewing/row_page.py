"""What a page says of one row: its conversation, scores, decisions, origin and neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from pipeline.measuring.measures.embeddings import embeddings_name
from pipeline.viewing.bring_in import WayIn, way_in
from pipeline.viewing.opened_run import OpenedRun
from storage.conversations import TextField
from storage.database import Connection
from storage.explain import read_explanation
from storage.measurements import read_measurements
from storage.run_rows import RowLine, with_heads

NEAREST = 6

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
    named: Mapping[str, RowLine]
    """The rows that decisions name."""
    told: Mapping[str, Any]
    """All that `sluice explain` tells."""


def read_row_page(con: Connection, opened: OpenedRun, example_id: str) -> RowPage | None:
    """All of a row; None where it is none of the run's."""
    line = opened.rows.find([example_id]).get(example_id)
    if line is None:
        return None
    told = read_explanation(con, example_id, opened.listed.run_id)
    below = opened.rows.shares_below(line)
    scores = [ShownScore(k, value, below.get(k)) for k, value in line.scores.items()]
    out = line.status != "chosen"
    causes = {each["because_of"] for each in told["decisions"] if each["because_of"]}
    others = {*causes, *told["candidates"][:NEAREST], *told["children"][:NEAREST]}
    found = opened.rows.find(sorted(others))
    return RowPage(
        line=line,
        messages=[shown_message(at, each, told) for at, each in enumerate(told["messages"])],
        scores=scores,
        way=way_in(line, opened.described.recipe, opened.counts) if out else None,
        near=find_near(con, opened, example_id),
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


def find_near(con: Connection, opened: OpenedRun, example_id: str) -> list[NearRow]:
    """The rows of the run nearest to one, by stored embeddings; none where there are none."""
    key = next(
        (opened.measures[n] for of in OF if (n := embeddings_name(of)) in opened.measures), None
    )
    if key is None:
        return []
    ids = opened.rows.ids()
    vectors = read_measurements(con, key, ("embedding",), ids)[1]["embedding"]
    own = ids.index(example_id)
    if vectors.ndim != 2 or not vectors.shape[1] or np.isnan(vectors[own]).any():
        return []
    similarity = np.nan_to_num(vectors @ vectors[own], nan=-1.0)
    similarity[own] = -np.inf
    first = np.lexsort((np.arange(len(ids)), -similarity))[:NEAREST]
    lines = opened.rows.find([ids[at] for at in first])
    heads = {each.example_id: each for each in with_heads(con, list(lines.values()))}
    return [NearRow(heads[ids[at]], float(similarity[at])) for at in first if ids[at] in heads]
