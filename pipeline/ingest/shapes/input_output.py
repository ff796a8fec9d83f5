"""Rows with `input` and `output`, each a text or a list of OpenAI turns.

With `instruction` beside them they are Alpaca rows, and refused here.
"""

from pipeline.ingest.shapes.assembly import refuse_content
from pipeline.ingest.shapes.fields import Row
from pipeline.ingest.shapes.prompt_completion import join_sides, read_side
from storage.conversations import Conversation


def read_input_output(row: Row) -> Conversation:
    """Read a row with `input` and `output`.

    Raises:
        UnreadableRowError: if the row is no conversation; the reason says why.
    """
    refuse_content(row, ("instruction", "context", "history"))
    return join_sides(row, read_side(row, "input", "user"), read_side(row, "output", "assistant"))
