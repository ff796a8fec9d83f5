"""One turn in the OpenAI form → one canonical message.

What a turn may hold beside role and content, and what becomes of it:

    tool_calls, function_call                 tool calls, in canonical form
    tool_call_id, name                        kept
    reasoning_content, thinking, reasoning    kept as reasoning_content, assistant turns only
    weight, train, loss, masked, …            kept as weight, assistant turns only, 1 left out;
                                              see pipeline/ingest/shapes/marks.py
    content as parts                          text parts, joined by a line break
    content of a tool's that is no text       JSON as templates write it; null is ""
    images, audio, refusal, train_detail      refused: they cannot be kept and must not be lost

The names of roles are those of pipeline/ingest/shapes/roles.py. Null is absent. Anything else is
left out.
"""

import json
from typing import Any

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.fields import (
    Row,
    read_json,
    read_text,
    require_json_value,
    require_object,
    require_text,
    type_name,
)
from pipeline.ingest.shapes.marks import mark_keys, read_weight, with_weight
from pipeline.ingest.shapes.roles import find_role, known_names
from pipeline.ingest.shapes.tool_calls import read_turn_calls
from storage.conversations import Message

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
REASONING_KEYS = ("reasoning_content", "thinking", "reasoning")
TEXT_PARTS = ("text", "input_text", "output_text")
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
    if role == "call":
        role, turn = "assistant", _with_calls(turn, where)
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
    found = find_role(role)
    if found is None:
        detail = f"{where} is from {str(role)[:40]!r}; there are: {known_names()}"
        raise UnreadableRowError("unknown_role", detail)
    return found


def _with_calls(turn: Row, where: str) -> dict[str, Any]:
    """A turn whose text is calls, as one that has them in their own field."""
    text = turn.get("content")
    if turn.get("tool_calls") or turn.get("function_call"):
        if not text:
            return dict(turn)
        detail = f"{where} is a call by its role, and has calls besides"
        raise UnreadableRowError("conflicting_fields", detail)
    calls = read_json(text, "bad_tool_calls", where) if isinstance(text, str) else text
    if not calls:
        raise UnreadableRowError("bad_tool_calls", f"{where} calls nothing")
    calls = calls if isinstance(calls, list) else [calls]
    return {**turn, "content": None, "tool_calls": calls}


def _read_content(turn: Row, role: str, where: str) -> str:
    content = turn.get("content")
    if type(content) is str:
        return content
    if isinstance(content, list) and (role != "tool" or _are_parts(content)):
        return "\n".join(_read_part(part, where) for part in content)
    if content is None and role in ("assistant", "tool"):
        return ""
    if role == "tool":
        require_json_value(content, "wrong_type", where)
        return json.dumps(content, ensure_ascii=False)  # as transformers writes it in a template
    detail = f"the content of {where} must be a text or parts, it is {type_name(content)}"
    raise UnreadableRowError("wrong_type", detail)


def _are_parts(content: list[Any]) -> bool:
    """Whether a list is the parts of a content, and not the result of a tool."""
    kinds = [part.get("type") if isinstance(part, dict) else None for part in content]
    return bool(kinds) and all(
        isinstance(kind, str) and (kind in part or kind in TEXT_PARTS or "image" in kind)
        for kind, part in zip(kinds, content, strict=True)
    )


def _read_part(part: object, where: str) -> str:
    if not isinstance(part, dict):
        raise UnreadableRowError("wrong_type", f"a part of {where} is {type_name(part)}")
    if part.get("type") not in TEXT_PARTS:
        detail = f"{where} has a part of type {str(part.get('type'))[:40]!r}"
        raise UnreadableRowError("unsupported_content", detail)
    if any(part[key] is not None for key in mark_keys(tuple(part))):
        detail = f"{where} trains single parts of its content"
        raise UnreadableRowError("unsupported_content", detail)
    return require_text(part, "text", f"a part of {where}")
