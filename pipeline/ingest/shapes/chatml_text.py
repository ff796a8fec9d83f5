r"""Rows with a conversation written out as ChatML: {"text": "<|im_start|>user\n…<|im_end|>\n…"}.

The whole text must be turns, each closed, with at most a line break between them. Text without any
marker is a document: there are generators for those.
"""

import re

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.assembly import assemble, refuse_content
from pipeline.ingest.shapes.fields import Row, require_text
from pipeline.ingest.shapes.turns import read_turns
from storage.conversations import Conversation

START, END = "<|im_start|>", "<|im_end|>"

_TURN = re.compile(r"<\|im_start\|>(\w+)\n(.*?)<\|im_end\|>\n?", re.DOTALL)


def read_chatml_text(row: Row) -> Conversation:
    """Read a row with `text`.

    Raises:
        UnreadableRowError: plain_text, bad_chatml, or that the turns are no conversation.
    """
    refuse_content(row)
    text = require_text(row, "text", "the row")
    if START not in text and END not in text:
        detail = "text without ChatML markers is a document, not a conversation"
        raise UnreadableRowError("plain_text", detail)
    turns, position = [], 0
    while position < len(text):
        turn = _TURN.match(text, position)
        if turn is None or START in turn[2]:  # a turn that was not closed would take in the next
            detail = f"no closed ChatML turn begins at character {position}"
            raise UnreadableRowError("bad_chatml", detail)
        turns.append({"role": turn[1], "content": turn[2]})
        position = turn.end()
    return assemble(row, read_turns(turns))
