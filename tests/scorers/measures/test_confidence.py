from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from scorers.arrays import Floats
from scorers.confidence import score_confidence
from scorers.measures.confidence import (
    JudgementRow,
    JudgeRow,
    judge_answers,
    normalise_answer,
)
from scorers.measures.entailment import PromptedEntailment
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.protocols import GenerationFailure, Message, OptionProbabilities
from scorers.measures.reflection import fits_window
from tests.fakes import FakeEntailment, FakeLanguageModel, FakeReflector, fraction


def user(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


@dataclass
class ConstantEntailment:
    forward: float
    pairs: list[tuple[str, str]] = field(default_factory=list)

    def contradiction(self, premises: Sequence[str], hypotheses: Sequence[str]) -> Floats:
        self.pairs += zip(premises, hypotheses, strict=True)
        return np.full(len(premises), self.forward)


def approve(question: str) -> Sequence[float]:
    return (1.0, 0.0, 0.0)


def score(rows: Sequence[JudgementRow]) -> Floats:
    """Confidence of rows that are all ok and have as many samples."""
    columns = [
        np.array([getattr(row, name) for row in rows], dtype=np.float64)
        for name in ("contradiction_forward", "contradiction_backward", "exact_match", "reflection")
    ]
    return score_confidence(*columns)


def test_a_target_that_is_always_sampled_and_approved_is_certain() -> None:
    entailment = ConstantEntailment(1.0)
    rows = judge_answers(
        [JudgeRow(user("q"), "Paris.", ["paris"] * 5)], entailment, FakeReflector(approve)
    )
    assert rows == [
        JudgementRow(
            "ok",
            None,
            contradiction_forward=[0.0] * 5,
            contradiction_backward=[0.0] * 5,
            exact_match=[True] * 5,
            reflection=[[1.0, 0.0, 0.0]] * 2,
            reflection_mass=[0.8] * 2,
        )
    ]
    assert entailment.pairs == []  # an equal text is not asked about
    assert score(rows).tolist() == [1.0]


def test_a_target_that_all_samples_deny_and_the_model_rejects_has_none() -> None:
    reflector = FakeReflector(lambda question: (0.0, 1.0, 0.0))
    rows = judge_answers(
        [JudgeRow(user("q"), "Rome", ["Paris"])], ConstantEntailment(1.0), reflector
    )
    assert rows[0].exact_match == [False] and rows[0].reflection == [[0.0, 1.0, 0.0]] * 2
    assert score(rows).tolist() == [0.0]


def test_forward_reads_the_target_first_and_each_number_is_in_its_place() -> None:
    table = {("t1", "a"): 0.1, ("a", "t1"): 0.2, ("t2", "b"): 0.3, ("b", "t2"): 0.4}
    table |= {("t2", "c"): 0.5, ("c", "t2"): 0.6}

    class Table:
        def contradiction(self, premises: Sequence[str], hypotheses: Sequence[str]) -> Floats:
            return np.array([table[pair] for pair in zip(premises, hypotheses, strict=True)])

    rows = [JudgeRow(user("q"), "t1", ["a", "T1"]), JudgeRow(user("q"), "t2", ["t2.", "b", "c"])]
    first, second = judge_answers(rows, Table(), FakeReflector(approve))
    assert first.contradiction_forward == [0.1, 0.0]
    assert first.contradiction_backward == [0.2, 0.0]
    assert first.exact_match == [False, True]
    assert second.contradiction_forward == [0.0, 0.3, 0.5]
    assert second.contradiction_backward == [0.0, 0.4, 0.6]
    assert second.exact_match == [True, False, False]


def test_rows_that_cannot_be_judged_say_why_and_cost_no_other_row() -> None:
    rows = [
        JudgeRow(user("q"), " \n", ["a"]),
        JudgeRow(user("q"), "t", []),
        JudgeRow(user("q"), "t", ["", " "]),
        JudgeRow(user("q"), "t", ["", "t"]),
    ]
    empty, unsampled, blank, good = judge_answers(rows, FakeEntailment(), FakeReflector(approve))
    assert empty == JudgementRow("not_applicable", "the target is empty")
    assert unsampled == JudgementRow("failed", "none of 0 samples is usable")
    assert blank == JudgementRow("failed", "none of 2 samples is usable")
    assert good.state == "ok" and good.exact_match == [True]
    assert good.detail == "1 of 2 samples left out: empty"


def test_a_model_that_gives_no_number_fails_its_row_alone() -> None:
    class Moody(FakeEntailment):
        def contradiction(self, premises: Sequence[str], hypotheses: Sequence[str]) -> Floats:
            return np.array([np.nan if "bad" in text else 0.0 for text in premises])

    reflector = FakeReflector(lambda q: (np.nan,) * 3 if "mute" in q else (1.0, 0.0, 0.0))
    targets = ["fine", "bad", "mute", "also fine"]
    rows = [JudgeRow(user("q"), target, ["s"]) for target in targets]
    judged = judge_answers(rows, Moody(), reflector)
    assert [row.state for row in judged] == ["ok", "failed", "failed", "ok"]
    assert judged[1].detail == "the entailment model gave no number"
    assert judged[2].detail == "the reflector chose none of the options"
    assert judged[1].reflection is None and judged[2].contradiction_forward is None


def test_a_row_whose_question_does_not_fit_is_truncated_and_never_asked() -> None:
    reflector = FakeReflector(approve)
    rows = [JudgeRow(user("q"), target, ["s"]) for target in ("short", "long " * 100)]
    fitting, misfit = judge_answers(
        rows, FakeEntailment(), reflector, lambda question: len(question[-1]["content"]) < 400
    )
    assert fitting.state == "ok"
    assert misfit == JudgementRow("truncated", "prompt and target are too long for the reflector")
    assert len(reflector.seen) == 2


def test_no_rows_and_no_sound_rows_need_no_model() -> None:
    assert judge_answers([], FakeEntailment(), FakeLanguageModel()) == []
    (row,) = judge_answers([JudgeRow([], "", [])], FakeEntailment(), FakeLanguageModel())
    assert row.state == "not_applicable"


def test_a_judgement_depends_on_its_own_row_alone() -> None:
    rows = [JudgeRow(user(f"q{at}"), f"t {at}", [f"t {at}", f"s {at % 3}"]) for at in range(6)]
    together = judge_answers(rows, FakeEntailment(), FakeLanguageModel())
    alone = [judge_answers([row], FakeEntailment(), FakeLanguageModel())[0] for row in rows[::-1]]
    assert together == alone[::-1]


def test_a_reflector_that_says_why_it_is_silent_is_quoted() -> None:
    class Distant(FakeReflector):
        def option_probabilities(
            self, prompts: Sequence[Sequence[Message]], options: Sequence[str]
        ) -> OptionProbabilities:
            answer = super().option_probabilities(prompts, options)
            failures = {0: GenerationFailure("timeout", "no answer in 9 s")}
            failures |= {1: GenerationFailure("context_length", "status 400")}
            return replace(answer, failures=failures)

    rows = [JudgeRow(user("q"), target, ["s"]) for target in ("a", "b", "c")]
    late, long, good = judge_answers(rows, FakeEntailment(), Distant(approve))
    assert late == JudgementRow("failed", "the reflector: timeout, no answer in 9 s")
    assert long == JudgementRow("truncated", "the reflector: context_length, status 400")
    assert good.state == "ok"


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("Paris.", " paris ", True),
        ("“Paris”", "'PARIS'!", True),
        ("New\n  York", "new york", True),
        ("Straße", "STRASSE", True),
        ("cafe\u0301", "caf\u00e9", True),
        ("-5", "5", False),
        ("5%", "5", False),
        ("$5", "5", False),
        ("C#", "C", False),
        ("New York", "NewYork", False),
        ("?", "!", False),
        ("", "", True),
    ],
)
def test_exact_match_ignores_typing_and_no_value(a: str, b: str, same: bool) -> None:
    assert (normalise_answer(a) == normalise_answer(b)) is same


