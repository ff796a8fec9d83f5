"""Reading one field of a row: absent, of the right type, or refused by name."""

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from pipeline.ingest.rows import ShapeReason, UnreadableRowError
from pipeline.ingest.strict_json import InvalidJsonError, parse_json

Row: TypeAlias = Mapping[str, Any]


def type_name(value: object) -> str:
    """The type of a value for a message to a person."""
    return "null" if value is None else type(value).__name__


def read_text(fields: Row, key: str, where: str) -> str | None:
    """A text field; None where it is absent, null or empty. `where` is what `fields` is called.

    Raises:
        UnreadableRowError: wrong_type.
    """
    return None if fields.get(key) is None else require_text(fields, key, where) or None


def require_text(fields: Row, key: str, where: str) -> str:
    """A text field that must be there; it may be empty.

    Raises:
        UnreadableRowError: wrong_type.
    """
    value = fields.get(key)
    if not isinstance(value, str):
        detail = f"{key} of {where} must be a text, it is {type_name(value)}"
        raise UnreadableRowError("wrong_type", detail)
    return value


def require_object(value: object, where: str) -> dict[str, Any]:
    """A turn, which must be an object.

    Raises:
        UnreadableRowError: wrong_type.
    """
    if not isinstance(value, dict):
        detail = f"{where} must be an object, it is {type_name(value)}"
        raise UnreadableRowError("wrong_type", detail)
    return value


def read_list(fields: Row, key: str, reason: ShapeReason) -> list[Any]:
    """A list field, which Parquet and CSV often hold as JSON; [] where it is absent or empty.

    Raises:
        UnreadableRowError: `reason`.
    """
    value = fields.get(key)
    if isinstance(value, str) and value:
        value = read_json(value, reason, key)
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise UnreadableRowError(reason, f"{key} must be a list, it is {type_name(value)}")
    return value


def read_json(text: str, reason: ShapeReason, where: str) -> Any:  # noqa: ANN401 (JSON)
    """JSON within a text field.

    Raises:
        UnreadableRowError: `reason`.
    """
    try:
        return parse_json(text.encode())
    except InvalidJsonError as error:
        raise UnreadableRowError(reason, f"{where} is not JSON: {error}") from error


def require_json_value(value: object, reason: ShapeReason, where: str) -> None:
    """Check that a value can be written as JSON and read back the same.

    Rows of a JSON file always can; Parquet can hold NaN, times and bytes.

    Raises:
        UnreadableRowError: `reason`.
    """
    pending = [value]
    for item in pending:
        if isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, float):
            if not math.isfinite(item):
                raise UnreadableRowError(reason, f"{where} holds {item}, which is not JSON")
        elif item is not None and not isinstance(item, str | int):
            raise UnreadableRowError(reason, f"{where} holds a {type_name(item)}")
