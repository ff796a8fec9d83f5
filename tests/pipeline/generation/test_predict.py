"""What a plan says of a maker: prompts are known before anything is sent."""

from pathlib import Path

import pytest

from pipeline.generation import predict
from pipeline.generation.make import Workload
from pipeline.generation.makers.answer import Answer
from pipeline.generation.makers.s3ft import S3FT
from pipeline.generation.predict import first_requests, plan_maker, try_calls
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
