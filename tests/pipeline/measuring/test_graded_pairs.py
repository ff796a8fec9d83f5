from collections.abc import Sequence
from dataclasses import replace

import pytest

from pipeline.measuring.graded_pairs import (
    PairRow,
    build_pairs,
    deal_folds,
    graded_answers,
    rouge_l,
)
from scorers.measures.training.graded_pair import GradedPair


def row(name: str, prompt: str, response: str, task: str = "t", generated: bool = False) -> PairRow:
    prompt_id = f"id of {prompt}"
    return PairRow(name, prompt_id, prompt, response, task, generated, prompt_id)


ROWS = [
    *(row(f"a{at}", f"ask {at}", f"answer {at}") for at in range(6)),
    *(row(f"b{at}", f"add {at}", f"sum {at}", task="maths") for at in range(6)),
    row("a0-again", "ask 0", "another answer 0"),
]


def flat(pairs: dict[int, list[GradedPair]]) -> list[GradedPair]:
    return [pair for fold in sorted(pairs) for pair in pairs[fold]]


def one_fold(rows: Sequence[PairRow], seed: int = 0) -> list[GradedPair]:
    return build_pairs(rows, dict.fromkeys((each.prompt_id for each in rows), 0), seed)[0]


def test_rouge_l_of_stemmed_words() -> None:
    # cat, on, mat in this order: 3 of the answer's 5 words, 3 of the reference's 6.
    # 2 * (3/5) * (3/6) / (3/5 + 3/6) = 6/11.
    value = rouge_l("The cats sat on the mat.", "a cat sits on mats")
    assert value == pytest.approx(6 / 11)
    assert rouge_l("same words", "Same words!") == 1.0


def test_what_has_no_word_to_count_has_no_grade() -> None:
    assert rouge_l("猫坐在垫子上", "猫坐在垫子上") is None
    assert rouge_l("a cat", "!!!") is None
    assert rouge_l("a cat", "a dog") == 0.5


def test_references_are_one_and_swapped_ones_zero() -> None:
    pairs = one_fold(ROWS)
    own = {(each.prompt, each.response) for each in ROWS}
    assert {(p.instruction, p.response) for p in pairs if p.label == 1} == own
    zeros = [pair for pair in pairs if pair.label == 0]
    assert len(zeros) >= 12 and not own & {(p.instruction, p.response) for p in zeros}


def test_a_response_is_swapped_within_its_task_and_its_fold() -> None:
    dealt = deal_folds(ROWS, 2, 0)
    fold_of = {each.response: dealt[each.prompt_id] for each in ROWS}
    task_of = {each.prompt: each.task for each in ROWS}
    swapped = build_pairs(ROWS, dealt, 0)
    for fold, pairs in swapped.items():
        for pair in pairs:
            assert fold_of[pair.response] == fold
            assert ("sum" in pair.response) == (task_of[pair.instruction] == "maths")


def test_a_prompt_that_has_every_response_gets_no_zero() -> None:
    alone = [row("a", "ask", "yes"), row("b", "ask", "no")]
    assert [pair.label for pair in one_fold(alone)] == [1, 1]
    spaced = [row("a", "ask", "yes"), row("b", "say", " yes\n")]
    assert [pair.label for pair in one_fold(spaced)] == [1, 1], "another white space is no mistake"
    beside = [*alone, row("c", "say", "yes")]
    zeros = [(p.instruction, p.response) for p in one_fold(beside) if p.label == 0]
    assert zeros == [("say", "no")], "ask has both answers already"


def test_the_order_of_the_rows_changes_nothing_and_the_seed_does() -> None:
    dealt = deal_folds(ROWS, 3, 0)
    assert deal_folds(ROWS[::-1], 3, 0) == dealt
    assert build_pairs(ROWS[::-1], dealt, 0) == build_pairs(ROWS, dealt, 0)
    assert one_fold(ROWS, seed=1) != one_fold(ROWS)
    assert deal_folds(ROWS, 3, 1) != dealt


def test_folds_are_of_like_size_and_keep_candidates_together() -> None:
    dealt = deal_folds(ROWS, 5, 0)
    sizes = [list(dealt.values()).count(fold) for fold in range(5)]
    assert sum(sizes) == 12 and max(sizes) - min(sizes) <= 1


def test_an_edited_prompt_is_dealt_as_what_it_was() -> None:
    plain = deal_folds(ROWS, 5, 0)
    marked = [
        replace(each, prompt_id=f"{each.prompt_id} [IND]") if each.task == "maths" else each
        for each in ROWS
    ]
    dealt = deal_folds(marked, 5, 0)
    for before, each in zip(ROWS, marked, strict=True):
        assert dealt[each.prompt_id] == dealt[before.prompt_id] == plain[before.prompt_id]
    both = [replace(ROWS[0], prompt_id="x"), replace(ROWS[1], prompt_id="x")]
    assert deal_folds(both, 2, 0) == deal_folds(both[::-1], 2, 0), "of two, the lower id decides"


def test_answers_of_a_model_are_graded_by_their_best_reference() -> None:
    asked = replace(row("a", "q", "the cats sat"), samples=["the cat sat down", "a dog"])
    found = dict(graded_answers(asked, ["the cats sat", "a dog ran"]))
    # 3 of 4 and 3 of 3: 6/7; the second by the other reference, 2 of 2 and 2 of 3: 4/5.
    assert found == pytest.approx({"the cat sat down": 6 / 7, "a dog": 0.8})


def test_a_generated_row_is_graded_and_no_reference() -> None:
    rows = [row("a", "q", "the cats sat"), row("b", "q", "cats", generated=True)]
    assert {(p.response, p.label) for p in one_fold(rows)} == {("the cats sat", 1), ("cats", 0.5)}
    orphan = [row("c", "p", "word", generated=True)]
    assert build_pairs(orphan, {"id of p": 0}, 0) == {}


def test_an_answer_that_is_a_reference_has_no_other_label() -> None:
    asked = replace(row("a", "q", "the cats sat"), samples=["the  cats sat\n", " ", "The cat sat"])
    pairs = one_fold([asked, row("b", "other", "no"), row("c", "q", "The cat sat")])
    labels = [(p.response, p.label) for p in pairs if p.instruction == "q" and p.label > 0]
    assert sorted(labels) == [("The cat sat", 1), ("the cats sat", 1)]


def test_labels_are_between_0_and_1_and_no_pair_stands_twice() -> None:
    rows = [replace(each, samples=["answer 3", "sum", "answer"]) for each in ROWS]
    pairs = one_fold(rows)
    assert all(0 <= pair.label <= 1 for pair in pairs)
    assert len({(pair.instruction, pair.response) for pair in pairs}) == len(pairs)
