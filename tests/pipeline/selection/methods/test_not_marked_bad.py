"""The filter by verdicts: the last one on an example counts, wherever it was read."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.selection.candidates import read_candidates
from pipeline.selection.methods.not_marked_bad import NotMarkedBad, select_not_marked_bad
from storage.database import open_workspace
from storage.reviews import Review, add_reviews, write_verdicts
from tests.stage_runner import start


def test_rows_that_nobody_found_bad_pass_in_the_order_of_ids() -> None:
    ids = np.array(["c", "b", "a"], dtype=object)
    outcome = select_not_marked_bad(np.array([False, True, False]), ids)
    np.testing.assert_array_equal(outcome.indices, [2, 0])
    np.testing.assert_array_equal(outcome.reasons, ["", "marked_bad", ""])


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1 for 2 rows"):
        select_not_marked_bad(np.array([True]), np.array(["a", "b"], dtype=object))


def test_the_last_verdict_of_any_selection_counts(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"prompt": "p{n}", "response": "r"}}\n' for n in range(4)))
    run, pool = start(tmp_path / "w", [rows])
    first, second, third, unread = sorted(pool)
    with open_workspace(run.workspace) as con:
        for selection in ("of a run", "of another"):
            listed = [Review(each, "rows.jsonl", "random", None) for each in pool]
            add_reviews(con, selection, listed)
        write_verdicts(con, {first: ("bad", ""), second: ("bad", ""), third: ("ok", "")})
        write_verdicts(con, {second: ("ok", "read again"), third: ("bad", "")})
        # In an order that is not that of the ids: verdicts must follow their rows.
        candidates = read_candidates(con, run, pool).at(np.array([3, 2, 1, 0]))
        outcome = NotMarkedBad(method="not_marked_bad").pick(candidates)
    assert candidates.ids[outcome.indices].tolist() == [second, unread]
    assert candidates.ids[outcome.reasons == "marked_bad"].tolist() == [third, first]
