"""When examples arrived: with the first of their sources, and answers with what they answer."""

from datetime import date

import pytest

from storage.arrivals import Window, read_arrivals
from storage.conversations import Conversation
from storage.database import Connection
from storage.examples import Attempt, write_attempts
from storage.runs import start_run, write_run_targets
from storage.sources import ReadRow, Source, add_source, write_rows

DAYS = {"b": "2026-03-02", "a": "2026-03-09", "old": None, "target": "2026-03-01"}


def talk(text: str) -> Conversation:
    return Conversation(
        [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]
    )


ROWS = {"b": ["second", "both"], "a": ["ninth", "both"], "old": ["old"], "target": ["asked"]}

NAMES = {
    talk(t).example_id: t
    for t in ("second", "ninth", "both", "old", "asked", "answer", "late answer")
}


@pytest.fixture
def arrived(con: Connection) -> Connection:
    for name, texts in ROWS.items():
        add_source(con, Source(name, f"in/{name}.jsonl", None, None, "", name, 1))
        write_rows(con, name, [ReadRow(n, talk(t), "messages") for n, t in enumerate(texts)], [])
        con.execute("update sources set ingested_at = ? where source_id = ?", [DAYS[name], name])
    start_run(con, "run", {"name": "n", "seed": 0}, "code", {}, ["a", "b", "old"])
    write_run_targets(con, "run", ["target", "a"])  # what is a source too arrives like one
    for parent, answer in (("ninth", "answer"), ("both", "answer"), ("ninth", "late answer")):
        attempt = Attempt(talk(parent).example_id, 0, talk(answer), "")
        write_attempts(con, [attempt], (parent, "m", "{}", "run"))
    return con


def arrivals(con: Connection, **window: object) -> dict[str, list[str]]:
    """First day of each partition → the texts of what came, sorted."""
    found = read_arrivals(con, Window(**window))  # type: ignore[arg-type]
    assert all(ids == sorted(ids) for ids in found.values())
    assert list(found) == sorted(found)
    return {str(day): sorted(NAMES[i] for i in ids) for day, ids in found.items()}


def test_an_example_arrives_once_and_an_answer_with_what_it_answers(arrived: Connection) -> None:
    assert arrivals(arrived) == {
        "1970-01-01": ["old"],
        "2026-03-02": ["answer", "both", "second"],
        "2026-03-09": ["late answer", "ninth"],
    }


def test_a_window_has_both_of_its_days(arrived: Connection) -> None:
    second, ninth = date(2026, 3, 2), date(2026, 3, 9)
    assert list(arrivals(arrived, since=second, until=second)) == ["2026-03-02"]
    assert list(arrivals(arrived, since=second, until=ninth)) == ["2026-03-02", "2026-03-09"]
    assert arrivals(arrived, since=date(2026, 3, 3), until=date(2026, 3, 8)) == {}


def test_a_month_is_one_partition_and_a_source_is_a_pattern(arrived: Connection) -> None:
    march = ["answer", "both", "late answer", "ninth", "second"]
    since = date(2026, 1, 1)
    assert arrivals(arrived, since=since, period="month") == {"2026-03-01": march}
    # By that source alone, what is in both came with the later one.
    late = ["answer", "both", "late answer", "ninth"]
    assert arrivals(arrived, source="in/a*") == {"2026-03-09": late}
