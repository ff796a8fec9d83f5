"""Rows with `prompt` and no answer, a text or a list of OpenAI turns: prompts to generate for.

Answers among the turns are context, not responses, and get the weight 0.
"""

from pipeline.ingest.shapes.assembly import assemble
from pipeline.ingest.shapes.fields import Row
from pipeline.ingest.shapes.prompt_completion import read_side
from storage.conversations import Conversation


def read_prompt_only(row: Row) -> Conversation:
    """Read a row with `prompt`.

    Raises:
        UnreadableRowError: if the row is no conversation; the reason says why.
    """
    turns = read_side(row, "prompt", "user")
    untrained = [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in turns]
    return assemble(row, untrained)
