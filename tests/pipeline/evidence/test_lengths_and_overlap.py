"""Length distributions and overlaps: hand-worked."""

import numpy as np

from pipeline.evidence.lengths import Lengths, describe_lengths
from pipeline.evidence.overlap import measure_overlap


def test_a_quantile_is_the_length_of_a_row() -> None:
    found = describe_lengths(np.array([10, 1, 3, 2]))
    assert (found.rows, found.tokens) == (4, 16)
    assert found.quantiles == [1, 1, 1, 2, 3, 10, 10]


def test_no_rows_have_no_quantiles() -> None:
    assert describe_lengths(np.array([], dtype=np.int64)) == Lengths(0, 0, [])


def test_chance_is_the_product_over_the_pool() -> None:
    found = measure_overlap("random", {"a", "b", "c"}, {"c", "d"}, 12)
    assert (found.rows, found.shared, found.expected) == (2, 1, 0.5)
    assert measure_overlap("run 1", {"a"}, {"a"}, None).expected is None
