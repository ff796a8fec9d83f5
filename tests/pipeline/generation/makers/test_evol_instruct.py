"""Evol-Instruct: who descends from whom, what goes and why, and how often it is tried again."""

from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from pipeline.generation.maker import Ask, Settled
from pipeline.generation.makers.evol_instruct import (
    OPERATORS,
    Ancestor,
    EvolInstruct,
    draw_operator,
    evolving,
    fault_of_answer,
    fault_of_prompt,
    make_by_evol_instruct,
)
from scorers.measures.protocols import GeneratedAnswer
from storage.examples import Example

SETTINGS = EvolInstruct(method="evol_instruct", rounds=4)

PROMPT = "Name a river that flows to the north."

SOURCE = Example("the source", "p", [{"role": "user", "content": PROMPT}], [], None, PROMPT, "")

LINE = [Ancestor("a", "one two three four five six seven eight"), Ancestor("b", "Name a river.")]


def run(settings: EvolInstruct, say: Callable[[Ask], str]) -> tuple[Sequence[Settled], list[Ask]]:
    making = make_by_evol_instruct(settings, SOURCE, 0)
    asked: list[Ask] = []
    wanted = next(making)
    try:
        while True:
            asked += wanted.asks
            wanted = making.send([GeneratedAnswer(say(ask), 2, True) for ask in wanted.asks])
    except StopIteration as ended:
        return ended.value, asked


def longer(ask: Ask) -> str:
    """Each evolution names its round; the judge sees a difference; each is answered."""
    if ask.kind == "judge":
        return "no"
    if ask.stage == "answer":
        return f"answer {ask.attempt}"
    text = str(ask.messages[-1]["content"])
    given = text.partition("Given prompt:\n")[2].partition("\n\n")[0]
    return f"{given} Also say what is special in number {ask.attempt}."


def test_each_round_evolves_the_last_and_descends_from_all_before() -> None:
    settled, asked = run(SETTINGS, longer)
    rows = [each.row for each in settled if each.row]
    assert [each.parents for each in settled] == [
        ["the source", *(row.example_id for row in rows[:n])] for n in range(4)
    ]
    for n, row in enumerate(rows):
        prompt, answer = row.messages
        assert str(prompt["content"]).count("Also say") == n + 1
        assert answer["content"] == f"answer {n}"
    drawn = [draw_operator(SETTINGS, "the source", 0, n) for n in range(4)]
    assert [each.reason for each in settled] == drawn
    assert [ask.stage for ask in asked[::3]] == [f"evolve {operator}" for operator in drawn]


@pytest.mark.parametrize(("returns", "tried"), [(0, 1), (1, 2), (5, 4)])
def test_a_prompt_whose_evolution_failed_is_evolved_again(returns: int, tried: int) -> None:
    settings = SETTINGS.model_copy(update={"returns": returns})
    settled, asked = run(settings, lambda ask: PROMPT)
    assert [each.reason for each in settled] == ["copy"] * tried
    assert all(PROMPT in str(ask.messages[0]["content"]) for ask in asked)


def test_only_failures_in_a_row_end_it() -> None:
    def say(ask: Ask) -> str:
        return PROMPT if ask.stage.startswith("evolve") and ask.attempt in (0, 2) else longer(ask)

    settled, _ = run(SETTINGS, say)
    assert [each.row is None for each in settled] == [True, False, True, False]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Name a river and a lake of the same land.", ""),
        ("Name a river", "copy"),
        ("Name a river.", "copy"),
        ("one two three four five six seven eight", "copy"),  # of an older one: a cycle
        ("Here is the new prompt: name a river in the sea", "marker"),
        ("Name a river, which the rewritten prompt does not", "marker"),
        ("Rewrite it so that it is somewhat harder to answer, for you", "repeats_prompt"),
        ("Add one more requirement that the answer has to meet.", "repeats_prompt"),
        ("I'm sorry, but I cannot assist with that.", "refusal"),
        ("?!", "empty_info"),
        ("lake " * 63, ""),  # the youngest has 3 words
        ("lake " * 64, "too_long"),
    ],
)
def test_an_evolved_prompt_goes_for_a_reason(text: str, fault: str) -> None:
    assert fault_of_prompt(SETTINGS, text, LINE) == fault


