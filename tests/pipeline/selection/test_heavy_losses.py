"""A step that takes most of a source says so."""

import numpy as np

from pipeline.selection.heavy_losses import heavy_losses


def objects(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def test_sources_that_lose_more_than_half_are_named_the_heaviest_first() -> None:
    """a loses 3 of 5, b 5 of 6, c 3 of 6, which is half, and d all of 4, which are few."""
    sources = objects(*"aaaaabbbbbbccccccdddd")
    gone = [*"11100", *"111110", *"111000", *"1111"]
    reasons = objects(*("near_duplicate" if each == "1" else "" for each in gone))
    assert heavy_losses("exact on both", sources, reasons) == (
        "exact on both: took 5 of the 6 rows of b",
        "exact on both: took 3 of the 5 rows of a",
    )


def test_many_sources_are_counted_and_not_all_named() -> None:
    sources = objects(*(f"s{n}" for n in range(7) for _ in range(5)))
    lines = heavy_losses("licences", sources, np.full(35, "license_not_allowed", dtype=object))
    assert lines[0] == "licences: took 5 of the 5 rows of s0"
    assert lines[5:] == ("licences: took most rows of 2 more sources",)


def test_a_step_that_takes_nothing_says_nothing() -> None:
    assert heavy_losses("exact", objects(), objects()) == ()
    assert heavy_losses("exact", objects(*"aaaaa"), objects(*[""] * 5)) == ()
