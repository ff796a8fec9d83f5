"""Every odd line is there, and is odd in the way that its name says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from recipes.build_demo_data import build
from recipes.demo_data.odd_lines import BROKEN, BYTE_ORDER_MARK, ODD_ROWS, UNUSUAL

TOOLS = {"null content with tool_calls", "missing content with tool_calls"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("demo")
    build(directory)
    return directory


@pytest.fixture(scope="module")
def listed(directory: Path) -> list[dict[str, Any]]:
    noise = json.loads((directory / "noise.json").read_bytes())
    lines: list[dict[str, Any]] = noise["odd_lines.jsonl"]["lines"]
    return lines


@pytest.fixture(scope="module")
def by_kind(directory: Path, listed: list[dict[str, Any]]) -> dict[str, bytes]:
    lines = (directory / "odd_lines.jsonl").read_bytes().split(b"\n")
    return {entry["kind"]: lines[entry["line"] - 1] for entry in listed}


def test_every_kind_is_there_once(listed: list[dict[str, Any]]) -> None:
    assert len(listed) == ODD_ROWS
    assert {entry["kind"] for entry in listed if entry["survives"]} == {*UNUSUAL} | TOOLS
    assert {entry["kind"] for entry in listed if not entry["survives"]} == {*BROKEN}
    assert sum(entry["kind"].startswith("prompt only") for entry in listed) == 6


def test_file_starts_with_a_byte_order_mark_and_has_blank_lines(directory: Path) -> None:
    raw = (directory / "odd_lines.jsonl").read_bytes()
    assert raw.startswith(BYTE_ORDER_MARK + b'{"messages"')
    assert raw.count(b"\n\n") == 2 and raw.endswith(b"\n")


@pytest.mark.parametrize(
    "kind", ["truncated line", "NUL byte", "two objects on a line", "not JSON"]
)
def test_is_no_json(by_kind: dict[str, bytes], kind: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(by_kind[kind])


@pytest.mark.parametrize("kind", ["invalid UTF-8", "truncated inside a character"])
def test_is_no_text(by_kind: dict[str, bytes], kind: str) -> None:
    with pytest.raises(UnicodeDecodeError):
        by_kind[kind].decode()


def test_python_reads_what_other_readers_refuse(by_kind: dict[str, bytes]) -> None:
    assert by_kind["NUL byte"].count(b"\x00") == 3
    assert str(json.loads(by_kind["NaN value"])["score"]) == "nan"
    twice = by_kind["duplicate keys"]
    assert twice.count(b'"messages":') == 2 and len(json.loads(twice)["messages"]) == 2
    with pytest.raises(UnicodeEncodeError, match="surrogates"):
        json.loads(by_kind["lone surrogate"])["messages"][1]["content"].encode()
    assert json.loads(by_kind["null"]) is None
    assert isinstance(json.loads(by_kind["array line"]), list)


def test_roles_are_out_of_order(by_kind: dict[str, bytes]) -> None:
    def roles(kind: str) -> list[str]:
        return [message["role"] for message in json.loads(by_kind[kind])["messages"]]

    assert roles("tool without call") == ["user", "tool", "assistant"]
    assert roles("answer alone") == ["assistant"]
    assert roles("ends with user") == ["user", "assistant", "user"]
    assert roles("developer role") == ["developer", "user", "assistant"]
    assert roles("unknown role") == ["user", "narrator"]
    assert roles("prompt only 1") == ["user"]


def test_tool_calls_have_no_content(by_kind: dict[str, bytes]) -> None:
    null, missing = (
        json.loads(by_kind[f"{kind} content with tool_calls"])["messages"][1]
        for kind in ("null", "missing")
    )
    assert null["content"] is None and "content" not in missing
    function = null["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == ("isleap", {"year": 1900})


def test_line_break_is_that_of_windows(by_kind: dict[str, bytes]) -> None:
    assert by_kind["CRLF line break"].endswith(b"}\r")


@pytest.mark.parametrize("kind", sorted(UNUSUAL))
def test_unusual_lines_hold_a_real_question(by_kind: dict[str, bytes], kind: str) -> None:
    text = json.dumps(json.loads(by_kind[kind].removeprefix(BYTE_ORDER_MARK)))
    assert re.search(r"(does|Describe|Explain|What is) .*`[\w.]+`", text)
