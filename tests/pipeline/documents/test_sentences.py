# ruff: noqa: RUF001 - signs of many scripts are meant
"""Sentences end where each script ends them."""

import pytest

from pipeline.documents.borders import last_border, next_border
from pipeline.documents.sentences import MOST_CHARACTERS, find_sentences


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in find_sentences(text, 0, len(text))]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("He asks: “Who?” Nobody. ", ["He asks: “Who?”", "Nobody."]),
        (
            "See e.g. this, v. 3.14 of it… and on. Next!",
            ["See e.g. this, v.", "3.14 of it… and on.", "Next!"],
        ),
        ("狗在叫。谁？“是我！”他说。", ["狗在叫。", "谁？", "“是我！”", "他说。"]),
        ("犬が吠える。「誰だ？！」彼｡", ["犬が吠える。", "「誰だ？！」", "彼｡"]),
        ("من هناك؟ أنا هنا۔ نعم", ["من هناك؟", "أنا هنا۔", "نعم"]),
        ("कुत्ता है। कौन॥ मैं", ["कुत्ता है।", "कौन॥", "मैं"]),
        ("ውሻው ይጮኻል። ማን ነው፧ እኔ", ["ውሻው ይጮኻል።", "ማን ነው፧", "እኔ"]),
        ("ខ្ញុំទៅ។ គាត់", ["ខ្ញុំទៅ។", "គាត់"]),
        ("བོད། ཡིག", ["བོད།", "ཡིག"]),
        ("Գնամ։ Արի", ["Գնամ։", "Արի"]),
        ("No end\n \nA paragraph", ["No end", "A paragraph"]),
        (" \n\t ", []),
    ],
)
def test_each_script_ends_its_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


def test_a_run_without_borders_is_taken_in_bounded_pieces_that_break_no_character() -> None:
    family = "👩‍👩‍👧‍👦"
    text = family * 9000
    parts = sentences(text)
    assert "".join(parts) == text
    assert max(map(len, parts)) <= MOST_CHARACTERS and len(parts) > 2
    assert {len(part) % len(family) for part in parts} == {0}


def test_borders_go_by_words_then_by_characters() -> None:
    assert last_border("ab cd ef", 7, 0, 0) == 6
    assert last_border("ab cd ef", 7, 0, 6) == 7
    accented = "xe\u0301\u0323y"
    assert last_border(accented, 3, 0, 3) == 1
    assert last_border(accented, 3, 1, 3) == 3  # it alone is longer
    assert next_border("ab cd", 1, 5) == 3
    assert next_border(accented, 2, 5) == 4
    assert next_border("abc", 3, 3) == 3
