import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reporting.what_if import find_ids

NAMES = st.sets(st.text("abc", min_size=1, max_size=3))


@given(NAMES, NAMES)
def test_finds_the_ids_that_are_wanted(ids: set[str], wanted: set[str]) -> None:
    ordered = sorted(ids)
    found = find_ids(np.array(ordered, dtype=object), wanted)
    assert found.tolist() == [each in wanted for each in ordered]


@pytest.mark.parametrize("wanted", [set(), {"a"}])
def test_nothing_is_found_in_nothing(wanted: set[str]) -> None:
    assert find_ids(np.array([], dtype=object), wanted).shape == (0,)
