"""The `reviews` table: verdicts are of examples, and a random row stays one."""

from pathlib import Path

from storage.database import open_workspace
from storage.reviews import Review, add_reviews, read_reviews, read_unlisted, write_verdicts
from storage.workspace import Workspace

ROWS = [Review("e1", "a.jsonl", "random", None), Review("e2", "a.jsonl", "suspect", None)]


def test_a_verdict_is_known_to_the_next_selection(tmp_path: Path) -> None:
    with open_workspace(Workspace(tmp_path / "w")) as con:
        add_reviews(con, "s1", ROWS)
        assert read_reviews(con, "s1") == ROWS
        write_verdicts(con, {"e1": ("bad", "wrong dose")})
        add_reviews(con, "s2", ROWS)
        first = Review("e1", "a.jsonl", "random", "bad", "wrong dose")
        assert read_reviews(con, "s1") == read_reviews(con, "s2") == [first, ROWS[1]]


def test_listing_again_keeps_verdicts_and_a_random_row_stays_one(tmp_path: Path) -> None:
    with open_workspace(Workspace(tmp_path / "w")) as con:
        add_reviews(con, "s1", ROWS)
        write_verdicts(con, {"e2": ("ok", "")})
        swapped = [
            Review("e1", "a.jsonl", "suspect", None),
            Review("e2", "a.jsonl", "random", None),
        ]
        add_reviews(con, "s1", swapped)
        listed = {each.example_id: each for each in read_reviews(con, "s1")}
        assert {each.drawn for each in listed.values()} == {"random"}
        assert listed["e2"].verdict == "ok"
        assert read_unlisted(con, ["e2", "e3"]) == ["e3"]
