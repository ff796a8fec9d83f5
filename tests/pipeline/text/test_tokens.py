import pytest

from pipeline.text.tokens import is_word, sentence_ends, split_forms, split_tokens


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("", []),
        (" \n\t", []),
        ("Don't stop_it, 3.5!", ["Don't", "stop_it", ",", "3", ".", "5", "!"]),
        ("the dogs' day", ["the", "dogs", "'", "day"]),
        ("日本 ok", ["日", "本", "ok"]),
        ("กำไร", ["ก", "ำ", "ไ", "ร"]),
        ("e\u0301te\u0301", ["\u00e9t\u00e9"]),  # composed
        ("a =\u0338 b", ["a", "\u2260", "b"]),
        ("हिन्दी", ["हिन्दी"]),  # with its vowel signs
    ],
)
def test_a_text_is_words_and_signs(text: str, forms: list[str]) -> None:
    assert split_forms(text) == forms
    assert [token.form for token in split_tokens(text)] == forms


def test_every_token_is_where_it_says() -> None:
    text = 'He said: "na\u00efve e\u0301t\u00e9" 日本, don\u2019t.'
    tokens = split_tokens(text)
    assert "".join(text[token.start : token.end] for token in tokens) == "".join(text.split())
    assert [text[t.start : t.end] for t in tokens if t.form == "\u00e9t\u00e9"] == [
        "e\u0301t\u00e9"
    ]


def test_words_are_told_from_signs() -> None:
    assert [form for form in split_forms("_a 7 日 . ' +") if is_word(form)] == ["_a", "7", "日"]


def test_a_sentence_ends_at_its_sign_where_white_space_follows_and_at_an_empty_line() -> None:
    text = 'Pi is 3.14, he said. "Go now!" Then\nwe went\n\nhome. 日。本'
    tokens = split_tokens(text)
    ends = list(sentence_ends(text, tokens))
    sentences = [
        " ".join(token.form for token, end in zip(tokens, ends, strict=True) if end == border)
        for border in sorted(set(ends))
    ]
    assert sentences == [
        "Pi is 3 . 14 , he said .",
        '" Go now ! "',
        "Then we went",
        "home .",
        "日 。",
        "本",
    ]
