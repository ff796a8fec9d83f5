from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from scorers.measures.models.language_model import read_tokenizer
from scorers.measures.reading.chat_format import Template, render
from scorers.measures.reading.content_end import last_content_token, template_end
from tests.tiny_models import CHAT, save_tiny_llama


def last_words(
    tokenizer: PreTrainedTokenizerBase, content: str, template: Template = "chat"
) -> str:
    """What a response says up to the token that is found."""
    talk = [{"role": "user", "content": "go"}, {"role": "assistant", "content": content}]
    response = render(tokenizer, talk, (), 1, template).response
    at = last_content_token(tokenizer, template_end(tokenizer, template), response)
    return str(tokenizer.decode(response[: at + 1]))


@pytest.mark.parametrize("template", ["chat", "question_answer", "plain"])
@pytest.mark.parametrize(
    ("content", "ends"),
    [
        ("It is 7.", "It is 7."),
        ("It is 7.\n\n", "It is 7."),  # blanks of the writer's say no more than the template's
        ("It is 7. \t", "It is 7."),
        ("1", "1"),  # an answer that is one of the two that are rendered to find the end
        ("use <|im_end|>", "use"),  # special tokens, whoever wrote them
        ("Naïve — café 🙂", "Naïve — café 🙂"),
    ],
)
def test_the_template_ends_where_the_content_does(
    tokenizer: PreTrainedTokenizerBase, template: Template, content: str, ends: str
) -> None:
    assert last_words(tokenizer, content, template).strip() == ends


def test_a_response_of_blanks_has_the_last_token_of_all(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    end = template_end(tokenizer, "chat")
    assert tokenizer.decode(end) == "<|im_end|>\n"
    assert last_content_token(tokenizer, end, end) == len(end) - 1


def test_an_end_in_plain_words_is_the_templates_too(tmp_path: Path) -> None:
    toy = read_tokenizer(save_tiny_llama(tmp_path, chat_template=CHAT))
    assert template_end(toy, "chat") == [3]  # no special token of this tokenizer
    assert last_content_token(toy, [3], [5, 7, 3]) == 1
    assert last_content_token(toy, [3], [5, 3, 3]) == 1  # the first 3 is what the answer said
    assert last_content_token(toy, [3], [5, 7]) == 1  # the template may leave its end out


def test_a_template_that_refuses_two_turns_leaves_special_tokens(tmp_path: Path) -> None:
    strict = "{% if messages[0].role != 'system' %}{{ raise_exception('no') }}{% endif %}" + CHAT
    toy = read_tokenizer(save_tiny_llama(tmp_path, chat_template=strict))
    assert template_end(toy, "chat") == []
    assert last_content_token(toy, [], [5, 7, 0, 0]) == 1  # 0 ends a text
