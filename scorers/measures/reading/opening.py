"""The chat template up to where a user's text begins: what a tuned model goes on from by itself.

    before + MARK + after = template([system], user: MARK)

`before` is read as token ids, and the turn ends with the special token that `after` begins with.
So a model that was tuned on such turns writes what a user would say (Magpie, arXiv:2406.08464).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from scorers.measures.protocols import Message, Opening
from scorers.measures.reading.chat_format import MissingTemplateError, RenderingError, render_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARK = "zqxj"
"""Stands for what a user says; no template has it."""


def find_opening(tokenizer: PreTrainedTokenizerBase, before: Sequence[Message]) -> Opening:
    """Cut the chat template where a user's text begins.

    Args:
        tokenizer: with a chat template.
        before: what stands before the user's turn: a system prompt, or nothing.

    Raises:
        MissingTemplateError: if there is no template, or it refuses these turns, or what it writes
            before a user's text depends on that or on what follows, or it ends a user's turn with
            something else than one special token.
    """
    texts = []
    for said, behind in ((MARK, ()), (MARK * 2, ()), (MARK, ({"role": "assistant"},))):
        turns = [*before, {"role": "user", "content": said}]
        turns += [{**turn, "content": "x"} for turn in behind]
        try:
            text = render_text(tokenizer, turns, ())
        except RenderingError as error:
            raise MissingTemplateError(f"{tokenizer.name_or_path}: {error}") from error
        head, mark, tail = text.partition(said)
        if not mark:
            raise MissingTemplateError(_unfit(tokenizer, "does not write what a user says"))
        texts.append((head, tail))
    (head, tail), *others = texts
    if any(each != head for each, _ in others):
        why = "writes other text before a user's turn when the turn or what follows is another"
        raise MissingTemplateError(_unfit(tokenizer, why))
    end = next((each for each in special_texts(tokenizer) if tail.startswith(each)), None)
    if end is None:
        raise MissingTemplateError(
            _unfit(tokenizer, "ends a user's turn with plain text, which a user might write too")
        )
    ids: Any = tokenizer(head, add_special_tokens=False)["input_ids"]
    end_id: Any = tokenizer.convert_tokens_to_ids(end)
    return Opening(ids=list(ids), end=end, end_id=int(end_id))


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
