"""What is counted of a template, by itself."""

import pytest

from scorers.measures.reading import template_bounds
from scorers.measures.reading.template_bounds import (
    BeyondBoundsError,
    count_written,
    counting,
    leaves,
    require_narrow,
    require_size,
    take,
    weigh_value,
)


def test_each_rendering_has_bounds_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_bounds, "MOST_STEPS", 10)
    take(11)  # while a template is compiled nothing is counted
    with counting():
        take(10)
        with counting():
            take(10)
        with pytest.raises(BeyondBoundsError, match="more than 10 steps"):
            take(1)


def test_sizes_are_of_all_that_a_text_of_the_value_would_have() -> None:
    inner = ["ab", {"c": "def"}]
    assert sum(leaves([inner, inner])) == 1 + 2 * (1 + 2 + 1 + 1 + 3)
    assert weigh_value("abc") == 3
    assert weigh_value([1, 2]) == weigh_value(range(2)) == 2
    assert weigh_value({"a": 1}) == weigh_value(None) == 1


@pytest.mark.parametrize(
    "form", ["%99999d", "%*d", "%.*f", b"%10000d", "{:{}}", "{0:{w}}", "{:99999}"]
)
def test_wide_formats_are_refused(form: str | bytes) -> None:
    with pytest.raises(BeyondBoundsError, match="width"):
        require_narrow(form, ())


@pytest.mark.parametrize("form", ["%s and %d", "%04d", "{} {0:>20}", 7, None])
def test_others_are_not(form: object) -> None:
    require_narrow(form, ["a"])


def test_values_and_what_is_written_have_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_bounds, "LARGEST", 5)
    for refused in ("abcdef", [1] * 6, range(6), b"123456"):
        with pytest.raises(BeyondBoundsError, match="more than 5 characters"):
            weigh_value(refused)
    with pytest.raises(BeyondBoundsError, match="bits"):
        weigh_value(1 << 200_000)
    require_size(5)
    with counting(), pytest.raises(BeyondBoundsError, match="characters or elements"):
        for _ in range(6):
            count_written(1)
