"""The steps before the recipe's own: what cannot be trained on, and what is held out."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.run_context import RunContext
from pipeline.selection import run_steps
from pipeline.selection.candidates import Candidates, read_candidates
from pipeline.selection.run_steps import SelectSettings, held_out, later_objections, untrainable
from storage.database import Connection, read_workspace
from tests.stage_runner import start, store_measurement

PROMPTS = 200

CANDIDATES = 2
"""Rows of each prompt."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunContext, list[str]]:
    folder = tmp_path_factory.mktemp("steps")
    rows = [
        {"prompt": f"p{n}", "completion": f"answer {take}"}
        for n in range(PROMPTS)
        for take in range(CANDIDATES)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return start(folder / "w", [folder / "rows.jsonl"])


@pytest.fixture
def con(run: tuple[RunContext, list[str]]) -> Iterator[Connection]:
    with read_workspace(run[0].workspace) as con:
        yield con


@pytest.fixture
def rows(con: Connection, run: tuple[RunContext, list[str]]) -> Candidates:
    return read_candidates(con, *run)


@pytest.mark.parametrize("share", [0.05, 0.2, 0.9])
def test_the_share_that_is_asked_for_is_held_out(rows: Candidates, share: float) -> None:
    aside = held_out(rows, share, seed=1)
    # Of 200 prompts: four standard deviations of a binomial share on both sides.
    assert abs(aside.mean() - share) < 4 * np.sqrt(share * (1 - share) / PROMPTS)


def test_a_share_is_of_all_keys_and_its_end_is_not_in_it(
    rows: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = np.array([0, 2**62 - 2**10, 2**62, 2**63], dtype=np.uint64)  # below 2^64
    monkeypatch.setattr(run_steps, "random_keys", lambda *_: keys)
    assert held_out(rows.at(np.arange(4)), 0.25, seed=1).tolist() == [True, True, False, False]


FILTER = {"method": "threshold", "score": "ifd", "at_least": 1}
RANK = {"method": "top_k", "score": "ifd", "budget": {"rows": 1}}


@pytest.mark.parametrize(
    "steps", [[FILTER], [RANK, FILTER], [RANK, RANK], [FILTER, RANK, RANK], [RANK, FILTER, FILTER]]
)
def test_one_step_ranks_and_it_comes_last(steps: list[dict[str, object]]) -> None:
    with pytest.raises(ValueError, match="exactly one step ranks and has the budget"):
        SelectSettings.model_validate({"steps": steps})
    for filters in ([], [FILTER], [FILTER, FILTER, FILTER]):
        found = SelectSettings.model_validate({"steps": [*filters, RANK]})
        assert found.rank.method == "top_k" and len(found.filters) == len(filters)


def test_the_first_objection_to_a_row_is_told(
    rows: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(*reasons: str, by_row: bool = True) -> SimpleNamespace:
        found = SimpleNamespace(reasons=np.array(reasons, dtype=object), turns=None)
        return SimpleNamespace(found=found, pick=lambda _: found, by_row=lambda: by_row)

    rows = rows.at(np.arange(4))
    untrained = np.array(["", "no_response", "", ""], dtype=object)
    monkeypatch.setattr(run_steps, "untrainable", lambda _: untrained)
    monkeypatch.setattr(run_steps, "filter_rows", lambda step, _: step.found)
    compared = told("compared", "compared", "compared", "compared", by_row=False)
    filters = [told("below", "below", "", ""), compared, told("above", "", "above", "")]
    settings: Any = SimpleNamespace(filters=filters)
    found = later_objections(rows, settings, None)
    assert found.tolist() == ["below", "no_response", "above", ""]
    licenses: Any = told("", "license", "license", "")
    found = later_objections(rows, settings, licenses)
    assert found.tolist() == ["below", "license", "license", ""]


def test_prompts_stay_held_out_when_the_share_grows_and_move_with_the_seed(
    rows: Candidates,
) -> None:
    small, large = held_out(rows, 0.1, seed=1), held_out(rows, 0.4, seed=1)
    assert small.any() and large[small].all()
    assert (held_out(rows, 0.1, seed=2) != small).any()
    assert not held_out(rows, 0.0, seed=1).any()


def test_all_candidates_of_a_prompt_go_the_same_way(rows: Candidates) -> None:
    aside = held_out(rows, 0.5, seed=1)
    prompts = rows.column("prompt_id")
    assert set(prompts[aside]).isdisjoint(prompts[~aside])
    assert aside.sum() % CANDIDATES == 0


def test_why_a_row_cannot_be_trained_on(tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": f"q{n}", "completion": "a"}) for n in range(6)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    run, pool = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    states = ["ok", "ok", "ok", "truncated", "failed", "not_applicable"]
    tokens = pa.array([0, 1, 2, 9, None, None], pa.int64())
    counted = {"state": pa.array(states), "response_tokens": tokens}
    run = store_measurement(run, "token_counts", pool, counted)
    with read_workspace(run.workspace) as con:
        reasons = untrainable(read_candidates(con, run, pool)).tolist()
        uncounted = replace(run.measures["token_counts"], settings={"version": 2})
        other = replace(run, measures={"token_counts": uncounted})
        assert set(untrainable(read_candidates(con, other, pool))) == {"not_measured"}
    assert reasons == ["no_loss_tokens", "", "", "truncated", "failed", "no_response"]
