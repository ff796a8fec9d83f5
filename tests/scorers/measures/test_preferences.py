"""Two orders of one question, and what is made of the judge's replies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from scorers.measures.preferences import Pair, compare_pairs, question
from scorers.measures.protocols import GenerationFailure, Message, OptionProbabilities

PAIR = Pair([{"role": "user", "content": "What is {first}?"}], "given {second}", "other {prompt}")


@dataclass
class StubJudge:
    """Replies with `belief(A, B)`, probabilities of A, B and C, from the two responses shown."""

    belief: Callable[[str, str], Sequence[float]]
    failures: dict[int, GenerationFailure] = field(default_factory=dict)
    calls: int = 0

    def option_probabilities(
        self, prompts: Sequence[Sequence[Message]], options: Sequence[str]
    ) -> OptionProbabilities:
        self.calls += 1
        rows = []
        for prompt in prompts:
            shown = str(prompt[-1]["content"]).split("Response A:\n")[1]
            first, rest = shown.split("\n\nResponse B:\n")
            rows.append(self.belief(first, rest.split("\n\nWhich response is better?")[0]))
        failures = self.failures if self.calls == 2 else {}
        mass = np.full(len(prompts), 0.5 if self.calls == 1 else 0.6)
        return OptionProbabilities(np.array(rows).reshape(-1, 3), mass, failures)


def test_both_orders_are_told_in_the_words_of_the_pair() -> None:
    judge = StubJudge(lambda a, b: (0.7, 0.2, 0.1) if a == PAIR.other else (0.4, 0.5, 0.1))
    (row,) = compare_pairs([PAIR], judge)
    assert row.state == "ok"
    # Given first: 0.4 for it. Other first: 0.7 for the other, 0.2 for the given one.
    assert row.verdicts == [[0.4, 0.5, 0.1], [0.2, 0.7, 0.1]]
    assert row.verdict_mass == [0.5, 0.6]


def test_text_in_braces_is_text() -> None:
    (message,) = question(PAIR, swapped=False)
    for text in ("What is {first}?", "A:\ngiven {second}\n", "B:\nother {prompt}\n"):
        assert text in str(message["content"])


def test_what_does_not_fit_is_truncated_and_not_asked() -> None:
    judge = StubJudge(lambda a, b: (0.1, 0.8, 0.1))
    short = Pair(PAIR.prompt_messages, "a", "b")
    fits = [False, True, True, True, False]  # the first pair is not asked about the second time
    rows = compare_pairs([PAIR, short, PAIR], judge, lambda _: fits.pop(0))
    assert [row.state for row in rows] == ["truncated", "ok", "truncated"]
    assert rows[1].verdicts == [[0.1, 0.8, 0.1], [0.8, 0.1, 0.1]]


def test_a_failure_in_either_order_is_a_failure() -> None:
    failure = GenerationFailure("context_length", "9 of 8")
    judge = StubJudge(lambda a, b: (0.1, 0.8, 0.1), {0: failure})
    lost, kept = compare_pairs([PAIR, PAIR], judge)
    assert (lost.state, lost.detail, lost.verdicts) == ("truncated", "context_length: 9 of 8", None)
    assert kept.state == "ok"


def test_no_letter_is_no_verdict() -> None:
    (row,) = compare_pairs([PAIR], StubJudge(lambda a, b: (np.nan, np.nan, np.nan)))
    assert (row.state, row.verdicts) == ("failed", None)
    assert row.detail is not None and "no_option" in row.detail


def test_nothing_to_compare_is_nothing() -> None:
    assert compare_pairs([], StubJudge(lambda a, b: (1, 0, 0))) == []


@pytest.mark.parametrize("swapped", [False, True])
def test_the_question_names_both_letters_and_the_tie(swapped: bool) -> None:
    (message,) = question(PAIR, swapped)
    assert all(f"\n{letter}. " in str(message["content"]) for letter in "ABC")
