"""Trained turns: where they stand under the templates that TRL ships, and what joins them."""

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from scorers.measures.reading import dialogue
from scorers.measures.reading.chat_format import RenderedExample, RenderingError, render_text
from scorers.measures.reading.dialogue import (
    Dialogue,
    RenderedTurn,
    join_turns,
    render_dialogues,
    render_turns,
)
from scorers.measures.reading.prefix_tree import build_tree

IN_PLACE = ("qwen2_5", "llama3", "llama3_1", "gemma", "qwen3_training")
"""Templates that write a turn alike whatever follows it."""

NO_STOP = (
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


CONTROL = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
"""Llama 3's; as mere text they would merge with what stands beside them."""


@pytest.fixture(scope="module")
def wider(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A tokenizer with the control tokens of all those templates."""
    copied = deepcopy(tokenizer)
    more = (*CONTROL, "<start_of_turn>", "<end_of_turn>", "<|user|>", "<|assistant|>", "<|end|>")
    copied.add_tokens(list(more), special_tokens=True)
    return copied


def with_template(tokenizer: PreTrainedTokenizerBase, name: str) -> PreTrainedTokenizerBase:
    changed = copy(tokenizer)
    shipped = Path(str(files("trl") / "chat_templates" / f"{name}.jinja"))
    changed.chat_template = shipped.read_text() if shipped.exists() else name
    return changed


def talk(*turns: str) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[i % 2], "content": turn} for i, turn in enumerate(turns)]


TWICE = talk("One plus one?", "yes.", "Two plus two? assistant", "yes.", "Bye.", "Bye.")


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, Any]],
    trained_at: Sequence[int] = (1, 3, 5),
) -> list[RenderedTurn]:
    return render_turns(tokenizer, messages, (), trained_at, "chat")


def trained_text(tokenizer: PreTrainedTokenizerBase, row: RenderedExample) -> list[str]:
    """The trained pieces of a row, each run of trained tokens as text."""
    pieces, run = [], []
    for token, trained in zip([*row.response, 0], [*row.trained.tolist(), False], strict=True):
        if trained:
            run.append(token)
        elif run:
            pieces.append(str(tokenizer.decode(run)))
            run = []
    return pieces


@pytest.mark.parametrize("name", IN_PLACE)
def test_turns_in_place_are_one_row_that_trains_what_each_would_alone(
    wider: PreTrainedTokenizerBase, name: str
) -> None:
    template = with_template(wider, name)
    turns = render(template, TWICE)
    assert [turn.placement for turn in turns] == ["in_place"] * 3
    (row,) = join_turns(turns)
    whole = template(render_text(template, TWICE, ()), add_special_tokens=False)["input_ids"]
    assert [*row.prompt, *row.response] == whole
    alone = [str(template.decode(turn.alone.response)) for turn in turns]
    assert trained_text(template, row) == alone, "no user's word is trained, and every answer is"
    assert [text.count("yes.") + text.count("Bye.") for text in alone] == [1, 1, 1]
    assert row.loss_tokens == sum(len(turn.alone.response) for turn in turns)
    assert row.prompt == turns[0].alone.prompt and row.weights is not None


def test_a_turn_that_is_rewritten_later_is_a_row_of_its_own(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    template = with_template(tokenizer, "qwen3")
    turns = render(template, TWICE)
    assert [turn.placement for turn in turns] == ["rewritten", "rewritten", "in_place"]
    rows = join_turns(turns)
    assert rows == [turn.alone for turn in turns]
    for row in rows:  # as at inference: an empty thought, then the answer
        assert str(template.decode(row.response)).startswith("<think>\n\n</think>\n\n")


def test_a_turn_that_ends_otherwise_later_is_not_trained_with_the_other_end(
    wider: PreTrainedTokenizerBase,
) -> None:
    template = with_template(wider, "phi3")
    turns = render(template, TWICE)
    assert [turn.placement for turn in turns] == ["stop_differs", "stop_differs", "in_place"]
    end = str(template.eos_token)
    assert [str(template.decode(row.response)) for row in join_turns(turns)] == [
        f"yes.<|end|>\n{end}",
        f"yes.<|end|>\n{end}",
        f"Bye.<|end|>\n{end}",
    ]


def test_a_header_that_no_answer_stands_behind_is_refused(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    template = with_template(tokenizer, "deepseek_r1_distill")
    with pytest.raises(RenderingError, match="no_header"):
        render(template, talk("2 + 2?", "<think>two</think>\n\n4."), (1,))


def test_an_untrained_turn_is_read_and_has_no_share_of_the_loss(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    all_of_them, two = render(tokenizer, TWICE), render(tokenizer, TWICE, (1, 5))
    (whole,), (row,) = join_turns(all_of_them), join_turns(two)
    assert [*row.prompt, *row.response] == [*whole.prompt, *whole.response]
    assert whole.loss_tokens - row.loss_tokens == len(all_of_them[1].alone.response)
    assert [text.split("<")[0] for text in trained_text(tokenizer, row)] == ["yes.", "Bye."]


def test_a_weight_of_a_turn_is_that_of_its_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    weighted = [*TWICE[:3], {**TWICE[3], "weight": 0.25}, *TWICE[4:]]
    (row,) = join_turns(render(tokenizer, weighted))
    assert row.weights is not None
    quarter = len(render(tokenizer, weighted)[1].alone.response)
    assert row.weights.count(0.25) == quarter and set(row.weights) == {0.0, 0.25, 1.0}
    (alone,) = join_turns(render(tokenizer, weighted, (3,)))
    assert alone.weights == [0.25] * quarter and alone.loss_tokens == quarter


def test_one_turn_is_the_row_that_it_always_was(tokenizer: PreTrainedTokenizerBase) -> None:
    (turn,) = render(tokenizer, TWICE, (3,))
    assert join_turns([turn]) == [turn.alone]
    assert turn.alone.weights is None and turn.alone.loss_tokens == len(turn.alone.response)


def test_the_token_that_ends_a_turn_is_found_before_the_line_break(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    (turn,) = render(tokenizer, TWICE, (1,))
    assert turn.stop is not None
    assert tokenizer.decode([turn.alone.response[turn.stop]]) == "<|im_end|>"
    assert turn.stop < len(turn.alone.response)
    (without,) = render(with_template(tokenizer, NO_STOP), TWICE, (1,))
    assert without.stop is None


def test_all_turns_are_read_for_the_tokens_of_the_dialogue_once(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    turns = render(tokenizer, TWICE)
    (whole,) = join_turns(turns)
    tree = build_tree([[*turn.alone.prompt, *turn.alone.response] for turn in turns])
    read = sum(len(run.ids) for run in tree.runs)
    assert read == len(whole.prompt) + len(whole.response)


def test_turns_that_would_be_written_anew_without_end_cost_their_conversation(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = Dialogue(talk("a" * 300, "b"), (), [1]), Dialogue(TWICE, (), [1, 3, 5])
    assert many.characters == 3 * sum(len(turn["content"]) for turn in TWICE)
    monkeypatch.setattr(dialogue, "MOST_WRITTEN", many.characters - 1)
    one, refused, same = render_dialogues(tokenizer, [few, many, few], "chat")
    assert isinstance(one, list) and one == same, "one turn is written once, however long"
    assert isinstance(refused, RenderingError) and "split the conversation" in str(refused)
    monkeypatch.setattr(dialogue, "MOST_WRITTEN", many.characters)
    (written,) = render_dialogues(tokenizer, [many], "chat")
    assert isinstance(written, list) and len(written) == 3
