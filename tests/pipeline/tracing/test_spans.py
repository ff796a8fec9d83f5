from dataclasses import replace
from math import ceil, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.text.suffix_array import build_index
from pipeline.text.tokens import split_forms, split_tokens
from pipeline.tracing.found import NAMED
from pipeline.tracing.spans import Traced, find_matches, trace_text

QUOTE = "the slow kettle hums a tune that nobody in town can name"  # 12 words


def filler(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """Rows of random words that share no three."""
    words = np.random.default_rng(seed).integers(0, 3000, (n, 2, 15))
    return [(" ".join(f"w{w}" for w in p), " ".join(f"w{w}" for w in r)) for p, r in words]


def trace(
    rows: list[tuple[str, str]],
    completion: str,
    prompt: str = "",
    min_words: int = 6,
    spans: int | None = None,
    most_rows: int = 10,
) -> Traced:
    return trace_text(build_index(rows), completion, prompt, min_words, (spans, most_rows))


def test_a_quoted_row_comes_first_with_exact_places() -> None:
    rows = filler(40)
    rows[17] = (rows[17][0], f"w1 w2 {QUOTE}, w3")
    completion = f"Well, I think {QUOTE} and so on."
    found = trace(rows, completion)
    (span,) = found.spans
    assert completion[span.start : span.end] == QUOTE
    assert (span.match.words, span.match.count, span.rows.tolist()) == (12, 1, [17])
    index = build_index(rows)
    assert span.parts.tolist() == [17 * 2 + 1]
    assert (span.positions - index.starts[span.parts]).tolist() == [2]
    row = found.rows[0]
    assert (row.row, row.spans) == (17, (0,))
    assert row.score == pytest.approx(log(40 / 1) * 12)
    assert row.coverage == (0.0, 12 / 18)
    assert found.coverage == 12 / 18 and found.words == 18


def test_spans_never_cross_a_row_boundary() -> None:
    halves = QUOTE.split()
    rows = [("x", " ".join(halves[:6])), (" ".join(halves[6:]), "y"), *filler(3)]
    found = trace(rows, QUOTE, spans=9)
    assert [QUOTE[span.start : span.end] for span in found.spans] == [
        " ".join(halves[:6]),
        " ".join(halves[6:]),
    ]


@settings(max_examples=60)
@given(
    st.lists(st.text("ab. ", max_size=14), min_size=1, max_size=6),
    st.text("ab. ", max_size=14),
)
def test_every_span_stands_in_its_rows_as_often_as_it_says(texts: list[str], wanted: str) -> None:
    rows = [(text, text[::-1]) for text in texts]
    index = build_index(rows)
    found = trace_text(index, wanted, "", 1, (99, 99))
    parts = [split_forms(text) for row in rows for text in row]
    reached = 0
    for span in found.spans:
        forms = split_forms(wanted[span.start : span.end])
        ends = [
            (part, at)
            for part, there in enumerate(parts)
            for at in range(len(there))
            if there[at : at + len(forms)] == forms
        ]
        assert span.match.count == len(ends)
        assert span.parts.tolist() == sorted({part for part, _ in ends})
        assert span.rows.tolist() == sorted({part // 2 for part, _ in ends})
        for part, position in zip(span.parts.tolist(), span.positions.tolist(), strict=True):
            at = position - index.starts[part]
            assert parts[part][at : at + len(forms)] == forms  # read again
        assert span.match.end > reached  # none within the one before it
        reached = span.match.end


def test_the_match_from_each_word_is_the_longest() -> None:
    rows = [("a b c", "b c d e"), ("x", "e f")]
    index = build_index(rows)
    query = split_tokens("a b c d e f g")
    tokens = index.encode([token.form for token in query])
    found = find_matches(index, tokens, np.ones(7, dtype=bool), [7] * 7)
    assert [(match.first, match.end) for match in found] == [(0, 3), (1, 5), (4, 6)]


def test_a_span_ends_with_its_sentence_and_begins_with_a_word() -> None:
    text = '... "Stop here now. Go there at once and wait'
    rows = [(text, ""), *filler(3)]
    found = trace(rows, text, min_words=3, spans=9)
    assert [text[span.start : span.end] for span in found.spans] == [
        "Stop here now.",
        "Go there at once and wait",
    ]


def test_short_spans_and_those_of_the_prompt_are_left_out() -> None:
    rows = [("one two three four five six", QUOTE), *filler(3)]
    completion = f"one two three four five. {QUOTE}"
    assert trace(rows, completion).found == 1
    assert trace(rows, completion, min_words=5).found == 2
    assert trace(rows, completion, prompt=f"Why is it that {QUOTE}?").found == 0
    assert trace(rows, completion, prompt=QUOTE[:-5]).found == 1  # it has only a part of it


def test_signs_do_not_count_as_words() -> None:
    rows = [("( a , b ; c : d - e )", ""), *filler(2)]
    assert trace(rows, "( a , b ; c : d - e )").found == 0
    assert trace(rows, "( a , b ; c : d - e )", min_words=5).found == 1


def test_the_rarest_spans_stay() -> None:
    common = [("p", "so as we have all seen before")] * 30
    rows = [*common, ("q", QUOTE), *filler(5)]
    words = " ".join(f"v{i}" for i in range(40))
    completion = f"so as we have all seen before. {words}. {QUOTE}."
    found = trace(rows, completion)
    assert found.words == 59 and ceil(0.05 * 59) == 3
    assert len(found.spans) == found.found == 2
    (span,) = trace(rows, completion, spans=1).spans
    assert completion[span.start : span.end] == QUOTE
    index = build_index(rows)
    counts = [index.counts[token] for token in index.encode(QUOTE.split())]
    assert span.log_probability == pytest.approx(sum(log(c / index.words) for c in counts))


@pytest.mark.parametrize(("words", "kept"), [(12, 1), (20, 1), (21, 2)])
def test_a_twentieth_of_the_words_is_kept_and_one_at_least(words: int, kept: int) -> None:
    pieces = [" ".join(f"{name}{i}" for i in range(6)) for name in "ab"]
    rest = " ".join(f"z{i}" for i in range(words - 12))
    assert len(trace([*[(p, "") for p in pieces]], f"{'. '.join(pieces)}. {rest}").spans) == kept


def test_of_a_common_phrase_the_first_rows_are_named() -> None:
    rows = [(f"n{i}", f"m{i} {QUOTE}") for i in range(60)]
    (span,) = trace([*rows, *filler(3)], QUOTE).spans
    assert span.match.common and span.match.count == 60
    parts, positions = span.named()
    assert parts.tolist() == [2 * row + 1 for row in range(NAMED)] and len(positions) == NAMED
    (fewer,) = trace([*rows[:50], *filler(3)], QUOTE).spans
    assert not fewer.match.common and len(fewer.named()[0]) == 50


def test_rows_are_ranked_by_rarity_then_likeness_then_order() -> None:
    other = "a bowl of green soup stood on the old table"
    rows = [
        ("", f"{QUOTE} extra words here to make it longer and less alike"),
        ("", QUOTE),
        ("", QUOTE),
        (other, QUOTE),
        *filler(10),
    ]
    found = trace(rows, f"{QUOTE}. {other}.", spans=2)
    assert [row.row for row in found.rows] == [3, 1, 2, 0]
    assert found.rows[0].score == pytest.approx(12 * log(14 / 4) + 10 * log(14 / 1))
    assert found.rows[0].coverage == (10 / 22, 12 / 22)
    assert found.rows[1].bm25 == found.rows[2].bm25 > found.rows[3].bm25
    assert found.rows_hit == 4
    fewer = trace(rows, f"{QUOTE}. {other}.", spans=2, most_rows=2)
    assert fewer.rows == found.rows[:2] and fewer.rows_hit == 4


def test_bm25_by_hand() -> None:
    found = trace([("a b b", "c d e"), ("x y z w", "v u")], "a b b. c d e", spans=2, min_words=3)
    # asked: a, b, c, d, e and the signs; weights log(1 + 1.5 / 1.5); both rows have 6 words
    by_hand = log(2) * (4 * 2.2 / 2.2 + 2 * 2.2 / 3.2)
    assert found.rows[0].bm25 == pytest.approx(by_hand)


def test_an_unrelated_row_changes_no_place_but_idf() -> None:
    rows = filler(20)
    rows[3] = (rows[3][0], QUOTE)
    before = trace(rows, f"so {QUOTE}")
    after = trace([*rows, ("entirely unrelated", "to it")], f"so {QUOTE}")
    (old,), (new,) = before.spans, after.spans
    assert (old.start, old.end, old.parts.tolist()) == (new.start, new.end, new.parts.tolist())
    assert replace(old.match, interval=(0, 0)) == replace(new.match, interval=(0, 0))
    assert new.idf - old.idf == pytest.approx(log(21 / 20))


def test_what_no_row_has_gives_nothing() -> None:
    for rows in ([], [("", "")], filler(3)):
        found = trace(rows, QUOTE)
        assert (found.spans, found.rows, found.rows_hit, found.coverage) == ((), (), 0, 0)
    assert trace(filler(3), "?!").words == 0


@pytest.mark.parametrize(("min_words", "spans", "rows"), [(0, 1, 1), (1, 0, 1), (1, None, 0)])
def test_numbers_out_of_range_are_refused(min_words: int, spans: int | None, rows: int) -> None:
    with pytest.raises(ValueError, match="must be 1 or more"):
        trace(filler(1), QUOTE, "", min_words, spans, rows)