def areas(positive: Floats, negative: Floats) -> float:
    """Area under the ROC curve: how often a positive exceeds a negative, ties counting half."""
    above = positive[:, None] > negative[None, :]
    equal = positive[:, None] == negative[None, :]
    return float((above + equal / 2).mean())


def test_wrong_targets_are_found_by_a_model_that_mostly_knows_better() -> None:
    # 200 sums; every fifth target is wrong. The model samples the right sum 3 times in 4, reflects
    # rightly 3 times in 4, and its entailment model sees 4 contradictions in 5.
    rows, truth, wrong = [], {}, []
    for at in range(200):
        right, corrupt = str(100 + at), at % 5 == 0
        samples = [right if fraction(at, k) < 0.75 else str(900 + k) for k in range(5)]
        prompt = f"What is {at} + 100?"
        target = str(500 + at) if corrupt else right
        rows.append(JudgeRow(user(prompt), target, samples))
        truth[prompt] = right
        wrong.append(corrupt)

    class Noisy:
        def contradiction(self, premises: Sequence[str], hypotheses: Sequence[str]) -> Floats:
            pairs = zip(premises, hypotheses, strict=True)
            return np.array([float(a != b and fraction(a, b) < 0.8) for a, b in pairs])

    def knows(question: str) -> Sequence[float]:
        prompt = next(prompt for prompt in truth if prompt in question)
        right = any(line == truth[prompt] for line in question.splitlines())
        believed = right if fraction(question) < 0.75 else not right
        return (0.8, 0.1, 0.1) if believed else (0.1, 0.8, 0.1)

    confidence = score(judge_answers(rows, Noisy(), FakeReflector(knows)))
    corrupted = np.array(wrong)
    assert areas(1 - confidence[corrupted], 1 - confidence[~corrupted]) > 0.8

    # Agreement among the samples, which some implementations take instead, cannot tell.
    among = np.array([len(set(row.samples)) / len(row.samples) for row in rows])
    assert abs(areas(among[corrupted], among[~corrupted]) - 0.5) < 0.1


@pytest.mark.slow
def test_a_real_model_can_be_reflector_and_entailment_model(
    language_model: HuggingFaceLanguageModel,
) -> None:
    fits = fits_window(language_model.tokenizer, max_tokens=300)
    rows = [
        JudgeRow(user("What is the capital of France?"), "Paris.", ["paris", "It is Lyon."]),
        JudgeRow(user("Name a colour."), "Red, " * 300, ["Blue."]),
        JudgeRow(user("Name a colour."), "Red", ["blue " * 300]),
    ]
    good, too_long, unreadable = judge_answers(
        rows, PromptedEntailment(language_model, fits), language_model, fits
    )
    assert good.state == "ok" and good.exact_match == [True, False]
    assert good.reflection is not None and good.contradiction_forward is not None
    np.testing.assert_allclose(np.sum(good.reflection, axis=1), 1, atol=1e-6)
    assert good.contradiction_forward[0] == 0 < good.contradiction_forward[1] < 1
    assert too_long.state == "truncated"
    assert unreadable == JudgementRow("failed", "the entailment model gave no number")
