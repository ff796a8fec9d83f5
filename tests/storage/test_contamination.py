"""What a check found is stored whole, and replaced as a whole."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from storage import contamination
from storage.contamination import (
    HitRow,
    UncheckedRow,
    count_hits,
    gather_hits,
    read_check,
    read_contaminated,
    read_hits,
    read_unchecked,
    write_check,
)
from storage.database import open_workspace
from storage.workspace import Workspace

HITS: Sequence[HitRow] = [
    HitRow("e1", "set", 3, "prompt", "rule", 0.5, {"words": "a b"}),
    HitRow("e1", "set", 4, "answer", "rule", 0.9, {"words": "c"}),
    HitRow("e2", "other", 3, "prompt", "rule", 0.5, {}),
]


def test_a_check_is_read_as_it_was_written(tmp_path: Path) -> None:
    with open_workspace(Workspace(tmp_path)) as con:
        assert read_check(con, "r") is None
        write_check(
            con,
            "r",
            [HITS[:1], [], HITS[1:]],
            [UncheckedRow("set", 9, "no_text", "x")],
            {"rows": 2},
        )
        assert read_check(con, "r") == {"rows": 2}
        assert read_hits(con, "r") == [HITS[1], HITS[2], HITS[0]]
        assert read_hits(con, "r", 1) == [HITS[1]]
        assert read_unchecked(con, "r") == [UncheckedRow("set", 9, "no_text", "x")]
        assert count_hits(con, "r") == {"other": (1, 1, 1), "set": (2, 1, 2)}
        assert read_contaminated(con, "r") == {"e1": 0.9, "e2": 0.5}


@pytest.mark.parametrize("sizes", [[], [0, 0], [3, 0, 1], [4, 4], [9], [1] * 8, [3, 1, 3, 1, 2]])
def test_hits_are_written_in_portions_and_in_their_order(
    sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contamination, "HITS_AT_ONCE", 4)
    hits = [HITS[0]._replace(item=number) for number in range(sum(sizes))]
    left = iter(hits)
    portions = list(gather_hits([next(left) for _ in range(size)] for size in sizes))
    assert [hit for portion in portions for hit in portion] == hits
    assert all(len(portion) >= 4 for portion in portions[:-1]) and [] not in portions
    assert all(len(portion) < 4 + max(sizes) for portion in portions)


def test_a_second_check_replaces_the_first_of_the_same_run_only(tmp_path: Path) -> None:
    with open_workspace(Workspace(tmp_path)) as con:
        for run in ("r", "s", "r"):
            write_check(con, run, [HITS[:1]], [], {"rows": 1})
        assert len(read_hits(con, "r")) == len(read_hits(con, "s")) == 1
        write_check(con, "r", [], [], {"rows": 0})
        assert read_hits(con, "r") == [] and len(read_hits(con, "s")) == 1


def test_a_check_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    def broken() -> Sequence[HitRow]:
        raise RuntimeError("no more rows")

    with open_workspace(Workspace(tmp_path)) as con:
        write_check(con, "r", [HITS], [], {"rows": 1})
        with pytest.raises(RuntimeError):
            write_check(con, "r", (broken() for _ in range(1)), [], {"rows": 2})
        assert read_check(con, "r") == {"rows": 1} and len(read_hits(con, "r")) == 3
