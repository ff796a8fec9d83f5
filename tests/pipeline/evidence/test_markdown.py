"""The evidence in a few lines, for the end of a run."""

from collections.abc import Mapping
from typing import Any

from pipeline.evidence.markdown import agreement_lines


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
