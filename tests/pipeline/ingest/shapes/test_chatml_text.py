from typing import Any

import pytest

from pipeline.ingest.shapes import UnreadableRowError, read_conversation
from storage.conversations import Message


def turn(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def written(*turns: Message) -> str:
    return "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns)


TURNS = (turn("system", "Be\n\nbrief."), turn("user", "1 + 2?\n"), turn("assistant", "3"))


@pytest.mark.parametrize(
    "text", [written(*TURNS), written(*TURNS).replace("<|im_end|>\n", "<|im_end|>")]
)
def test_reads_every_turn(text: str) -> None:
    conversation, shape = read_conversation({"text": text, "id": 1})
    assert shape == "chatml_text"
    assert conversation.messages == TURNS


def test_a_prompt_only() -> None:
    assert read_conversation({"text": written(turn("user", "a"))})[0].response_at is None


@pytest.mark.parametrize(
    "text",
    [
        written(*TURNS) + "<|im_start|>assistant\n",
        written(*TURNS)[:-12],
        "<s>" + written(*TURNS),
        written(*TURNS) + "</s>",
        written(*TURNS).replace("<|im_start|>user\n", "<|im_start|>user "),
        written(*TURNS).replace("<|im_end|>\n<|im_start|>assistant", "\n<|im_start|>assistant"),
        "3<|im_end|>",
    ],
)
def test_refuses_what_is_not_turns_throughout(text: str) -> None:
    with pytest.raises(UnreadableRowError, match=r"^bad_chatml: "):
        read_conversation({"text": text})


@pytest.mark.parametrize("text", ["The tide comes twice a day.", "", "[INST] a [/INST] b"])
def test_a_document_is_no_conversation(text: str) -> None:
    with pytest.raises(UnreadableRowError, match=r"^plain_text: .*document"):
        read_conversation({"text": text})


def test_refuses_by_name() -> None:
    rows: dict[str, dict[str, Any]] = {
        "wrong_type": {"text": 4},
        "unknown_role": {"text": written(turn("narrator", "a"))},
        "empty_response": {"text": written(turn("user", "a"), turn("assistant", ""))},
        "unread_content": {"text": written(*TURNS), "thinking": "a"},
    }
    for reason, row in rows.items():
        with pytest.raises(UnreadableRowError, match=f"^{reason}: "):
            read_conversation(row)
