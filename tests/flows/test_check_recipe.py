"""A wrong recipe is told before any work: every problem at once, with the nearest right name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.check_recipe import RecipeError, load_recipe
from flows.run_commands import STARTER

SERVED = {"base_url": "http://127.0.0.1:8000/v1"}

GOOD: dict[str, Any] = {
    "name": "good",
    "workspace": "work",
    "target": "wheel:smollm2-135m-instruct",
    "sources": [{"path": "rows.jsonl"}],
    "measure": {"losses": {}},
    "scores": ["ifd"],
    "select": {"steps": [{"method": "top_k", "score": "ifd", "budget": {"rows": 2}}]},
}


def problems_of(folder: Path, recipe: object) -> list[str]:
    (folder / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n' * 3)
    path = folder / "recipe.yaml"
    path.write_text(recipe if isinstance(recipe, str) else yaml.safe_dump(recipe))
    try:
        load_recipe(path)
    except RecipeError as error:
        return error.problems
    return []


def test_a_good_recipe_has_none_and_knows_its_target(tmp_path: Path) -> None:
    assert problems_of(tmp_path, GOOD) == []
    recipe = load_recipe(tmp_path / "recipe.yaml")
    assert recipe.measure.losses is not None
    assert recipe.measure.losses.model == recipe.measure.tokens.model == GOOD["target"]
    assert recipe.sources[0].path == "rows.jsonl"


def test_a_score_says_which_ratings_it_reads(tmp_path: Path) -> None:
    blocks = [
        {"model": "m", "endpoint": SERVED},
        {"name": "depth", "template": "{prompt}", "options": [1, 2, 3]},
    ]
    scores = [
        {"scorer": "rating", "of": "quality"},
        {"scorer": "rating", "of": "depth", "name": "depth"},
    ]
    select = {"steps": [{"method": "top_k", "score": "depth", "budget": {"rows": 2}}]}
    recipe = {**GOOD, "measure": {"ratings": blocks}, "scores": scores, "select": select}
    assert problems_of(tmp_path, recipe) == []
    first, second = load_recipe(tmp_path / "recipe.yaml").measure.ratings
    assert (first.model, second.model) == ("m", GOOD["target"])


def test_the_starter_recipe_is_sound(tmp_path: Path) -> None:
    assert problems_of(tmp_path, STARTER.format(name="mine", path="rows.jsonl")) == []


def test_everything_is_told_at_once(tmp_path: Path) -> None:
    wrong = {
        **GOOD,
        "sources": [{"path": "rows.jsonl"}, {"path": "missing.jsonl"}],
        "scores": ["ifdd"],
        "seeed": 3,
        "measure": {"losses": {"max_token": 9}},
        "select": {"steps": [{"method": "top_k", "score": "ifd", "budget": {"rows": 0}}]},
    }
    problems = problems_of(tmp_path, wrong)
    assert any(p.startswith("seeed: unknown key. Did you mean 'seed'?") for p in problems)
    assert any(
        "measure.losses.max_token: unknown key. Did you mean 'max_tokens'?" in p for p in problems
    )
    assert any("scores.0: no scorer named 'ifdd'. Did you mean 'ifd'?" in p for p in problems)
    assert any("sources.1.path: nothing is at" in p and "missing.jsonl" in p for p in problems)
    assert any(p.startswith("select.steps.0.top_k.budget.rows:") for p in problems)
    assert len(problems) == 5


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"measure": {}}, "scores.0: ifd reads losses: add the block measure.losses"),
        (
            {"scores": [{"scorer": "s2l_cluster"}, "ifd"]},
            "scores.0: s2l_cluster reads trajectories: add the block measure.trajectories",
        ),
        (
            {"scores": [{"scorer": "ifd", "settings": {"x": 1}}]},
            "scores.0: no setting named 'x'",
        ),
        ({"scores": ["ifd", "ifd"]}, "a second score called 'ifd'"),
        (
            {"dedupe": [{"method": "minhash", "keep": "grape"}]},
            "dedupe.0.keep: 'grape' is not among the scores",
        ),
        (
            {"dedupe": [{"method": "semantic"}]},
            "dedupe.0: compares embeddings: add {of: both} to measure.embeddings",
        ),
        ({"dedupe": [{"method": "minhsh"}]}, "no method named 'minhsh'. Did you mean 'minhash'?"),
        (
            {"sources": [{"path": "rows.jsonl", "shape": "sharegtp"}]},
            "sources.0.shape: no shape named 'sharegtp'. Did you mean 'sharegpt'?",
        ),
        ({"sources": [{"path": "recipe.yaml"}]}, "cannot tell the format of recipe.yaml"),
        ({"train": {"max_length": 9}}, "make them equal"),
        (
            {"measure": {"confidence": {"samples": {"endpoint": SERVED}}}},
            "measure.confidence.samples.model: missing; name the model that the endpoint serves",
        ),
        (
            {"measure": {"ratings": [{"endpoint": {**SERVED, "retry": 3}}]}},
            "measure.ratings.0.endpoint.retry: unknown key. Did you mean 'retries'?",
        ),
        (
            {"measure": {"ratings": [{"endpoint": SERVED}]}},
            "measure.ratings.0.model: missing; name the model that the endpoint serves",
        ),
        (
            {"generate": [{"model": "m", "endpoint": {"base_url": "127.0.0.1/v1"}}]},
            "base_url must start with http",
        ),
        ({"measure": {"ratings": [{}, {}]}}, "measure.ratings: two blocks are called 'quality'"),
        (
            {"measure": {"ratings": [{"template": "{promt}"}]}},
            "measure.ratings.0: nothing to put in for {promt}. Did you mean {prompt}?",
        ),
        ({"scores": ["rating"]}, "rating reads ratings: add the block measure.ratings"),
        (
            {"scores": ["rating"], "measure": {"ratings": [{}]}},
            "scores.0.of: missing; name a block of measure.ratings. There are: quality.",
        ),
        (
            {"scores": [{"scorer": "rating", "of": "qualty"}], "measure": {"ratings": [{}]}},
            "scores.0.of: no block 'qualty' in measure.ratings. Did you mean 'quality'?",
        ),
        (
            {"scores": [{"scorer": "ifd", "of": "quality"}]},
            "scores.0.of: ifd reads measure.losses, which is one block: leave `of` out",
        ),
        (
            {
                "scores": [{"scorer": "rating", "of": "quality"}],
                "measure": {"ratings": [{"template": "{prompt}", "options": ["1", "no"]}]},
            },
            "scores.0: an expected mark needs options that are numbers, and 'quality' of "
            "measure.ratings has 'no'",
        ),
        (
            {"targets": [{"path": "missing.jsonl"}, {"path": "rows.jsonl"}]},
            "targets.0.path: nothing is at",
        ),
        (
            {"scores": [{"scorer": "got_d", "of": "both"}], "measure": {"embeddings": [{}]}},
            "scores.0: got_d compares rows with targets: add the block targets",
        ),
        (
            {"scores": ["got_d"], "measure": {"embeddings": [{}]}},
            "scores.0.of: missing; name a block of measure.embeddings. There are: both.",
        ),
        ({"name": "Bad Name"}, "name: String should match pattern"),
    ],
)
def test_a_problem_is_named(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    found = problems_of(tmp_path, {**GOOD, **change})
    assert any(problem in each for each in found), found


@pytest.mark.parametrize(
    ("budget", "problem"),
    [
        ({"rows": 5}, "5 is more than the 3 rows"),
        ({"loss_tokens": 10**6}, "more than the sources can hold"),
    ],
)
def test_a_budget_larger_than_the_pool_is_told(
    tmp_path: Path, budget: dict[str, int], problem: str
) -> None:
    select = {"steps": [{"method": "top_k", "score": "ifd", "budget": budget}]}
    found = problems_of(tmp_path, {**GOOD, "select": select})
    assert any(problem in each for each in found), found


def test_a_missing_block_is_named(tmp_path: Path) -> None:
    recipe = {key: value for key, value in GOOD.items() if key != "select"}
    assert "select: missing; it must be given" in problems_of(tmp_path, recipe)


@pytest.mark.parametrize(
    ("text", "problem"), [("a: [", "it is not YAML"), ("- a", "it must be a mapping")]
)
def test_what_is_no_recipe_at_all(tmp_path: Path, text: str, problem: str) -> None:
    assert any(problem in each for each in problems_of(tmp_path, text))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is no such file"):
        load_recipe(tmp_path / "none.yaml")
