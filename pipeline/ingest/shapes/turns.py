"""One turn in the OpenAI form → one canonical message.

What a turn may hold beside role and content, and what becomes of it:

    tool_calls, function_call                 tool calls, in canonical form
    tool_call_id, name                        kept
    reasoning_content, thinking, reasoning    kept as reasoning_content, assistant turns only
    weight, train, loss, masked, …            kept as weight, assistant turns only, 1 left out;
                                              see pipeline/ingest/shapes/marks.py
    content as parts                          text parts, joined by a line break
    images, audio, refusal, train_detail      refused: they cannot be kept and must not be lost

The role `function` is `tool` by its old name. Null is absent. Anything else is left out.
"""

from typing import Any

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.fields import Row, read_text, require_object, require_text, type_name
from pipeline.ingest.shapes.marks import mark_keys, read_weight, with_weight
from pipeline.ingest.shapes.tool_calls import read_turn_calls
from storage.conversations import Message

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
MEDIA_KEYS = frozenset({"image", "images", "audio", "audios", "video", "videos"})

_REFUSED_KEYS = MEDIA_KEYS | {"refusal", "train_detail"}


def read_turns(turns: list[Any]) -> list[Message]:
    """Read the turns of a row.

    Raises:
        UnreadableRowError: for the first turn that cannot be read.
    """
    return [_read_turn(turn, index) for index, turn in enumerate(turns, 1)]


def _read_turn(turn: object, index: int) -> Message:
    # Most turns are a role and a text, which is the canonical form already.
    if type(turn) is dict and len(turn) == 2 and type(turn.get("content")) is str:
        role = turn.get("role")
        if type(role) is str and role in ROLES:  # a list is no role, and cannot be looked up
            return turn
    return read_turn(turn, f"message {index}")


def read_turn(turn: object, where: str) -> Message:
    """Read one turn, which errors call `where`.

    Raises:
        UnreadableRowError: missing_key, unknown_role, wrong_type, unsupported_content,
            unread_content, unclear_mark, conflicting_fields, bad_tool_calls or bad_tool_arguments.
    """
    turn = require_object(turn, where)
    role = _read_role(turn, where)
    for key in sorted(_REFUSED_KEYS.intersection(turn)):
        if turn[key]:
            raise UnreadableRowError("unsupported_content", f"{where} holds {key}")
    message: dict[str, Any] = {"role": role, "content": _read_content(turn, role, where)}
    for key in ("tool_call_id", "name"):
        if text := read_text(turn, key, where):
            message[key] = text
    own = _read_own_fields(turn, where)
    if own and role != "assistant":
        detail = f"{where} holds {', '.join(own)}, and its role is {role}"
        raise UnreadableRowError("unread_content", detail)
    return with_weight({**message, **own}, read_weight(turn, role, where))


def _read_own_fields(turn: Row, where: str) -> dict[str, Any]:
    """What only an assistant turn may hold."""
    calls = read_turn_calls(turn, where)
    reasoning = read_reasoning(turn, REASONING_KEYS, where)
    fields = {"tool_calls": calls, "reasoning_content": reasoning}
    return {key: value for key, value in fields.items() if value}


def read_reasoning(fields: Row, keys: tuple[str, ...], where: str) -> str | None:
    """The reasoning of a turn or row, whichever key holds it.

    Raises:
        UnreadableRowError: wrong_type, or conflicting_fields where two keys hold different texts.
    """
    texts = {text: key for key in keys if (text := read_text(fields, key, where))}
    if len(texts) > 1:
        detail = f"{where} holds two different texts in {' and '.join(texts.values())}"
        raise UnreadableRowError("conflicting_fields", detail)
    return next(iter(texts), None)


def _read_role(turn: Row, where: str) -> str:
    role = turn.get("role")
    if role is None:
        keys = ", ".join(sorted(key[:40] for key in turn)[:20])
        raise UnreadableRowError("missing_key", f"{where} has no role; its keys: {keys}")
    if role == "function":
        return "tool"
    if not isinstance(role, str) or role not in ROLES:
        detail = f"the role of {where} is {str(role)[:40]!r}; there are: {', '.join(sorted(ROLES))}"
        raise UnreadableRowError("unknown_role", detail)
    return role


def _read_content(turn: Row, role: str, where: str) -> str:
    content = turn.get("content")
    if type(content) is str:
        return content
    if isinstance(content, list):
        return "\n".join(_read_part(part, where) for part in content)
    if content is None and role == "assistant":
        return ""
    detail = f"the content of {where} must be a text or parts, it is {type_name(content)}"
    raise UnreadableRowError("wrong_type", detail)


def _read_part(part: object, where: str) -> str:
    if not isinstance(part, dict):
        raise UnreadableRowError("wrong_type", f"a part of {where} is {type_name(part)}")
    if part.get("type") != "text":
        detail = f"{where} has a part of type {str(part.get('type'))[:40]!r}"
        raise UnreadableRowError("unsupported_content", detail)
    if any(part[key] is not None for key in mark_keys(tuple(part))):
        detail = f"{where} trains single parts of its content"
        raise UnreadableRowError("unsupported_content", detail)
    return require_text(part, "text", f"a part of {where}")
