"""ShareGPT rows: {"conversations": [{"from", "value"}], "system"?: text, "tools"?: JSON string}.

Who speaks (a closed list):

    human, user                            user
    gpt, assistant, chatgpt, bing, bard    assistant
    system                                 system
    function_call                          assistant; the value is JSON, {"name", "arguments"} or a
                                           list of them
    observation, tool                      tool

Beside from and value, a turn may have what an OpenAI turn has: weight, reasoning_content, … Some
datasets put OpenAI turns under `conversations`; those, known by their `role`, are read as such.
"""

from typing import Any

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.assembly import assemble, refuse_content
from pipeline.ingest.shapes.fields import Row, read_json, read_list, require_object
from pipeline.ingest.shapes.turns import read_turn, read_turns
from storage.conversations import Conversation, Message

SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "system": "system",
    "function_call": "assistant",
    "observation": "tool",
    "tool": "tool",
}


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
    if speaker is None or value is None:
        keys = ", ".join(sorted(key[:40] for key in turn)[:20])
        raise UnreadableRowError("missing_key", f"{where} lacks from or value; its keys: {keys}")
    if not isinstance(speaker, str) or speaker not in SPEAKERS:
        detail = f"{where} is from {str(speaker)[:40]!r}; there are: {', '.join(SPEAKERS)}"
        raise UnreadableRowError("unknown_role", detail)
    if len(turn) == 2 and type(value) is str and speaker != "function_call":
        return {"role": SPEAKERS[speaker], "content": value}
    return read_turn(_as_openai(turn, speaker, where), where)


def _as_openai(turn: Row, speaker: str, where: str) -> dict[str, Any]:
    taken = {"role", "content", "tool_calls", "function_call"}.intersection(turn)
    if taken:
        detail = f"{where} has from and value, and {' and '.join(sorted(taken))}"
        raise UnreadableRowError("conflicting_fields", detail)
    value = turn["value"]
    beside = {key: item for key, item in turn.items() if key not in ("from", "value")}
    if speaker != "function_call":
        return {**beside, "role": SPEAKERS[speaker], "content": value}
    calls = read_json(value, "bad_tool_calls", where) if isinstance(value, str) else value
    if not calls:
        raise UnreadableRowError("bad_tool_calls", f"{where} calls nothing")
    calls = calls if isinstance(calls, list) else [calls]
    return {**beside, "role": "assistant", "tool_calls": calls}
