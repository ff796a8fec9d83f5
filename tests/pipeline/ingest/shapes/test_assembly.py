from typing import Any

import pytest

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.assembly import assemble
from storage.conversations import Message

TURNS: list[Message] = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
SYSTEM: Message = {"role": "system", "content": "c"}
DEVELOPER: Message = {"role": "developer", "content": "c"}


def test_the_system_prompt_is_added_once() -> None:
    for row in ({"system": "c"}, {"system_prompt": "c"}, {"system": "c", "system_prompt": "c"}):
        assert assemble(row, TURNS).messages == (SYSTEM, *TURNS)
        for first in (SYSTEM, DEVELOPER):
            assert assemble(row, [first, *TURNS]).messages == (first, *TURNS)


@pytest.mark.parametrize("system", [None, "", "  "])
def test_an_empty_system_prompt_is_none(system: str | None) -> None:
    assert assemble({"system": system}, TURNS).messages == tuple(TURNS)


@pytest.mark.parametrize("row", [{"system": "d"}, {"system": "c", "system_prompt": "d"}])
def test_refuses_two_system_prompts(row: dict) -> None:
    with pytest.raises(UnreadableRowError, match=r"^conflicting_fields: "):
        assemble(row, [SYSTEM, *TURNS])


def test_refuses_a_system_prompt_that_is_no_text() -> None:
    with pytest.raises(UnreadableRowError, match=r"^wrong_type: "):
        assemble({"system": ["c"]}, TURNS)


@pytest.mark.parametrize("key", ["image", "images", "audio", "audios", "video", "videos"])
def test_refuses_media(key: str) -> None:
    with pytest.raises(UnreadableRowError, match=f"^unsupported_content: .*{key}"):
        assemble({key: ["a"]}, TURNS)
    empty: list[Any] = [None, [], ""]
    for nothing in empty:
        assert assemble({key: nothing}, TURNS).messages == tuple(TURNS)
