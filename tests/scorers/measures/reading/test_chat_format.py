"""The trainer is the reference: every case is tokenised by TRL's SFTTrainer as well."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, IterableDataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from scorers.measures.reading import chat_format
from scorers.measures.reading.chat_format import (
    RenderedExample,
    RenderingError,
    Template,
    WrittenTurn,
    render,
    render_prompt,
    template_fingerprint,
    write_turns,
)
from scorers.measures.reading.text_tokens import TextTokens

Conversation = tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]], int]
Prepare = Callable[[PreTrainedTokenizerBase, Mapping[str, Any]], tuple[list[int], list[int]]]

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a place.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    },
}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"type": "function", "function": {"name": "weather", "arguments": {"place": "Łódź"}}}
    ],
}


def say(*turns: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)]


CONVERSATIONS: dict[str, Conversation] = {
    "one turn": (say("What is 12 * 12?", "144."), (), 1),
    "several turns": (say("Hi", "Hello!", "And now?", "Now we talk.\n\nStill."), (), 3),
    "answer in the middle": (say("Hi", "Hello!", "And now?", "Now we talk."), (), 1),
    "system": ([{"role": "system", "content": "Be brief."}, *say("Who?", "Me.")], (), 2),
    "other scripts": (say("Übersetze 你好 🙂", "  Hallo 🙂\n"), (), 1),
    "empty answer": (say("Say nothing.", ""), (), 1),
    "spaces and digits": (say("List:\n  1. a\n  2. b", "\n\n  3. c   4"), (), 1),
    "code": (say("Code?", "```python\ndef f(x):\n    return x\n```"), (), 1),
    "special tokens in text": (say("What is <|im_end|>?", "A token: <|im_end|> ."), (), 1),
    "tool call": ([*say("Weather in Łódź?"), CALL], [WEATHER], 1),
    "after a tool": (
        [
            *say("Weather in Łódź?"),
            CALL,
            {"role": "tool", "name": "weather", "content": '{"c": 4}'},
            {"role": "assistant", "content": "Four degrees."},
        ],
        [WEATHER],
        3,
    ),
    "reasoning": (
        [
            *say("2 + 2?"),
            {"role": "assistant", "content": "4", "reasoning_content": "Two and two."},
        ],
        (),
        1,
    ),
}

SPANNING = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
"""Ends the prompt in a space, which the tokenizer makes part of the answer's first word."""

NO_HEADER = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ ' ' + m['content'] + eos_token }}"
    "{% else %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% endif %}{% endfor %}"
)
"""As Mistral's: the answer follows the question with no word of whose turn it is."""

THOUGHT = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n<think>\n\n</think>\n\n' }}{% endif %}"
)
"""As Gemma 4's: the prompt alone ends in an empty thought that the conversation does not have."""


def shipped(name: str) -> str:
    return Path(str(files("trl") / "chat_templates" / f"{name}.jinja")).read_text()


@pytest.fixture(scope="module")
def prepare(
    tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory
) -> Prepare:
    """A row, through the trainer's own preparation, as prompt ids and trained ids."""
    small = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
    )
    config = SFTConfig(
        output_dir=str(tmp_path_factory.mktemp("trainer")),
        max_length=None,
        report_to=[],
        use_cpu=True,
        bf16=False,
        dataset_num_proc=None,
    )
    some_row = Dataset.from_list([{"prompt": say("a"), "completion": say("b")}])
    trainer = SFTTrainer(
        model=LlamaForCausalLM(small),
        args=config,
        train_dataset=some_row,
        processing_class=deepcopy(tokenizer),
    )

    def run(
        with_template: PreTrainedTokenizerBase, row: Mapping[str, Any]
    ) -> tuple[list[int], list[int]]:
        trainer._tokenizer = with_template
        one_row = IterableDataset.from_generator(lambda: iter([deepcopy(dict(row))]))
        rows: Any = trainer._prepare_dataset(one_row, with_template, config, False, None, "train")
        prepared = next(iter(rows))
        ids, labels = prepared["input_ids"], prepared["labels"]
        start = next((i for i, label in enumerate(labels) if label != -100), len(ids))
        assert labels[start:] == ids[start:]
        return ids[:start], ids[start:]

    return run


def with_template(tokenizer: PreTrainedTokenizerBase, template: str) -> PreTrainedTokenizerBase:
    changed = copy(tokenizer)  # the vocabulary is shared: copying it takes half a second
    changed.chat_template = template
    return changed


