"""Figures beside other tools, in README and docs/comparison.md, are those that were measured."""

import json
import re
from typing import Any

import pytest

from docs.docstrings import ROOT

COMPARISON = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
PAGES = {"README": (ROOT / "README.md").read_text(encoding="utf-8"), "comparison": COMPARISON}


def result(name: str) -> dict[str, Any]:
    file = ROOT / "benchmarks" / "results" / f"{name}.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def cells(page: str, label: str) -> list[str]:
    """The cells of the one line of the tables of a page that begins so."""
    (line,) = re.findall(rf"^\| {re.escape(label)}.*$", page, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


def times() -> dict[str, str]:
    """How the line of each work begins → how many times the CPU-seconds others took."""
    vectors = result("semantic_dedupe")["50000 x 256"]
    check = result("contamination")["gsm8k_train_by_test"]["sluice"]
    found = {
        "near copies": 1 / result("dedupe_quality")["whole_stage"]["stage_over_rensa"],
        "semantic copies": vectors["semhash"]["cpu_seconds"] / vectors["sluice"]["cpu_seconds"],
    }
    shown = {work: f"{value:.1f}" for work, value in found.items()}
    shown["contamination"] = f"{check['times_wana_whole_process']:.0f}"
    shown["DEITA's filter"] = f"{result('diverse_filter')['times_the_loop']:.0f}"
    return shown


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(("work", "figure"), times().items())
def test_times_are_those_that_were_measured(page: str, work: str, figure: str) -> None:
    assert cells(PAGES[page], work)[-1] == figure


def test_times_of_measuring_are_those_that_were_measured() -> None:
    peers = result("measuring_peers")
    dtypes = ("float32", "bfloat16")
    for label, name in (
        ("Alpaca, with and without prompt", "alpaca_with_and_without_prompt"),
        ("GRAPE, 8 answers", "grape_candidates"),
    ):
        figures = [f"{peers['loop'][dtype][name]['times_the_loop']:.1f}" for dtype in dtypes]
        assert cells(COMPARISON, label)[-2:] == figures
    wana = [f"{peers['ifd'][dtype]['times_wana']:.1f}" for dtype in dtypes]
    assert cells(COMPARISON, "IFD of Alpaca rows")[-2:] == wana
    in_float32 = peers["loop"]["float32"]["alpaca_with_and_without_prompt"]["times_the_loop"]
    assert cells(PAGES["README"], "losses of Alpaca rows")[-1] == f"{in_float32:.1f}"


def test_what_was_found_and_survived_is_what_was_measured() -> None:
    million, kills = result("semantic_dedupe")["1000000 x 384"], result("kill_anywhere")
    ours, theirs = (
        sum(result("dedupe_quality")["searches"][name]["with_copies"]["found"].values())
        for name in ("sluice", "rensa")
    )
    text = " ".join(COMPARISON.split())
    for said in (
        f"took {million['wall_seconds']:.0f} s and {million['peak_mib'] / 1024:.1f} GiB",
        f"with a recall of {million['true_recall']:.3f}",
        f"all {ours} that are near copies were found",
        f"rensa alone found {theirs}",
        f"Of {kills['kills']} runs that were killed with SIGKILL",
        f"{kills['killed_at_moments_of_writing']} of them at a write that was chosen",
    ):
        assert said in text
    assert kills["differ"] == [] and kills["ended_well_at_the_second_start"] == kills["kills"]
