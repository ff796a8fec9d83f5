"""Where the content of a response ends, and what a template writes behind it begins.

A template ends every response with the same tokens: `<|im_end|>` and a line break, `</s>`, or a
mark of its own in plain text. A model's state there says first of all that a turn has ended, and
so is nearly the same for all rows. What is the template's is found by rendering two answers that
have nothing in common: it is the end that they share. Blanks and special tokens in front of it are
no content either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scorers.measures.reading.chat_format import RenderingError, Template, render
from scorers.measures.reading.prefix_tree import shared_length

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNLIKE = ("0", "1")  # two answers that no tokenizer gives a token in common


def template_end(tokenizer: PreTrainedTokenizerBase, template: Template) -> list[int]:
    """Token ids that a template writes behind every response; none where it refuses two turns."""
    prompt = {"role": "user", "content": UNLIKE[0]}
    try:
        one, other = (
            render(tokenizer, [prompt, {"role": "assistant", "content": text}], (), 1, template)
            for text in UNLIKE
        )
    except RenderingError:  # it may want a system prompt: then special tokens alone are told apart
        return []
    shared = shared_length(one.response[::-1], other.response[::-1])
    return one.response[len(one.response) - shared :]


def last_content_token(
    tokenizer: PreTrainedTokenizerBase, end: Sequence[int], response: Sequence[int]
) -> int:
    """Index of the last token of a response that is neither the template's nor blank.

    Args:
        tokenizer: that made the ids.
        end: what the template writes behind a response.
        response: at least one id, with what the template writes.

    Returns:
        The last token of all where nothing but the template's is there.
    """
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    if tokenizer.unk_token_id != tokenizer.eos_token_id:
        special.discard(tokenizer.unk_token_id)  # a word of somebody's, if not a known one
    at = len(response) - shared_length(response[::-1], end[::-1])
    while at > 0 and (
        response[at - 1] in special or not str(tokenizer.decode(response[at - 1])).strip()
    ):
        at -= 1
    return (at or len(response)) - 1