def test_a_prompt_that_spoke_of_prompts_before_may_do_so_still() -> None:
    line = [Ancestor("a", "Compare the given prompt with the one below.")]
    said = "Compare the given prompt with the one below, line by line."
    assert fault_of_prompt(SETTINGS, said, line) == ""
    assert fault_of_prompt(SETTINGS, said.replace("given", "new"), line) == "marker"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("The Nile", ""),
        ("It is what it is.", "empty_info"),
        ("-", "empty_info"),
        ("Sorry, no river.", "refusal"),
        ("As an AI, no river.", "refusal"),
        ("sorry " + "river " * 78, "refusal"),
        ("sorry " + "river " * 79, ""),  # 80 words: long enough to be an answer
    ],
)
def test_an_answer_goes_for_a_reason(text: str, fault: str) -> None:
    assert fault_of_answer(text) == fault


@pytest.mark.parametrize(
    ("judge", "said", "reason"),
    [
        ("gain", "yes", "no_gain"),
        ("gain", "hm", "gain_unparsed"),
        ("answerable", "no", "unanswerable"),
        ("answerable", "hm", "answerable_unparsed"),
    ],
)
def test_what_a_judge_does_not_let_in_is_not_answered(judge: str, said: str, reason: str) -> None:
    settings = EvolInstruct.model_validate(
        {"method": "evol_instruct", "judges": [judge], "rounds": 1}
    )
    settled, asked = run(settings, lambda ask: longer(ask) if ask.kind == "generate" else said)
    assert [each.reason for each in settled] == [reason]
    assert [ask.kind for ask in asked] == ["generate", "judge", "retry"][: len(asked)]
    assert (len(asked) == 3) == (said == "hm")


def test_without_judges_none_is_asked() -> None:
    settled, asked = run(SETTINGS.model_copy(update={"judges": ()}), longer)
    assert {ask.kind for ask in asked} == {"generate"} and len(settled) == 4
    assert SETTINGS.model_copy(update={"judges": ()}).calls_for(3).keys() == {"generate"}


def test_operators_come_as_often_as_one_another_and_none_that_is_not_named() -> None:
    drawn = Counter(draw_operator(SETTINGS, f"row {n}", 0, n % 4) for n in range(6_000))
    assert drawn.keys() == {*OPERATORS} and all(900 < count < 1_100 for count in drawn.values())
    two = SETTINGS.model_copy(update={"operators": ("deepen", "breadth")})
    assert {draw_operator(two, f"row {n}", 0, 0) for n in range(50)} == {"deepen", "breadth"}
    assert draw_operator(SETTINGS, "row", 0, 0) == draw_operator(SETTINGS, "row", 0, 0)


def test_each_operator_asks_for_its_own_change() -> None:
    asked = {operator: evolving(operator, PROMPT) for operator in OPERATORS}
    assert len({*asked.values()}) == len(OPERATORS)
    assert all(PROMPT in text and "$" not in text for text in asked.values())
    assert "requirement" in asked["constraint"] and "another prompt" in asked["breadth"]


def test_only_rows_of_one_question_are_taken() -> None:
    assert SETTINGS.takes(SOURCE)
    system = [{"role": "system", "content": "Be kind."}, *SOURCE.messages]
    assert not SETTINGS.takes(Example("x", "p", system, [], None, PROMPT, ""))
    tool = [{"type": "function", "function": {"name": "f"}}]
    assert not SETTINGS.takes(Example("x", "p", SOURCE.messages, tool, None, PROMPT, ""))
