"""How vLLM's server is called: its command line and its environment variables.

On the CPU its threads are bound to every core this process may use (left to itself vLLM keeps one
of them free: 230 tokens/s against 350 on two cores), and nothing is compiled first, which costs a
minute at every start and was not faster. Prompts are not logged, and nothing is reported.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.serving.environment import CPU, ServingEnvironment
from pipeline.serving.own_environment import clean_variables

HOST = "127.0.0.1"
Dtype = Literal["float32", "bfloat16"]
USUAL_WINDOW = 4096  # tokens; a model's own window of 128 k would need a cache of many gigabytes

# Set for the server whatever the user's environment says: it is given a folder, not a name.
QUIET = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """What is served, and how."""

    model: Path  # a folder as transformers saves it
    name: str  # what requests call the model
    port: int = 8000
    dtype: Dtype = "bfloat16"
    max_tokens: int | None = None  # prompt and answer; None: the model's window, or USUAL_WINDOW
    cache_gibibytes: int = 2  # for the keys and values of all requests under way; on the CPU only
    patience_seconds: float = 600.0  # how long the server may take until it is ready
    more: Sequence[str] = ()  # further options of vLLM's server, as on its command line


def server_command(environment: ServingEnvironment, settings: ServeSettings) -> list[str]:
    """The server's command line. `vllm serve` itself does not start in the CPU build."""
    max_tokens = settings.max_tokens or min(USUAL_WINDOW, _window(settings.model))
    # Given twice, the last one counts: no further option can open the server to the network.
    return [
        *(str(environment.python), "-m", "vllm.entrypoints.openai.api_server"),
        *("--disable-uvicorn-access-log",),
        *(("--enforce-eager",) if environment.build == CPU else ()),
        *("--max-model-len", str(max_tokens)),
        *settings.more,
        *("--host", HOST, "--port", str(settings.port)),
        *("--model", str(settings.model), "--served-model-name", settings.name),
        *("--dtype", settings.dtype),
        # Or it samples with what the model's folder recommends, whatever a request leaves open.
        *("--generation-config", "vllm"),
    ]


def server_variables(environment: ServingEnvironment, settings: ServeSettings) -> dict[str, str]:
    """The server's environment variables."""
    variables = {**clean_variables(), **QUIET}
    programs = str(environment.python.parent)
    variables["PATH"] = os.pathsep.join([programs, variables.get("PATH", os.defpath)])
    if environment.build == CPU:
        variables["VLLM_CPU_KVCACHE_SPACE"] = str(settings.cache_gibibytes)
        variables["VLLM_CPU_OMP_THREADS_BIND"] = core_ranges(usable_cores())
    return variables


def usable_cores() -> list[int]:
    """Numbers of the cores this process may run on."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def core_ranges(cores: Sequence[int]) -> str:
    """Ascending core numbers as vLLM reads them: "0-3,8"."""
    ranges: list[list[int]] = []
    for core in cores:
        if ranges and core == ranges[-1][1] + 1:  # the next one: the range grows
            ranges[-1][1] = core
        else:
            ranges.append([core, core])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def _window(model: Path) -> int:
    """The most tokens a model takes, as its configuration says; USUAL_WINDOW where it does not."""
    try:
        config: Mapping[str, Any] = json.loads((model / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return USUAL_WINDOW
    text = config.get("text_config", config)  # models of images and texts have one for each
    window = text.get("max_position_embeddings") if isinstance(text, dict) else None
    return window if isinstance(window, int) else USUAL_WINDOW
