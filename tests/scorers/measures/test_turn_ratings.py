from collections.abc import Sequence

from scorers.measures.protocols import Message, OptionProbabilities
from scorers.measures.ratings import MARKS, QUALITY, RatedRow, check_template, rating_question
from scorers.measures.turn_ratings import COMPLEXITY, TurnJudge, TurnRatings, rate_turns
from tests.fakes import FakeLanguageModel


def turn(asked: str, reply: str = "a reply") -> RatedRow:
    return RatedRow([{"role": "user", "content": asked}], reply)


def text_of(question: Sequence[Message]) -> str:
    return str(question[0]["content"])


def test_each_turn_has_both_distributions_in_its_place() -> None:
    hard, good = FakeLanguageModel(mass=0.7), FakeLanguageModel(mass=0.4)
    talks = [[turn("a", "1"), turn("b", "2")], [turn("c", "3")]]
    rated = rate_turns(talks, TurnJudge(COMPLEXITY, hard), TurnJudge(QUALITY, good))
    for talk, each in zip(talks, rated, strict=True):
        expected = [
            model.option_probabilities([rating_question(t, one) for one in talk], MARKS)
            for model, t in ((hard, COMPLEXITY), (good, QUALITY))
        ]
        assert each == TurnRatings(
            "ok",
            None,
            expected[0].probabilities.tolist(),
            [0.7] * len(talk),
            expected[1].probabilities.tolist(),
            [0.4] * len(talk),
        )
    assert rated[0].complexity != rated[0].quality


def test_a_turn_that_cannot_be_rated_costs_its_row_alone_and_says_which() -> None:
    short = TurnJudge("{prompt}", FakeLanguageModel(), lambda question: len(text_of(question)) < 9)
    reads_all = TurnJudge("{response}", FakeLanguageModel())
    talks = [[turn("a"), turn("far too long")], [turn("b")]]
    rated = rate_turns(talks, short, reads_all)
    assert rated[0] == TurnRatings(
        "truncated", "complexity of turn 2 of 2: the question about it is too long for the judge"
    )
    assert rated[1] == rate_turns(talks[1:], short, reads_all)[0]


def test_a_mark_that_has_no_probability_is_no_mark() -> None:
    class Mute:
        def option_probabilities(
            self, prompts: Sequence[Sequence[Message]], options: Sequence[str]
        ) -> OptionProbabilities:
            said = FakeLanguageModel().option_probabilities(prompts, options)
            for at, prompt in enumerate(prompts):
                if text_of(prompt) == "mute":
                    said.probabilities[at] = float("nan")
            return said

    judges = TurnJudge("{prompt}", FakeLanguageModel()), TurnJudge("{response}", Mute())
    rated = rate_turns([[turn("a", "b")], [turn("a", "mute"), turn("a", "b")]], *judges)
    assert [each.state for each in rated] == ["ok", "failed"]
    assert str(rated[1].detail).startswith("quality of turn 1 of 2: no_option")
    assert rated[1].complexity is None and rated[1].quality_mass is None


def test_nothing_asked_gives_nothing() -> None:
    judge = TurnJudge(COMPLEXITY, FakeLanguageModel())
    assert rate_turns([], judge, judge) == []


def test_complexity_is_asked_of_the_prompt_alone() -> None:
    check_template(COMPLEXITY)
    question = text_of(rating_question(COMPLEXITY, turn("{response}", "the reply")))
    assert "{response}" in question and "the reply" not in question
