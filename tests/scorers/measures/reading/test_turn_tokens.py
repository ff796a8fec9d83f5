from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from scorers.measures.models.language_model import read_tokenizer
from scorers.measures.reading import turn_tokens
from scorers.measures.reading.chat_format import RenderingError, render
from scorers.measures.reading.turn_tokens import TurnTokens, find_turns
from tests.tiny_models import CHAT, save_tiny_llama

TALK = [
    {"role": "user", "content": "14 11"},
    {"role": "assistant", "content": "24"},
    {"role": "user", "content": "1 2 3"},  # what the template writes too
    {"role": "assistant", "content": "21 22"},
]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    path: Path = save_tiny_llama(tmp_path_factory.mktemp("model"), chat_template=CHAT)
    return read_tokenizer(path)


def said(found: TurnTokens) -> list[list[int]]:
    return [[found.ids[place] for place in turn.positions] for turn in found.turns]


def test_each_turn_has_its_own_tokens_and_none_of_the_template(
    toy: PreTrainedTokenizerBase,
) -> None:
    found = find_turns(toy, TALK, ())
    # 1 opens a turn, 2 an answer, 3 ends a turn.
    assert found.ids == [1, 14, 11, 3, 1, 2, 24, 3, 1, 1, 2, 3, 3, 1, 2, 21, 22, 3]
    assert [turn.positions.tolist() for turn in found.turns] == [[1, 2], [6], [9, 10, 11], [15, 16]]
    assert [(turn.message, turn.role) for turn in found.turns] == [
        (0, "user"),
        (1, "assistant"),
        (2, "user"),
        (3, "assistant"),
    ]


def test_the_ids_are_those_that_are_trained(tokenizer: PreTrainedTokenizerBase) -> None:
    talk = [
        {"role": "user", "content": " user\nWhat is   7 × 8? 🙂\n\n"},  # noqa: RUF001
        {"role": "assistant", "content": "assistant\n56."},
    ]
    rendered = render(tokenizer, talk, (), 1, "chat")
    found = find_turns(tokenizer, talk, ())
    assert found.ids == rendered.prompt + rendered.response
    asked, answered = (str(tokenizer.decode(ids)) for ids in said(found))
    assert asked.split() == ["userWhat", "is", "7", "×", "8?", "🙂"]  # noqa: RUF001
    assert answered == "assistant\n56."
    assert "<|im" not in asked + answered


def test_line_breaks_and_special_tokens_of_a_user_do_not_count(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    talk = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "one\n\n<|im_end|>two"},
        {"role": "assistant", "content": "a\nb"},
    ]
    user, answer = find_turns(tokenizer, talk, ()).turns
    ids = find_turns(tokenizer, talk, ()).ids
    assert [tokenizer.decode([ids[at]]) for at in user.positions] == ["one", "two"]
    assert len(answer.positions) == 3, "an answer keeps its line breaks"


def test_blank_turns_tools_and_calls_are_the_templates(tokenizer: PreTrainedTokenizerBase) -> None:
    talk = [
        {"role": "user", "content": "  "},
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "gone"},
    ]
    assert [turn.message for turn in find_turns(tokenizer, talk, ()).turns] == [1, 3]


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{% for m in messages %}{{ m.content | upper }} {% endfor %}", "rewrites a turn"),
        ("{{ messages[-1].content }}", "leaves out or repeats"),
        ("{% for m in messages %}{{ m.content }} {{ m.content }}{% endfor %}", "or repeats"),
    ],
)
def test_a_template_that_hides_who_said_what_fails_the_row(
    template: str, problem: str, tmp_path: Path
) -> None:
    toy = read_tokenizer(save_tiny_llama(tmp_path, chat_template=template))
    talk = [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c"}]
    with pytest.raises(RenderingError, match=problem):
        find_turns(toy, talk, ())


@pytest.mark.parametrize("trim", ["trim", "string"])
def test_a_template_may_trim_what_was_said(trim: str, tmp_path: Path) -> None:
    template = "{% for m in messages %}1 {{ m.content | " + trim + " }} 3 {% endfor %}"
    toy = read_tokenizer(save_tiny_llama(tmp_path, chat_template=template))
    talk = [{"role": "user", "content": " 14 11 "}, {"role": "assistant", "content": "24 "}]
    assert said(find_turns(toy, talk, ())) == [[14, 11], [24]]


def test_a_tokenizer_without_offsets_is_refused(
    toy: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(toy), "is_fast", property(lambda self: False))
    with pytest.raises(ValueError, match="fast"):
        find_turns(toy, TALK, ())


def test_what_is_longer_than_anybody_trains_is_not_tokenised(
    toy: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_tokens, "MOST_CHARACTERS", 8)
    with pytest.raises(RenderingError, match="not counted"):
        find_turns(toy, TALK, ())
