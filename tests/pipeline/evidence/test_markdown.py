"""The evidence in a few lines, for the end of a run."""

from collections.abc import Mapping
from typing import Any

from pipeline.evidence.markdown import agreement_lines, evidence_lines, evidence_markdown


def test_the_score_that_goes_most_by_length_is_named_and_length_itself_is_not() -> None:
    pairs = {
        ("ifd", "loss tokens"): 0.3,
        ("less", "loss tokens"): -0.45,
        ("loss tokens", "response_length"): 1.0,
        ("ifd", "less"): 0.6,
    }
    agreement: list[Mapping[str, Any]] = [
        {"scores": list(two), "rows": 9, "rho": rho} for two, rho in pairs.items()
    ]
    assert list(agreement_lines(agreement)) == [
        "scores differ   ifd and less most: rank correlation 0.60",
        "goes by length  less most: rank correlation -0.45 with loss tokens",
    ]


def row(rows: int, *quantiles: float) -> dict[str, object]:
    return {"rows": rows, "tokens": 10 * rows, "quantiles": list(quantiles)}


EVIDENCE: dict[str, Any] = {
    "lengths": {
        "eligible": row(9, 1, 2, 3, 4, 5, 6, 7),
        "random": row(0),
        "choice": row(4, 11, 12, 13, 14, 15, 16, 17),
        "held_out": row(1, 0, 0, 0, 0, 0, 0, 0),
    },
    "overlaps": [
        {"other": "random", "shared": 3, "rows": 4, "expected": 1.75},
        {"other": "run 1", "shared": 2, "rows": 5, "expected": None},
    ],
    "moved": [
        {"change": "ifd +10 %", "moved": 0.125, "rows": 4, "why_not": ""},
        {"change": "no ifd", "moved": None, "rows": 0, "why_not": "nothing would rank"},
        {"change": "ifd -10 %", "moved": 0.25, "rows": 3, "why_not": ""},
    ],
    "agreement": [
        {"scores": ["ifd", "less"], "rows": 9, "rho": 0.5},
        {"scores": ["ifd", "loss tokens"], "rows": 9, "rho": None},
    ],
    "disputed": [
        {
            "example_id": "0123456789",
            **{"high": "ifd", "high_share": 0.9, "low": "less", "low_share": 0.1},
        }
    ],
}


def test_the_page_has_a_table_for_each_kind_of_evidence() -> None:
    page = evidence_markdown(EVIDENCE)
    assert page.endswith("\n") and page.startswith("## What the selection is worth\n\n")
    lines = page.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    lengths = [c for c in cells if c[0] in ("choice", "random", "eligible", "held_out")]
    assert lengths == [
        ["choice", "4", "40", "11", "12", "13", "14", "15", "16", "17"],
        ["random", "0", "0", *[""] * 7],
        ["eligible", "9", "90", "1", "2", "3", "4", "5", "6", "7"],
    ]
    assert "- shared with random: 3 of 4 rows; chance gives 1.8" in lines
    assert "- shared with run 1: 2 of 5 rows" in lines
    assert ["ifd +10 %", "12.5%", "4"] in cells and ["ifd -10 %", "25.0%", "3"] in cells
    assert "- not tried: no ifd: nothing would rank" in lines and page.count("not tried") == 1
    assert ["ifd and less", "9", "0.50"] in cells and ["ifd and loss tokens", "9", ""] in cells
    assert ["01234567", "ifd", "90%", "less", "10%"] in cells
    assert "was not looked at" not in page
    bare = {**EVIDENCE, "moved": None, "agreement": [], "disputed": []}
    assert "- how far it moves was not looked at" in evidence_markdown(bare)
    assert "rank correlation" not in evidence_markdown(bare)


def test_the_end_of_a_run_has_the_evidence_in_four_lines() -> None:
    assert list(evidence_lines(EVIDENCE)) == [
        "median length   14 loss tokens; 4 in all it was chosen from",
        "rows shared     3 of 4 with random (chance: 2), 2 of 5 with run 1",
        "moves most by   ifd -10 %: 25% of the picks",
        "scores differ   ifd and less most: rank correlation 0.50",
    ]
    still = [{**each, "moved": each["moved"] and 0.0} for each in EVIDENCE["moved"]]
    moves = list(evidence_lines({**EVIDENCE, "moved": still}))[2]
    assert moves == "moves by        nothing: no pick goes with any small change (2 tried)"
    unmoved = list(evidence_lines({**EVIDENCE, "moved": None}))
    assert not any(line.startswith("moves") for line in unmoved)
    nothing = {**EVIDENCE["lengths"], "choice": row(0)}
    assert list(evidence_lines({**EVIDENCE, "lengths": nothing})) == []


def test_a_score_that_is_the_length_itself_is_no_news() -> None:
    agreement: list[Mapping[str, Any]] = [
        {"scores": ["a", "loss tokens"], "rows": 9, "rho": 0.9999},
        {"scores": ["b", "loss tokens"], "rows": 9, "rho": -0.9998},
    ]
    expected = "goes by length  b most: rank correlation -1.00 with loss tokens"
    assert list(agreement_lines(agreement)) == [expected]
