# ruff: noqa: RUF001 - signs of many scripts are meant
"""Passages cover a text in any script, in order, and keep within their tokens and their overlap."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.documents.passages import PassageSize, cut_passages
from pipeline.documents.units import TokenStarts

SCRIPTS = (
    "The dog barks. “Who is there?” he asks! See e.g. page 3… and so on. ",
    "狗在叫。谁在那里？“是我！”他说。",
    "犬が吠える。「誰だ？」と彼は言う。",
    "สุนัขเห่าอยู่หน้าบ้านตลอดทั้งคืน ใครอยู่ที่นั่น",
    "الكلب ينبح. من هناك؟ أنا هنا۔ ",
    "कुत्ता भौंकता है। वहाँ कौन है? मैं हूँ॥ ",
    "ውሻው ይጮኻል። ማን ነው፧ ",
    "👩‍👩‍👧‍👦🇩🇪e\u0301\u0323",
)
WORD = re.compile(r"\s*\w+|\s*[^\w\s]|\s+")


def of_words(texts: Sequence[str]) -> list[list[int]]:
    """A tokenizer of words with the white space before them."""
    return [[found.start() for found in WORD.finditer(text)] for text in texts]


def of_bytes(texts: Sequence[str]) -> list[list[int]]:
    """A tokenizer of bytes: a character may have several."""
    return [[at for at, sign in enumerate(text) for _ in sign.encode()] for text in texts]


def of_pairs(texts: Sequence[str]) -> list[list[int]]:
    """A tokenizer whose tokens depend on where a text begins: two characters each."""
    return [[*range(0, len(text), 2)] for text in texts]


TOKENIZERS: tuple[TokenStarts, ...] = (of_words, of_bytes, of_pairs)

texts = st.lists(
    st.one_of(
        st.sampled_from(SCRIPTS),
        st.sampled_from(("\n\n", " ", "\n", "\u3000", "# Head\n\n", "x" * 50, ". ")),
        st.text(st.characters(codec="utf-8"), max_size=20),
    ),
    max_size=12,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(
    text=texts,
    tokens=st.integers(8, 60),
    overlap=st.integers(0, 30),
    least=st.integers(0, 60),
    borders=st.lists(st.integers(0, 400), max_size=4, unique=True),
    starts=st.sampled_from(TOKENIZERS),
)
def test_passages_cover_the_text_in_order_and_keep_their_bounds(
    text: str, tokens: int, overlap: int, least: int, borders: list[int], starts: TokenStarts
) -> None:
    size = PassageSize(tokens, min(overlap, tokens // 2), min(least, tokens))
    headings = sorted(at for at in borders if at < len(text))
    passages = cut_passages(text, headings, size, starts)
    covered = [False] * len(text)
    for start, end, held in passages:
        assert text[start:end].strip() == text[start:end] != ""
        assert held == len(starts([text[start:end]])[0]) <= size.tokens
        covered[start:end] = [True] * (end - start)
    assert all(there or sign.isspace() for there, sign in zip(covered, text, strict=True))
    for before, after in pairwise(passages):
        assert before.start < after.start and before.end < after.end
        shared = text[after.start : before.end]
        assert len(starts([shared])[0]) <= size.overlap
    assert cut_passages(text, headings, size, starts) == passages


def cut(text: str, tokens: int, overlap: int = 0, least: int = 0, *headings: int) -> list[str]:
    size = PassageSize(tokens, overlap, least)
    return [text[start:end] for start, end, _ in cut_passages(text, headings, size, of_words)]


def test_whole_sentences_fill_a_passage_and_are_what_it_shares_with_the_next() -> None:
    # Three words and a full stop each: four tokens.
    text = "One two three. Four five six. Seven eight nine. Ten eleven twelve."
    assert cut(text, 8) == [
        "One two three. Four five six.",
        "Seven eight nine. Ten eleven twelve.",
    ]
    assert cut(text, 12, 4) == [
        "One two three. Four five six. Seven eight nine.",
        "Seven eight nine. Ten eleven twelve.",
    ]


def test_a_heading_ends_a_passage_that_has_the_least_and_stands_with_its_own_text() -> None:
    text = "First one here. Second one here.\n\nHead\n\nThird one here."
    head = text.index("Head")
    assert cut(text, 30, 8, 4, head) == [
        "First one here. Second one here.",
        "Head\n\nThird one here.",
    ]
    assert cut(text, 30, 8, 20, head) == [text]
    # It would fit, but would stand at the end of a passage without what it is of.
    assert cut(text, 11, 0, 11, head)[-1] == "Head\n\nThird one here."


def test_a_passage_below_the_least_goes_on_past_a_heading() -> None:
    text = "A b.\n\nHead\n\nC d. E f. G h.\n\nNext\n\nI j. K l. M n. O p."
    headings = [text.index("Head"), text.index("Next")]
    assert cut(text, 30, 0, 5, *headings)[0] == text[: text.index("Next")].strip()
    assert cut(text, 30, 0, 0, *headings)[0] == "A b."


def test_white_space_between_sentences_counts_in_what_they_share() -> None:
    text, size = "Ab. Cd. Ef. Gh. Ij. Kl.", PassageSize(16, 6, 0)
    first, second, *_ = cut_passages(text, [], size, of_bytes)  # a sentence has 3 bytes, two have 7
    assert text[second.start : first.end] == text[first.end - 3 : first.end]


def test_a_last_passage_below_the_least_is_filled_from_the_one_before() -> None:
    text = "One two three. Four five six. Seven eight nine."
    assert cut(text, 8, 0, 0)[-1] == "Seven eight nine."
    assert cut(text, 9, 0, 4) == ["One two three. Four five six.", "Seven eight nine."]
    assert cut("A b. C d. E f. G h. I j.", 12, 0, 6) == ["A b. C d. E f.", "G h. I j."]


def test_a_sentence_without_any_border_is_cut_between_characters_and_overlaps() -> None:
    thai = "กำลังเรียนรู้" * 40
    size = PassageSize(40, 10, 0)
    passages = cut_passages(thai, [], size, of_bytes)
    assert len(passages) > 10
    for start, end, held in passages:
        assert not unicodedata.combining(thai[start]) and held <= 40
        assert end == len(thai) or unicodedata.category(thai[end]) != "Mn"
    assert all(after.start < before.end for before, after in pairwise(passages))


def test_a_character_of_more_tokens_than_a_passage_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"character 1 has 4 tokens.*raise passages\.tokens"):
        cut_passages("a😀", [], PassageSize(3, 0, 0), of_bytes)


def test_work_grows_with_the_text_and_not_with_its_square() -> None:
    asked: list[int] = []

    def counted(texts: Sequence[str]) -> list[list[int]]:
        asked.append(sum(map(len, texts)))
        return of_words(texts)

    def characters(copies: int) -> int:
        asked.clear()
        cut_passages("One two three. " * copies + "x" * copies, [], PassageSize(64, 8, 8), counted)
        return sum(asked)

    assert characters(4000) < 5 * characters(1000)
