import pytest

from scorers.measures.reading.sentence_parts import cut_text


def words(text: str) -> int:
    return len(text.split())


def test_text_is_cut_at_sentence_ends_near_the_middle() -> None:
    text = "One two three. Four five six! Seven eight nine?\nTen."
    assert cut_text(text, 6, words) == ["One two three. Four five six!", "Seven eight nine?\nTen."]
    assert cut_text(text, 3, words) == [
        "One two three.",
        "Four five six!",
        "Seven eight nine?",
        "Ten.",
    ]


def test_a_sentence_that_is_too_long_is_cut_between_words_and_a_word_anywhere() -> None:
    assert cut_text("a b c d e", 2, words) == ["a b", "c", "d e"]
    assert cut_text("abcdefgh", 3, len) == ["ab", "cd", "ef", "gh"]
    assert cut_text("é", 1, lambda text: len(text.encode())) == ["é"]


@pytest.mark.parametrize(
    "text", ["word " * 999, "x. " * 300 + "y" * 500, "\n\n a \n\n", "", "。" * 9]
)
def test_nothing_but_blanks_is_lost_and_every_part_fits(text: str) -> None:
    parts = cut_text(text, 7, len)
    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(len(part) <= 7 for part in parts)
