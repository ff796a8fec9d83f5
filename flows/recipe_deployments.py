"""A deployment for each recipe, made of the one that prefect.yaml has for all of them."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import yaml

from flows.recipe.check import load_recipe
from pipeline.code_version import ROOT

TEMPLATE = "nightly"
"""The deployment of prefect.yaml that each of them is made of."""

RECIPE_SUFFIXES = (".yaml", ".yml")


class DeployError(ValueError):
    """Recipes cannot be deployed together, or Prefect refused them."""

    exit_code: ClassVar[int] = 2


def find_recipes(named: Sequence[Path]) -> list[Path]:
    """The files that are named, and those of the folders that are, by name.

    Raises:
        DeployError: if a folder has none.
    """
    found: list[Path] = []
    for path in named:
        inside = sorted(each for each in path.glob("*") if each.suffix in RECIPE_SUFFIXES)
        if path.is_dir() and not inside:
            raise DeployError(f"{path} holds no recipe, which is a file that ends in .yaml")
        found += inside if path.is_dir() else [path]
    return [path.resolve() for path in dict.fromkeys(found)]


def read_project() -> dict[str, Any]:
    """The Prefect file of this checkout."""
    project: dict[str, Any] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
    return project


def deployments_of(
    recipes: Sequence[Path], schedule: Mapping[str, str] | None
) -> dict[str, dict[str, Any]]:
    """Name → block of a Prefect file, one for each recipe.

    Raises:
        RecipeError: if one of them cannot be run.
        DeployError: if two would have one name.
    """
    (template,) = (each for each in read_project()["deployments"] if each["name"] == TEMPLATE)
    found: dict[str, dict[str, Any]] = {}
    for path in recipes:
        name = f"{TEMPLATE}-{load_recipe(path).name}"
        if name in found:
            raise DeployError(
                f"{found[name]['parameters']['recipe_file']} and {path} would both be {name}: "
                "give one of them another `name`"
            )
        found[name] = {
            **template,
            "name": name,
            "description": f"{template['description']} Recipe: {path}",
            "parameters": {**template.get("parameters", {}), "recipe_file": str(path)},
            "schedules": [dict(schedule)] if schedule else [],
        }
    return found


def send_to_server(deployments: Mapping[str, Mapping[str, Any]]) -> None:
    """Make deployments on the server, or change those of the same names.

    Raises:
        DeployError: if Prefect refuses them.
    """
    project = read_project()
    whole = {key: project[key] for key in ("name", "prefect-version", "pull")}
    with TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump({**whole, "deployments": list(deployments.values())}))
        words = ["prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
        # In the checkout: entrypoints start there.
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        told = (done.stderr or done.stdout).strip()
        raise DeployError(f"Prefect did not take the deployments:\n{told}")
