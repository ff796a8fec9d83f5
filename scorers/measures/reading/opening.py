"""The chat template up to where a text begins: what a tuned model goes on from by itself.

    before + MARK + after = template(turns, role: MARK)

`before` is read as token ids, and the turn ends with the special token that `after` begins with.
So a model that was tuned on such turns writes what a user would say (Magpie, arXiv:2406.08464), or
goes on with an answer that is begun.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from scorers.measures.protocols import Message, Opening
from scorers.measures.reading.chat_format import MissingTemplateError, RenderingError, render_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARK = "zqxj"
"""Stands for what is said; no template has it."""


def find_opening(
    tokenizer: PreTrainedTokenizerBase,
    before: Sequence[Message],
    role: Literal["user", "assistant"] = "user",
    tools: Sequence[Mapping[str, Any]] = (),
) -> Opening:
    """Cut the chat template where a text begins.

    Args:
        tokenizer: with a chat template.
        before: the turns before: for a user's a system prompt, or nothing; for an assistant's the
            prompt.
        role: whose text.
        tools: JSON schemas of the tools of the conversation.

    Raises:
        MissingTemplateError: if there is no template, or it refuses these turns, or what it writes
            before the text depends on that or, for a user's, on what follows, or it ends the turn
            with something else than one special token.
    """
    texts = []
    follows = [{"role": "assistant", "content": "x"}] * (role == "user")
    for said, behind in ((MARK, []), (MARK * 2, []), (MARK, follows)):
        turns = [*before, {"role": role, "content": said}, *behind]
        try:
            text = render_text(tokenizer, turns, tools)
        except RenderingError as error:
            raise MissingTemplateError(f"{tokenizer.name_or_path}: {error}") from error
        head, mark, tail = text.partition(said)
        if not mark:
            raise MissingTemplateError(_unfit(tokenizer, f"does not write what a {role} says"))
        texts.append((head, tail))
    (head, tail), *others = texts
    if any(each != head for each, _ in others):
        why = f"writes other text before a turn of a {role} when it or what follows is another"
        raise MissingTemplateError(_unfit(tokenizer, why))
    end = next((each for each in special_texts(tokenizer) if tail.startswith(each)), None)
    if end is None:
        why = f"ends a turn of a {role} with plain text, which might be a part of it too"
        raise MissingTemplateError(_unfit(tokenizer, why))
    ids: Any = tokenizer(head, add_special_tokens=False)["input_ids"]
    end_id: Any = tokenizer.convert_tokens_to_ids(end)
    return Opening(ids=list(ids), end=end, end_id=int(end_id))


def begun_with(tokenizer: PreTrainedTokenizerBase, opening: Opening, text: str) -> Opening:
    """The same opening, with the beginning of the text behind it."""
    ids: Any = tokenizer(text, add_special_tokens=False)["input_ids"]
    return replace(opening, ids=[*opening.ids, *ids])


def special_texts(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The special tokens as they are written, the longest first."""
    added: Any = tokenizer.added_tokens_decoder  # those without a name of their own among them
    marked = {str(token.content) for token in added.values() if token.special}
    named = {str(token) for token in tokenizer.all_special_tokens}
    return sorted(marked | named, key=lambda text: (-len(text), text))


def _unfit(tokenizer: PreTrainedTokenizerBase, why: str) -> str:
    return (
        f"the chat template of {tokenizer.name_or_path} {why}: no model can be let go on from it; "
        "name another as the recipe's `chat_template`, or another model"
    )
