r"""Preference pairs: a prompt with a chosen and a rejected answer, as TRL and its data sets have.

    prompt, chosen, rejected     TRL's explicit form: texts, or lists of OpenAI turns
    chosen, rejected             its implicit form: whole conversations, of which the prompt is what
                                 stands before the last turn
    chosen_response, rejected_response     other names for the same; the prompt may be called
                                           `question`, `instruction` or `query`

A text that is a dialogue of Anthropic's, "\n\nHuman: …\n\nAssistant: …", is read as its turns, also
where it is a prompt that the answers end. Other texts without a prompt beside them have none that
could be told from the answers. Where a prompt stands beside whole conversations (UltraFeedback), it
must be their last user turn, and `messages` beside a pair must be its chosen conversation.

The two are answers to one prompt: one assistant turn each, that say different things. Earlier
answers are context, whatever the recipe says of turns.
"""

import re
from typing import Any, NamedTuple

from pipeline.ingest.rows import UnreadableRowError
from pipeline.ingest.shapes.assembly import assemble, refuse_content
from pipeline.ingest.shapes.fields import Row, type_name
from pipeline.ingest.shapes.turns import read_turns
from storage.conversations import Conversation, Message

ANSWERS = (("chosen", "rejected"), ("chosen_response", "rejected_response"))
PROMPTS = ("prompt", "question", "instruction", "query")

SPEAKERS = {"Human": "user", "Assistant": "assistant"}
SPOKEN = re.compile(r"\n\n(Human|Assistant):")


class PreferencePair(NamedTuple):
    """Two answers to one prompt."""

    chosen: Conversation
    rejected: Conversation


def read_preference(row: Row) -> PreferencePair:
    """Read a row with two answers.

    Raises:
        UnreadableRowError: if one of them is no conversation, or they are no pair.
    """
    refuse_content(row)
    keys = only_pair(row)
    prompt, opening = read_prompt(row)
    sides = [read_side_of_pair(row, key, opening) for key in keys]
    contexts = [turns[:-1] for turns in sides]
    if prompt is None:
        if not all(contexts):
            detail = f"{' and '.join(keys)} are answers alone, and there is no prompt"
            raise UnreadableRowError("empty_prompt", detail)
        prompt = contexts[0]
    elif any(contexts):
        prompt = joined_prompt(prompt, contexts[0])
    if any(context and context != contexts[0] for context in contexts):
        detail = f"{' and '.join(keys)} differ before their last turns"
        raise UnreadableRowError("different_prompts", detail)
    chosen, rejected = (assemble(row, [*prompt, turns[-1]]) for turns in sides)
    if row.get("messages") is not None:
        require_chosen(row, chosen)
    if chosen.example_id == rejected.example_id:
        raise UnreadableRowError("same_answers", f"{' and '.join(keys)} say the same")
    return PreferencePair(chosen, rejected)


def only_pair(row: Row) -> tuple[str, str]:
    """The keys of the answers.

    Raises:
        UnreadableRowError: ambiguous_shape where there are two pairs.
    """
    found = [pair for pair in ANSWERS if all(row.get(key) is not None for key in pair)]
    if len(found) > 1:
        pairs = " and ".join(f"({', '.join(pair)})" for pair in found)
        raise UnreadableRowError("ambiguous_shape", f"the row has {pairs}")
    return found[0]


def read_prompt(row: Row) -> tuple[list[Message] | None, str]:
    """The prompt beside the answers; None where there is none, or it is a dialogue that they end.

    Such a dialogue is given as its text, "" where there is none.

    Raises:
        UnreadableRowError: ambiguous_shape where two keys have one; wrong_type, empty_prompt, and
            what read_turns raises.
    """
    keys = [key for key in PROMPTS if row.get(key) is not None]
    if not keys:
        return None, ""
    if len(keys) > 1:
        raise UnreadableRowError("ambiguous_shape", f"the row has {' and '.join(keys)}")
    key = keys[0]
    refuse_content(row, ("input", "context", "history"))
    side = row[key]
    if isinstance(side, str):
        if not (dialogue := read_dialogue(side)):
            return [{"role": "user", "content": side}], ""
        begun = dialogue[-1] == {"role": "assistant", "content": ""}
        return None, side if begun else f"{side}\n\nAssistant:"
    if not isinstance(side, list):
        detail = f"{key} must be a text or a list of turns, it is {type_name(side)}"
        raise UnreadableRowError("wrong_type", detail)
    turns = read_turns(side)
    if turns and turns[-1]["role"] == "assistant":
        detail = f"{key} ends in an assistant turn, which an answer may continue or follow"
        raise UnreadableRowError("odd_role_order", detail)
    return turns, ""


def read_side_of_pair(row: Row, key: str, opening: str) -> list[Message]:
    """An answer, with the turns before it where they stand with it.

    Args:
        row: the row.
        key: where the answer stands.
        opening: a dialogue that it ends; "" where there is none.

    Raises:
        UnreadableRowError: wrong_type; odd_role_order where the last turn is not the assistant's;
            and what read_turns raises.
    """
    side: Any = row[key]
    if isinstance(side, str):
        turns = read_dialogue(side) or read_dialogue(f"{opening}{side}")
        turns = turns or [{"role": "assistant", "content": side}]
    elif isinstance(side, list | dict):
        turns = read_turns(side if isinstance(side, list) else [side])
    else:
        detail = f"{key} must be a text, a turn or a list of turns, it is {type_name(side)}"
        raise UnreadableRowError("wrong_type", detail)
    if not turns:
        raise UnreadableRowError("empty_response", f"{key} has no turns")
    if turns[-1]["role"] != "assistant":
        raise UnreadableRowError("odd_role_order", f"{key} must end in an assistant turn")
    if len(turns) > 1 and turns[-2]["role"] in ("assistant", "tool"):
        detail = f"{key} answers in several turns, of which two answers may share the first"
        raise UnreadableRowError("odd_role_order", detail)
    return turns


def read_dialogue(text: str) -> list[Message]:
    """The turns of a dialogue as Anthropic's data write it; none where a text is not one."""
    marks = list(SPOKEN.finditer(text))
    if not marks or marks[0].start() != 0 or marks[0][1] != "Human":
        return []
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return [
        {"role": SPEAKERS[mark[1]], "content": text[mark.end() : end].strip()}
        for mark, end in zip(marks, ends, strict=True)
    ]


def joined_prompt(prompt: list[Message], context: list[Message]) -> list[Message]:
    """The prompt, where the answers have it before them too.

    Raises:
        UnreadableRowError: conflicting_fields where they have another.
    """
    if prompt != context and prompt != [turn for turn in context[-1:] if turn["role"] == "user"]:
        detail = "the prompt is not what stands before the answers"
        raise UnreadableRowError("conflicting_fields", detail)
    return context


def require_chosen(row: Row, chosen: Conversation) -> None:
    """Check that `messages` beside a pair is its chosen conversation.

    Raises:
        UnreadableRowError: conflicting_fields where it is not.
    """
    messages = row["messages"]
    if not isinstance(messages, list) or read_turns(messages) != list(chosen.messages):
        detail = "messages is not the chosen conversation of the pair beside it"
        raise UnreadableRowError("conflicting_fields", detail)
