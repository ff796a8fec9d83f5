"""Where reasoning stands among a turn's tokens, counted by hand in words of a toy tokenizer."""

from pathlib import Path
from typing import Any

import pytest

from scorers.measures.models.loading import load_tokenizer, resolve_model
from scorers.measures.reading.dialogue import render_turns
from scorers.measures.reading.reasoning import find_reasoning
from tests.tiny_models import save_tiny_llama

# 1 opens a turn, 2 an answer, 3 ends a turn; 8 and 9 stand around reasoning.
THINKS = (
    "{% for m in messages %}1 {{ '2 ' if m.role == 'assistant' }}"
    "{% if m.reasoning_content %}8 {{ m.reasoning_content | trim }} 9 {% endif %}"
    "{{ m.content | replace('<think>', '8 ') | replace('</think>', ' 9 ') }} 3 {% endfor %}"
    "{% if add_generation_prompt %}1 2 {% endif %}"
)
SILENT = THINKS.replace("m.reasoning_content %}", "false %}")
SHOUTS = THINKS.replace("| trim }}", "| trim | replace('44', '45') }}")
USER = {"role": "user", "content": "22"}


def said(content: str, reasoning: str = "") -> dict[str, Any]:
    own = {"reasoning_content": reasoning} if reasoning else {}
    return {"role": "assistant", "content": content, **own}


@pytest.mark.parametrize(
    ("template", "answer", "span"),
    [
        (THINKS, said("55"), (0, 0)),  # 55 3
        (THINKS, said("55 56", " 44 45\n"), (1, 3)),  # 8 44 45 9 55 56 3
        (THINKS, said("44 44", "44"), (1, 2)),  # 8 44 9 44 44 3
        (THINKS, said("<think>\n44 45 </think>55"), (1, 3)),
        (THINKS, said("44 <think> 44 </think> 55"), (2, 3)),  # 44 8 44 9 55 3
        (THINKS, said("<think></think>55"), (0, 0)),
        (THINKS, said("<think>44"), (0, 0)),  # never closed: all of it is the answer
        (SILENT, said("44 55", "44"), (0, 0)),  # not written, though the answer says the same
        (SHOUTS, said("55", "44 46"), None),
    ],
)
def test_the_reasoning_of_an_answer(
    tmp_path: Path, template: str, answer: dict[str, Any], span: tuple[int, int] | None
) -> None:
    tokenizer = load_tokenizer(
        resolve_model(str(save_tiny_llama(tmp_path, chat_template=template)))
    )
    messages = [USER, said("66", "67 68"), USER, answer]
    first, last = render_turns(tokenizer, messages, [], [1, 3], "chat")
    assert find_reasoning(tokenizer, messages, [], last, "chat") == span
    found = find_reasoning(tokenizer, messages, [], first, "chat")
    assert found == ((0, 0) if template == SILENT else (1, 3)), "of each turn its own"
    (plain,) = render_turns(tokenizer, messages, [], [1], "plain")
    assert find_reasoning(tokenizer, messages, [], plain, "plain") is None
