from typing import Any

import pytest

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.fields import read_list, read_text, require_json_value, require_text


def test_an_empty_text_is_absent_unless_required() -> None:
    rows: list[dict[str, Any]] = [{}, {"a": None}, {"a": ""}]
    for row in rows:
        assert read_text(row, "a", "the row") is None
    assert require_text({"a": ""}, "a", "the row") == ""
    assert read_text({"a": " "}, "a", "the row") == " "


@pytest.mark.parametrize("value", [4, ["a"], b"a", False])
def test_other_types_are_refused(value: object) -> None:
    for read in (read_text, require_text):
        with pytest.raises(UnreadableRowError, match=f"^wrong_type: a of .*{type(value).__name__}"):
            read({"a": value}, "a", "the row")


def test_a_list_may_be_json() -> None:
    empty: list[Any] = [None, "", "null", "[]", []]
    for nothing in empty:
        assert read_list({"a": nothing}, "a", "wrong_type") == []
    assert read_list({"a": "[1]"}, "a", "wrong_type") == [1]
    wrong: list[Any] = ["{}", "[1", "4", {}, 0]
    for value in wrong:
        with pytest.raises(UnreadableRowError, match=r"^bad_tools: a "):
            read_list({"a": value}, "a", "bad_tools")


def test_what_is_no_json_is_refused() -> None:
    require_json_value({"a": [1, 2.5, None, True, "b", {}]}, "bad_tools", "a tool")
    for value in (float("nan"), [float("-inf")], {"a": b""}, {"a": ("b",)}):
        with pytest.raises(UnreadableRowError, match=r"^bad_tools: a tool holds "):
            require_json_value(value, "bad_tools", "a tool")
