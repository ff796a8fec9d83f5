"""Ids of a text's beginnings: those that tokenising each by itself gives, for any template."""

import random
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from scorers.measures.protocols import Message
from scorers.measures.reading import chat_format
from scorers.measures.reading.chat_format import (
    RenderedExample,
    RenderingError,
    Template,
    render,
    write_turns,
)
from scorers.measures.reading.dialogue import Dialogue, render_dialogues
from scorers.measures.reading.prefix_tree import shared_length
from scorers.measures.reading.text_tokens import TextTokens
from tests.template_families import FAMILIES

PIECES = [
    "",
    " ",
    "  ",
    "\n",
    "\n\n",
    " \n",
    "\t",
    "é",
    "e\u0301",
    "🙂",
    "word",
    "Hi",
    "12",
    "<think>",
]
"""What a tokenizer may put together across the place where a turn begins or ends."""


def talks(count: int) -> list[list[Message]]:
    """Dialogues of up to three rounds whose turns begin and end with all sorts of blanks."""
    draw = random.Random(0)
    return [
        [
            {
                "role": ("user", "assistant")[turn % 2],
                "content": "".join(draw.choices(PIECES, k=draw.randint(1, 5))),
            }
            for turn in range(2 * draw.randint(1, 3))
        ]
        for _ in range(count)
    ]


def dialogue(messages: list[Message]) -> Dialogue:
    return Dialogue(messages, (), range(1, len(messages), 2))


def cut_apart(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], at: int, template: Template
) -> RenderedExample:
    """A turn cut out of three texts, each of which is tokenised."""
    (turn,) = write_turns(tokenizer, [(messages, at)], (), template)
    if isinstance(turn, RenderingError):
        raise turn
    full, with_header, without = (
        tokenizer(text, add_special_tokens=template != "chat")["input_ids"]
        for text in (turn.full, turn.with_header, turn.without_header)
    )
    start = shared_length(with_header, full)
    header = full[min(shared_length(with_header, without), start - 1) : start]
    begin = tokenizer.bos_token_id
    if begin is not None and full[0] == begin and header[0] != begin:
        header = [begin, *header]
    return RenderedExample(full[:start], header, full[start:])


def reader(tokenizer: PreTrainedTokenizerBase, family: str) -> PreTrainedTokenizerBase:
    """SmolLM2's vocabulary, with the template and the control tokens of a family."""
    changed, like = deepcopy(tokenizer), FAMILIES[family]
    control = [token for token in (*like.control, like.begin, like.end) if token]
    changed.add_tokens(list(control), special_tokens=True)
    changed.chat_template, changed.eos_token, changed.bos_token = (
        like.template,
        like.end,
        like.begin,
    )
    return changed


@pytest.mark.parametrize("family", FAMILIES)
def test_a_turn_cut_out_of_the_whole_is_the_turn_tokenised_by_itself(
    tokenizer: PreTrainedTokenizerBase, family: str
) -> None:
    changed, rows = reader(tokenizer, family), talks(60)
    found = render_dialogues(changed, [dialogue(row) for row in rows], "chat")
    checked = 0
    for row, turns in zip(rows, found, strict=True):
        if isinstance(turns, RenderingError):
            with pytest.raises(RenderingError):
                [cut_apart(changed, row, at, "chat") for at in range(1, len(row), 2)]
            continue
        checked += 1
        assert [turn.alone for turn in turns] == [
            cut_apart(changed, row, turn.message, "chat") for turn in turns
        ]
    assert checked > 30


@pytest.mark.parametrize("family", FAMILIES)
def test_without_headers_all_else_of_a_turn_is_the_same(
    tokenizer: PreTrainedTokenizerBase, family: str
) -> None:
    changed, rows = reader(tokenizer, family), [dialogue(row) for row in talks(20)]
    for row, other in zip(
        render_dialogues(changed, rows, "chat"),
        render_dialogues(changed, rows, "chat", headers=False),
        strict=True,
    ):
        if isinstance(row, RenderingError) or isinstance(other, RenderingError):
            assert str(row) == str(other)
            continue
        for turn, bare in zip(row, other, strict=True):
            assert bare.alone.header[-1] == bare.alone.prompt[-1]
            same = replace(bare.alone, header=turn.alone.header)
            assert replace(bare, alone=same) == turn


@pytest.mark.parametrize(("headers", "renderings"), [(True, 3), (False, 2)])
def test_headers_take_a_rendering_more(
    tokenizer: PreTrainedTokenizerBase,
    monkeypatch: pytest.MonkeyPatch,
    headers: bool,
    renderings: int,
) -> None:
    calls: list[int] = []
    render_all = chat_format.render_texts

    def count(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the function has it
        calls.append(1)
        return render_all(*args, **kwargs)

    monkeypatch.setattr(chat_format, "render_texts", count)
    render_dialogues(tokenizer, [dialogue(row) for row in talks(3)], "chat", headers=headers)
    assert len(calls) == renderings


@pytest.mark.parametrize("template", ["plain", "question_answer"])
def test_without_control_tokens_each_text_is_tokenised(
    tokenizer: PreTrainedTokenizerBase, template: Template
) -> None:
    for first, *rest in talks(20):
        row: list[Message] = [{**first, "content": f"x{first['content']}"}, *rest]
        assert render(tokenizer, row, (), 1, template) == cut_apart(tokenizer, row, 1, template)


def test_a_conversation_is_tokenised_once(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [dialogue([{**each, "content": "a b"} for each in row]) for row in talks(20)]
    read: list[str] = []
    tokenise = TextTokens.read

    def count(tokens: TextTokens, texts: list[str]) -> None:
        new = list(texts)
        read.extend(new)
        tokenise(tokens, new)

    monkeypatch.setattr(TextTokens, "read", count)
    render_dialogues(tokenizer, rows, "chat")
    assert len(read) == len(rows)


@pytest.mark.parametrize(
    ("beginning", "count"),
    [
        ("<|im_start|>user\nHi", 4),  # <|im_start|> user \n Hi
        ("<|im_start|>user\nHi, you", 6),
        ("<|im_start|>user\nHi, y", None),  # within a token
        ("<|im_start|>user\nHi, you <|im_end|>", 8),
        ("<|im_start|>assistant", None),  # no beginning at all
        ("", None),  # no control token in front
    ],
)
def test_a_beginning_has_the_first_tokens_of_the_whole_where_it_ends_between_two(
    tokenizer: PreTrainedTokenizerBase, beginning: str, count: int | None
) -> None:
    whole = "<|im_start|>user\nHi, you <|im_end|>\n"
    tokens = TextTokens(tokenizer, add_special_tokens=False)
    tokens.read([whole])
    assert tokens.beginning(whole, beginning) == count
    if count is not None:
        alone = tokenizer(beginning, add_special_tokens=False)["input_ids"]
        assert tokens.ids(beginning, whole) == alone and len(alone) == count


def test_blanks_that_are_cut_otherwise_at_an_end_are_tokenised_there(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    whole, beginning = "<|im_end|>\n\nHi", "<|im_end|>\n\n"
    tokens = TextTokens(tokenizer, add_special_tokens=False)
    tokens.read([whole])
    assert tokens.beginning(whole, beginning) is None, "one token at an end, two before a word"
    alone = tokenizer(beginning, add_special_tokens=False)["input_ids"]
    assert tokens.ids(beginning, whole) == alone
    assert tokens.ids(whole, whole)[: len(alone)] != alone
