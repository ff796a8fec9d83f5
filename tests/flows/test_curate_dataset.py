"""The flow: its stages in order, up to the one that is asked for, and what it shows at its end."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from prefect.exceptions import ParameterTypeError

from flows import curate_dataset
from flows.curate_dataset import curate, curate_file, show_report
from storage.workspace import Workspace

Called = list[tuple[object, ...]]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Called:
    """What the flow calls, by name, instead of its being done."""
    calls: Called = []
    names = ("require_templates", "hand_over", "finish", "show_report", "show_funnel")
    shown = ("show_page", "show_evidence", "show_trial", "show_changes", "show_histograms")
    for name in (*names, *shown):
        monkeypatch.setattr(curate_dataset, name, lambda *given, n=name: calls.append((n, *given)))
    return calls


@pytest.mark.parametrize(
    ("until", "done"),
    [
        ("ingest", ["ingest", "finish", "show_report"]),
        ("generate", ["require_templates", "ingest", "generate", "finish", "show_report"]),
    ],
)
def test_it_ends_after_the_stage_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, called: Called, tmp_path: Path, until: str, done: list[str]
) -> None:
    follow_stages(monkeypatch, called, tmp_path)
    curate.fn(recipe_at(tmp_path), ".", until)  # type: ignore[arg-type]
    assert [name for name, *_ in called] == done


def test_an_export_is_handed_over_before_it_is_trained_on(
    monkeypatch: pytest.MonkeyPatch, called: Called, tmp_path: Path
) -> None:
    follow_stages(monkeypatch, called, tmp_path)
    curate.fn(recipe_at(tmp_path), ".", "train")  # type: ignore[arg-type]
    names = [name for name, *_ in called]
    assert names[-6:] == ["select", "export", "hand_over", "train", "finish", "show_report"]
    assert names.count("hand_over") == 1


def recipe_at(folder: Path) -> SimpleNamespace:
    """What the flow reads of a recipe."""
    recipe = SimpleNamespace(workspace=str(folder), measure=None, name="test")
    recipe.with_target = lambda: recipe
    recipe.at = lambda _: recipe
    return recipe


def follow_stages(monkeypatch: pytest.MonkeyPatch, called: Called, folder: Path) -> None:
    """Note each stage instead of doing it."""
    monkeypatch.setattr(curate_dataset, "start", lambda *_: folder)
    monkeypatch.setattr(curate_dataset, "as_it_is", lambda state: state)
    monkeypatch.setattr(curate_dataset, "collect_trainings", lambda _: 0)
    monkeypatch.setattr(curate_dataset, "lock_workspace", lambda *_, **__: nullcontext())
    monkeypatch.setattr(curate_dataset, "do_stage", lambda state, name: called.append((name,)))


@pytest.mark.parametrize(
    ("runner", "cluster", "way"),
    [
        ("threads", None, "here"),
        ("dask", "tcp://there", "there"),
        ("dask", None, "there"),
        ("threads", "tcp://there", "there"),  # which cannot be, as is said there
    ],
)
def test_a_file_is_run_here_unless_its_tasks_are_done_elsewhere(
    monkeypatch: pytest.MonkeyPatch, runner: str, cluster: str | None, way: str
) -> None:
    called: Called = []
    here = SimpleNamespace(fn=lambda *given: called.append(("here", *given)))
    monkeypatch.setattr(curate_dataset, "curate", here)
    there = lambda *on: lambda *given: called.append(("there", *given))  # noqa: E731
    monkeypatch.setattr(curate_dataset, "curate_on", there)
    monkeypatch.setattr(curate_dataset, "load_recipe", lambda path: path.name)
    curate_file.fn("a/recipe.yaml", "train", True, runner, cluster)  # type: ignore[arg-type]
    assert called == [(way, "recipe.yaml", "a", "train", True)]


def test_only_the_form_has_the_form_of_a_recipe() -> None:
    assert not curate.parameters.definitions, "it takes half a second to write"
    with pytest.raises(ParameterTypeError, match="recipe: Value error, expected a Recipe, got int"):
        curate.validate_parameters({"recipe": 5})


@pytest.mark.parametrize("there", [True, False])
def test_what_there_is_of_a_report_is_shown(
    monkeypatch: pytest.MonkeyPatch, called: Called, tmp_path: Path, there: bool
) -> None:
    monkeypatch.setattr(curate_dataset, "show_report", show_report)
    part = "part" if there else None
    cards = {"evidence": "e", "trial": "t", "changes": "c"}
    report = SimpleNamespace(counts=[], evidence=part, changes=part, trial=part, cards=cards)
    monkeypatch.setattr(curate_dataset, "write_run_report", lambda *_: report)
    page = tmp_path / "page.html"
    monkeypatch.setattr(curate_dataset, "renew_page", lambda *_: page)
    monkeypatch.setattr(
        curate_dataset, "draw_score_histograms", lambda *_: b"png" if there else None
    )
    workspace = Workspace(tmp_path)
    workspace.histograms_of("run").parent.mkdir(parents=True)
    run = SimpleNamespace(workspace=workspace, run_id="run")
    recipe = SimpleNamespace(name="test")
    show_report(SimpleNamespace(run=run, recipe=recipe, pool=[]))  # type: ignore[arg-type]
    shown: Called = [("show_page", "test", "run", page), ("show_funnel", "test", "run", [])]
    if there:
        shown += [
            ("show_evidence", "test", "run", "part", "e"),
            ("show_trial", "test", "run", "part", "t"),
            ("show_changes", "test", "run", "part", "c"),
            ("show_histograms", "test", "run", b"png"),
        ]
    assert called == shown
    assert workspace.histograms_of("run").exists() == there
