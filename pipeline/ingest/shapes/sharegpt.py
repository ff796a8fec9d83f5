"""ShareGPT rows: {"conversations": [{"from", "value"}], "system"?: text, "tools"?: JSON string}.

Who speaks stands in pipeline/ingest/shapes/roles.py. Beside from and value, a turn may have what an
OpenAI turn has: weight, reasoning_content, … Some
datasets put OpenAI turns under `conversations`; those, known by their `role`, are read as such.
"""

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.assembly import assemble, refuse_content
from pipeline.ingest.shapes.fields import Row, read_list, require_object
from pipeline.ingest.shapes.roles import find_role
from pipeline.ingest.shapes.turns import read_turn, read_turns
from storage.conversations import Conversation, Message


def read_sharegpt(row: Row) -> Conversation:
    """Read a row with `conversations`.

    Raises:
        UnreadableRowError: if the row is no conversation; the reason says why.
    """
    refuse_content(row)
    turns = read_list(row, "conversations", "wrong_type")
    if turns and all(isinstance(turn, dict) and "role" in turn for turn in turns):
        return assemble(row, read_turns(turns))
    return assemble(row, [_read_turn(turn, index) for index, turn in enumerate(turns, 1)])


def _read_turn(turn: object, index: int) -> Message:
    where = f"turn {index}"
    turn = require_object(turn, where)
    speaker, value = turn.get("from"), turn.get("value")
    role = find_role(speaker)
    if speaker is None or (value is None and role != "tool"):
        keys = ", ".join(sorted(key[:40] for key in turn)[:20])
        raise UnreadableRowError("missing_key", f"{where} lacks from or value; its keys: {keys}")
    if len(turn) == 2 and type(value) is str and role is not None and role != "call":
        return {"role": role, "content": value}
    taken = {"role", "content", "tool_calls", "function_call"}.intersection(turn)
    if taken:
        detail = f"{where} has from and value, and {' and '.join(sorted(taken))}"
        raise UnreadableRowError("conflicting_fields", detail)
    beside = {key: item for key, item in turn.items() if key not in ("from", "value")}
    return read_turn({**beside, "role": speaker, "content": value}, where)
