import shutil
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.schemas import State
from prefect.exceptions import Pause
from pydantic import ValidationError

from fine_tune.settings import TrainSettings
from flows import approve_training as module
from flows.approve_training import (
    ASKED_EVENT,
    Decision,
    approve_training,
    ask,
    what_to_decide_by,
)
from storage.exports_manifest import read_manifest
from tests.exported_workspace import export_workspace
from tests.fine_tune.conftest import tiny_export, tiny_model  # noqa: F401


class Server:
    """Stands for Prefect: answers for a person, and keeps what is submitted."""

    def __init__(self, answer: Decision | None) -> None:
        self.answer, self.asked = answer, 0
        self.submitted: list[tuple[str, Mapping[str, Any], str]] = []

    def ask(self, *_: object) -> Decision:
        self.asked += 1
        assert self.answer is not None, "nobody is to be asked"
        return self.answer

    def submit(self, to: str, _: str, parameters: Mapping[str, Any], key: str) -> SimpleNamespace:
        self.submitted.append((to, parameters, key))
        return SimpleNamespace(name="a run")


@pytest.fixture
def export(tmp_path: Path, tiny_export: Path) -> Path:  # noqa: F811
    return Path(shutil.copytree(tiny_export, tmp_path / "exports" / "tiny"))


def answered(
    monkeypatch: pytest.MonkeyPatch, answer: Decision | None, export: Path, **given: object
) -> tuple[Server, State[None] | None]:
    server = Server(answer)
    monkeypatch.setattr(module, "ask", server.ask)
    monkeypatch.setattr(module, "submit_once", server.submit)
    settings = given.pop("train", TrainSettings(max_steps=1))
    monkeypatch.setattr(module, "recipe_settings", lambda _: settings)
    return server, approve_training.fn(str(export), **given)  # type: ignore[arg-type]


def test_a_yes_starts_the_training_once_and_another_training_is_another(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yes = Decision(answer="yes")
    server, state = answered(monkeypatch, yes, export)
    assert state is None and server.asked == 1
    ((to, parameters, key),) = server.submitted
    assert (to, parameters) == ("fine-tune/fine-tune", {"export": str(export)})
    again, _ = answered(monkeypatch, yes, export)
    assert again.submitted == server.submitted
    other, _ = answered(monkeypatch, yes, export, train=TrainSettings(max_steps=2))
    assert other.submitted[0][2] != key


def test_a_no_ends_it_with_its_reason(export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no = Decision(answer="no", reason="too dear")
    server, state = answered(monkeypatch, no, export)
    assert state is not None and state.is_cancelled() and state.message == "Not approved: too dear"
    assert server.submitted == []


def test_nobody_is_asked_where_nobody_is_to_be(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, state = answered(monkeypatch, None, export, ask_first=False)
    assert state is None and len(server.submitted) == 1


def test_what_is_trained_already_is_neither_asked_about_nor_started(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "read_outcome", lambda *_: object())
    server, state = answered(monkeypatch, None, export)
    assert state is None and server.submitted == []


@pytest.mark.parametrize("given", [{}, {"reason": "looks fine"}, {"answer": "maybe"}])
def test_a_comment_or_nothing_is_no_answer(given: Mapping[str, str]) -> None:
    with pytest.raises(ValidationError, match="answer"):
        Decision(**given)  # type: ignore[arg-type]


def test_a_run_that_waits_says_so_after_its_last_pulse(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def suspend(**_: object) -> None:
        done.append("suspended")
        raise Pause

    monkeypatch.setattr(module, "suspend_flow_run", suspend)
    monkeypatch.setattr(module, "emit_event", lambda event, _: done.append(event))
    monkeypatch.setattr(module, "what_to_decide_by", lambda *_: "")
    with pytest.raises(Pause):
        ask(export, read_manifest(export), "a model", TrainSettings())
    assert done == ["suspended", ASKED_EVENT]


def test_a_person_is_shown_counts_evidence_and_commands_and_no_row(tmp_path: Path) -> None:
    _, exported = export_workspace(tmp_path)
    model = exported.manifest.model.reference
    text = what_to_decide_by(exported.path, exported.manifest, model, TrainSettings())
    rows = exported.manifest.counts("train").rows
    assert f"| train | {rows:,} |" in text
    assert f"sluice view -w {tmp_path / 'workspace'}\n" in text
    assert f"reports/{exported.manifest.run_id}.html" in text
    assert "12 13" not in text, "a prompt of the sources"
    copied = Path(shutil.copytree(exported.path, tmp_path / "elsewhere"))
    alone = what_to_decide_by(copied, read_manifest(copied), model, TrainSettings())
    assert f"| train | {rows:,} |" in alone and "sluice" not in alone
