"""Work whose items are counted for whoever shows it."""

from pipeline.progress import one_by_one


def test_what_is_done_is_told_before_each_item_and_at_the_end() -> None:
    told: list[object] = []
    for item in one_by_one("verify: exports", ["a", "b"], lambda *each: told.append(each)):
        told.append(item)
    first, second, end = (("verify: exports", done, 2) for done in range(3))
    assert told == [first, "a", second, "b", end]


def test_of_nothing_nothing_is_told() -> None:
    told: list[object] = []
    assert list(one_by_one("verify: exports", [], lambda *each: told.append(each))) == told == []