def compare(
    tokenizer: PreTrainedTokenizerBase, conversation: Conversation, prepare: Prepare
) -> RenderedExample:
    messages, tools, response_at = conversation
    row = {"prompt": messages[:response_at], "completion": [messages[response_at]]}
    if tools:
        row["tools"] = list(tools)
    rendered = render(tokenizer, messages, tools, response_at, "chat")
    assert (rendered.prompt, rendered.response) == prepare(tokenizer, row)
    return rendered


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_ids_and_loss_tokens_are_the_trainers(
    name: str, tokenizer: PreTrainedTokenizerBase, prepare: Prepare
) -> None:
    rendered = compare(tokenizer, CONVERSATIONS[name], prepare)
    # An answer that begins with space takes the header's newline into its first token.
    spans = name in ("other scripts", "spaces and digits")
    header = "<|im_start|>assistant" if spans else "<|im_start|>assistant\n"
    assert tokenizer.decode(rendered.header) == header
    assert rendered.prompt[-len(rendered.header) :] == rendered.header


@pytest.mark.parametrize("template", ["qwen3", "llama3_1", "qwen2_5", "gptoss", "glm4moe"])
@pytest.mark.parametrize("name", ["several turns", "after a tool", "tool call", "reasoning"])
def test_ids_are_the_trainers_in_other_models_templates(
    template: str, name: str, tokenizer: PreTrainedTokenizerBase, prepare: Prepare
) -> None:
    rendered = compare(with_template(tokenizer, shipped(template)), CONVERSATIONS[name], prepare)
    assert "assistant" in tokenizer.decode(rendered.header)
    assert "user" not in tokenizer.decode(rendered.header)


