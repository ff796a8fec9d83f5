import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.models.loading import ResolvedModel, resolve_model
from scorers.measures.reading.chat_format import RenderedExample
from scorers.measures.training.proxy_schedule import ProxySettings
from scorers.measures.training.recorded_losses import Trajectories
from scorers.measures.training.trajectories import record_trajectories
from tests.tiny_models import VOCABULARY, WINDOW, count_up, save_tiny_llama

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]  # they train

SETTINGS = ProxySettings(
    epochs=3,
    batch_rows=4,
    learning_rate=3e-3,
    checkpoints=4,
    seed=1,
    dtype="float32",
    device="cpu",
)
ROWS_IN_POOL = 25


ROWS = [count_up(7 * at, 2 + at % 5, 3 + at % 4) for at in range(ROWS_IN_POOL)]
IDS = [f"{(13 * at) % ROWS_IN_POOL:02d}" for at in range(ROWS_IN_POOL)]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("proxy"))


@pytest.fixture(scope="module")
def whole(proxy: Path, tmp_path_factory: pytest.TempPathFactory) -> Trajectories:
    return record_trajectories(proxy, ROWS, IDS, SETTINGS, tmp_path_factory.mktemp("whole"))


def test_losses_are_recorded_evenly_and_fall(whole: Trajectories) -> None:
    # 25 rows in batches of 4 are 7 steps an epoch, 21 in all; 21 / 4 rounded up, and so on.
    assert whole.steps.tolist() == [6, 11, 16, 21] and whole.steps.dtype == np.int64
    assert whole.losses.shape == (25, 4) and whole.losses.dtype == np.float64
    assert whole.states == ["ok"] * 25 and whole.details == [None] * 25 and whole.trained.all()
    means = whole.losses.mean(axis=0)
    assert (np.diff(means) < 0).all() and means[0] < np.log(VOCABULARY) + 0.5
    assert means[-1] < means[0] - 0.3


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    proxy: Path, whole: Trajectories, tmp_path: Path
) -> None:
    again = record_trajectories(proxy, ROWS, IDS, SETTINGS, tmp_path / "same")
    np.testing.assert_array_equal(again.losses, whole.losses)
    other = replace(SETTINGS, seed=2)
    different = record_trajectories(proxy, ROWS, IDS, other, tmp_path / "other")
    assert (different.losses != whole.losses).mean() > 0.9


def test_the_order_of_the_rows_changes_nothing(
    proxy: Path, whole: Trajectories, tmp_path: Path
) -> None:
    order = np.random.default_rng(0).permutation(ROWS_IN_POOL)
    shuffled = record_trajectories(
        proxy, [ROWS[at] for at in order], [IDS[at] for at in order], SETTINGS, tmp_path
    )
    np.testing.assert_array_equal(shuffled.losses, whole.losses[order])


class Killed(Exception):
    pass


@pytest.mark.parametrize("killed_at", [[6], [16], [6, 11]])
def test_a_killed_run_ends_with_the_numbers_of_one_that_was_not(
    killed_at: list[int], proxy: Path, whole: Trajectories, tmp_path: Path
) -> None:
    for stop in killed_at:

        def kill(step: int, steps: int, stop: int = stop) -> None:
            if step == stop + 1:
                raise Killed

        with pytest.raises(Killed):
            record_trajectories(proxy, ROWS, IDS, SETTINGS, tmp_path, kill)
        assert [each.name for each in tmp_path.glob("state-*")] == [f"state-{stop:08d}"]
    recorded: list[int] = []
    resumed = record_trajectories(
        proxy, ROWS, IDS, SETTINGS, tmp_path, lambda step, steps: recorded.append(step)
    )
    assert recorded == [*range(killed_at[-1] + 1, 22)], "it goes on from what is recorded"
    np.testing.assert_array_equal(resumed.losses, whole.losses)
    np.testing.assert_array_equal(resumed.steps, whole.steps)


