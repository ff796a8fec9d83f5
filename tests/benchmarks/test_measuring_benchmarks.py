"""The benchmarks of measuring: without data they measure nothing, and both sides do the same."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import (
    bfloat16_selection,
    bookkeeping,
    measuring_growth,
    measuring_limit,
    measuring_peers,
    plan_accuracy,
    training_methods,
    trajectory_losses,
)
from benchmarks.bfloat16_selection import overlap
from benchmarks.measuring_limit import computed_tokens
from benchmarks.plain_loop import plain_losses
from benchmarks.real_rows import DATA_VARIABLE, alpaca_pairs, candidate_pairs
from scorers.measures.reading.chat_format import RenderedExample
from scorers.measures.reading.next_token import NextTokenReader, Reading
from tests.tiny_models import VOCABULARY, tiny_llama

Main = Callable[[Sequence[str]], int]
NEED_DATA = [
    bfloat16_selection,
    measuring_growth,
    measuring_limit,
    measuring_peers,
    plan_accuracy,
    training_methods,
    trajectory_losses,
]


@pytest.mark.parametrize("main", [module.main for module in NEED_DATA])
def test_says_that_it_was_skipped(
    main: Main,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert main(["--out", str(tmp_path / "result.json")]) == 0
    assert capsys.readouterr().err.startswith("skipped, nothing was measured: set SLUICE_REAL_DATA")
    assert not (tmp_path / "result.json").exists()


def test_the_plain_loop_has_the_engines_losses() -> None:
    model: Any = tiny_llama()
    model.eval()
    draw = np.random.default_rng(0)
    texts = [draw.integers(0, VOCABULARY, n).tolist() for n in (9, 30, 4, 17, 5)]
    cuts = [3, 10, 1, 16, 2]
    prefixes = [text[:cut] for text, cut in zip(texts, cuts, strict=True)]
    responses = [text[cut:] for text, cut in zip(texts, cuts, strict=True)]
    readings = [
        Reading(text[:-1], cut - 1, np.array(text[cut:])[:, None])
        for text, cut in zip(texts, cuts, strict=True)
    ]
    found = NextTokenReader(model, 40).read(readings)
    means = [-prediction.log_probability.mean() for prediction in found]
    for batch_rows in (1, 2, 8):
        got = plain_losses(model, prefixes, responses, batch_rows)
        np.testing.assert_allclose(got, means, atol=1e-5)


def test_shared_tokens_are_counted_once() -> None:
    rows = [
        RenderedExample([1] * 10 + [n] * 5, [9, 8, 7, 6], [n] * 3) for n in (2, 3)
    ]  # 10 shared, 2 x (5 + 2) of their own; 4 of the header shared, 2 x 2 behind it
    assert computed_tokens(rows) == 10 + 14 + 4 + 4


def test_overlap_is_the_share_of_common_picks() -> None:
    one = np.array([4.0, 3.0, 2.0, 1.0])
    assert overlap(one, one, 0.5) == 1.0
    assert overlap(one, np.array([4.0, 1.0, 3.0, 2.0]), 0.5) == 0.5


def test_rows_are_read_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "instruct").mkdir()
    rows = [{"instruction": "Add.", "input": "1 1", "output": "2"}]
    (tmp_path / "instruct" / "alpaca_9k.json").write_text(json.dumps(rows))
    assert alpaca_pairs(tmp_path, 5) == [("Add.\n\n1 1", "2")]
    (tmp_path / "alpaca_eval").mkdir()
    for name in "ab":
        answers = [{"instruction": f"q{n}", "output": f"{name}{n}"} for n in range(3)]
        (tmp_path / "alpaca_eval" / f"{name}.json").write_text(json.dumps(answers))
    wanted = [("q0", "a0"), ("q0", "b0"), ("q1", "a1"), ("q1", "b1")]
    assert candidate_pairs(tmp_path, 2) == wanted


@pytest.mark.slow
def test_the_bookkeeping_of_a_few_rows(tmp_path: Path) -> None:
    assert bookkeeping.main(["--rows", "2000", "--out", str(tmp_path / "out.json")]) == 0
    (size,) = json.loads((tmp_path / "out.json").read_text())["sizes"]
    assert size["rows"] == 2000 and size["shards"] > 1 and size["files"] <= size["shards"]
