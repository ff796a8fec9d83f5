"""Verified: a row stays as it was, or goes for what was found wrong; and it reads other makers."""

from pathlib import Path

import pytest

from pipeline.generation.make import count_made, find_workload, make_rows
from pipeline.generation.makers.answer import Answer
from pipeline.generation.makers.evol_instruct import EvolInstruct
from pipeline.generation.makers.verified import Verified, make_by_verifying
from pipeline.generation.verifiers.constraints import Constraints
from pipeline.progress import tell_nobody
from pipeline.run_context import RunContext
from storage.database import read_workspace
from tests.pipeline.generation.verifiers.given import row
from tests.scripted_maker import (
    begin,
    kept_attached,
    make,
    rows_of,
    script,
    write_sums,
    write_tasks,
)

SHORT = Constraints(method="constraints", words_at_most=3)

CHECK = Verified(method="verified", verify=(SHORT,), reads=("answer",))


def test_a_row_stays_as_it_is_or_goes_for_what_is_wrong_with_it() -> None:
    for answer, reason in (("It is so", "verified"), ("It is not quite so", "too_long")):
        source = row("Is it so?", answer)
        with pytest.raises(StopIteration) as ended:
            next(make_by_verifying(CHECK, source))
        (settled,) = ended.value.value
        assert (settled.row, settled.reason) == (
            source.conversation if reason == "verified" else None,
            reason,
        )


def test_rows_without_one_answer_are_not_taken() -> None:
    assert CHECK.takes(row("Is it so?", "Yes")) and not CHECK.takes(row("Is it so?"))


def make_all(
    run: RunContext, pool: list[str], *blocks: Answer | EvolInstruct | Verified
) -> list[str]:
    """The makers one after the other, as a run has them."""
    placed: list[Answer | EvolInstruct | Verified] = []
    for step, block in enumerate(blocks, start=1):
        placed.append(block.placed_behind(placed))
        pool = count_made(run, make_rows(run, placed[-1], tell_nobody), pool, step)
    return pool


def say(text: str, seed: int) -> str:
    return "It is so" if seed % 2 else "It is so, as far as I can say"


def test_a_maker_works_on_what_an_earlier_one_made_and_on_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, say)
    with kept_attached():
        run, pool = begin(tmp_path, write_sums(tmp_path))
        answer = Answer(prompts="all", answers=2)
        _, grown = make(run, answer, pool)
        made = sorted({*grown} - {*pool})
        behind = CHECK.placed_behind([answer])
        assert list(find_workload(run, behind).chosen) == made, "sorted, as all sources are"
        after = make_all(run, pool, answer, CHECK)
        left = rows_of(run)
        assert {*pool} < {*after} < {*grown}, "the sources are not looked at, and some are too long"
        assert make_all(run, pool, answer, CHECK) == after and rows_of(run) == left
        assert list(find_workload(run, CHECK.placed_behind([])).chosen) == []
    assert [each[1:5] for each in left if each[0] == "attempts" and each[4] == "too_long"] == [
        (row_id, 0, "failed", "too_long") for row_id in sorted({*grown} - {*after})
    ]


def test_what_is_made_of_made_rows_descends_from_them_and_not_again_from_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def longer(text: str, seed: int) -> str:
        given = text.partition("Given prompt:\n")[2].partition("\n\n")[0]
        return f"{given} And say of number {seed % 1000} too." if given else f"so {seed % 1000}"

    script(monkeypatch, longer)
    evolve = EvolInstruct(method="evol_instruct", rounds=1, judges=())
    again = evolve.model_copy(update={"reads": ("evol_instruct",)})
    with kept_attached():
        run, pool = begin(tmp_path, write_tasks(tmp_path))
        once = make_all(run, pool, evolve)
        twice = make_all(run, pool, evolve, again)
        assert make_all(run, pool, evolve, again) == twice, "else each run would make more"
        with read_workspace(run.workspace) as con:
            parents = dict(con.execute("select example_id, parent_id from lineage").fetchall())
    first, second = {*once} - {*pool}, {*twice} - {*once}
    assert len(first) == len(second) == 4
    assert {parents[each] for each in first} == {*pool}
    assert {parents[each] for each in second} == first


def test_those_that_are_read_are_the_ones_before_it_of_that_method() -> None:
    first, second, evolve = Answer(), Answer(answers=2), EvolInstruct(method="evol_instruct")
    before = (first, evolve, second)
    assert CHECK.placed_behind(before).earlier == (first, second)
    assert CHECK.model_copy(update={"reads": ()}).placed_behind(before).earlier == ()


def test_what_is_read_changes_no_key() -> None:
    # The same row is the same work, wherever it is from: the key tells makers apart, not sources.
    assert CHECK.keyed() == CHECK.model_copy(update={"reads": ()}).keyed()