def test_a_state_that_is_half_written_is_not_gone_on_from(
    proxy: Path, whole: Trajectories, tmp_path: Path
) -> None:
    def kill(step: int, steps: int) -> None:
        if step == 7:
            raise Killed

    with pytest.raises(Killed):
        record_trajectories(proxy, ROWS, IDS, SETTINGS, tmp_path, kill)
    half = tmp_path / "state-00000011.partial"
    half.mkdir()
    (half / "step.json").write_text(json.dumps({"step": 11}))
    (tmp_path / "losses-00000011.partial.npy").write_bytes(b"half")
    resumed = record_trajectories(proxy, ROWS, IDS, SETTINGS, tmp_path)
    np.testing.assert_array_equal(resumed.losses, whole.losses)


def test_losses_that_were_removed_are_recorded_again(
    proxy: Path, whole: Trajectories, tmp_path: Path
) -> None:
    def kill(step: int, steps: int) -> None:
        if step == 12:
            raise Killed

    with pytest.raises(Killed):
        record_trajectories(proxy, ROWS, IDS, SETTINGS, tmp_path, kill)
    (tmp_path / "losses-00000006.npy").unlink()
    resumed = record_trajectories(proxy, ROWS, IDS, SETTINGS, tmp_path)
    np.testing.assert_array_equal(resumed.losses, whole.losses)


def test_a_finished_run_is_read_and_not_run_again(
    proxy: Path, whole: Trajectories, tmp_path: Path
) -> None:
    record_trajectories(proxy, ROWS, IDS, SETTINGS, tmp_path)
    assert list(tmp_path.glob("state-*")) == []  # nothing large is left

    def fail(step: int, steps: int) -> None:
        raise AssertionError("it ran again")

    again = record_trajectories(proxy, ROWS, IDS, SETTINGS, tmp_path, fail)
    np.testing.assert_array_equal(again.losses, whole.losses)


@pytest.mark.parametrize("change", ["settings", "rows", "ids", "proxy"])
def test_a_directory_of_another_run_is_refused(change: str, proxy: Path, tmp_path: Path) -> None:
    few, short = replace(SETTINGS, epochs=1, checkpoints=1), 4
    record_trajectories(proxy, ROWS[:short], IDS[:short], few, tmp_path / "run")
    rows, ids, settings = ROWS[:short], IDS[:short], few
    if change == "settings":
        settings = replace(few, learning_rate=1e-3)
    elif change == "rows":
        rows = [*ROWS[: short - 1], ROWS[10]]
    elif change == "ids":
        ids = [*IDS[: short - 1], "other"]
    else:
        proxy = save_tiny_llama(tmp_path / "other", seed=1)
    with pytest.raises(ValueError, match="other rows, settings or another proxy"):
        record_trajectories(proxy, rows, ids, settings, tmp_path / "run")


def test_rows_that_cannot_be_measured_are_not_trained_on_either(
    proxy: Path, whole: Trajectories, tmp_path: Path
) -> None:
    bad = [count_up(0, 200, WINDOW - 199), RenderedExample([1, 2], [2], []), ROWS[0]]
    rows, ids = [*bad[:2], *ROWS], ["-1", "-2", *IDS]
    mixed = record_trajectories(proxy, rows, ids, SETTINGS, tmp_path / "window")
    assert mixed.states[:3] == ["truncated", "not_applicable", "ok"]
    assert mixed.details[:2] == ["257 tokens, 256 fit", "the response has no token"]
    assert np.isnan(mixed.losses[:2]).all()
    assert mixed.trained.tolist() == [False, False, *[True] * ROWS_IN_POOL]
    np.testing.assert_array_equal(mixed.losses[2:], whole.losses)
    shorter = replace(SETTINGS, max_tokens=10, epochs=1)
    cut = record_trajectories(proxy, ROWS, IDS, shorter, tmp_path / "shorter")
    assert [state == "truncated" for state in cut.states] == [
        len(row.prompt) + len(row.response) > 10 for row in ROWS
    ]
    assert 0 < cut.states.count("truncated") < ROWS_IN_POOL


