"""What is read of dropped answers; the whole way is in tests/pipeline/export/test_rejected.py."""

from pathlib import Path

import pytest

from storage.database import open_workspace, read_workspace
from storage.rejected import read_dropped_answers, read_stored_answers
from storage.selections import read_run_selections
from tests.exported_workspace import talk
from tests.pipeline.export.test_rejected import BELOW, export_with


def test_dropped_answers_are_those_of_the_run_its_reasons_and_the_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [{"prompt": "20 10", "completion": "99"}, talk("20 10", "98", "97")]
    run, _ = export_with(tmp_path, more, BELOW, monkeypatch)
    with read_workspace(run.workspace) as con:
        selection = read_run_selections(con, run.run_id)["choice"].selection_id
        texts = dict(con.execute("select example_id, response from examples").fetchall())

        def found(run_id: str, *reasons: str) -> list[tuple[str, str, str]]:
            rows = read_dropped_answers(con, run_id, selection, reasons)
            return sorted((texts[kept], texts[other], reason) for kept, other, reason in rows)

        told = "below_threshold"
        assert found(run.run_id, told, "over_budget") == [
            ("20 11", "98", told),
            ("20 11", "99", told),
        ]
        assert found(run.run_id, "over_budget") == [] == found("another", told)
        kept, dropped = (next(i for i, text in texts.items() if text == t) for t in ("20 11", "99"))
        stored = read_stored_answers(con, run.run_id, [dropped, kept, "0" * 32])
    assert [each.reason for each in stored] == [told, None, None]
    assert [each.response_at for each in stored] == [1, 1, None]


def test_an_answer_that_says_the_same_is_no_worse_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = [talk("20 10", "20 11", "97"), {"prompt": "20 10", "completion": "99"}]
    run, _ = export_with(tmp_path, more, BELOW, monkeypatch)
    with open_workspace(run.workspace) as con:
        # As if it had been dropped for its later turn.
        con.execute(
            "insert into outcomes select $run, 'select', 9, example_id, 'dropped', "
            "'below_threshold', null, null, null from examples where strpos(messages, '97') > 0",
            {"run": run.run_id},
        )
        selection = read_run_selections(con, run.run_id)["choice"].selection_id
        found = read_dropped_answers(con, run.run_id, selection, ["below_threshold"])
        texts = dict(con.execute("select example_id, response from examples").fetchall())
    assert {(texts[kept], texts[other]) for kept, other, _ in found} == {("20 11", "99")}
