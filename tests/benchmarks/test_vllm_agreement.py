"""The benchmark of a served model compares what it says it compares, and sees disagreement."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.vllm_agreement import (
    DATA_VARIABLE,
    both_passes,
    compare_losses,
    compare_speed,
    conversation,
    had,
    main,
    problems,
)
from scorers.measures.endpoint.client import EndpointSettings
from scorers.measures.endpoint.losses import EndpointLosses
from scorers.measures.protocols import GenerationFailure, TokenLosses
from scorers.measures.reading.chat_format import RenderedExample
from tests.fake_endpoint import Body, Canned, scored, serve
from tests.fakes import FakeLanguageModel

ROWS = [
    RenderedExample(prompt=[4, 1, 2], header=[1, 2], response=[2, 5]),
    RenderedExample(prompt=[9, 1, 2], header=[1, 2], response=[3, 3, 4]),
]


def half_a_nat_more_for_a_5(body: Body, attempt: int) -> Canned:
    def nats(before: int, token: int) -> float:
        return 0.1 + abs(token - before) % 10 + (0.5 if token == 5 else 0.0)

    return scored(body, nats)


def test_differences_are_those_of_the_same_tokens() -> None:
    with serve(half_a_nat_more_for_a_5) as endpoint:
        losses = EndpointLosses(EndpointSettings(endpoint.base_url, "m"))
        exact = FakeLanguageModel().token_losses(*both_passes(ROWS))
        found = compare_losses(FakeLanguageModel(), losses, ROWS, exact)
        speed = compare_speed(FakeLanguageModel(), losses, ROWS)
    assert (found["rows"], found["tokens"]) == (2, 10)
    # The 5 is scored with its prompt and without: twice 0.5 among 10 tokens, of 2 in its row.
    assert found["largest_token_difference"] == pytest.approx(0.5)
    assert found["mean_token_difference"] == pytest.approx(0.1)
    assert found["largest_row_mean_difference"] == pytest.approx(0.25)
    assert found["largest_long_row_mean_difference"] == 0  # no row has 20 tokens
    assert found["same_top1_share"] == 1.0
    assert found["to_exact"] == {"server": pytest.approx(0.1), "engine": 0}
    assert speed["tokens"] == 11 and len(speed["rounds"]["server"]) == 2
    assert speed["engine_tokens_per_second"] == max(speed["rounds"]["engine"])


def result(float32: float, server: float, engine: float) -> dict[str, Any]:
    distances = {"to_exact": {"server": server, "engine": engine}}
    return {
        "float32": {"losses": {"largest_row_mean_difference": float32}},
        "bfloat16": {"losses": distances},
    }


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (result(1e-4, 0.05, 0.05), []),
        (result(2e-3, 0.05, 0.05), ["float32"]),
        (result(1e-4, 0.07, 0.05), ["bfloat16"]),
        (result(2e-3, 0.07, 0.05), ["float32", "bfloat16"]),
    ],
)
def test_sees_disagreement(found: dict[str, Any], expected: list[str]) -> None:
    assert [text.partition(":")[0] for text in problems(found)] == expected


def test_a_row_without_losses_ends_it() -> None:
    losses = TokenLosses(np.zeros(1, np.float32), None, np.ones(1, np.bool_))
    assert had([losses]) == [losses]
    with pytest.raises(RuntimeError, match=r"1 rows failed, the first with .*timeout"):
        had([losses, GenerationFailure("timeout", "no answer in 5 s")])


def test_a_row_is_a_question_and_its_answer() -> None:
    turns = conversation({"instruction": "Add.", "input": "1, 2", "output": "3"})
    assert [turn["content"] for turn in turns] == ["Add.\n\n1, 2", "3"]
    assert conversation({"instruction": "Go.", "input": "", "output": "x"})[0]["content"] == "Go."


def test_measures_nothing_where_there_is_nothing_to_measure_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    out = tmp_path / "result.json"
    assert main(["--out", str(out)]) == 0
    rows = [{"instruction": "Go.", "input": "", "output": "x"}]
    (tmp_path / "instruct").mkdir()
    (tmp_path / "instruct" / "alpaca_9k.json").write_text(json.dumps(rows))
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert main(["--out", str(out)]) == 0  # rows, but no server
    assert not out.exists() and capsys.readouterr().err.count("skipped") == 2
