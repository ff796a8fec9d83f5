"""Texts change by as many words as they should, answers by none, and the draws are the row's."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from pipeline.generation.makers.eda import (
    EDA,
    OPERATIONS,
    Operation,
    change_text,
    read_synonyms,
    split_at_words,
    vary_text,
)
from pipeline.ingest.rows import UnreadableSourceError
from storage.conversations import Conversation
from storage.examples import Example

TEXT = "The soup, which wasn't warm, came late; nobody said a well-meant word about it, or us."
"""16 words."""

SYNONYMS = {"soup": ["broth"], "warm": ["hot"], "the": ["that"]}


def source(text: str = TEXT, answer: str = "complaint") -> Example:
    messages = [
        {"role": "system", "content": "Is it a praise?"},
        {"role": "user", "content": text},
        {"role": "assistant", "content": answer},
    ]
    of = Conversation(messages)
    return Example(of.example_id, of.prompt_id, messages, [], 2, text, answer, [2])


def eda(**fields: object) -> EDA:
    return EDA.model_validate({"method": "eda", **fields})


def changed(operation: Operation, share: float, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return split_at_words(change_text(TEXT, operation, share, SYNONYMS, rng)).words


def test_a_text_is_cut_at_words_that_hold_together() -> None:
    words = split_at_words(TEXT).words
    assert len(words) == 16 and {"wasn't", "well-meant"} <= {*words}


@pytest.mark.parametrize("seed", range(20))
def test_each_operation_changes_as_many_words_as_it_should(seed: int) -> None:
    before = split_at_words(TEXT).words
    replaced = changed("replace", 0.125, seed)  # 2 of 16
    pairs = {(old, new) for old, new in zip(before, replaced, strict=True) if old != new}
    assert len(pairs) == 2 and pairs < {("The", "That"), ("soup", "broth"), ("warm", "hot")}
    inserted = Counter(changed("insert", 0.125, seed))
    assert (inserted - Counter(before)).total() == 2 and not Counter(before) - inserted
    assert {*(inserted - Counter(before))} <= {"broth", "hot", "that"}
    deleted = Counter(changed("delete", 0.125, seed))
    assert (Counter(before) - deleted).total() == 2 and not deleted - Counter(before)
    swapped = changed("swap", 0.06, seed)  # none of 16, so 1
    assert Counter(swapped) == Counter(before)
    assert sum(old != new for old, new in zip(before, swapped, strict=True)) == 2


def test_signs_stay_where_a_word_is_deleted_and_the_last_word_too() -> None:
    texts = {
        change_text("(Big, red) dog.", "delete", 0.1, {}, np.random.default_rng(n))
        for n in range(30)
    }
    assert texts == {"(, red) dog.", "(Big,) dog.", "(Big, red)."}
    for n in range(10):
        left = change_text("One two three.", "delete", 0.99, {}, np.random.default_rng(n))
        assert len(split_at_words(left).words) == 1


def test_the_draws_are_of_the_row_and_the_seed_and_no_variant_is_the_text_or_another() -> None:
    settings = eda(variants=6, alpha=0.2)
    found = vary_text(settings, source(), {}, 1)
    assert found == vary_text(settings, source(), {}, 1) != vary_text(settings, source(), {}, 2)
    assert found[:3] == vary_text(settings.model_copy(update={"variants": 3}), source(), {}, 1)
    texts = [text for _, text in found]
    assert len({*texts, TEXT}) == 7
    assert [each for each, _ in found] == ["insert", "swap", "delete"] * 2, "no synonyms here"
    for seed in range(8):
        # Of two words each can be deleted once, and both swapped in one way.
        few = vary_text(
            eda(variants=4, operations=["delete", "swap"]), source("Good soup"), {}, seed
        )
        assert sorted(few) == [("delete", "Good"), ("delete", "soup"), ("swap", "soup Good")]
        # Swapped there and back a text is as it was.
        twice = vary_text(
            eda(variants=2, alpha=0.7, operations=["swap"]), source("a b c"), {}, seed
        )
        assert "a b c" not in [text for _, text in twice]


def test_the_answer_and_all_before_the_last_message_stay() -> None:
    row = source()
    making = eda().makings([row], 1)[row.example_id]
    with pytest.raises(StopIteration) as ended:
        next(making)
    made = [settled.row for settled in ended.value.value]
    assert len(made) == 4
    for each in made:
        assert each is not None
        system, asked, answer = each.messages
        assert (system, answer) == (row.messages[0], row.messages[2]) and asked["content"] != TEXT


@pytest.mark.parametrize(
    ("text", "answer", "taken"),
    [
        (TEXT, "a complaint of a guest", True),
        (TEXT, "a complaint of a very guest", False),
        (TEXT, "", False),
        ("Soup soup SOUP", "complaint", False),
        ("汤是冷的 soup", "complaint", False),
    ],
)
def test_rows_of_labels_are_taken_and_no_others(text: str, answer: str, taken: bool) -> None:
    assert eda().takes(source(text, answer)) == taken


def test_synonyms_are_read_both_ways_and_are_a_part_of_the_key(tmp_path: Path) -> None:
    path = tmp_path / "synonyms.txt"
    path.write_text("# of tables\nFilm, movie ,motion picture\n\nmovie, flick\n")
    assert read_synonyms(path) == {
        "film": ["movie", "motion picture"],
        "movie": ["Film", "motion picture", "flick"],
        "motion picture": ["Film", "movie"],
        "flick": ["movie"],
    }
    (tmp_path / "same.txt").write_bytes(path.read_bytes())
    keys = [eda(synonyms=name).placed(tmp_path).key(0) for name in ("synonyms.txt", "same.txt")]
    path.write_text("film, flick")
    keys.append(eda(synonyms=path).key(0))
    assert keys[0] == keys[1] != keys[2]
    row = source("A movie, and so on")
    with pytest.raises(StopIteration) as ended:
        next(
            eda(synonyms=tmp_path / "same.txt", operations=["replace"]).makings([row], 1)[
                row.example_id
            ]
        )
    made = [settled.row.messages[1]["content"] for settled in ended.value.value]
    assert sorted(made) == [
        "A Film, and so on",
        "A flick, and so on",
        "A motion picture, and so on",
    ]


@pytest.mark.parametrize("line", ["film", "film,", "film => movie, flick", ", film"])
def test_a_file_that_is_none_is_told_before_work(line: str, tmp_path: Path) -> None:
    path = tmp_path / "synonyms.txt"
    path.write_text(f"a, b\n{line}\n")
    with pytest.raises(UnreadableSourceError, match="line 2: expected two words"):
        eda(synonyms=path).require()
    with pytest.raises(UnreadableSourceError, match="cannot be read"):
        eda(synonyms=tmp_path / "none.txt").require()


def test_replacing_alone_needs_synonyms() -> None:
    with pytest.raises(ValidationError, match="give one, or other operations"):
        eda(operations=["replace"])
    assert {*OPERATIONS} == {*eda().operations}
