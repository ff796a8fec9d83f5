r"""Alpaca rows: {"instruction", "input"?, "output", "system"?, "history"?: [[text, text], …]}.

The prompt is `instruction + "\n" + input`, or whichever of the two is there. The turns of the
history, each a question and its answer, stand before it.
"""

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.assembly import assemble, refuse_content, with_row_reasoning
from pipeline.ingest.shapes.fields import Row, read_list, read_text, require_text
from storage.conversations import Conversation, Message


def read_alpaca(row: Row) -> Conversation:
    """Read a row with `instruction` and `output`.

    Raises:
        UnreadableRowError: if the row is no conversation; the reason says why.
    """
    refuse_content(row, ("context",))
    parts = [require_text(row, "instruction", "the row"), read_text(row, "input", "the row")]
    response = {"role": "assistant", "content": require_text(row, "output", "the row")}
    messages = [
        *_read_history(row),
        {"role": "user", "content": "\n".join(part for part in parts if part)},
        with_row_reasoning(row, response),
    ]
    return assemble(row, messages)


def _read_history(row: Row) -> list[Message]:
    messages: list[Message] = []
    for pair in read_list(row, "history", "wrong_type"):
        if not isinstance(pair, list) or [type(text) for text in pair] != [str, str]:
            detail = "history must be a list of pairs of texts, question and answer"
            raise UnreadableRowError("wrong_type", detail)
        roles = ("user", "assistant")
        messages += [{"role": r, "content": text} for r, text in zip(roles, pair, strict=True)]
    return messages
