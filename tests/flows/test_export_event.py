from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from fine_tune.settings import TrainSettings
from flows import export_event
from flows.export_event import hand_over
from storage.workspace import Workspace
from tests.empty_workspace import lay_out

TRAIN = TrainSettings(max_steps=1)
SERVER = "http://127.0.0.1:4200/api"


def state_of(folder: Path, train: TrainSettings | None = TRAIN, **more: str) -> Any:  # noqa: ANN401
    """As much of a run's state as the end of its export reads."""
    workspace = Workspace(folder)
    lay_out(workspace, declared=False)
    given = {"export_id": "e1", "target": "wheel:x", **more}
    counts = SimpleNamespace(rows=3, loss_tokens=9)
    manifest = SimpleNamespace(export_id=given["export_id"], counts=lambda _: counts)
    return SimpleNamespace(
        run=SimpleNamespace(workspace=workspace, run_id="run"),
        recipe=SimpleNamespace(name="r", train=train),
        placed=SimpleNamespace(target=given["target"]),
        exported=SimpleNamespace(path=folder / "exports" / "e", manifest=manifest),
    )


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, str]]:
    """The resource of each event that is sent."""
    found: list[Mapping[str, str]] = []
    monkeypatch.setattr(export_event, "show_export", lambda *_: None)
    monkeypatch.setattr(export_event, "emit_event", lambda **given: found.append(given["resource"]))
    return found


def test_an_export_is_handed_over_once_for_each_training(
    tmp_path: Path, sent: list[Mapping[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with temporary_settings({PREFECT_API_URL: SERVER}):
        for _ in range(3):
            hand_over(state_of(tmp_path), "export")
        assert [each["sluice.train"] for each in sent] == ["elsewhere"]
        assert capsys.readouterr().err.count("handed over before") == 2
        for number, other in enumerate(
            (
                state_of(tmp_path, export_id="e2"),
                state_of(tmp_path, target="wheel:y"),
                state_of(tmp_path, TrainSettings(max_steps=2)),
            )
        ):
            hand_over(other, "export")
            assert len(sent) == 2 + number


def test_what_nobody_could_hear_is_not_taken_for_handed_over(
    tmp_path: Path, sent: list[Mapping[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        hand_over(state_of(tmp_path), "export")
    assert sent == [] and "nobody is told" in capsys.readouterr().err
    with temporary_settings({PREFECT_API_URL: SERVER}):
        hand_over(state_of(tmp_path), "export")
    assert len(sent) == 1


def test_what_is_not_recorded_as_sent_is_sent_again(
    tmp_path: Path, sent: list[Mapping[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with temporary_settings({PREFECT_API_URL: SERVER}):
        monkeypatch.setattr(export_event, "record_handover", lambda *_: None)  # killed before it
        hand_over(state_of(tmp_path), "export")
        monkeypatch.undo()
        monkeypatch.setattr(export_event, "show_export", lambda *_: None)
        monkeypatch.setattr(
            export_event, "emit_event", lambda **given: sent.append(given["resource"])
        )
        hand_over(state_of(tmp_path), "export")
    assert len(sent) == 2


@pytest.mark.parametrize(("train", "until"), [(None, "export"), (TRAIN, "train")])
def test_what_is_not_trained_elsewhere_is_told_of_every_time_and_asks_nobody(
    train: TrainSettings | None,
    until: Literal["export", "train"],
    tmp_path: Path,
    sent: list[Mapping[str, str]],
) -> None:
    with temporary_settings({PREFECT_API_URL: SERVER}):
        for _ in range(2):
            hand_over(state_of(tmp_path, train), until)
    assert [each["sluice.train"] for each in sent] == ["no", "no"]
