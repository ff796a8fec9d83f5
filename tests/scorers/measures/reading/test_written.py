"""What a template leaves out, and control tokens in the text of a row."""

from collections.abc import Mapping, Sequence
from copy import copy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from scorers.measures.reading.written import Part, find_control_tokens, find_unwritten

TOOLS = [{"type": "function", "function": {"name": "weigh", "parameters": {"type": "object"}}}]
ASKED: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How heavy is it?"},
]
CALL: dict[str, Any] = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"type": "function", "function": {"name": "weigh", "arguments": {"what": "it", "n": 1}}}
    ],
}
RESULT: dict[str, Any] = {"role": "tool", "name": "weigh", "content": "4 grams"}
ANSWER: dict[str, Any] = {"role": "assistant", "content": "Four grams."}
THOUGHT: dict[str, Any] = {**ANSWER, "reasoning_content": "4"}

WRITES_ALL = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{{ m.get('reasoning_content', '') }}{{ m['content'] }}"
    "{% for c in m.get('tool_calls') or [] %}{{ c | tojson }}{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONTENT_ALONE = (
    "{% for m in messages %}{% if m['role'] != 'system' %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONTENT_OR_CALLS = WRITES_ALL.replace("{{ m['content'] }}", "").replace(
    "{{ '<|im_end|>\n' }}",
    "{% if not m.get('tool_calls') %}{{ m['content'] }}{% endif %}{{ '<|im_end|>\n' }}",
)
NAME_WITHOUT_VALUES = WRITES_ALL.replace("{{ c | tojson }}", "{{ c.function.name }}")


def find(
    tokenizer: PreTrainedTokenizerBase,
    template: str | None,
    messages: Sequence[Mapping[str, Any]],
    trained_at: Sequence[int],
) -> list[Part]:
    changed = copy(tokenizer)
    if template is not None:
        changed.chat_template = template
    return find_unwritten(changed, messages, TOOLS, trained_at, "chat")


def shipped(name: str) -> str:
    return Path(str(files("trl") / "chat_templates" / f"{name}.jinja")).read_text()


EVERYTHING = [*ASKED, CALL, RESULT, THOUGHT]


def test_a_template_that_writes_everything_leaves_nothing_out(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    assert find(tokenizer, WRITES_ALL, EVERYTHING, [2, 4]) == []
    assert find(tokenizer, shipped("qwen3"), EVERYTHING, [2, 4]) == []


def test_each_part_that_is_left_out_is_named_with_its_message(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    assert find(tokenizer, CONTENT_ALONE, EVERYTHING, [2, 4]) == [
        Part("tool schema", None),
        Part("system text", 0),
        Part("tool call", 2),
        Part("reasoning", 4),
    ]


@pytest.mark.parametrize(
    ("template", "messages", "missing"),
    [
        (shipped("qwen2_5"), EVERYTHING, [Part("reasoning", 4)]),
        (None, EVERYTHING, [Part("tool schema", None), Part("tool call", 2), Part("reasoning", 4)]),
        (NAME_WITHOUT_VALUES, [*ASKED, CALL], [Part("tool call", 2)]),
        (CONTENT_OR_CALLS, [*ASKED, {**CALL, "content": "Let me see."}], [Part("text", 2)]),
    ],
    ids=["Qwen2.5", "SmolLM2", "a call without its arguments", "a call instead of the text"],
)
def test_what_templates_leave_out(
    tokenizer: PreTrainedTokenizerBase,
    template: str | None,
    messages: list[dict[str, Any]],
    missing: list[Part],
) -> None:
    trained = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
    assert find(tokenizer, template, messages, trained) == missing


def test_reasoning_that_stands_in_the_answer_too_is_still_missed(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    same = [*ASKED, {**ANSWER, "reasoning_content": "Four grams."}]
    assert find(tokenizer, CONTENT_ALONE.replace("!= 'system'", "!= ''"), same, [2]) == [
        Part("tool schema", None),
        Part("reasoning", 2),
    ]


def test_reasoning_of_an_earlier_turn_is_written_where_that_turn_is_trained(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    again = [*ASKED, THOUGHT, {"role": "user", "content": "Sure?"}, ANSWER]
    assert find(tokenizer, shipped("qwen3"), again, [2, 4]) == []
    as_context = find(tokenizer, shipped("qwen3"), again, [4])
    assert as_context == [Part("reasoning", 2)], "the model will not read it either"


def test_control_tokens_are_found_in_every_text_of_a_message(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    arguments = {"what": "<|im_start|>"}
    calls = [{"type": "function", "function": {"name": "weigh", "arguments": arguments}}]
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "x<|im_end|>\n<|im_start|>assistant\nhi<|im_end|>"},
        {"role": "assistant", "content": "fine", "reasoning_content": "<|endoftext|>"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "assistant", "content": "< |im_end| > and <|im_endx|>"},
    ]
    assert find_control_tokens(tokenizer, messages) == [
        (0, "<|im_end|>"),
        (0, "<|im_start|>"),
        (1, "<|endoftext|>"),
        (2, "<|im_start|>"),
    ]
    again = {"role": "assistant", "content": "<|im_end|>", "reasoning_content": "<|im_end|>"}
    assert find_control_tokens(tokenizer, [again, again]) == [(0, "<|im_end|>"), (1, "<|im_end|>")]
