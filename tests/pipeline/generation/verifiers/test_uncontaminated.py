"""Answers that hold an item of an evaluation set, and those just beside it."""

import json
from pathlib import Path

import pytest

from pipeline.generation.makers.rejection import Rejection
from pipeline.generation.verifiers.uncontaminated import Uncontaminated
from pipeline.ingest.rows import UnreadableSourceError
from tests.pipeline.generation.verifiers.given import faults, row
from tests.scripted_maker import begin, kept_attached, make, rows_of, script, write_sums

ITEM = "A farmer has twelve hens and each of them lays five eggs in every week of the year."


def write_set(path: Path, *prompts: str) -> Path:
    path.write_text(
        "".join(json.dumps({"question": each, "answer": "60"}) + "\n" for each in prompts)
    )
    return path


def verifier_of(path: Path, **settings: object) -> Uncontaminated:
    against = [{"path": str(path), "prompt": "question", "answer": "answer"}]
    return Uncontaminated.model_validate(
        {"method": "uncontaminated", "against": against, **settings}
    )


def test_thirteen_words_of_an_item_are_a_fault_and_twelve_are_none(tmp_path: Path) -> None:
    verifier = verifier_of(write_set(tmp_path / "farm.jsonl", ITEM, "What is rain?"))
    words = ITEM.split()
    thirteen, twelve = " ".join(words[:13]), " ".join(words[:12])
    told = faults(
        verifier, row("Tell me more."), f"So: {thirteen}", f"So: {twelve}", "What is rain?"
    )
    assert told == ["in_farm", "", ""]
    # The prompt of the row counts as well, and a short one where it is the same.
    assert faults(verifier, row(f"{thirteen} Go on."), "Sixty.") == ["in_farm"]
    assert faults(verifier, row("what is rain"), "Water.") == ["in_farm"]
    assert faults(verifier_of(tmp_path / "farm.jsonl", short=False), row("What is rain?"), "x") == [
        ""
    ]


def test_the_key_follows_the_content_of_a_set_and_not_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rejection, "identity", lambda self: "the model")
    (tmp_path / "b").mkdir()
    one = write_set(tmp_path / "farm.jsonl", ITEM)
    same = write_set(tmp_path / "b" / "farm.jsonl", ITEM)
    other = write_set(tmp_path / "c.jsonl", f"{ITEM} More.")
    keys = [
        Rejection(method="rejection", verify=(verifier_of(path),)).key(0)
        for path in (one, same, other)
    ]
    assert keys[0] == keys[1] != keys[2]
    block = Rejection(method="rejection", verify=(verifier_of(Path("farm.jsonl")),))
    assert block.placed(tmp_path).key(0) == keys[0]


def test_a_set_that_is_not_there_is_told_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSourceError, match="there is nothing at"):
        verifier_of(tmp_path / "none.jsonl").require()


def test_a_made_row_with_an_item_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(text: str, seed: int) -> str:
        return ITEM if text.startswith("What is 3") else f"It is {text.split()[2]}."

    script(monkeypatch, say)
    verify = (verifier_of(write_set(tmp_path / "farm.jsonl", ITEM)),)
    maker = Rejection(method="rejection", samples=1, gold="never", verify=verify)
    with kept_attached():
        run, pool = begin(tmp_path, write_sums(tmp_path))
        _, grown = make(run, maker, pool)
    reasons = sorted(str(each[-1]) for each in rows_of(run) if each[0] == "calls")
    assert reasons == ["in_farm"] * 2 + ["sample"] * 6 and len({*grown} - {*pool}) == 6
