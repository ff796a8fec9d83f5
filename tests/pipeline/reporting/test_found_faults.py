"""What a run can have found is told by what was measured, and by the steps that it took."""

import json
from typing import Any

import pytest

from docs.docstrings import ROOT
from pipeline.reporting import found_faults
from pipeline.reporting.found_faults import FOUND, NAMES, Finder, fault_report_lines, shares_said

RESULTS = ROOT / "benchmarks" / "results" / "which_score.json"


def measured_finder(kind: str, score: str) -> Finder:
    """The least and the most that a score found of a kind over the sets: by its bound, if any."""
    found = []
    for each in json.loads(RESULTS.read_text())["sets"].values():
        if (of_kind := each["scores"][score].get(kind)) is not None:
            found.append(of_kind.get("above 1", of_kind["10%"])["recall"][0])
    return Finder(score, round(min(found), 2), round(max(found), 2))


def test_shares_are_those_that_were_measured() -> None:
    assert set(FOUND) == set(NAMES)
    for kind, finders in FOUND.items():
        assert list(finders) == [measured_finder(kind, each.score) for each in finders]


def recipe(*steps: dict[str, Any], **blocks: Any) -> dict[str, Any]:  # noqa: ANN401
    scores = [{"scorer": "ifd", "name": "fit"}, {"scorer": "end_of_turn_loss"}]
    rank = {"method": "top_k", "score": "end_of_turn_loss"}
    return {"scores": scores, "select": {"steps": [*steps, rank]}, **blocks}


def test_a_filter_by_a_score_finds_what_that_does() -> None:
    cut = {"method": "drop_share", "score": "end_of_turn_loss", "share": 0.05}
    lines = list(fault_report_lines(recipe(cut)))
    (line,) = (each for each in lines if "cut off" in each)
    (finder,) = (each for each in FOUND["cut_off"] if each.score == "end_of_turn_loss")
    assert line.startswith("probably found: answers that were cut off, by end_of_turn_loss")
    assert shares_said(finder) in line


def test_a_ranking_or_nothing_finds_nothing_and_says_what_would() -> None:
    lines = list(fault_report_lines(recipe()))
    assert not [each for each in lines if each.startswith("probably found")]
    assert [each for each in lines if each.startswith("not looked for: answers that were cut off")]
    assert "not looked for: copies; a block `dedupe` finds them" in lines
    whole = list(fault_report_lines(recipe(dedupe=[{"method": "exact"}], check={"against": []})))
    assert not [each for each in whole if "copies" in each or "evaluation sets" in each]


def test_what_no_score_tells_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found_faults, "FOUND", {**FOUND, "cut_off": (Finder("ifd", 0.3, 0.9),)})
    told = "cannot have been found: answers that were cut off; no score here tells them from others"
    assert told in list(fault_report_lines(recipe()))


def test_one_share_is_told_once() -> None:
    assert (
        shares_said(Finder("x", 0.5, 0.5)) == "50%"
        and shares_said(Finder("x", 0.5, 0.75)) == "50% to 75%"
    )


@pytest.mark.parametrize("kind", NAMES)
def test_the_best_finder_comes_first(kind: str) -> None:
    assert list(FOUND[kind]) == sorted(FOUND[kind], key=lambda each: -each.least)
