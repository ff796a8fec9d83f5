"""The mixture model: enumeration, groups kept together, honest R^2, the search, reading runs."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.advice.mixture_model import (
    MixtureRuns,
    Validation,
    count_mixtures,
    enumerate_mixtures,
    fit_runs,
    group_of,
    rank_mixtures,
    replicate_noise,
    split_groups,
    validate_runs,
)
from pipeline.advice.mixture_runs import read_mixture_runs
from pipeline.ingest.readers import UnreadableSourceError

LAW = np.array([[60.0, 20.0], [40.0, 50.0], [10.0, 30.0], [30.0, 30.0]])


def make_runs(
    mixtures: int = 24, noise: float = 0.0, law: np.ndarray = LAW, seed: int = 0
) -> MixtureRuns:
    """Runs of four checkpoints whose scores follow a linear law of exposure."""
    rng = np.random.default_rng(seed)
    p = np.repeat(rng.dirichlet(np.ones(4), mixtures), 4, axis=0)
    t = np.tile(np.arange(4), mixtures)
    scores = p * ((t + 1) / 4)[:, None] @ law + noise * rng.standard_normal((4 * mixtures, 2))
    names = np.array([f"m{n // 4}" for n in range(4 * mixtures)], dtype=object)
    return MixtureRuns(names, p, t, scores, ("a", "b", "c", "d"), ("x", "y"))


def whole(sources: int, batch: int) -> np.ndarray:
    return np.concatenate(list(enumerate_mixtures(sources, batch)))


def test_three_sources_in_halves_are_six_mixtures() -> None:
    found = {tuple(row) for row in whole(3, 2)}
    assert found == {
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
        (0.5, 0.5, 0),
        (0.5, 0, 0.5),
        (0, 0.5, 0.5),
    }
    assert count_mixtures(3, 2) == 6 and count_mixtures(12, 16) == 13_037_895


@pytest.mark.parametrize(("sources", "batch"), [(1, 5), (2, 1), (4, 6)])
def test_every_mixture_is_there_once(sources: int, batch: int) -> None:
    found = whole(sources, batch)
    brute = [c for c in itertools.product(range(batch + 1), repeat=sources) if sum(c) == batch]
    assert sorted(map(tuple, (found * batch).round().astype(int))) == sorted(brute)
    assert len(found) == count_mixtures(sources, batch)


def test_too_many_mixtures_are_refused() -> None:
    with pytest.raises(ValueError, match="take a smaller batch"):
        next(enumerate_mixtures(20, 16))


def test_no_mixture_is_on_both_sides_of_a_split() -> None:
    runs = make_runs()
    groups = group_of(runs)
    splits = split_groups(groups)
    assert len(splits) == 10
    for fit, test in splits:
        assert not set(groups[fit]) & set(groups[test])
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in splits])), range(96))


def test_one_mixture_under_two_names_is_one_group() -> None:
    runs = make_runs(3)
    p = np.repeat(runs.proportions[:4], 3, axis=0)
    same = MixtureRuns(runs.mixtures, p, runs.checkpoints, runs.scores, runs.sources, ("x", "y"))
    assert len(set(group_of(same))) == 1
    with pytest.raises(ValueError, match="1 mixtures tell nothing of others"):
        validate_runs(same)


def test_a_linear_law_is_found() -> None:
    found = validate_runs(make_runs(noise=0.5))
    assert found.r2_mean > 0.95 and (found.r2 > 0.95).all()
    assert 0.2 < found.noise < 0.6  # two benchmarks of noise 0.5 have a mean of noise 0.35


@pytest.mark.parametrize("luck_seed", [1, *range(1000, 1004)])
def test_scores_that_have_nothing_to_do_with_the_mixture_are_not_predicted(luck_seed: int) -> None:
    runs = make_runs(law=LAW * 0, seed=luck_seed % 1000)
    rng = np.random.default_rng(luck_seed)
    luck = np.repeat(rng.standard_normal((24, 2)), 4, axis=0)  # of the mixture: a leak would show
    lucky = MixtureRuns(
        runs.mixtures, runs.proportions, runs.checkpoints, luck, runs.sources, runs.benchmarks
    )
    assert validate_runs(lucky).r2_mean <= 0


@pytest.mark.parametrize(
    ("r2", "r2_mean", "useful"),
    [([0.2, -0.1], 0.1, True), ([-0.2, -0.1], 0.1, False), ([0.2, 0.1], 0.0, False)],
)
def test_a_mean_that_is_predicted_while_nothing_in_it_is_is_luck(
    r2: list[float], r2_mean: float, useful: bool
) -> None:
    assert Validation(np.array(r2), r2_mean, 1.0).useful is useful


def test_that_scores_rise_with_training_is_no_law_of_mixtures() -> None:
    runs = make_runs()
    rng = np.random.default_rng(3)
    luck = np.repeat(rng.standard_normal((24, 2)), 4, axis=0)
    rising = 30.0 * (runs.checkpoints + 1)[:, None] + luck
    risen = MixtureRuns(
        runs.mixtures, runs.proportions, runs.checkpoints, rising, runs.sources, runs.benchmarks
    )
    assert validate_runs(risen).r2_mean <= 0


def test_the_best_mixture_is_that_of_a_brute_search() -> None:
    runs = make_runs(noise=1.0)
    law = fit_runs(runs)
    ranked = rank_mixtures(law, runs.proportions, 10, 5)
    least, most = runs.proportions.min(axis=0), runs.proportions.max(axis=0)
    brute = [
        p
        for c in itertools.product(range(11), repeat=4)
        if sum(c) == 10
        for p in [np.array(c) / 10]
        if (p >= least).all() and (p <= most).all()
    ]
    values = [float(law.predict(p[None]).mean()) for p in brute]
    np.testing.assert_allclose(ranked.proportions[0], brute[int(np.argmax(values))])
    np.testing.assert_allclose(ranked.scores.mean(axis=1), sorted(values)[::-1][:5])
    assert ranked.searched == len(brute) < count_mixtures(4, 10)


def test_the_search_does_not_hang_on_the_size_of_its_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = make_runs(noise=1.0)
    whole_search = rank_mixtures(fit_runs(runs), runs.proportions, 10, 5)
    monkeypatch.setattr("pipeline.advice.mixture_model.BLOCK", 7)
    in_blocks = rank_mixtures(fit_runs(runs), runs.proportions, 10, 5)
    np.testing.assert_array_equal(in_blocks.proportions, whole_search.proportions)


def test_a_curved_law_finds_what_is_best_in_between() -> None:
    runs = make_runs(40)
    x = runs.exposure
    scores = np.column_stack([x[:, 0] * x[:, 1]] * 2) * 100
    both = MixtureRuns(
        runs.mixtures, runs.proportions, runs.checkpoints, scores, runs.sources, runs.benchmarks
    )
    assert validate_runs(both, curved=True).r2_mean > 0.99 > validate_runs(both).r2_mean
    best = rank_mixtures(fit_runs(both, curved=True), np.array([[0.0] * 4, [1.0] * 4]), 4, 1)
    np.testing.assert_allclose(best.proportions, [[0.5, 0.5, 0, 0]])


def test_the_noise_between_repeats_is_told_where_there_are_any() -> None:
    runs = make_runs(3)
    assert replicate_noise(runs) is None
    twice = MixtureRuns(
        np.concatenate([runs.mixtures, runs.mixtures]),
        np.concatenate([runs.proportions, runs.proportions]),
        np.concatenate([runs.checkpoints, runs.checkpoints]),
        np.concatenate([runs.scores, runs.scores + 2]),
        runs.sources,
        runs.benchmarks,
    )
    assert replicate_noise(twice) == pytest.approx(2**0.5)  # two numbers 2 apart


def test_a_score_that_never_changes_has_no_r_squared() -> None:
    runs = make_runs(law=LAW * [1, 0])
    assert np.isnan(validate_runs(runs).r2[1])


def write_csv(path: Path, runs: MixtureRuns) -> Path:
    head = ["mixture", "checkpoint", *(f"p.{n}" for n in "abcd"), "s.x", "s.y"]
    table = np.column_stack([runs.mixtures, runs.checkpoints, runs.proportions, runs.scores])
    path.write_text("\n".join(",".join(map(str, row)) for row in [head, *table]), encoding="utf-8")
    return path


def test_csv_and_json_lines_are_read_alike(tmp_path: Path) -> None:
    runs = make_runs(4)
    one, left_out = read_mixture_runs(write_csv(tmp_path / "runs.csv", runs))
    lines = [
        json.dumps(
            {
                "mixture": name,
                "checkpoint": int(t),
                "p": dict(zip("abcd", p, strict=True)),
                "s": dict(zip("xy", s, strict=True)),
            }
        )
        for name, t, p, s in zip(
            runs.mixtures, runs.checkpoints, runs.proportions, runs.scores, strict=True
        )
    ]
    (tmp_path / "runs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    other, _ = read_mixture_runs(tmp_path / "runs.jsonl")
    assert left_out == 0 and one.sources == other.sources == ("a", "b", "c", "d")
    for field in ("mixtures", "proportions", "checkpoints", "scores"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
        np.testing.assert_array_equal(getattr(one, field), getattr(runs, field))


def test_a_run_without_a_score_is_left_out(tmp_path: Path) -> None:
    text = "mixture,checkpoint,p.a,p.b,s.x\nm,0,0.5,0.5,\nm,1,0.5,0.5,3\n"
    (tmp_path / "r.csv").write_text(text, encoding="utf-8")
    runs, left_out = read_mixture_runs(tmp_path / "r.csv")
    assert left_out == 1 and runs.scores.tolist() == [[3.0]]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("m,0,0.5,0.4,1", "line 2: the proportions do not add up to 1"),
        ("m,0.5,0.5,0.5,1", "checkpoint must be a whole number"),
        (",0,0.5,0.5,1", "it names no mixture"),
        ("m,0,1.5,-0.5,1", "a proportion is below 0"),
        ("m,0,half,0.5,1", "p.a must be a number, got 'half'"),
        ("m,0,0.5,0.5,inf", "s.x must be a number, got 'inf'"),
        ("m,0,0.5,0.5,1,9", "more fields than columns"),
        ("m,0,0.5,0.5,", "every run lacks a score"),
    ],
)
def test_what_is_no_run_is_named_by_its_line(tmp_path: Path, row: str, problem: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"mixture,checkpoint,p.a,p.b,s.x\n{row}\n", encoding="utf-8")
    with pytest.raises(UnreadableSourceError, match=problem):
        read_mixture_runs(path)


def test_a_file_of_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(UnreadableSourceError, match=r"expected columns p.NAME"):
        read_mixture_runs(tmp_path / "r.csv")
    (tmp_path / "r.jsonl").write_text("{\n", encoding="utf-8")
    with pytest.raises(UnreadableSourceError, match="line 1"):
        read_mixture_runs(tmp_path / "r.jsonl")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSourceError, match=r"there is nothing at .*nowhere\.csv"):
        read_mixture_runs(tmp_path / "nowhere.csv")
