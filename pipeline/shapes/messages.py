"""OpenAI chat and TRL conversational rows: {"messages": [{"role", "content", …}], "tools"?: […]}.

Beside the messages: `tools` or `functions`, and `system` or `system_prompt` where no turn has one.
The turns are described in pipeline/shapes/turns.py.
"""

from pipeline.shapes.assembly import assemble, refuse_content
from pipeline.shapes.fields import Row, read_list
from pipeline.shapes.turns import read_turns
from storage.conversations import Conversation


def read_messages(row: Row) -> Conversation:
    """Read a row with `messages`.

    Raises:
        UnreadableRowError: if the row is no conversation; the reason says why.
    """
    refuse_content(row)
    return assemble(row, read_turns(read_list(row, "messages", "wrong_type")))
