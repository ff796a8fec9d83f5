import subprocess
import sys
import warnings
from pathlib import Path

import datasets
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import _telemetry

import fine_tune
from fine_tune.libraries import quiet_libraries
from fine_tune.verify_tokens import compare_labels


def test_no_trainer_is_reported_to_anybody(
    tiny_model: Path, tiny_export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    reports: list[str] = []
    monkeypatch.setattr(_telemetry, "_start_telemetry_thread", lambda: reports.append("report"))
    compare_labels(tiny_export, tiny_model, None)
    assert reports == []


def test_everything_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(KeyError), quiet_libraries():
        assert constants.HF_HUB_OFFLINE
        assert datasets.are_progress_bars_disabled()
        raise KeyError
    assert not constants.HF_HUB_OFFLINE
    assert not datasets.are_progress_bars_disabled()


def test_warnings_are_not_hidden() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with quiet_libraries():
            warnings.warn("the loss looks odd", UserWarning, stacklevel=1)
    assert [str(item.message) for item in caught] == ["the loss looks odd"]


def test_importing_the_package_loads_neither_torch_nor_a_database() -> None:
    code = (
        "import sys, fine_tune.train, fine_tune.evaluate, fine_tune.verify_tokens; "
        "print(sorted({'torch', 'trl', 'duckdb', 'pipeline', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(fine_tune.__file__).parent.parent,
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.strip() == "[]"
