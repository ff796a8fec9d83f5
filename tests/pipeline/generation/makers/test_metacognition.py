"""Metacognition: what a confidence is read off, which questions are kept, and what pairs say."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.generation.maker import Settled
from pipeline.generation.makers.metacognition import (
    Answered,
    Metacognition,
    aim_confidences,
    level_tenths,
    make_by_metacognition,
    pair_questions,
    read_samples,
    single_row,
)
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure
from storage.examples import Example


def source(name: str, answer: str = "Paris") -> Example:
    text = f"Where is {name}?"
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    return Example(name, f"p{name}", messages, [], 1, text, answer, [1])


def block(**fields: object) -> Metacognition:
    return Metacognition.model_validate({"method": "metacognition", **fields})


def said(*texts: str) -> list[Sampled]:
    return [GeneratedAnswer(text, 3, finished=True) for text in texts]


def question(name: str, target: float, consistency: float = 0.5, right: bool = True) -> Answered:
    return Answered(source(name), "x", consistency, right, target)


def test_an_answer_is_right_by_its_words_and_as_consistent_as_it_is_frequent() -> None:
    read = read_samples(block(), source("a"), said("Paris.", "In Rome", "paris", "Oslo", "", " ?"))
    assert isinstance(read, Answered)
    assert (read.answer, read.consistency, read.right) == ("Paris", 2 / 6, True)
    ends = block(compare="final_answer")
    read = read_samples(ends, source("a", "#### 6"), said("1 + 5 = 6", "so 6.0", "so 6", "no idea"))
    assert isinstance(read, Answered) and (read.consistency, read.right) == (2 / 4, True)
    assert read_samples(block(), source("a"), said("", "!")) == "no_answer"
    lost: list[Sampled] = [*said("Paris"), GenerationFailure("timeout", "")]
    assert read_samples(block(), source("a"), lost) == "timeout"


def test_the_order_of_samples_moves_nothing() -> None:
    texts = ["Rome", "Paris", "Oslo", "Paris", "Rome"]
    one, two = (read_samples(block(), source("a"), said(*t)) for t in (texts, texts[::-1]))
    assert one == two


def test_two_rows_of_one_prompt_are_in_one_fold() -> None:
    twins = [question(f"{n}", 0) for n in range(40)]
    twins += [Answered(each.source, "y", 0.5, False) for each in twins]
    for right in (True, False):  # of the twin of the first, which must tell it nothing
        twins[40] = Answered(twins[0].source, "y", 0.5, right)
        targets = {q.target for q in aim_confidences(block(), twins, 0)[:1]}
        assert targets == {aim_confidences(block(), twins, 0)[0].target}
    changed = [
        aim_confidences(block(), [*twins[:40], Answered(twins[0].source, "y", 0.5, r)], 0)
        for r in (True, False)
    ]
    assert changed[0][0].target == changed[1][0].target


def test_as_many_are_kept_of_each_tenth_as_the_smallest_has() -> None:
    drawn = [question(f"{n}", 0.5, c) for n, c in enumerate([0.1] * 5 + [0.5] * 3 + [1.0] * 9)]
    kept, over = level_tenths(block(), drawn, 0)
    assert Counter(q.consistency for q in kept) == {0.1: 3, 0.5: 3, 1.0: 3}
    assert len(over) == 8 and {*map(id, kept)}.isdisjoint(map(id, over))
    kept, _ = level_tenths(block(keep_each=4), drawn, 0)
    assert Counter(q.consistency for q in kept) == {0.1: 4, 0.5: 3, 1.0: 4}
    again, _ = level_tenths(block(), drawn[::-1], 0)
    assert {q.source.example_id for q in again} == {
        q.source.example_id for q in level_tenths(block(), drawn, 0)[0]
    }
    assert level_tenths(block(), [], 0) == ([], [])


def stated(target: float, noise: float, names: Sequence[int]) -> list[float]:
    rows = [single_row(block(noise=noise), question(f"{n}", target), 0) for n in names]
    return [float(str(row.messages[-1]["content"]).rpartition("Confidence: ")[2]) for row in rows]


def test_a_row_states_the_target_give_or_take_the_noise() -> None:
    assert stated(0.734, 0, [1]) == [0.73]
    drawn = np.array(stated(0.5, 0.05, range(200)))
    assert drawn.min() >= 0.45 and drawn.max() <= 0.55 and len({*drawn.tolist()}) >= 9
    assert abs(drawn.mean() - 0.5) < 0.01
    assert max(stated(1.0, 0.05, range(20))) == 1.0 and min(stated(0, 0.05, range(20))) == 0.0


def test_the_surer_of_a_pair_is_its_answer_and_both_places_are_right_alike_often() -> None:
    drawn = [question(f"{n}", n / 20) for n in range(20)]
    pairs = pair_questions(block(gap=0.5), drawn, 0)
    assert len(pairs) == 10 and all(each.reason == "pair" for each in pairs)
    answers: Counter[str] = Counter()
    for each in pairs:
        assert each.row is not None
        asked, answer = (str(m["content"]) for m in each.row.messages)
        first, second = map(int, each.parents)
        assert f"Question 1: Where is {first}?" in asked
        assert answer == ("1" if first > second else "2") and abs(first - second) == 10
        answers[answer] += 1
    assert answers == {"1": 5, "2": 5}
    assert len({parent for each in pairs for parent in each.parents}) == 20
    assert not pair_questions(block(gap=0.51), drawn, 0)


def made(rights: int) -> list[Settled]:
    """Of twenty questions, some of which are answered right and alike."""
    sources = [source(f"{n}") for n in range(20)]
    making = make_by_metacognition(block(samples=2, gap=0.01), sources, 0)
    assert len(next(making).asks) == 40
    replies = [s for n in range(20) for s in said(*(["Paris"] * 2 if n < rights else ["a", "b"]))]
    with pytest.raises(StopIteration) as ended:
        making.send(replies)
    return list(ended.value.value)


def test_what_is_consistent_and_right_is_stated_to_be_sure() -> None:
    settled = made(10)
    assert Counter(each.reason for each in settled) == {"single": 20, "pair": 10}
    for each in settled:
        if each.reason == "single" and each.row is not None:
            answer, confidence = str(each.row.messages[-1]["content"]).split("\nConfidence: ")
            assert (float(confidence) >= 0.95) == (answer == "Paris") == (int(each.parents[0]) < 10)
            assert (float(confidence) <= 0.05) == (answer == "a")
    assert Counter(each.reason for each in made(20)) == {"single": 20}, "no two differ"
