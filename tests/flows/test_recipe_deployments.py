import inspect
import sys
from pathlib import Path

import pytest
import yaml
from prefect.client.schemas.schedules import CronSchedule

from docs.docstrings import ROOT
from flows import recipe_deployments
from flows.curate_dataset import curate_file
from flows.recipe.check import RecipeError
from flows.recipe_deployments import DeployError, deployments_of, find_recipes, send_to_server

NIGHTLY = {"cron": "0 3 * * *", "timezone": "UTC", "slug": "nightly"}


def write_recipe(path: Path, name: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    path.write_text(
        f"name: {name}\nworkspace: work\nseed: 1\ntarget: wheel:smollm2-135m-instruct\n"
        "sources: [{path: rows.jsonl, license: CC0-1.0}]\n"
        "measure: {tokens: {}}\n"
        "select: {steps: [{method: random, budget: {rows: 1}}]}\n"
    )
    return path


def test_each_recipe_has_a_deployment_with_its_path_and_its_schedule(tmp_path: Path) -> None:
    first = write_recipe(tmp_path / "in" / "b.yaml", "mixed-chats")
    second = write_recipe(tmp_path / "in" / "a.yml", "code")
    (tmp_path / "in" / "notes.txt").write_text("no recipe")
    files = find_recipes([tmp_path / "in", first])
    assert files == [second, first], "by name, each once"
    found = deployments_of(files, NIGHTLY)
    assert list(found) == ["nightly-code", "nightly-mixed-chats"]
    block = found["nightly-mixed-chats"]
    assert block["name"] == "nightly-mixed-chats"
    assert block["parameters"] == {"until": "export", "recipe_file": str(first)}
    assert set(block["parameters"]) <= set(inspect.signature(curate_file.fn).parameters)
    assert block["work_pool"]["name"] == "sluice" and block["concurrency_limit"]["limit"] == 1
    (schedule,) = block["schedules"]
    assert CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])
    assert deployments_of(files, None)["nightly-code"]["schedules"] == []


def test_what_would_fail_at_night_is_told_now(tmp_path: Path) -> None:
    first = write_recipe(tmp_path / "a.yaml", "same-name")
    second = write_recipe(tmp_path / "b.yaml", "same-name")
    with pytest.raises(DeployError, match=r"a\.yaml and .*b\.yaml would both be nightly-same-name"):
        deployments_of([first, second], NIGHTLY)
    second.write_text("name: broken\n")
    with pytest.raises(RecipeError, match=r"b\.yaml"):
        deployments_of([first, second], NIGHTLY)
    with pytest.raises(RecipeError, match="no such file"):
        deployments_of(find_recipes([tmp_path / "none.yaml"]), NIGHTLY)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeployError, match="holds no recipe"):
        find_recipes([tmp_path / "empty"])


def test_prefect_is_given_a_file_of_them_alone_and_its_refusal_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "prefect.sh"
    script.write_text("#!/bin/sh\ncp \"$7\" seen.yaml\necho 'no such pool' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    found = deployments_of([write_recipe(tmp_path / "a.yaml", "one")], NIGHTLY)
    (tmp_path / "prefect.yaml").write_bytes((ROOT / "prefect.yaml").read_bytes())
    monkeypatch.setattr(recipe_deployments, "ROOT", tmp_path)
    with pytest.raises(DeployError, match="no such pool"):
        send_to_server(found)
    given = yaml.safe_load((tmp_path / "seen.yaml").read_text())
    assert given["deployments"] == [found["nightly-one"]]
    assert given["pull"], "the worker goes to the checkout"
