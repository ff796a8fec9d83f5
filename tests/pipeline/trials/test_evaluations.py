"""Items as token ids, and what is made of their losses: by hand, with a model that counts."""

from collections import Counter
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest

from pipeline.ingest.rows import UnreadableSourceError
from pipeline.trials.evaluations import TrialItems, measure_items, render_questions
from pipeline.trials.questions import TrialQuestion, as_conversation
from pipeline.trials.settings import TrialEvaluation
from scorers.measures.protocols import LanguageModel, TokenLosses
from tests.fine_tune.tiny import byte_tokenizer

GOLD = TrialEvaluation(path="x", prompt="q", answer="a")


def choosing(**given: object) -> TrialEvaluation:
    fields = {"path": "x", "metric": "choice", "prompt": "q", "answer": "a", "choices": "c"}
    return TrialEvaluation.model_validate({**fields, **given})


class CountingModel:
    """One nat for each token of a response, two for each letter x in it."""

    def token_losses(
        self, prefixes: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]
    ) -> list[TokenLosses]:
        assert all(len(prefix) for prefix in prefixes)
        tokenizer = byte_tokenizer()
        x = tokenizer("x")["input_ids"][0]
        made = [np.array([1.0 + (t == x) for t in r], dtype=np.float32) for r in responses]
        return [TokenLosses(nll, nll, nll > 0) for nll in made]


MODEL = cast(LanguageModel, CountingModel())


def render_all(
    settings: TrialEvaluation, questions: list[TrialQuestion], longest: int = 400
) -> TrialItems:
    return render_questions("gold", settings, (questions, Counter()), byte_tokenizer(), longest)


def questions(*answers: str) -> list[TrialQuestion]:
    return [TrialQuestion(at, None, as_conversation("Why?", a)) for at, a in enumerate(answers, 1)]


def test_the_loss_of_an_answer_is_a_sum_over_its_tokens_and_its_end() -> None:
    (found,) = measure_items(MODEL, render_all(GOLD, questions("ax", "b")))
    end = len("<|im_end|>\n") - len("<|im_end|>") + 1  # the mark is one token, the line break one
    assert found.metric == "nll" and found.items == [1, 2]
    assert found.tokens == [2 + end, 1 + end]
    assert found.values == [3 + end, 1 + end]


def choice(right: int, *choices: str) -> TrialQuestion:
    return TrialQuestion(1, None, as_conversation("Why?", choices[right]), choices, right)


@pytest.mark.parametrize(
    ("normalise", "margin"),
    [
        # nats: "ax" 3 + 2, "bbbb" 4 + 2, with two tokens of its end each
        ("none", 6 - 5),
        ("characters", 6 / 4 - 5 / 2),
        ("tokens", 6 / 6 - 5 / 4),
    ],
)
def test_the_margin_is_to_the_best_other_choice(normalise: str, margin: float) -> None:
    items = render_all(choosing(normalise=normalise), [choice(0, "ax", "bbbb")] * 2)
    margins, right = measure_items(MODEL, items)
    assert margins.metric == "margin" and margins.values == pytest.approx([margin] * 2)
    assert right.metric == "accuracy" and right.values == [float(margin > 0)] * 2


def test_chance_and_clusters() -> None:
    two, four = choice(0, "a", "b"), choice(1, "a", "b", "c", "d")
    items = render_all(choosing(), [two, four])
    assert items.chance == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert render_all(GOLD, questions("a", "b")).chance is None
    conversation = as_conversation("Why?", "a")
    named = [TrialQuestion(at, "p" if at < 3 else None, conversation) for at in range(5)]
    assert render_all(GOLD, named).clusters == 3


def test_items_that_are_too_long_are_left_out_and_counted() -> None:
    found = render_all(GOLD, questions("a", "b", "c" * 500))
    assert len(found.items) == 2 and found.left_out == {"more than 400 tokens": 1}
    with pytest.raises(UnreadableSourceError, match="gold: 1 items give no interval"):
        render_all(GOLD, questions("a", "b" * 500))


def test_an_evaluation_is_known_by_what_can_change_its_numbers() -> None:
    same = render_all(GOLD, questions("a", "b")).evaluation_id
    assert (
        render_all(GOLD.model_copy(update={"path": "y"}), questions("a", "b")).evaluation_id == same
    )
    assert render_all(GOLD, questions("a", "c")).evaluation_id != same
    two = [choice(0, "ab", "b")] * 2
    by_characters = render_all(choosing(), two).evaluation_id
    assert by_characters != render_all(choosing(normalise="none"), two).evaluation_id


def test_a_loss_that_is_no_number_is_no_value() -> None:
    class Diverged(CountingModel):
        def token_losses(
            self, prefixes: Sequence[Sequence[int]], responses: Sequence[Sequence[int]]
        ) -> list[TokenLosses]:
            nan = np.array([np.nan], dtype=np.float32)
            return [TokenLosses(nan, nan, nan > 0) for _ in responses]

    with pytest.raises(FloatingPointError, match="did the training diverge"):
        measure_items(cast(LanguageModel, Diverged()), render_all(GOLD, questions("a", "b")))