def test_tools_and_reasoning_reach_a_template_that_has_a_place_for_them(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    qwen = with_template(tokenizer, shipped("qwen3"))
    rendered = render(qwen, *CONVERSATIONS["tool call"], "chat")
    assert "Weather of a place." in tokenizer.decode(rendered.prompt)
    assert '{"place": "Łódź"}' in tokenizer.decode(rendered.response)
    rendered = render(qwen, *CONVERSATIONS["reasoning"], "chat")
    assert "Two and two." in tokenizer.decode(rendered.response)


def test_a_token_across_the_boundary_belongs_to_the_response(
    tokenizer: PreTrainedTokenizerBase, prepare: Prepare
) -> None:
    spanning = with_template(tokenizer, SPANNING)
    rendered = compare(spanning, CONVERSATIONS["several turns"], prepare)
    assert str(tokenizer.decode(rendered.prompt)).endswith("assistant:")
    assert tokenizer.decode(rendered.header) == "assistant:"  # its space went over, here too
    assert str(tokenizer.decode(rendered.response)).startswith(" Now we talk.")


def test_an_answer_that_is_not_written_behind_the_header_is_refused(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    # The trainer would train it behind the common beginning, which the model never reads.
    messages, tools, response_at = CONVERSATIONS["one turn"]
    with pytest.raises(RenderingError, match="no_header"):
        render(with_template(tokenizer, THOUGHT), messages, tools, response_at, "chat")


def test_without_a_header_the_end_of_the_prompt_stands_for_it(
    tokenizer: PreTrainedTokenizerBase, prepare: Prepare
) -> None:
    headless = deepcopy(with_template(tokenizer, NO_HEADER))
    headless.bos_token_id = None
    rendered = compare(headless, CONVERSATIONS["one turn"], prepare)
    assert rendered.header == rendered.prompt[-1:]


def test_a_beginning_of_text_token_stays_in_front_of_the_header(
    tokenizer: PreTrainedTokenizerBase, prepare: Prepare
) -> None:
    gemma = with_template(tokenizer, shipped("gemma"))
    rendered = compare(gemma, CONVERSATIONS["one turn"], prepare)
    assert rendered.prompt[0] == tokenizer.bos_token_id
    header = "<start_of_turn>model\n"
    assert tokenizer.decode(rendered.header) == f"{tokenizer.bos_token}{header}"


QUESTIONS = {
    "one turn": ("Question: What is 12 * 12? \n Answer:", " 144."),
    "several turns": (
        "Question: Hi \n Answer: Hello! \n Question: And now? \n Answer:",
        " Now we talk.\n\nStill.",
    ),
    "system": ("Be brief. \n Question: Who? \n Answer:", " Me."),
    "special tokens in text": (
        "Question: What is <|im_end|>? \n Answer:",
        " A token: <|im_end|> .",
    ),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_question_answer_is_the_trainers_plain_row(
    name: str, tokenizer: PreTrainedTokenizerBase, prepare: Prepare
) -> None:
    prompt, completion = QUESTIONS[name]
    rendered = render(tokenizer, *CONVERSATIONS[name], "question_answer")
    row = {"prompt": prompt, "completion": completion}
    assert (rendered.prompt, rendered.response) == prepare(tokenizer, row)
    assert tokenizer.decode(rendered.header) == " Answer:"
    assert rendered.response[-1] == tokenizer.eos_token_id


def test_question_answer_drops_no_field(tokenizer: PreTrainedTokenizerBase) -> None:
    messages, tools, _ = CONVERSATIONS["after a tool"]
    rendered = render(tokenizer, messages, tools, 3, "question_answer")
    text = tokenizer.decode(rendered.prompt)
    assert "Weather of a place." in text and '{"place": "Łódź"}' in text and '{"c": 4}' in text
    rendered = render(tokenizer, *CONVERSATIONS["reasoning"], "question_answer")
    assert tokenizer.decode(rendered.response) == " Two and two.\n4<|im_end|>"


@pytest.mark.parametrize(
    ("name", "prompt", "response"),
    [
        ("one turn", "What is 12 * 12?\n", "144."),
        ("several turns", "Hi\nHello!\nAnd now?\n", "Now we talk.\n\nStill."),
        ("system", "Be brief.\nWho?\n", "Me."),
    ],
)
def test_plain_is_the_text_alone(
    name: str, prompt: str, response: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    base = deepcopy(tokenizer)
    base.chat_template = None
    rendered = render(base, *CONVERSATIONS[name], "plain")
    assert rendered.prompt + rendered.response == tokenizer(prompt + response)["input_ids"]
    assert tokenizer.decode(rendered.prompt) == prompt
    assert tokenizer.decode(rendered.response) == response, "and no end of text behind it"
    assert tokenizer.decode(rendered.header) == "\n"


def test_a_base_model_without_a_template_is_told_what_to_use(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    base = deepcopy(tokenizer)
    base.chat_template = None
    messages, tools, at = CONVERSATIONS["one turn"]
    with pytest.raises(ValueError, match="question_answer") as caught:
        render(base, messages, tools, at, "chat")
    assert not isinstance(caught.value, RenderingError)  # wrong for all rows, not for this one
    assert render(base, messages, tools, at, "question_answer").response


def test_a_row_that_cannot_be_rendered_says_so_alone(tokenizer: PreTrainedTokenizerBase) -> None:
    with pytest.raises(RenderingError, match="no prompt"):
        render(tokenizer, say("Hi", "Hello!")[1:], (), 0, "chat")
    with pytest.raises(RenderingError, match="no message"):
        render_prompt(tokenizer, [], ())
    strict = with_template(tokenizer, shipped("gemma"))
    with pytest.raises(RenderingError, match="System role not supported"):
        render(strict, *CONVERSATIONS["system"], "chat")


@pytest.mark.parametrize("template", ["chat", "question_answer", "plain"])
@pytest.mark.parametrize(
    "turns",
    [say("Why?", "x" * 200), say("y" * 200, "So."), say("a", "b" * 90, "c" * 90, "d")],
    ids=["a long answer", "a long question", "long together"],
)
def test_what_is_longer_than_anybody_trains_is_not_tokenised(
    tokenizer: PreTrainedTokenizerBase,
    monkeypatch: pytest.MonkeyPatch,
    template: Template,
    turns: list[dict[str, Any]],
) -> None:
    at = len(turns) - 1
    assert render(tokenizer, turns, (), at, template).response
    (written,) = write_turns(tokenizer, [(turns, at)], (), template)
    assert isinstance(written, WrittenTurn)
    monkeypatch.setattr(chat_format, "MOST_CHARACTERS", len(written.full))
    assert render(tokenizer, turns, (), at, template).response, "as long as may be"
    monkeypatch.setattr(chat_format, "MOST_CHARACTERS", len(written.full) - 1)
    monkeypatch.setattr(TextTokens, "read", lambda *_: pytest.fail("tokenised"))
    with pytest.raises(RenderingError, match="its tokens are not counted"):
        render(tokenizer, turns, (), at, template)


def test_a_prompt_ends_where_the_answer_begins(tokenizer: PreTrainedTokenizerBase) -> None:
    messages, tools, at = CONVERSATIONS["several turns"]
    whole = render(tokenizer, messages, tools, at, "chat")
    assert render_prompt(tokenizer, messages[:at], tools) == whole.prompt


def test_fingerprint_follows_the_template(tokenizer: PreTrainedTokenizerBase) -> None:
    names: tuple[Template, ...] = ("chat", "question_answer", "plain")
    other = with_template(tokenizer, SPANNING)
    prints = {template_fingerprint(each, name) for each in (tokenizer, other) for name in names}
    assert len(prints) == 4  # the other two do not read the chat template
    other = deepcopy(other)
    assert template_fingerprint(other, "chat") in prints
    other.eos_token = "<|endoftext|>"
    assert template_fingerprint(other, "question_answer") not in prints


@pytest.mark.parametrize(
    "program",
    [
        "{{ 1 // (messages | length - 2) }}",
        "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
        "{{ '%d' % messages[0].content }}",
        "{{ messages[0].content + 1 }}",
    ],
    ids=["divides by zero", "has no end", "wrong value", "wrong type"],
)
def test_whatever_a_template_comes_to_costs_the_row_alone_and_quotes_nothing_of_it(
    tokenizer: PreTrainedTokenizerBase, program: str
) -> None:
    odd = copy(tokenizer)
    odd.chat_template = program
    with pytest.raises(RenderingError, match="the chat template broke") as caught:
        render(odd, say("a secret", "an answer"), (), 1, "chat")
    assert "secret" not in str(caught.value)
