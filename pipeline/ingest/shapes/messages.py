"""OpenAI chat and TRL conversational rows: {"messages": [{"role", "content", …}], "tools"?: […]}.

Beside the messages: `tools` or `functions`, and `system` or `system_prompt` where no turn has one.
The turns are described in pipeline/ingest/shapes/turns.py.
"""

from pipeline.ingest.shapes.assembly import assemble, refuse_content
from pipeline.ingest.shapes.fields import Row, read_list
from pipeline.ingest.shapes.turns import read_turns
from storage.conversations import Conversation


def read_messages(row: Row) -> Conversation:
    """Read a row with `messages`.

    Raises:
        UnreadableRowError: if the row is no conversation; the reason says why.
    """
    refuse_content(row)
    return assemble(row, read_turns(read_list(row, "messages", "wrong_type")))
