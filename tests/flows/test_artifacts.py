from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from fine_tune.cost import TrainCost
from fine_tune.outcome import TrainingOutcome
from flows import artifacts
from flows.artifacts import ProgressArtifact, artifact_key, put_on_page, training_markdown
from pipeline.evidence.training_markdown import outcome_line
from pipeline.reporting.report import FunnelRow
from tests.pipeline.text.test_markdown import kinds


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a run says while the test goes on."""
    lines: list[str] = []
    monkeypatch.setattr(artifacts, "say", lambda line, again=False: lines.append(line))
    return lines


def refuse(*_: object, **__: object) -> None:
    raise httpx.ConnectError("connection refused")


def test_a_server_that_is_gone_is_told_of_and_fails_nothing(said: list[str]) -> None:
    assert put_on_page("the funnel", refuse) is False
    assert said == ["page: the funnel could not be shown (ConnectError: connection refused)"]


def test_a_mistake_of_ours_is_not_hidden() -> None:
    def mistake() -> None:
        raise KeyError("no such column")

    with pytest.raises(KeyError):
        put_on_page("the funnel", mistake)


def test_keys_are_as_prefect_wants_them() -> None:
    assert (
        artifact_key("my-recipe", "measuring", "token_counts") == "my-recipe-measuring-token-counts"
    )
    assert artifact_key("Bad_Key/", "x") == "bad-key-x"


def test_progress_is_shown_in_steps_of_a_percent(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    shown: list[float] = []
    monkeypatch.setattr(artifacts, "create_progress_artifact", make_artifact)
    monkeypatch.setattr(
        artifacts, "update_progress_artifact", lambda _, progress: shown.append(progress)
    )
    progress = ProgressArtifact("k", "measuring losses")
    for done in range(1, 1001):
        progress.at(done, 1000)
    assert len(shown) == 100 and shown[-1] == 100.0
    progress.at(1000, 1000)
    assert shown[-1] == 100.0 and said == []


def make_artifact(**_: object) -> UUID:
    return uuid4()


@pytest.mark.parametrize("gone_at", ["create_progress_artifact", "update_progress_artifact"])
def test_progress_gives_up_after_one_failure(
    monkeypatch: pytest.MonkeyPatch, said: list[str], gone_at: str
) -> None:
    monkeypatch.setattr(artifacts, "create_progress_artifact", make_artifact)
    monkeypatch.setattr(artifacts, gone_at, refuse)
    progress = ProgressArtifact("k", "measuring losses")
    for done in (10, 20, 30):
        progress.at(done, 30)
    assert len(said) == 1 and "the progress of measuring losses could not be shown" in said[0]


REPORT = {
    "steps": 3,
    "train": {"rows": 12, "loss_tokens": 3456},
    "losses": [2.5, 2.0, 1.5],
    "heldout_before": {"nats_per_token": 2.25, "rows": 5},
    "heldout_after": {"nats_per_token": 1.75, "rows": 5},
}


def test_a_training_is_told_with_losses_samples_and_cost() -> None:
    cost = TrainCost(executions=2, seconds=61.25, rows=24, tokens=9876, device="cpu")
    told = training_markdown(
        TrainingOutcome(
            export_id="e", trial_id="t", workspace=None, adapter="a", report=REPORT, cost=cost
        )
    )
    for part in ("2.5000 → 1.5000", "2.2500 → 1.7500 (5 rows)", "61.2 in 2", "24", "9,876", "cpu"):
        assert part in told
    line = outcome_line(REPORT)
    assert line == "3 steps on 12 rows; held-out loss 2.2500 → 1.7500 (5 rows), nats per token"
    bare = TrainingOutcome(
        export_id="e",
        trial_id="t",
        workspace=None,
        adapter="a",
        report={**REPORT, "heldout_before": None, "heldout_after": None},
        cost=None,
    )
    assert "held-out" not in training_markdown(bare) and "seconds" not in training_markdown(bare)


def test_names_of_others_are_no_markup_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = "a`b [x](http://evil.example) <img src=x> \x1b]0;t\x07"
    made: list[dict[Any, Any]] = []

    def keep(*args: object, **given: object) -> None:
        made.append({**given, **dict(enumerate(args))})

    monkeypatch.setattr(artifacts, "create_markdown_artifact", keep)
    monkeypatch.setattr(artifacts, "create_table_artifact", keep)
    artifacts.show_funnel(bad, "run", [FunnelRow("ingest", bad, 1, 1, bad)])
    artifacts.show_changes(bad, "run", "", "3 came")
    artifacts.show_evidence(bad, "run", "", "2 rows")
    artifacts.show_histograms(bad, "run", b"")
    links = {"link_open", "html_inline", "html_block"}
    for each in made:
        assert not kinds(str(each["description"])) & links
        assert "\x1b" not in str([*each.values()])
        assert len(str(each["key"])) > 5
    told = [str(each["description"]) for each in made]
    assert told[0].endswith(": 1 rows in, 1 left") and told[1].endswith(": 3 came")
    (row,) = made[0]["table"]
    assert row["step"] == bad.replace("\x1b", r"\u001b").replace("\x07", r"\u0007")
