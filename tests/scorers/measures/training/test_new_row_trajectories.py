"""Rows that came after the training, and the weights that must be there to read them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from transformers import LlamaForCausalLM

from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.reading.chat_format import RenderedExample
from scorers.measures.training.new_row_trajectories import record_new_rows
from scorers.measures.training.proxy_schedule import ProxySettings
from scorers.measures.training.recorded_losses import Trajectories
from scorers.measures.training.trajectories import record_trajectories
from scorers.measures.training.trajectory_files import TrajectoryFiles, kept_models
from tests.tiny_models import WINDOW, count_up, save_tiny_llama

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]  # they train

SETTINGS = ProxySettings(
    epochs=2,
    batch_rows=4,
    learning_rate=3e-3,
    checkpoints=3,
    seed=1,
    dtype="float32",
    device="cpu",
)
STEPS = [2, 4, 6]  # 10 rows in batches of 4 are 3 steps an epoch


ROWS = [count_up(7 * at, 2 + at % 5, 3 + at % 4) for at in range(20)]
IDS = [f"{(13 * at) % 20:02d}" for at in range(20)]


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("proxy"))


@pytest.fixture(scope="module")
def half(proxy: Path, tmp_path_factory: pytest.TempPathFactory) -> Trajectories:
    """All rows recorded, half of them trained on."""
    settings = replace(SETTINGS, train_share=0.5)
    return record_trajectories(proxy, ROWS, IDS, settings, tmp_path_factory.mktemp("half"))


def pick(at: np.ndarray) -> tuple[list[RenderedExample], list[str]]:
    return [ROWS[each] for each in at], [IDS[each] for each in at]


@pytest.fixture(scope="module")
def finished(proxy: Path, half: Trajectories, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training on the trained half alone, which never saw the other."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    rows, ids = pick(np.flatnonzero(half.trained))
    record_trajectories(proxy, rows, ids, SETTINGS, directory)
    return directory


def test_new_rows_get_the_numbers_of_rows_that_were_recorded_and_not_trained_on(
    half: Trajectories, finished: Path
) -> None:
    assert half.trained.sum() == 10
    others = np.flatnonzero(~half.trained)
    found = record_new_rows(finished, pick(others)[0], SETTINGS)
    assert found.steps.tolist() == half.steps.tolist() == STEPS
    np.testing.assert_allclose(found.losses, half.losses[others], rtol=0, atol=1e-5)
    assert found.states == ["ok"] * 10 and not found.trained.any()


def test_new_rows_get_the_numbers_of_the_others_in_bfloat16_too(
    proxy: Path, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, dtype="bfloat16", train_share=0.5)
    half = record_trajectories(proxy, ROWS, IDS, settings, tmp_path)
    others = np.flatnonzero(~half.trained)
    found = record_new_rows(tmp_path, pick(others)[0], settings)
    np.testing.assert_allclose(found.losses, half.losses[others], rtol=0, atol=0.05)


def test_rows_are_read_apart_as_they_are_together(finished: Path) -> None:
    together = record_new_rows(finished, ROWS[:6], SETTINGS)
    apart = [record_new_rows(finished, [row], SETTINGS).losses[0] for row in ROWS[:6]]
    np.testing.assert_allclose(together.losses, apart, rtol=0, atol=1e-5)


def test_new_rows_that_cannot_be_read_have_their_state(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [count_up(0, 200, WINDOW - 199), RenderedExample([1, 2], [2], []), ROWS[0]]
    found = record_new_rows(finished, rows, SETTINGS)
    assert found.states == ["truncated", "not_applicable", "ok"]
    assert found.details == ["257 tokens, 256 fit", "the response has no token", None]
    assert np.isnan(found.losses[:2]).all() and np.isfinite(found.losses[2]).all()
    none = record_new_rows(finished, rows[:2], SETTINGS)
    assert none.losses.shape == (2, 3) and none.steps.tolist() == STEPS
    sound = HuggingFaceLanguageModel.token_losses

    def infinite(
        self: HuggingFaceLanguageModel, prefixes: list[list[int]], responses: list[list[int]]
    ) -> object:
        losses = sound(self, prefixes, responses)
        losses[0].nll[0] = np.inf
        return losses

    monkeypatch.setattr(HuggingFaceLanguageModel, "token_losses", infinite)
    failed = record_new_rows(finished, rows, SETTINGS)
    assert failed.states[2] == "failed" and np.isnan(failed.losses).all()
    assert failed.details[2] == "the loss after step 2 is not finite"


def test_reading_writes_nothing(finished: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    record_new_rows(finished, ROWS[:3], SETTINGS)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


@pytest.mark.parametrize("gone", ["model-00000004", "losses-00000006.npy", "key.json", "."])
def test_without_a_checkpoint_new_rows_are_refused(
    gone: str, finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "run")
    lost = tmp_path / "run" / gone
    if lost.is_dir():
        shutil.rmtree(lost)
    else:
        lost.unlink()
    with pytest.raises(FileNotFoundError, match="train the proxy again, with keep_checkpoints"):
        record_new_rows(tmp_path / "run", ROWS[:1], SETTINGS)


def test_a_run_that_keeps_no_checkpoints_leaves_none(proxy: Path, tmp_path: Path) -> None:
    record_trajectories(
        proxy, ROWS[:10], IDS[:10], replace(SETTINGS, keep_checkpoints=False), tmp_path
    )
    assert kept_models(tmp_path) == {} and list(tmp_path.glob("model-*")) == []


def test_a_run_with_nothing_to_train_on_keeps_nothing(proxy: Path, tmp_path: Path) -> None:
    unanswered = RenderedExample([1], [1], [])
    record_trajectories(proxy, [unanswered], ["a"], SETTINGS, tmp_path)
    assert kept_models(tmp_path) == {}


def test_keeping_checkpoints_says_nothing(
    proxy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    record_trajectories(proxy, ROWS[:4], IDS[:4], SETTINGS, tmp_path)
    assert len(kept_models(tmp_path)) == 2
    assert capsys.readouterr() == ("", "")


def assert_whole(directory: Path, finished: Path) -> None:
    """The directory holds what an undisturbed run leaves, byte for byte."""
    names = [path.relative_to(finished) for path in sorted(finished.rglob("*"))]
    assert [path.relative_to(directory) for path in sorted(directory.rglob("*"))] == names
    for name in names:
        if (finished / name).is_file():
            assert (directory / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("moment", ["before", "weights", "renamed"])
def test_a_kill_while_a_checkpoint_is_written_leaves_it_whole_or_not_at_all(
    moment: str,
    stop: int,
    proxy: Path,
    half: Trajectories,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = tmp_path / "run"
    rows, ids = pick(np.flatnonzero(half.trained))
    save, write = LlamaForCausalLM.save_pretrained, TrajectoryFiles.write_losses
    saved: list[Path] = []

    def save_and_die(self: LlamaForCausalLM, folder: Path) -> None:
        saved.append(folder)
        if len(saved) == stop and moment == "before":
            folder.mkdir()
            raise Killed
        save(self, folder)
        if len(saved) == stop and moment == "weights":
            raise Killed

    def write_or_die(self: TrajectoryFiles, step: int, losses: np.ndarray) -> None:
        if len(saved) == stop and moment == "renamed":
            raise Killed
        write(self, step, losses)

    with monkeypatch.context() as patched:
        patched.setattr(LlamaForCausalLM, "save_pretrained", save_and_die)
        patched.setattr(TrajectoryFiles, "write_losses", write_or_die)
        with pytest.raises(Killed):
            record_trajectories(proxy, rows, ids, SETTINGS, directory)
    whole = [path for path in directory.glob("model-*") if path.suffix != ".partial"]
    assert len(whole) == stop - (moment != "renamed")
    for path in whole:
        HuggingFaceLanguageModel.from_directory(path, "float32", "cpu")
    assert kept_models(directory) == {}
    record_trajectories(proxy, rows, ids, SETTINGS, directory)
    assert list(kept_models(directory)) == STEPS
    assert_whole(directory, finished)


def test_a_run_that_is_told_on_the_way_to_keep_checkpoints_has_all_of_them(
    proxy: Path, half: Trajectories, finished: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    rows, ids = pick(np.flatnonzero(half.trained))

    def kill(step: int, steps: int) -> None:
        if step == STEPS[1] + 1:
            raise Killed

    with pytest.raises(Killed):
        record_trajectories(
            proxy, rows, ids, replace(SETTINGS, keep_checkpoints=False), directory, kill
        )
    record_trajectories(proxy, rows, ids, SETTINGS, directory)
    assert list(kept_models(directory)) == STEPS
    assert_whole(directory, finished)
