"""Repairs: of which rows, and under which key. What is chosen of them: test_clear_repair.py."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.generation.make import find_workload, repair_key
from pipeline.generation.makers.answer import Answer
from pipeline.generation.makers.repair import Repair
from tests.scripted_maker import begin, make, rows_of, script

REPAIR = {"method": "repair", "prompts": "all", "answers": 1, "temperature": 0}


def repair(**change: object) -> Repair:
    return Repair.model_validate({**REPAIR, **change})


@pytest.mark.parametrize("change", [{"prompts": "unanswered"}, {"answers": 2}, {"temperature": 1}])
def test_a_repair_is_the_likeliest_answer_to_each_row(change: dict[str, object]) -> None:
    assert Answer.model_validate({**REPAIR, **change, "method": "answer"}) and repair()
    with pytest.raises(ValidationError, match="a repair is the likeliest answer to each row"):
        repair(**change)


def test_every_row_with_one_answer_is_repaired_and_what_stays_as_it_was_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = [{"role": role, "content": role} for role in ("user", "assistant") * 2]
    rows: list[dict[str, object]] = [{"prompt": "p", "completion": str(n)} for n in range(3)]
    rows += [{"messages": turns}, {"messages": turns[:1]}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    model = script(monkeypatch, lambda text, seed: "1")
    run, pool = begin(tmp_path, tmp_path / "rows.jsonl")
    assert len(find_workload(run, repair(limit=1)).chosen) == 3, "prompts are what is limited"
    made, grown = make(run, repair(), pool)
    assert (len(made.workload.chosen), model.asked, grown) == (3, ["p"], pool)
    attempts = [row for row in rows_of(run) if row[0] == "attempts"]
    assert sorted((str(state), str(detail)) for *_, state, detail, _ in attempts) == [
        ("failed", "unchanged"),
        *[("ok", "answer")] * 2,
    ]
    assert {row[3] for row in rows_of(run) if row[0] == "lineage"} == {"repaired"}


def test_the_key_is_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Answer, "identity", lambda self: "the model")
    monkeypatch.setattr(Repair, "identity", lambda self: "the model")
    # Recorded of the code before makers.
    assert repair().key(0) == repair_key([Answer(), repair()], 0) == "a17fcb195f661fe5"
    assert repair_key([Answer()], 0) is None
