"""Whole texts of examples: of a few by their ids, or of a pool in blocks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from storage.asked import asking_about, read_aligned
from storage.conversations import TextField, join_texts, request_at
from storage.database import Connection
from storage.duckdb_instance import in_little_memory
from storage.long_rows import (
    cut_blocks,
    in_bounded_memory,
    read_example_tables,
    relation_with,
)

WHOLE_TEXTS: Mapping[TextField, str] = {
    "prompt": "prompt",
    "response": "response",
    "both": r"case when response_at is null then '' else prompt || E'\n\n' || response end",
}
"""What is compared of an example; of both texts, one without a response has none."""

READ = "select {columns} from asked join {table} using (example_id)"

WITH_RESPONSE = "case when response_at is not null then {text} end"

READ_PARTS = """
select
    prompt, case when response_at is not null then response end as response,
    coalesce(trained_at[1], response_at) as first_at,  -- of the first trained turn
    case when first_at is null or first_at > 1 then messages end as messages
from asked join {table} using (example_id)
"""

BLOCK_TEXTS = 1 << 13
"""Rows whose texts are in memory together."""


def read_texts_of(con: Connection, of: TextField, ids: Sequence[str]) -> list[str]:
    """The compared text of some examples, in their order, and of no other.

    Raises:
        ValueError: if one of them is not in the workspace.
    """
    query = READ.format(columns=f"{WHOLE_TEXTS[of]} as text", table="{table}")
    return [row["text"] for row in _read_rows(con, query, ids)]


@dataclass(frozen=True, slots=True)
class TextParts:
    """The texts of an example, and where its last request begins."""

    prompt: str
    request_at: int  # in characters of the prompt; before it stand system text and earlier turns
    response: str | None


def read_text_parts(con: Connection, ids: Sequence[str]) -> list[TextParts]:
    """Prompt and response of some examples, in their order, and where the last request begins.

    Raises:
        ValueError: if one of them is not in the workspace.
    """
    return [
        TextParts(row["prompt"], _request_at(row), row["response"])
        for row in _read_rows(con, READ_PARTS, ids)
    ]


def _read_rows(con: Connection, query: str, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A row for each id, in their order, those of a block in memory together."""
    for block in cut_blocks(con, ids):
        with in_bounded_memory(con, block):
            table = f"({relation_with(con, block)})"
            yield from read_aligned(con, query.format(table=table), block).to_pylist()


def _request_at(row: Mapping[str, Any]) -> int:
    """Characters of a prompt before its last request."""
    if row["messages"] is None:  # one turn and no system text, as in most rows
        return 0
    prompt = orjson.loads(row["messages"])[: row["first_at"]]
    start = request_at(prompt)
    return len(row["prompt"]) - len(join_texts(prompt[start:]))


def read_text_blocks(
    con: Connection, texts: Mapping[str, TextField], ids: Sequence[str]
) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
    """Texts of examples in blocks of a bounded number of rows and in any order, long ones apart.

    Nothing else may be asked of the connection meanwhile.

    Args:
        con: an open workspace.
        texts: name of each column → which text it holds.
        ids: of examples of the workspace.

    Yields:
        Places of some examples among the ids, and their columns; None for a text with a response
        of an example without one.
    """
    form = {
        of: text if of == "prompt" else WITH_RESPONSE.format(text=text)
        for of, text in WHOLE_TEXTS.items()
    }
    columns = ["n", *(f"{form[of]} as {name}" for name, of in texts.items())]
    tables = read_example_tables(con)
    with asking_about(con, ids), in_little_memory(con):
        for table in tables:
            con.execute(READ.format(columns=", ".join(columns), table=table))
            for batch in con.to_arrow_reader(BLOCK_TEXTS):
                found = {name: batch[name].to_numpy(zero_copy_only=False) for name in texts}
                yield batch["n"].to_numpy(), found
