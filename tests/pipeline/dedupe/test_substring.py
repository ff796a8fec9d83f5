import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedupe.clusters import keep_order
from pipeline.dedupe.stage import deduplicate_examples
from pipeline.dedupe.substring import Substring, remove_shared_spans
from pipeline.ranking.outcome import Outcome
from pipeline.scoring.stage import ScoreSettings
from storage.database import read_workspace
from tests.stage_runner import count_words, score, start


def ids(n: int) -> np.ndarray:
    return np.array([f"{i:04}" for i in range(n)], dtype=object)


def dedupe(
    texts: list[str], words: int, share: float | None = None, scores: list[float] | None = None
) -> Outcome:
    given = np.full(len(texts), np.nan) if scores is None else np.array(scores)
    return remove_shared_spans(texts, given, ids(len(texts)), words, share)


def longest_common(a: list[str], b: list[str]) -> int:
    """By looking at every pair of places."""
    best = 0
    for i in range(len(a)):
        for j in range(len(b)):
            run = 0
            while i + run < len(a) and j + run < len(b) and a[i + run] == b[j + run]:
                run += 1
            best = max(best, run)
    return best


def covered(a: list[str], b: list[str], words: int) -> float:
    """Share of a's words in runs of so many words that b has."""
    there = [b[j : j + words] for j in range(len(b) - words + 1)]
    inside = {
        i + step
        for i in range(len(a) - words + 1)
        if a[i : i + words] in there
        for step in range(words)
    }
    return len(inside) / len(a) if a else 0.0


@settings(max_examples=80)
@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=9), max_size=12),
    st.integers(1, 4),
    st.sampled_from([None, 0.3, 0.6, 1.0]),
    st.data(),
)
def test_equals_the_comparison_of_all_pairs(
    rows: list[list[str]], words: int, share: float | None, data: st.DataObject
) -> None:
    scores = np.array([data.draw(st.sampled_from([0.0, 1.0, np.nan])) for _ in rows])
    outcome = remove_shared_spans(map(" ".join, rows), scores, ids(len(rows)), words, share)
    kept: list[int] = []
    for row in keep_order(scores, ids(len(rows))).tolist():
        if share is None:
            alike = [float(longest_common(rows[row], rows[other])) for other in kept]
            bound = float(words)
        else:
            alike, bound = [covered(rows[row], rows[other], words) for other in kept], share
        best = max(alike, default=-1.0)
        if best < bound:
            kept.append(row)
            assert outcome.reasons[row] == ""
        else:
            assert outcome.reasons[row] == "shared_span"
            assert outcome.because_of[row] == kept[alike.index(best)]
            assert outcome.value[row] == best
    np.testing.assert_array_equal(outcome.indices, np.array(kept, dtype=np.int64))


PASSAGE = " ".join(f"w{i}" for i in range(50))


def test_a_passage_of_fifty_words_is_enough_and_of_forty_nine_is_not() -> None:
    shorter = " ".join(PASSAGE.split()[:49])
    texts = [f"first {PASSAGE} a", f"a {shorter} more", f"quite other {PASSAGE.upper()}!"]
    outcome = remove_shared_spans(texts, np.full(3, np.nan), ids(3))
    np.testing.assert_array_equal(outcome.reasons, ["", "", "shared_span"])
    assert (outcome.because_of[2], outcome.value[2]) == (0, 50)


def test_the_best_copy_stays_and_is_named() -> None:
    outcome = dedupe([f"a {PASSAGE}", f"b {PASSAGE}", f"c {PASSAGE}"], 20, scores=[1.0, 3.0, 2.0])
    np.testing.assert_array_equal(outcome.indices, [1])
    np.testing.assert_array_equal(outcome.because_of, [1, -1, 1])


def test_a_row_goes_because_of_one_kept_row_only() -> None:
    left, right = "a b c d e", "p q r s t"
    texts = [left, right, f"{left} {right}"]
    scores = [2.0, 2.0, 1.0]
    assert dedupe(texts, 3, 0.6, scores).reasons[2] == ""  # half of it in each
    assert dedupe(texts, 3, 0.5, scores).because_of[2] == 0


def test_no_chain_takes_a_row_whose_copy_went() -> None:
    texts = ["a b c d", "c d e f", "e f g h"]
    np.testing.assert_array_equal(dedupe(texts, 2).indices, [0, 2])


def test_a_passage_that_repeats_in_its_own_row_is_no_copy() -> None:
    assert len(dedupe(["a b c a b c a b c", "x y z"], 3).indices) == 2


def test_short_and_empty_rows_stay() -> None:
    assert len(dedupe(["a b", "a b", "", ""], 3).indices) == 4
    assert len(dedupe([], 3).indices) == 0


@pytest.mark.parametrize(("words", "share"), [(0, None), (5, 0.0), (5, 1.1)])
def test_settings_out_of_range_are_refused(words: int, share: float | None) -> None:
    with pytest.raises(ValueError, match=r"words must be 1 or more, and share above 0"):
        dedupe(["a"], words, share)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="2 texts but 1 ids"):
        remove_shared_spans(["a", "b"], np.full(1, np.nan), ids(1))


def test_as_a_step_of_a_recipe(tmp_path: Path) -> None:
    passage = " ".join(PASSAGE.split()[:12])
    rows = [("a", f"so {passage}"), ("b", f"{passage} and then more"), (passage, "c")]
    lines = [json.dumps({"prompt": p, "completion": c}) for p, c in rows]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    run = score(count_words(run, pool), ScoreSettings(scorer="response_length"), pool)
    step = Substring(method="substring", text="response", words=12, keep="response_length")
    assert len(deduplicate_examples(run, [step], pool)) == 2
    with read_workspace(run.workspace) as con:
        dropped = con.execute(
            "select e.prompt, o.prompt, d.reason, d.value, c.label from decisions d "
            "join stage_counts c using (run_id, stage, step) "
            "join examples e using (example_id) join examples o on o.example_id = d.because_of "
            "where outcome = 'dropped'"
        ).fetchall()
    assert dropped == [("a", "b", "shared_span", 12, "substring on response, of 12 words")]


def test_a_passage_is_as_long_in_every_script_and_signs_do_not_lengthen_it() -> None:
    """12 words are 21 Han characters, at 4/7 each, and 60 of Thai, at 1/5; 12 words with signs."""
    for first, length in ((0x4E00, 21), (0x0E01, 60)):
        text = "".join(chr(first + n % 31) for n in range(length))
        texts = [f"one {text} two", f"three {text} four", f"five {text[:-1]} six"]
        outcome = dedupe(texts, 12)
        np.testing.assert_array_equal(outcome.reasons, ["", "shared_span", ""])
        assert outcome.value[1] == 12
    sums = " = ".join(f"w{n}" for n in range(12))
    np.testing.assert_array_equal(dedupe([sums, f"so {sums}"], 13).reasons, ["", ""])
    np.testing.assert_array_equal(dedupe([sums, f"so {sums}"], 12).reasons, ["", "shared_span"])


def test_a_share_is_of_the_text_and_not_of_its_characters() -> None:
    """7 Han characters are 4 words, so they are half of a text with 4 words beside them."""
    han = "一二三四五六七"
    texts = [f"{han} p q r s t u", f"{han} a b c d"]
    assert dedupe(texts, 4, 0.5, [1.0, 0.0]).value[1] == 0.5
    assert dedupe(texts, 4, 0.51, [1.0, 0.0]).reasons[1] == ""
