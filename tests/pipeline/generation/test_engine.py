"""The engine: who gets which reply, what a budget lets through, and makers that break the rules."""

import pytest

from pipeline.generation.allowance import Allowance
from pipeline.generation.engine import SourceWork, outcomes_of, run_makings
from pipeline.generation.maker import Ask, Making, Settled, Wanted
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import GeneratedAnswer
from storage.conversations import Conversation

ROW = Conversation([{"role": "user", "content": "x"}])


def ask(stage: str, attempt: int = 0, most: int = 10) -> Ask:
    return Ask(stage, attempt, [{"role": "user", "content": stage}], 1.0, most)


def answer(asks: object) -> list[Sampled]:
    assert isinstance(asks, list)
    return [GeneratedAnswer(f"{source} {each.stage}", 4, True) for source, each in asks]


def in_two_steps() -> Making:
    (first,) = yield Wanted([ask("first")])
    (second,) = yield Wanted([ask("second")], [Settled([("first", 0)], None, "early")])
    assert isinstance(first, GeneratedAnswer) and isinstance(second, GeneratedAnswer)
    return [Settled([("second", 0)], ROW, f"{first.text}, {second.text}")]


def test_each_maker_gets_its_own_replies_and_what_it_settled_is_kept() -> None:
    works = run_makings({name: in_two_steps() for name in "ab"}, answer, Allowance())
    assert [each.reason for each in works["b"].settled] == ["early", "b first, b second"]
    assert outcomes_of(works["a"]) == {
        ("first", 0): ("dropped", "early"),
        ("second", 0): ("kept", "a first, a second"),
    }


def test_a_budget_ends_it_in_order_and_what_waits_is_open() -> None:
    allowance = Allowance(calls=3)
    works = run_makings({name: in_two_steps() for name in "ab"}, answer, allowance)
    assert works["a"].finished and not works["b"].finished and allowance.spent.calls == 3
    works = run_makings({"a": in_two_steps()}, answer, Allowance(calls=1))
    assert [each.reason for each in works["a"].settled] == ["early"]
    assert outcomes_of(SourceWork({("s", 0): ask("s")})) == {("s", 0): ("open", "")}


def test_a_reply_that_one_row_was_made_of_was_kept() -> None:
    settled = [Settled([("s", 0)], None, "copy"), Settled([("s", 0)], ROW, "row")]
    assert outcomes_of(SourceWork({("s", 0): ask("s")}, settled)) == {("s", 0): ("kept", "row")}


def test_tokens_are_spent_as_they_come_and_reserved_as_they_may() -> None:
    allowance = Allowance(tokens=17)  # 4 + 4 + 10 is one more
    run_makings({name: in_two_steps() for name in "abc"}, answer, allowance)
    assert (allowance.spent.calls, allowance.spent.tokens) == (2, 8)


def forgets() -> Making:
    yield Wanted([ask("s")])
    return []


def invents() -> Making:
    yield Wanted([])
    return [Settled([("never", 0)], None, "x")]


def repeats() -> Making:
    yield Wanted([ask("s")])
    yield Wanted([ask("s")])
    return []


@pytest.mark.parametrize("maker", [forgets, invents, repeats])
def test_a_maker_that_loses_or_invents_a_reply_is_stopped(maker: object) -> None:
    assert callable(maker)
    with pytest.raises(ValueError, match=r"the maker of a (must settle|asks for one place twice)"):
        run_makings({"a": maker()}, answer, Allowance())