def test_a_loss_that_is_no_number_fails_its_row_alone(
    proxy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = HuggingFaceLanguageModel.token_losses

    def with_a_hole(
        self: HuggingFaceLanguageModel, prefixes: list[list[int]], responses: list[list[int]]
    ) -> object:
        found = sound(self, prefixes, responses)
        found[2].nll[0] = np.inf
        return found

    monkeypatch.setattr(HuggingFaceLanguageModel, "token_losses", with_a_hole)
    few = replace(SETTINGS, epochs=1, checkpoints=2)
    found = record_trajectories(proxy, ROWS[:6], IDS[:6], few, tmp_path)
    third = sorted(range(6), key=lambda at: IDS[at])[2]
    assert [state == "failed" for state in found.states] == [at == third for at in range(6)]
    assert found.details[third] == "the loss after step 1 is not finite"
    assert np.isnan(found.losses[third]).all()
    assert np.isfinite(np.delete(found.losses, third, axis=0)).all()


def test_the_last_column_is_what_the_kept_model_says(proxy: Path, tmp_path: Path) -> None:
    keeping = replace(SETTINGS, epochs=1, checkpoints=2)
    found = record_trajectories(proxy, ROWS, IDS, keeping, tmp_path)
    assert found.steps.tolist() == [4, 7]
    for column, step in enumerate(found.steps):
        path = resolve_model(str(tmp_path / f"model-{step:08d}"), cache=tmp_path / "c").path
        model = HuggingFaceLanguageModel.from_directory(path, "float32", "cpu")
        losses = model.token_losses([row.prompt for row in ROWS], [row.response for row in ROWS])
        expected = [each.nll.mean(dtype=np.float64) for each in losses]
        np.testing.assert_allclose(found.losses[:, column], expected, rtol=1e-5)


def test_a_share_of_the_rows_trains_and_all_are_measured(proxy: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, VOCABULARY, 12).tolist() for _ in range(30)]  # only rote helps
    rows = [RenderedExample(ids[:4], ids[3:4], ids[4:]) for ids in noise]
    share = replace(SETTINGS, train_share=0.2, batch_rows=2, epochs=10, learning_rate=1e-2)
    found = record_trajectories(proxy, rows, [str(at) for at in range(30)], share, tmp_path)
    assert found.steps.tolist() == [8, 15, 23, 30]  # 6 rows in 3 steps, 10 times
    assert found.states == ["ok"] * 30
    learnt = found.losses[:, -1] < found.losses[:, 0]  # the others get worse
    assert learnt.sum() == 6 and found.trained.tolist() == learnt.tolist()


def test_fewer_steps_than_checkpoints_give_a_column_for_each_step(
    proxy: Path, tmp_path: Path
) -> None:
    many = replace(SETTINGS, epochs=3, batch_rows=8, checkpoints=12)
    found = record_trajectories(proxy, ROWS[:4], IDS[:4], many, tmp_path)
    assert found.steps.tolist() == [1, 2, 3] and found.losses.shape == (4, 3)


def test_nothing_to_train_on_gives_no_columns(proxy: Path, tmp_path: Path) -> None:
    none = record_trajectories(proxy, [], [], SETTINGS, tmp_path / "none")
    assert none.losses.shape == (0, 0) and none.steps.shape == (0,)
    unanswered = RenderedExample([1], [1], [])
    found = record_trajectories(proxy, [unanswered], ["a"], SETTINGS, tmp_path / "unanswered")
    assert found.losses.shape == (1, 0) and found.states == ["not_applicable"]


@pytest.mark.parametrize("ids", [["a"], ["a", "a"]])
def test_ids_must_be_one_for_each_row(ids: list[str], proxy: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected 2 different ids"):
        record_trajectories(proxy, ROWS[:2], ids, SETTINGS, tmp_path)


@pytest.mark.slow
def test_a_real_model_learns(two_layers: ResolvedModel, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(16):
        ids = rng.integers(100, 2000, 40).tolist()
        rows.append(RenderedExample(ids[:20], ids[19:20], ids[:20]))  # answers repeat the prompt
    settings = ProxySettings(epochs=2, batch_rows=4, learning_rate=2e-4, checkpoints=2)
    found = record_trajectories(
        two_layers.path, rows, [str(at) for at in range(16)], settings, tmp_path
    )
    assert found.steps.tolist() == [4, 8]
    assert (found.losses[:, 1] < found.losses[:, 0]).mean() > 0.9
