"""What a plan says of a maker: prompts are known before anything is sent."""

from pathlib import Path

import pytest

from pipeline.generation import predict
from pipeline.generation.make import Workload
from pipeline.generation.maker_block import AtMost
from pipeline.generation.makers.answer import Answer
from pipeline.generation.makers.evol_instruct import EvolInstruct
from pipeline.generation.makers.lamini import LaMini
from pipeline.generation.makers.s3ft import S3FT
from pipeline.generation.makers.self_instruct import SelfInstruct
from pipeline.generation.makers.verified import Verified
from pipeline.generation.predict import count_coming, first_requests, plan_maker, try_calls
from scorers.measures.protocols import GenerationRequest
from tests.scripted_maker import begin, kept_attached, make, script, write_sums

SERVED = {"base_url": "http://127.0.0.1:1/v1", "price": {"prompt": 1, "new": 10}}


def test_a_plan_of_a_server_sends_nothing_and_has_a_time_after_the_first_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = script(monkeypatch, lambda text, seed: "so")
    block = {"prompts": "all", "max_new_tokens": 100, "endpoint": SERVED}
    maker = Answer.model_validate(block)
    with kept_attached():
        run, pool = begin(tmp_path, write_sums(tmp_path))
        (plan,) = plan_maker(run, maker)
        assert not model.asked
        # "What is 2 plus 5?" as JSON has 52 bytes, with 10 one more; and 128 of the template.
        assert plan.prompt_tokens == round(8 * (180 + 2 / 8) / 4)
        assert plan.price == (plan.prompt_tokens * 1 + 800 * 10) / 1e6
        assert plan.most == 8 and plan.seconds is None
        capped = Answer.model_validate(block | {"at_most": {"price": 0.001}})
        assert [each.price for each in plan_maker(run, capped)] == [0.001]
        few = Answer.model_validate(block | {"at_most": {"calls": 2}})
        make(run, few, pool)
        (after,) = plan_maker(run, maker)
        assert after.most == 6 and after.seconds is not None and 0 < after.seconds < 60


def test_a_model_here_is_tried_on_its_first_prompts_and_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = script(monkeypatch, lambda text, seed: "so")
    seen: list[GenerationRequest] = []
    monkeypatch.setattr(model, "sample", seen.extend)
    clock = iter([0.0, 9.0, 10.0, 12.0, 20.0, 26.0])  # loading, 2 s to read, 6 s with 8 tokens more
    monkeypatch.setattr(predict, "perf_counter", lambda: next(clock))
    with kept_attached():
        run, _ = begin(tmp_path, write_sums(tmp_path))
        (plan, *judged) = plan_maker(run, S3FT(method="s3ft", judge="model", max_new_tokens=21))
    assert [each.max_new_tokens for each in seen] == [1] * 16 + [9] * 8
    each = (2 + (6 - 2) / 8 * (21 - 1)) / 8
    assert plan.seconds == pytest.approx(plan.most * each) and plan.price is None
    assert all(other.seconds == pytest.approx(other.most * each) for other in judged)


def test_what_has_nothing_to_ask_takes_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, lambda text, seed: "so")
    with kept_attached():
        run, _ = begin(tmp_path, write_sums(tmp_path))
        assert (
            first_requests(run, Workload(Answer(), "", [], [])) == []
            and try_calls(Answer(), []) is None
        )
        (plan,) = plan_maker(run, Answer())  # all rows are answered
    assert (plan.most, plan.prompt_tokens, plan.seconds) == (0, 0, None)


def test_what_reads_a_maker_is_planned_for_the_most_that_it_can_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, lambda text, seed: f"so {seed % 1000}")
    answer = Answer(prompts="all", answers=3)
    judge = Verified.model_validate(
        {"method": "verified", "reads": ["answer"], "verify": [{"method": "rubric"}],
         "endpoint": SERVED}
    )  # fmt: skip
    behind = judge.placed_behind([answer])
    again = judge.model_copy(update={"reads": ("verified",)}).placed_behind([answer, behind])
    with kept_attached():
        run, pool = begin(tmp_path, write_sums(tmp_path))
        for reader in (behind, again):  # 8 sums with 3 answers each, all of which may stay
            (plan, *_) = plan_maker(run, reader)
            assert (plan.fewest, plan.most, plan.sources, plan.coming) == (0, 24, 24, 24)
            assert (plan.prompt_tokens, plan.price) == (None, None), "no row is there to ask about"
        few = behind.model_copy(update={"limit": 5})
        (plan, *_) = plan_maker(run, few)
        assert (plan.most, plan.sources) == (5, 5)
        make(run, answer.model_copy(update={"at_most": AtMost(calls=6)}), pool)
        (plan, *_) = plan_maker(run, behind)  # 2 sums are finished, and 6 are not
        assert (plan.most, plan.sources, plan.coming) == (24, 24, 18)
        assert plan.prompt_tokens and plan.price
        once = Answer(prompts="all", reads=("answer",)).placed_behind([answer])
        (plan,) = plan_maker(run, once)  # the 6 answers that are there have 2 prompts
        assert (plan.fewest, plan.most, plan.coming) == (2, 20, 18)
        make(run, answer, pool)
        (plan, *_) = plan_maker(run, behind)
        assert (plan.most, plan.sources, plan.coming) == (24, 24, 0), "nothing is coming any more"


def test_a_limit_bounds_what_is_coming_and_counts_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, lambda text, seed: f"so {seed % 1000}")
    first = Answer(prompts="all", answers=3)
    reader = Answer(prompts="all", temperature=0, limit=2, reads=("answer",)).placed_behind([first])
    with kept_attached():
        run, pool = begin(tmp_path, write_sums(tmp_path))
        make(run, first.model_copy(update={"at_most": AtMost(calls=6)}), pool)
        (plan,) = plan_maker(run, reader)
        assert (plan.sources, plan.most, plan.coming) == (2, 2, 18)
        make(run, reader, pool)
        (plan,) = plan_maker(run, reader)
        assert (plan.sources, plan.most, plan.coming) == (0, 0, 18), "both that it may are done"


def test_rows_of_a_maker_of_the_whole_pool_are_coming_but_for_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, lambda text, seed: f"so {seed % 1000}")
    lists = LaMini(method="lamini", instructions=9)
    endless = SelfInstruct(method="self_instruct")
    evolve = EvolInstruct(method="evol_instruct", rounds=2, judges=())
    with kept_attached():
        run, _ = begin(tmp_path, write_sums(tmp_path))
        for before, coming, sources in ((lists, 9, 9), (endless, None, 0)):
            reads = evolve.model_copy(update={"reads": (before.method,)})
            (plan,) = plan_maker(run, reads.placed_behind([before]))
            assert (plan.coming, plan.sources) == (coming, sources)
        monkeypatch.setattr(predict, "read_made_of", lambda *of: [("a", "b"), ("c", "b")])
        assert (
            count_coming(
                run, evolve.model_copy(update={"reads": ("lamini",)}).placed_behind([lists])
            )
            == 7
        )
