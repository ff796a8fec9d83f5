"""Edits make one text of another, to the byte, and what is no edit of a text is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.generation.makers.edit_spans import (
    EditSpan,
    EditSpans,
    apply_edits,
    cut_tokens,
    find_edits,
    make_by_edit_spans,
    read_edit_spans,
    write_edit_spans,
)
from storage.conversations import Conversation
from storage.examples import Example

SPECIAL = st.sampled_from(
    ["\r\n", "\n", "\u2028", "👩‍👩‍👧", "e\u0301", "\u00a0", '"', "\\", "it's", "a b", " "]
)
TEXTS = st.lists(st.text(max_size=4) | SPECIAL, max_size=12).map("".join)


@given(TEXTS, TEXTS)
@settings(max_examples=200)
def test_edits_that_were_written_and_read_again_give_the_text_to_the_byte(
    source: str, target: str
) -> None:
    assert "".join(cut_tokens(source)) == source
    edits = find_edits(source, target)
    assert read_edit_spans(write_edit_spans(edits)) == edits
    assert apply_edits(source, edits).encode("utf-8", "surrogatepass") == target.encode(
        "utf-8", "surrogatepass"
    )


def test_edits_by_hand() -> None:
    source = "We was late, and it rained."  # We·was·late·,·and·it·rained·.
    assert find_edits(source, "We were late, and it rained.") == [EditSpan(1, 2, "were ")]
    assert find_edits(source, "Then we was late, and it rained!") == [
        EditSpan(0, 1, "Then we "),
        EditSpan(7, 8, "!"),
    ]
    assert find_edits(source, "We late, and it rained.") == [EditSpan(1, 2, "")]
    assert find_edits(source, "We all was late, and it rained.") == [EditSpan(1, 1, "all ")]
    # One token between two changes is written anew, two are not.
    assert find_edits("a b c d e", "x b y d e") == [EditSpan(0, 3, "x b y ")]
    assert find_edits("a b c d e", "x b c y e") == [EditSpan(0, 1, "x "), EditSpan(3, 4, "y ")]
    assert (
        write_edit_spans(find_edits(source, source)) == "no change"
        and read_edit_spans("no change") == []
    )


@pytest.mark.parametrize(
    "written",
    ["3 4", '1 2 "x', "1 2 x", '1 2 "x" ', '-1 2 "x"', "", 'no change\n1 2 "x"'],
)
def test_what_is_no_edit_is_not_read(written: str) -> None:
    with pytest.raises(ValueError, match="not an edit"):
        read_edit_spans(written)


@pytest.mark.parametrize(
    "edits",
    [
        [EditSpan(0, 4, "x")],
        [EditSpan(2, 1, "x")],
        [EditSpan(0, 2, "x"), EditSpan(1, 3, "y")],
        [EditSpan(4, 4, "x")],
    ],
)
def test_edits_of_another_text_are_never_applied_in_part(edits: list[EditSpan]) -> None:
    with pytest.raises(ValueError, match="are not behind"):
        apply_edits("a b c", edits)


def made_of(prompt: str, answer: str) -> tuple[str, Conversation]:
    messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    source = Example("id", "prompt", messages, [], 1, prompt, answer, [1])
    making = make_by_edit_spans(EditSpans(method="edit_spans"), source)
    try:
        next(making)
    except StopIteration as ended:
        (each,) = ended.value
        assert each.row is not None
        return each.reason, each.row
    raise AssertionError("it asked something")


def test_a_row_shows_its_numbered_words_and_answers_with_edits() -> None:
    answer = "We were late, and it rained for the whole of the afternoon."
    reason, row = made_of(answer.replace("were", "was"), answer)
    assert reason == "edits" and row.messages[-1]["content"] == '1 2 "were "'
    assert str(row.messages[0]["content"]).startswith("[0]We [1]was [2]late[3], [4]and ")
    assert made_of(answer, answer)[1].messages[-1]["content"] == "no change"
    reason, row = made_of("Say it.", answer)
    assert reason == "full_text" and row.messages[-1]["content"] == answer
