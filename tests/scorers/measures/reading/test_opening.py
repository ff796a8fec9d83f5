"""Where a user's text begins in each template, and the token that ends it."""

from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from scorers.measures.reading.chat_format import MissingTemplateError
from scorers.measures.reading.opening import begun_with, find_opening, special_texts
from tests.template_families import CHATML, FAMILIES, Family

ENDS = {
    "chatml": "<|im_end|>",
    "smollm2": "<|im_end|>",
    "llama3": "<|eot_id|>",
    "qwen2_5": "<|im_end|>",
    "qwen3": "<|im_end|>",
    "gptoss": "<|end|>",
    "gemma": "<end_of_turn>",
}


@pytest.mark.parametrize("name", list(ENDS))
def test_an_opening_goes_on_to_what_the_template_writes(name: str) -> None:
    tokenizer = FAMILIES[name].tokenizer()
    opening = find_opening(tokenizer, ())
    turns = [{"role": "user", "content": "How are you?"}]
    encoded: Any = tokenizer.apply_chat_template(turns, return_dict=True)
    whole = encoded["input_ids"]
    said: Any = tokenizer("How are you?", add_special_tokens=False)["input_ids"]
    n = len(opening.ids)
    assert opening.ids == whole[:n]
    assert whole[n : n + len(said)] == said
    assert whole[n + len(said)] == opening.end_id
    assert opening.end == ENDS[name] in special_texts(tokenizer)


def test_a_token_that_the_template_writes_is_not_put_in_front_again() -> None:
    tokenizer = FAMILIES["llama3"].tokenizer()
    begin = str(tokenizer.bos_token)
    first = (begin, int(tokenizer.bos_token_id))
    processor = TemplateProcessing(single=f"{begin} $A", special_tokens=[first])
    tokenizer.backend_tokenizer.post_processor = processor
    assert [*find_opening(tokenizer, ()).ids].count(first[1]) == 1


def test_a_system_prompt_stands_in_it() -> None:
    tokenizer = FAMILIES["chatml"].tokenizer()
    opening = find_opening(tokenizer, [{"role": "system", "content": "Of law."}])
    assert tokenizer.decode([*opening.ids]) == (
        "<|im_start|>system\nOf law.<|im_end|>\n<|im_start|>user\n"
    )


def test_an_answer_that_is_begun_is_gone_on_with_behind_its_prompt() -> None:
    tokenizer = FAMILIES["chatml"].tokenizer()
    opening = find_opening(tokenizer, [{"role": "user", "content": "How?"}], "assistant")
    begun = begun_with(tokenizer, opening, "Like this:\n")
    assert tokenizer.decode([*begun.ids]) == (
        "<|im_start|>user\nHow?<|im_end|>\n<|im_start|>assistant\nLike this:\n"
    )
    assert (begun.end, begun.end_id) == (opening.end, opening.end_id) != ("", 0)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("", "no chat template"),
        ("{% for m in messages %}User: {{ m.content }}\n{% endfor %}", "plain text"),
        ("nothing", "does not write"),
        (
            "{{ messages[0].content | length }}{% for m in messages %}{{ m.content }}<|im_end|>"
            "{% endfor %}",
            "writes other text",
        ),
        (
            "{% if messages | length > 1 %}many{% endif %}" + CHATML,
            "writes other text",
        ),
        ("{{ raise_exception('no') }}", "refused"),
    ],
)
def test_a_template_that_gives_none_says_why(template: str, why: str) -> None:
    tokenizer = Family(template or CHATML).tokenizer()
    if not template:
        tokenizer.chat_template = None
    with pytest.raises(MissingTemplateError, match=why):
        find_opening(tokenizer, ())
