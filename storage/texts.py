"""Whole texts of examples: of a few by their ids, or of a pool in blocks."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.database import Connection

WholeText = Literal["prompt", "response", "both"]

WHOLE_TEXTS: Mapping[WholeText, str] = {
    "prompt": "prompt",
    "response": "response",
    "both": r"case when response_at is null then '' else prompt || E'\n\n' || response end",
}
"""What is compared of an example; of both texts, one without a response has none."""

TEXT_BLOCKS = """
select n, {columns}
from (
    select unnest($ids::varchar[]) as example_id, generate_subscripts($ids::varchar[], 1) - 1 as n
)
join examples using (example_id)
"""

BLOCK_TEXTS = 1 << 13
"""Rows whose texts are in memory together."""

TEXTS_OF = "select slot, {whole} as text from asked_texts join examples using (example_id)"


def read_texts_of(con: Connection, of: WholeText, ids: Sequence[str]) -> list[str]:
    """The compared text of some examples, in their order, and of no other.

    Raises:
        ValueError: if one of them is not in the workspace.
    """
    slots = pa.array(np.arange(len(ids)), pa.int64())
    con.register("asked_texts", pa.table({"slot": slots, "example_id": pa.array(ids, pa.string())}))
    con.execute(TEXTS_OF.format(whole=WHOLE_TEXTS[of]))
    table = con.to_arrow_table()
    con.unregister("asked_texts")
    if len(table) != len(ids):
        raise ValueError(f"{len(ids)} examples were asked for, {len(table)} found")
    texts = np.empty(len(ids), dtype=object)
    texts[table["slot"].to_numpy()] = table["text"].to_numpy()
    return texts.tolist()


def read_text_blocks(
    con: Connection, texts: Mapping[str, WholeText], ids: Sequence[str]
) -> Iterator[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]:
    """Texts of examples in blocks of a bounded number of rows and in any order.

    Nothing else may be asked of the connection meanwhile.

    Args:
        con: an open workspace.
        texts: name of each column → which text it holds.
        ids: of examples of the workspace.

    Yields:
        Places of some examples among the ids, and their columns; None for a text with a response
        of an example without one.
    """
    columns = [
        WHOLE_TEXTS[of] + f" as {name}"
        if of == "prompt"
        else f"case when response_at is not null then {WHOLE_TEXTS[of]} end as {name}"
        for name, of in texts.items()
    ]
    con.execute(TEXT_BLOCKS.format(columns=", ".join(columns)), {"ids": list(ids)})
    for batch in con.to_arrow_reader(BLOCK_TEXTS):
        found = {name: batch[name].to_numpy(zero_copy_only=False) for name in texts}
        yield batch["n"].to_numpy(), found
