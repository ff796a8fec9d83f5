"""Each error that a user can do something about ends the command with its code, and one message."""

import ast
import signal
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from flows.cli import main as command_line
from flows.cli.main import exit_code

ROOT = Path(command_line.__file__).parents[2]

CODES = {
    1: ("NoRowsError", "TrainerFailedError"),
    2: (
        "BackfillError",
        "NothingFailedError",
        "ClusterError",
        "DatabaseFileError",
        "DeployError",
        "DeploymentMissingError",
        "FormRefusedError",
        "ExamplesError",
        "HandoffError",
        "MissingTemplateError",
        "NoExportError",
        "NoHandoffError",
        "NotConvergedError",
        "OtherShardLocationError",
        "OtherTrainingError",
        "OtherWorkerError",
        "PortInUseError",
        "QueryError",
        "RecipeError",
        "ShardsUnreachableError",
        "TrialError",
        "UnfixedDateError",
        "UnknownExportError",
        "UnmeasuredTargetsError",
        "WorkspaceBusyError",
        "WorkspaceMissingError",
        "DatabaseFileError",
        "WorkspaceVersionError",
        "WrongNameError",
    ),
    3: (
        "BrokenManifestError",
        "DamagedMeasurementsError",
        "ExportExistsError",
        "IndexDamagedError",
        "DamagedMeasurementsError",
        "LostMeasurementsError",
        "NoRoomForBackupError",
        "TokenMismatchError",
        "TooManyBadRowsError",
        "UnreadableSourceError",
    ),
    5: (
        "EnvironmentSetUpError",
        "MissingExtraError",
        "MissingLibraryError",
        "NoSandboxError",
        "MissingModelError",
        "UnusableModelError",
        "MissingStorePackageError",
        "ServerFailedError",
        "ServerLostError",
        "UnusableModelError",
    ),
}
"""Code → the errors that end with it."""

CODE_OF = {name: code for code, names in CODES.items() for name in names}

CAUGHT_BEFORE = {
    "BeyondBoundsError": "the template refuses the row",
    "BrokenStreamError": "the source is unreadable",
    "InvalidJsonError": "the row is quarantined",
    "NoVerdictsError": "its verb says so",
    "RenderingError": "the row is failed",
    "TableQueryError": "its verb says so",
    "UnheldRowError": "the row is left out, and listed",
    "UnknownAttentionError": "the model is read in another way",
    "UnreadableDocumentError": "the document is quarantined",
    "UnreadableRowError": "the row is quarantined",
    "_LayerReadError": "it ends a reading early",
}
"""Error → why it does not come to the command line as it is."""


def find_errors() -> dict[str, str]:
    """Every exception class of the packages → its module."""
    found = {}
    for package in ("flows", "pipeline", "fine_tune", "scorers", "storage"):
        for file in (ROOT / package).rglob("*.py"):
            module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ClassDef) and node.name.endswith(("Error", "Exception")):
                    found[node.name] = module
    return found


ERRORS = find_errors()


def make_error(name: str) -> Exception:
    """An error of a class, whatever its own way of making it is."""
    kind: type[Exception] = getattr(import_module(ERRORS[name]), name)
    made = kind.__new__(kind)
    made.args = ("what happened",)
    return made


def raising(error: Exception) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The command line without what it does to the process: its signals and its log."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(command_line, "show_notes", lambda: None)
    monkeypatch.setattr(command_line, "ENVIRONMENT", {})
    return monkeypatch


@pytest.mark.parametrize("name", sorted(CODE_OF))
def test_an_error_ends_the_command_with_its_code(
    quiet: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    error = make_error(name)
    assert exit_code(error) == CODE_OF[name]
    quiet.setattr(command_line, "app", raising(error))
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == CODE_OF[name]
    shown = capsys.readouterr()
    assert shown.err == f"sluice: error: {error}\n" and not shown.out


def test_a_fault_of_ours_is_shown_whole(quiet: pytest.MonkeyPatch) -> None:
    assert exit_code(ValueError("a bug")) is None
    quiet.setattr(command_line, "app", raising(ValueError("a bug")))
    with pytest.raises(ValueError, match="a bug"):
        command_line.main()


def test_ctrl_c_ends_with_130(quiet: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    quiet.setattr(command_line, "app", interrupted)
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 130


def test_no_error_of_ours_is_forgotten() -> None:
    assert ERRORS.keys() == CODE_OF.keys() | CAUGHT_BEFORE.keys()
