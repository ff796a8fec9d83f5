"""Mixtures are looked over before anything is trained, and trained once for all searches."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fine_tune.mixed_export import MixedExport
from fine_tune.mixture import UnknownExportError
from flows import train_mixtures
from flows.train_mixtures import Mixtures, called, plan_mixtures
from pipeline.export.rows import ExportRow
from tests.fine_tune.conftest import tiny_model  # noqa: F401
from tests.fine_tune.tiny import count_rows, export_for, make_rows

TRAIN = {"lora_rank": 2, "learning_rate": 1e-2}


def others(rows: Sequence[ExportRow], first: int) -> list[ExportRow]:
    """The rows with ids of their own."""
    return [replace(row, example_id=f"{first + n:032x}") for n, row in enumerate(rows)]


def write_task(exports: Path, model: Path, **train: object) -> Path:
    """The task's export, 12 rows and 5 held out, whose recipe trains so."""
    shutil.rmtree(exports / "task-a-r", ignore_errors=True)
    rows = count_rows([*make_rows(12), *make_rows(5, "validation")], model)
    recipe = {"name": "tiny", "train": {**TRAIN, **train}}
    return export_for(model, exports / "task-a-r", rows, recipe=recipe)


@pytest.fixture
def exports(tmp_path: Path, tiny_model: Path) -> Path:  # noqa: F811
    """Exports of a workspace: the task's, and one of 8 other rows."""
    folder = tmp_path / "work" / "exports"
    write_task(folder, tiny_model)
    rows = others(count_rows(make_rows(8), tiny_model), 20_000)
    export_for(tiny_model, folder / "chat-b-r", rows)
    return folder


def plan(exports: Path, *names: str, seeds: int = 2) -> Mixtures:
    added = [MixedExport(export=name) for name in names]
    return plan_mixtures(exports / "task-a-r", added, seeds, None)


def test_every_training_takes_as_many_steps_and_has_its_own_seed(exports: Path) -> None:
    planned = plan(exports, "chat")
    alone, mixed = planned.trained((), 0), planned.trained(("chat",), 3)
    assert (alone.max_steps, mixed.max_steps) == (3, 3), "12 rows, 4 a step"
    assert alone.mix == () and [each.export for each in mixed.mix] == ["own", "chat"]
    assert mixed.mix[1].export_id, "which export it was is part of the training"
    assert (alone.seed, mixed.seed) == (0, 3)
    assert planned.count_trainings() == (4, 8)
    assert plan(exports, "chat", seeds=1).count_trainings() == (2, 4)
    assert called(()) == "own" and called(("chat",)) == "own + chat"


def test_what_could_not_be_compared_is_refused_before_work(
    exports: Path,
    tiny_model: Path,  # noqa: F811
) -> None:
    with pytest.raises(UnknownExportError, match="0 exports are called 'code'"):
        plan(exports, "code")
    with pytest.raises(ValueError, match="can be added once"):
        plan(exports, "chat", "chat")
    write_task(exports, tiny_model, balance="source")
    with pytest.raises(ValueError, match="balance weighs the sources of one export"):
        plan(exports, "chat").trained(("chat",), 0)
    write_task(exports, tiny_model, soup={"seeds": [0, 1]})
    with pytest.raises(ValueError, match="by single trainings"):
        plan(exports, "chat")
    rows = others(count_rows(make_rows(4), tiny_model), 30_000)
    recipe = {"name": "bare", "train": TRAIN}
    without = export_for(tiny_model, exports / "bare-c-r", rows, recipe=recipe)
    with pytest.raises(ValueError, match="has no validation split"):
        plan_mixtures(without, [MixedExport(export="chat")], 1, None)


def test_a_held_out_row_of_the_task_may_not_be_added(
    exports: Path,
    tiny_model: Path,  # noqa: F811
) -> None:
    seen = [replace(row, split="train") for row in make_rows(2, "validation")]
    export_for(tiny_model, exports / "leak-d-r", count_rows(seen, tiny_model))
    with pytest.raises(ValueError, match="2 held-out rows of task-a-r are trained rows of leak"):
        plan(exports, "chat", "leak")


def test_the_last_comparison_has_seeds_that_chose_nothing(
    exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[tuple[str, ...], int]] = []

    def train_for_loss(_: Mixtures, added: tuple[str, ...], seed: int) -> float:
        asked.append((added, seed))
        return 2 - len(added) + seed / 10

    monkeypatch.setattr(train_mixtures, "train_for_loss", train_for_loss)
    found = train_mixtures.train_mixtures.fn(plan(exports, "chat"))
    chat = ("chat",)
    assert asked[:4] == [((), 0), ((), 1), (chat, 0), (chat, 1)]
    assert asked[4:] == [((), 2), ((), 3), (chat, 2), (chat, 3)]
    assert found.alone == (2.2, 2.3) and found.mixed == (1.2, 1.3)
    assert found.gain is not None and found.gain.mean == pytest.approx(1)
    asked.clear()
    monkeypatch.setattr(train_mixtures, "train_for_loss", lambda _, added, seed: float(len(added)))
    assert train_mixtures.train_mixtures.fn(plan(exports, "chat")).gain is None
