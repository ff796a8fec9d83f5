"""The flow that the form in the UI begins."""

from types import SimpleNamespace

import pytest

from flows import curate_recipe as form
from flows.curate_recipe import curate_recipe


def test_a_recipe_from_the_form_waits_for_its_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[tuple[object, ...]] = []
    here = SimpleNamespace(fn=lambda *given, wait: called.append((*given, wait)))
    monkeypatch.setattr(form, "curate", here)
    monkeypatch.setattr(form, "check_given", lambda recipe, base: recipe)
    curate_recipe.fn("a recipe", "base", "select")  # type: ignore[arg-type]
    assert called == [("a recipe", "base", "select", True)]
