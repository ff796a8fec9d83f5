"""Keywords: what counts as one, where it stands, and how often each is drawn."""

from collections import Counter

from pipeline.generation.keyword_table import KeywordTable

TEXTS = ["the bee, the bee and the hive; co2 in 1999", "a hive is a hive", "Wax and wax and Wax."]

TABLE = KeywordTable(TEXTS)


def test_words_that_say_something_are_keywords_whatever_their_case() -> None:
    assert TABLE.words == ["bee", "hive", "wax"]
    assert KeywordTable([]).words == KeywordTable(["and so on; x y; 12"]).words == []
    assert KeywordTable([]).draw(3, 1, ["lot"]) == []


def test_a_word_belongs_to_the_passage_that_has_it_most_often() -> None:
    assert TABLE.places(["hive"]) == [1], "twice there, once in the first"
    assert TABLE.places(["wax", "bee", "wax"]) == [0, 2]
    assert KeywordTable(["wax", "wax"]).places(["wax"]) == [0]


def first_drawn(temperature: float) -> dict[str, float]:
    drawn = Counter(TABLE.draw(1, temperature, ["lot", n])[0] for n in range(4000))
    return {word: count / 4000 for word, count in sorted(drawn.items())}


def test_at_1_words_come_by_their_frequency_and_at_a_high_temperature_evenly() -> None:
    shares = first_drawn(1)  # 2, 3 and 3 of 8
    assert all(abs(shares[w] - share) < 0.03 for w, share in {"bee": 2 / 8, "hive": 3 / 8}.items())
    assert all(abs(share - 1 / 3) < 0.03 for share in first_drawn(1e6).values())


def test_no_word_is_drawn_twice_and_the_lot_decides() -> None:
    assert sorted(TABLE.draw(9, 3, ["lot"])) == TABLE.words
    assert TABLE.draw(2, 3, ["lot"]) == KeywordTable([*TEXTS]).draw(2, 3, ["lot"])
    assert len({tuple(TABLE.draw(3, 3, ["lot", n])) for n in range(50)}) == 6
