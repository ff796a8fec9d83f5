import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.handoff.catalogue import TRAINERS
from pipeline.handoff.environment import environment_of, set_up_trainer
from pipeline.serving.own_environment import EnvironmentSetUpError, SetUpSteps


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The steps that would be run; venv makes its folder."""
    commands: list[list[str]] = []

    def run(self: SetUpSteps, *command: str) -> None:
        commands.append(list(command[1:]))
        if "venv" in command:
            version = f"python{sys.version_info.major}.{sys.version_info.minor}"
            (Path(command[-1]) / "lib" / version / "site-packages").mkdir(parents=True)
        if "pip" in command and "broken" in self.what:
            raise EnvironmentSetUpError("no index")

    monkeypatch.setattr(SetUpSteps, "run", run)
    return commands


def test_packages_are_installed_alone_and_ours_are_found_behind_them(
    tmp_path: Path, ran: list[list[str]]
) -> None:
    trainer = TRAINERS["verl"]
    environment = set_up_trainer(trainer, tmp_path, lambda line: None)
    assert environment.is_complete
    made, installed = ran
    assert made == ["-m", "venv", "--without-pip", str(environment.directory)]
    assert installed[:4] == ["-m", "pip", "--python", str(environment.python)]
    assert {"--no-deps", "--ignore-installed"} <= set(installed)
    assert tuple(installed[-len(trainer.packages) :]) == trainer.packages
    (named,) = environment.directory.rglob("*.pth")
    assert str(Path(pytest.__file__).parent.parent) in named.read_text().splitlines()
    set_up_trainer(trainer, tmp_path, lambda line: None)  # found made
    assert len(ran) == 2


def test_an_environment_that_is_not_finished_is_none(tmp_path: Path, ran: list[list[str]]) -> None:
    trainer = replace(TRAINERS["verl"], name="broken")
    with pytest.raises(EnvironmentSetUpError, match="no index"):
        set_up_trainer(trainer, tmp_path, lambda line: None)
    assert not environment_of(trainer, tmp_path).is_complete


def test_other_packages_are_another_environment(tmp_path: Path) -> None:
    trainer = TRAINERS["verl"]
    other = replace(trainer, packages=(*trainer.packages, "more==1"))
    found = {environment_of(each, tmp_path).directory for each in (trainer, other)}
    assert len(found) == 2
