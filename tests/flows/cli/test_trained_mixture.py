"""`sluice mixture EXPORT --add NAME` with real trainings of a tiny model."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness
from typer.testing import CliRunner, Result

from flows.cli.main import app
from flows.cli.trained_mixture import read_added
from tests.fine_tune.conftest import tiny_model  # noqa: F401
from tests.flows.test_train_mixtures import exports  # noqa: F401


def ask(*words: str, code: int) -> Result:
    done = CliRunner().invoke(app, ["mixture", *words])
    assert done.exit_code == code, (done.output, done.exception)
    return done


@pytest.fixture
def harness() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


def test_an_export_is_named_with_or_without_a_share() -> None:
    assert (read_added("chat").export, read_added("chat").share) == ("chat", 1)
    assert (read_added("a=b=0.25").export, read_added("a=b=0.25").share) == ("a=b", 0.25)
    for wrong in ("chat=2", "chat=much", "=0.5"):
        assert f"--add {wrong}" in ask("runs", "--add", wrong, code=2).output.replace("\n", "")


def test_options_of_the_other_form_are_refused(tmp_path: Path) -> None:
    assert "--top is for a file of runs" in ask("x", "--add", "a", "--top", "3", code=2).output
    told = ask("runs.csv", "--seeds", "3", "--plan", code=2).output
    assert "--seeds, --plan are for --add" in told
    assert "name the exports" in ask(str(tmp_path), code=2).output


@pytest.mark.slow
def test_a_mixture_is_planned_trained_and_found_again(
    exports: Path,  # noqa: F811
    harness: None,
    one_thread: None,
) -> None:
    models = exports.parent / "models"
    words = [str(exports / "task-a-r"), "--add", "chat", "--seeds", "2"]
    planned = ask(*words, "--plan", code=0).stderr
    assert "4 to 8 trainings of 3 steps" in planned and not models.exists()
    told = json.loads(ask(*words, "--json", code=1).stdout)
    (alone, mixed) = told["tried"]
    assert (alone["added"], mixed["added"]) == ([], ["chat"]) and len(mixed["losses"]) == 2
    reports = {each: json.loads((each / "report.json").read_text()) for each in models.iterdir()}
    trained = {
        (
            len(report["training"]["settings"].get("mix", [])),
            report["training"]["settings"]["seed"],
        ): report
        for report in reports.values()
    }
    seeds = range(4) if told["best"] else range(2)
    assert trained.keys() == {(mix, seed) for mix in (0, 2) for seed in seeds}
    for mix, each in ((0, alone), (2, mixed)):
        losses = [trained[mix, seed]["heldout_after"]["nats_per_token"] for seed in (0, 1)]
        assert each["losses"] == losses
    ages = {each: (each / "report.json").stat().st_mtime_ns for each in reports}
    again = ask(*words, code=1)
    assert {each: (each / "report.json").stat().st_mtime_ns for each in models.iterdir()} == ages
    assert "own + chat" in again.stdout
    assert ("nothing is recommended" in again.stdout) == (not told["best"])
