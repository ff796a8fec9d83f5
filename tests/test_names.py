"""Our folders are top-level packages with everyday names; this keeps those names ours."""

import importlib
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("pipeline", "flows", "scorers", "storage", "fine_tune")
OURS = {"sluice-sft"}


@pytest.mark.parametrize("name", PACKAGES)
def test_the_name_imports_our_folder(name: str) -> None:
    file = importlib.import_module(name).__file__
    assert file is not None and Path(file).parent == ROOT / name


@pytest.mark.parametrize("name", PACKAGES)
def test_no_dependency_ships_the_name(name: str) -> None:
    assert set(packages_distributions().get(name, [])) <= OURS


def test_no_flow_file_shadows_a_module() -> None:
    # `prefect` puts flows/ first on sys.path when an entrypoint is given as a file.
    taken = set(sys.stdlib_module_names) | set(packages_distributions()) - set(PACKAGES)
    assert {path.stem for path in (ROOT / "flows").glob("*.py")} & taken == set()
