"""The file of a trial: a recipe alone is one, and what is wrong is told at once."""

from pathlib import Path

import pytest

from fine_tune.settings import TrainSettings
from flows.recipe.check import RecipeError
from flows.recipe.trial import load_trial


def write(folder: Path, text: str) -> Path:
    path = folder / "trial.yaml"
    path.write_text(text)
    return path


def test_a_recipe_is_compared_with_random_on_what_it_holds_out(tmp_path: Path) -> None:
    found = load_trial(write(tmp_path, "name: x\nselect: {steps: []}\n"))
    assert found.recipe == str(tmp_path / "trial.yaml")
    assert list(found.arms) == ["choice", "random", "length_matched", "untrained"]
    assert found.decides == "held_out" and found.evaluate["held_out"].held_out


def test_paths_start_from_the_file(tmp_path: Path) -> None:
    found = load_trial(write(tmp_path, "recipe: ../r.yaml\nevaluate: {gold: {path: a.jsonl}}\n"))
    assert found.recipe == str(tmp_path.parent / "r.yaml")
    assert found.evaluate["gold"].path == str(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("recipe: r\nseed: 3\n", r"seed: unknown key\. .*There are: .*evaluate"),
        ("recipe: r\nagainst: randm\n", r"against: no such arm\. Did you mean 'random'"),
        ("recipe: r\nagainst: untrained\n", "the untrained model has no seeds"),
        ("recipe: r\nprimary: gsm\n", r"primary: no such evaluation\."),
        ("recipe: r\nlooks: [3, 3]\n", "looks are at rising numbers"),
        ("recipe: r\nlearning_rates: [0.1, 0.1]\n", "each once, and above 0"),
        ("recipe: r\nbudget: {fraction: 0.5}\n", "for a share of what"),
        ("recipe: r\ntrain: {soup: {seeds: [1, 2]}}\n", "train more than the rows of an arm"),
        ("recipe: r\narms: {choice: {}, b: {control: random}}\n", "arms.choice: an arm is a sel"),
        ("arms: {}\n", "recipe: Field required"),
        ("- a\n", "it must be a mapping"),
        ("a: [\n", "it is not YAML"),
    ],
)
def test_what_is_wrong_is_told_before_work(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        load_trial(write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="it cannot be read: No such file"):
        load_trial(tmp_path / "none.yaml")


def test_trainings_are_the_recipes_at_two_rates_or_as_given(tmp_path: Path) -> None:
    plain = load_trial(write(tmp_path, "recipe: r\n"))
    rates = [t.learning_rate for t in plain.trainings(TrainSettings(learning_rate=0.4, epochs=2))]
    assert rates == [0.1, 0.4] and plain.trainings(TrainSettings(epochs=2))[0].epochs == 2
    given = load_trial(
        write(tmp_path, "recipe: r\nlearning_rates: [3, 1]\nsteps: 7\ntrain: {lora_rank: 2}\n")
    )
    found = given.trainings(TrainSettings(lora_rank=8))
    assert [(t.learning_rate, t.max_steps, t.lora_rank) for t in found] == [(1, 7, 2), (3, 7, 2)]
