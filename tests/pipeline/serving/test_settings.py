import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.serving.environment import CPU, CUDA, ServingEnvironment
from pipeline.serving.settings import (
    ServeSettings,
    core_ranges,
    server_command,
    server_variables,
)
from tests.fake_vllm import write_model


@pytest.fixture
def environment(tmp_path: Path) -> ServingEnvironment:
    return ServingEnvironment(tmp_path / "vllm", CPU)


@pytest.fixture
def settings(tmp_path: Path) -> ServeSettings:
    return ServeSettings(write_model(tmp_path / "model"), "small")


def option(command: list[str], name: str) -> str:
    """The value of an option; of two the last one, as argparse takes it."""
    at = max(index for index, word in enumerate(command) if word == name)
    return command[at + 1]


def test_no_further_option_opens_the_server_to_the_network(
    environment: ServingEnvironment, settings: ServeSettings
) -> None:
    more = ("--host", "0.0.0.0", "--max-num-seqs", "8", "--max-model-len", "99")
    command = server_command(environment, replace(settings, more=more))
    assert option(command, "--host") == "127.0.0.1"
    assert option(command, "--max-num-seqs") == "8" and option(command, "--max-model-len") == "99"
    assert option(command, "--generation-config") == "vllm"
    assert option(command, "--served-model-name") == "small"
    assert option(command, "--dtype") == "bfloat16"


@pytest.mark.parametrize(
    ("config", "asked", "tokens"),
    [
        ({"max_position_embeddings": 512}, None, "512"),
        ({"max_position_embeddings": 131072}, None, "4096"),
        ({"text_config": {"max_position_embeddings": 1024}}, None, "1024"),
        ({}, None, "4096"),
        ({"max_position_embeddings": 131072}, 8192, "8192"),
    ],
)
def test_the_window_is_the_models_own_within_reason(
    environment: ServingEnvironment,
    settings: ServeSettings,
    config: object,
    asked: int | None,
    tokens: str,
) -> None:
    (settings.model / "config.json").write_text(json.dumps(config))
    command = server_command(environment, replace(settings, max_tokens=asked))
    assert option(command, "--max-model-len") == tokens


def test_cores_are_bound_and_nothing_is_compiled_on_the_cpu_only(
    environment: ServingEnvironment, settings: ServeSettings
) -> None:
    on_gpu = ServingEnvironment(environment.directory, CUDA)
    variables = server_variables(environment, settings)
    assert variables["VLLM_CPU_KVCACHE_SPACE"] == "2"
    cores = variables["VLLM_CPU_OMP_THREADS_BIND"]
    assert cores == core_ranges(sorted(os.sched_getaffinity(0)))
    assert not [name for name in server_variables(on_gpu, settings) if name.startswith("VLLM_CPU")]
    assert "--enforce-eager" in server_command(environment, settings)
    assert "--enforce-eager" not in server_command(on_gpu, settings)


@pytest.mark.parametrize(
    ("cores", "text"),
    [([0, 1], "0-1"), ([0], "0"), ([0, 1, 2, 5, 8, 9], "0-2,5,8-9"), ([3, 7], "3,7"), ([], "")],
)
def test_cores_are_written_as_ranges(cores: list[int], text: str) -> None:
    assert core_ranges(cores) == text
