"""A wrong recipe is told before any work: every problem at once, with the nearest right name."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fine_tune import four_bits
from flows.cli.init import STARTER
from flows.recipe.check import RecipeError, load_recipe
from tests.tiny_models import save_tiny_llama

RANDOM = {"method": "random", "budget": {"rows": 2}}
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


def test_a_score_of_texts_needs_no_measure_and_says_which_text(tmp_path: Path) -> None:
    select = {"steps": [{"method": "threshold", "score": "asked", "at_least": 0.5}, RANDOM]}
    asked = {"scorer": "type_token_ratio", "of": "prompt", "name": "asked"}
    plain = {name: block for name, block in GOOD.items() if name != "measure"}
    good = {**plain, "scores": ["mtld", "prompt_copying", asked], "select": select}
    assert problems_of(tmp_path, good) == []
    (unknown,) = problems_of(tmp_path, {**good, "scores": [{**asked, "of": "promt"}]})
    assert unknown == (
        "scores.0.of: no text 'promt'. Did you mean 'prompt'? There are: both, prompt, response."
    )
    both = {"scorer": "prompt_copying", "of": "both", "name": "asked"}
    (no_choice,) = problems_of(tmp_path, {**good, "scores": [both]})
    assert no_choice == "scores.0.of: prompt_copying reads prompt and response: leave `of` out"


def test_a_step_names_a_source_as_the_recipe_does(tmp_path: Path) -> None:
    trusting = {"method": "correct_answer", "reference": ["rows.jsonl"]}
    steps = [trusting, {"method": "random", "budget": {"rows": 2}}]
    assert problems_of(tmp_path, {**GOOD, "select": {"steps": steps}}) == []
    wrong = [{**trusting, "reference": ["row.jsonl"]}, steps[1]]
    (problem,) = problems_of(tmp_path, {**GOOD, "select": {"steps": wrong}})
    assert problem.startswith("select.steps.0: 'row.jsonl' is no source of this recipe. Did you")


REPAIR = {"method": "repair", "prompts": "all", "temperature": 0, "model": "adapter:last"}
REPAIRING = {
    **GOOD,
    "generate": [REPAIR],
    "measure": {"confidence": {}, "preferences": {}},
    "scores": ["confidence", "preference"],
    "select": {
        "steps": [{"method": "clear_repair"}, {"method": "random", "budget": {"fraction": 1}}]
    },
}


def test_repairs_come_with_what_chooses_between_them_and_the_rows(tmp_path: Path) -> None:
    assert problems_of(tmp_path, REPAIRING) == []
    none = problems_of(tmp_path, {**REPAIRING, "generate": []})
    assert [problem.split(":")[0] for problem in none] == ["measure.preferences", "select.steps.0"]
    assert all("add a block {method: repair} to generate" in problem for problem in none)
    steps = [{"method": "random", "budget": {"fraction": 1}}]
    (unused,) = problems_of(tmp_path, {**REPAIRING, "select": {"steps": steps}})
    assert unused.startswith("generate.0: rows and their repairs would both stay")
    (second,) = problems_of(tmp_path, {**REPAIRING, "generate": [REPAIR, REPAIR]})
    assert second == "generate.1: a second block of repairs; a run has one"
    (copies,) = problems_of(tmp_path, {**REPAIRING, "dedupe": [{"method": "minhash"}]})
    assert copies.startswith("dedupe: would take a row for a copy of its repair")
    (unmeasured,) = problems_of(tmp_path, {**REPAIRING, "measure": {"confidence": {}}})
    assert "preference reads preferences: add the block measure.preferences" in unmeasured
    for change in ({"temperature": 0.8}, {"answers": 2}, {"prompts": "unanswered"}):
        (wrong,) = problems_of(tmp_path, {**REPAIRING, "generate": [{**REPAIR, **change}]})
        assert "a repair is the likeliest answer to each row" in wrong


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
        (
            {"check": {"against": [{"path": "none.jsonl"}]}},
            "check.against.0.path: nothing is at",
        ),
        (
            {"check": {"against": [{"path": "rows.jsonl", "prompt": "promt"}]}},
            "check.against.0.prompt: no field 'promt' in the first 100 rows of",
        ),
        (
            {"check": {"against": [{"path": "rows.jsonl", "answer": "x"}]}},
            "check.against.0.answer: names a field, so name the one of the prompt too",
        ),
        (
            {"check": {"against": [{"path": "rows.jsonl", "shape": "sharegtp"}]}},
            "check.against.0.shape: no shape named 'sharegtp'. Did you mean 'sharegpt'?",
        ),
        (
            {"check": {"against": [{"path": "recipe.yaml"}]}},
            "check.against.0.path: cannot tell the format of recipe.yaml",
        ),
        (
            {"check": {"against": [{"path": "rows.jsonl", "name": "a"}] * 2}},
            "check.against: two sets are called 'a'",
        ),
        (
            {"check": {"against": [{"path": "rows.jsonl"}], "ngrams": {"threshold": 0.5}}},
            "check.ngrams.0.threshold: belongs to `rule: coverage`",
        ),
        (
            {"check": {"against": [{"path": "rows.jsonl"}], "ngrams": [{}, {}]}},
            "check.ngrams: two blocks are the rule '13-grams, any'",
        ),
        (
            {"check": {"against": [{"path": "rows.jsonl"}], "ngrams": None, "short": False}},
            "check: no rule is left; give ngrams, short or semantic",
        ),
        (
            {"check": {"against": [{"path": "rows.jsonl"}], "semantic": {"text": "prompt"}}},
            "check.semantic: compares embeddings: add {of: prompt} to measure.embeddings",
        ),
        ({"check": {"against": [{"path": "rows.jsonl"}], "actoin": "flag"}}, "mean 'action'?"),
        ({"sources": [{"path": "recipe.yaml"}]}, "cannot tell the format of recipe.yaml"),
        ({"train": {"max_length": 9}}, "make them equal"),
        ({"train": {"methods": [{"method": "hft"}]}}, "train: hft is not for tune: lora"),
        ({"train": {"methods": [{"method": "hfft"}]}}, "train.methods.0"),
        (
            {"train": {"methods": [{"method": "poft", "perplexities": ["p"]}]}},
            "train.methods: read the score 'p': add it to export.scores",
        ),
        (
            {"train": {"methods": [{"method": "asft"}]}},
            "train.methods: asft reads rejected answers: name in export.rejected why",
        ),
        ({"export": {"rejected": ["exact_duplicate"]}}, "export.rejected.0"),
        (
            {"train": {"balance": {"row.jsonl": 2}}},
            "train.balance: no source is called 'row.jsonl'. Did you mean",
        ),
        ({"train": {"balance": {"rows.jsonl": 0}}}, "train.balance"),
        (
            {
                "train": {"balance": "source", "methods": [{"method": "coba"}]},
                "select": {**GOOD["select"], "held_out": 0},
            },
            "train: coba compares held-out losses, and select.held_out is 0: raise it",
        ),
        (
            {"train": {"soup": {"trainings": [{"training": "a"}, {"training": "b"}]}}},
            "train: soup: there is no finished training 'b'",
        ),
        (
            {"train": {"soup": {"seeds": [0, 1]}}, "select": {**GOOD["select"], "held_out": 0}},
            "train: a greedy soup compares held-out losses",
        ),
        (
            {"train": {"mix": [{"export": "other"}]}},
            "train: 0 exports are called 'other'; give one",
        ),
        ({"train": {"stages": [{}, {"mix": [{}, {"export": "x"}]}]}}, "exports are called 'x'"),
        (
            {"train": {"methods": [{"method": "corda", "knowledge": {"export": "y"}}]}},
            "train: 0 exports are called 'y'",
        ),
        (
            {"train": {"methods": [{"method": "reg_lora", "earlier": [{"folder": "nowhere"}]}]}},
            "train: reg_lora: nowhere holds no adapter",
        ),
        ({"train": {"stages": [{}], "epochs": 2}}, "each stage has its own epochs"),
        ({"export": {"scores": ["ifdd"]}}, "export.scores: 'ifdd' is not among the scores"),
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
            {"measure": {"losses": {"served_as": "m", "endpoint": {**SERVED, "batch": {}}}}},
            "measure.losses: losses are not asked in batches: leave batch out of the endpoint",
        ),
        (
            {"measure": {"ratings": [{"template": "{promt}"}]}},
            "measure.ratings.0: nothing to put in for {promt}. Did you mean '{prompt}'?",
        ),
        ({"scores": ["deita"]}, "deita reads turn_ratings: add the block measure.turn_ratings"),
        (
            {"measure": {"turn_ratings": {"quality": {"endpoint": SERVED}}}},
            "measure.turn_ratings.quality.model: missing; name the model that the endpoint serves",
        ),
        (
            {"select": {"steps": [{"method": "k_centre", "budget": {"rows": 1}}]}},
            "select.steps.0: compares embeddings: add {of: both} to measure.embeddings",
        ),
        (
            {
                "scores": ["mtld"],
                "select": {
                    "steps": [
                        {"method": "trained_turns", "score": "mtld", "at_least": 9},
                        {"method": "random", "budget": {"rows": 1}},
                    ]
                },
            },
            "select.steps.0.score: 'mtld' has no value for a single turn; scores that do are made "
            "by deita, entropy, grape, ifd",
        ),
        (
            {"scores": [{"scorer": "ifd", "part": "answer"}]},
            "scores.0.part: ifd has no parts; perplexity and grape have",
        ),
        (
            {"scores": ["el2n"], "measure": {"losses": {}}},
            "scores.0: el2n is kept where it is asked for: add el2n: true to measure.losses",
        ),
        (
            {
                "scores": ["prompt_response_similarity"],
                "measure": {"embeddings": [{"of": "prompt"}]},
            },
            "prompt_response_similarity reads measure.embeddings: add a block with of: response",
        ),
        (
            {"scores": [{"scorer": "prompt_response_similarity", "of": "prompt"}]},
            "scores.0.of: prompt_response_similarity reads all of its texts: leave `of` out",
        ),
        ({"scores": ["tag_count"]}, "tag_count reads tags: add the block measure.tags"),
        (
            {"select": {"steps": [{"method": "instag", "budget": {"rows": 1}}]}},
            "select.steps.0: instag reads tags: add the block measure.tags",
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


def test_a_library_that_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(four_bits, "find_spec", lambda _: None)
    assert problems_of(tmp_path, {**GOOD, "train": {"tune": "qlora"}}) == [
        "train: tune: qlora needs bitsandbytes, which is not installed: pip install -e '.[qlora]' "
        "in Sluice's folder, or set tune: lora"
    ]


def test_a_name_is_looked_for_in_the_path_that_the_workspace_keeps(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    for name, known in (("here/rows.jsonl", False), ("rows.jsonl", True)):
        shares = {"quotas": {name: 0.5}}
        rank = {"method": "top_k", "score": "ifd", "budget": {"rows": 2}, "shares": shares}
        problems = problems_of(folder, {**GOOD, "select": {"steps": [rank]}})
        assert (problems == []) is known, "from work/ the file is ../rows.jsonl"


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        (
            {"shares": {"quotas": {"row.jsonl": 0.5}}},
            "select.steps.0.shares.quotas: no source is called 'row.jsonl'. Did you mean",
        ),
        (
            {"shares": {"by": "ifd", "temperature": 2}},
            "select.steps.0.shares.by: 'ifd' is not a column, nor a score of this recipe whose "
            "values are labels. There are: license, origin, source.",
        ),
        ({"shares": {"by": "licence", "temperature": 2}}, "Did you mean 'license'?"),
        (
            {"score": {"weights": {"ifd": 0}}},
            "select.steps.0.top_k.score: a weight of 0 says nothing: leave ifd out",
        ),
        (
            {"shares": {"by": "license", "quotas": {"MTI": 0.5, "unknown": 0.1}}},
            "select.steps.0.shares.quotas: no source has the licence 'MTI'. There are: unknown.",
        ),
        ({"shares": {"by": "source"}}, "give quotas, a temperature, or both"),
    ],
)
def test_what_a_ranking_cannot_go_by_is_told(
    tmp_path: Path, step: dict[str, Any], problem: str
) -> None:
    rank = {"method": "top_k", "score": "ifd", "budget": {"rows": 2}, **step}
    problems = problems_of(tmp_path, {**GOOD, "select": {"steps": [rank]}})
    assert len(problems) == 1 and problem in problems[0]


def test_sources_are_named_by_parts_of_their_paths(tmp_path: Path) -> None:
    rank = {"method": "top_k", "score": "ifd", "budget": {"rows": 2}}
    shared = {**rank, "shares": {"quotas": {"rows.jsonl": 0.5}}}
    dmt = {"method": "dmt", "specialised": ["rows.jsonl"], "stage": 1}
    assert problems_of(tmp_path, {**GOOD, "select": {"steps": [dmt, shared]}}) == []
    wrong = {"steps": [{**dmt, "specialised": ["maths"]}, rank]}
    (problem,) = problems_of(tmp_path, {**GOOD, "select": wrong})
    assert problem.startswith("select.steps.0.specialised: no source is called 'maths'.")


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"path": "no/*.txt"}, "documents.0.path: nothing is at"),
        ({"path": "recipe.yaml"}, "has one of the suffixes .txt"),
        ({"path": "a.txt", "passages": {"tokens": 8}}, "documents.0.passages.tokens: Input should"),
        ({"path": "a.txt", "passages": {"overlap": 300}}, "overlap 300 is more than half"),
        ({"path": "a.txt", "passages": {"token": 8}}, "Did you mean 'tokens'?"),
        ({"pth": "a.txt"}, "Did you mean 'path'?"),
        ({"path": "a.txt"}, ""),
        ({"path": "."}, ""),
    ],
)
def test_documents_are_checked(tmp_path: Path, block: dict[str, Any], problem: str) -> None:
    (tmp_path / "a.txt").write_text("Text.")
    problems = problems_of(tmp_path, {**GOOD, "documents": [block]})
    assert any(problem in each for each in problems) if problem else problems == []


def test_a_recipe_has_sources_or_documents(tmp_path: Path) -> None:
    recipe = {key: value for key, value in GOOD.items() if key != "sources"}
    assert "sources: missing; give sources of rows, or documents" in problems_of(tmp_path, recipe)
    (tmp_path / "a.txt").write_text("Text.")
    assert problems_of(tmp_path, {**recipe, "documents": [{"path": "a.txt"}]}) == []
    assert problems_of(tmp_path, {**recipe, "generate": [{"method": "magpie"}]}) == []
    served = {"method": "magpie", "model": "m", "endpoint": {"base_url": "http://127.0.0.1:1/v1"}}
    (problem,) = problems_of(tmp_path, {**recipe, "generate": [served]})
    assert "name as template_model a model here" in problem


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


def test_the_indicator_needs_a_score_that_ranks(tmp_path: Path) -> None:
    (unknown,) = problems_of(tmp_path, {**GOOD, "indicator": {}})
    assert unknown.startswith("indicator.score: 'context_dependency' is not among the scores")
    measure = {**GOOD["measure"], "context": {}}
    scores = ["ifd", "context_dependency"]
    assert (
        problems_of(tmp_path, {**GOOD, "measure": measure, "scores": scores, "indicator": {}}) == []
    )


def test_what_reads_an_unmeasured_probe_or_unsampled_answers_is_told(tmp_path: Path) -> None:
    (probe,) = problems_of(tmp_path, {**GOOD, "scores": ["ifd", "context_dependency"]})
    assert probe.endswith("context_dependency reads context: add the block measure.context")
    measure = {**GOOD["measure"], "cappy": {"samples": True}}
    (sampled,) = problems_of(tmp_path, {**GOOD, "measure": measure})
    assert sampled.startswith("measure.cappy.samples: no answers are sampled")


@pytest.mark.slow
def test_a_recipe_is_read_without_torch() -> None:
    # `sluice what-if` and `sluice plan` answer while a user waits; torch alone takes seconds.
    script = (
        "import sys; import flows.recipe.check;"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_source_that_copies_give_way_to_is_one_of_the_recipe(tmp_path: Path) -> None:
    keep = [{"sources": ["rows.jsonl", "row.jsonl"]}, "idf"]
    dedupe = [{"method": "exact", "keep": "ifd"}, {"method": "minhash", "keep": keep}]
    assert problems_of(tmp_path, {**GOOD, "dedupe": dedupe}) == [
        "dedupe.1.keep: 'idf' is not among the scores of this recipe. Did you mean 'ifd'? "
        "There are: ifd.",
        "dedupe.1.keep: 'row.jsonl' is no source of this recipe. Did you mean 'rows.jsonl'? "
        "There are: rows.jsonl.",
    ]


SOUND = (
    "{% for m in messages %}1 {{ m.content }} 3 {% endfor %}"
    "{% if add_generation_prompt %}1 {% endif %}"
)


def test_examples_of_a_maker_are_looked_for_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("[user]\nWhy?\n[assistant]\nSo.\n")
    (tmp_path / "half.txt").write_text("[user]\nWhy?\n")
    blocks = [{"few_shot": name} for name in ("urial", "good.txt", "half.txt", "none.txt")]
    half, none = problems_of(tmp_path, {**GOOD, "generate": blocks})
    assert half.startswith("generate.2.few_shot:") and "questions and answers in turn" in half
    assert none.startswith("generate.3.few_shot:") and "cannot be read" in none
    assert load_recipe_of(tmp_path, blocks[:2]) == ["urial", str(tmp_path / "good.txt")]


def load_recipe_of(folder: Path, blocks: list[dict[str, str]]) -> list[str | None]:
    assert problems_of(folder, {**GOOD, "generate": blocks}) == []
    placed = load_recipe(folder / "recipe.yaml").at(folder)
    return [block.few_shot for block in placed.generate]


def test_synonyms_of_a_maker_are_looked_for_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("film, movie\n")
    blocks = [{"method": "eda", "synonyms": name} for name in ("good.txt", "none.txt")]
    (none,) = problems_of(tmp_path, {**GOOD, "generate": blocks})
    assert none.startswith("generate.1: ") and "cannot be read" in none


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (SOUND, None),
        (None, "chat.jinja cannot be read: No such file or directory"),
        ("{% for m in messages %}", "it is no Jinja: line 1: Unexpected end of template"),
        ("{{ messages", "it is no Jinja: line 1: unexpected end of template"),
        ("{{ raise_exception('no roles') }}", "cannot be written in it: the chat template refused"),
        ("{{ messages[0].content[0].text.no }}", "cannot be written in it: the chat template"),
        ("{{ messages[0].content }}", "it leaves out what is said"),
        ("{{ messages | tojson }}{% if add_generation_prompt %}A{% endif %}", "no_header"),
        (b"\xff{{ messages }}", "is no text in UTF-8"),
        ("", "has no chat template"),
    ],
)
def test_a_chat_template_is_tried_before_any_work(
    tmp_path: Path, template: str | bytes | None, problem: str | None
) -> None:
    save_tiny_llama(tmp_path / "model", chat_template="{{ 1 }}")
    if template is not None:
        told = template.encode() if isinstance(template, str) else template
        (tmp_path / "chat.jinja").write_bytes(told)
    found = problems_of(tmp_path, {**GOOD, "target": "./model", "chat_template": "chat.jinja"})
    assert [str(problem) in each for each in found] == ([] if problem is None else [True]), found


def test_what_is_no_file_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "long.yaml").write_text("# " + "x" * 2**21)
    for path, said in {
        tmp_path: "it cannot be read: Is a directory",
        tmp_path / "loop.yaml": "it cannot be read: Too many levels of symbolic links",
        tmp_path / "long.yaml": "more than 1,048,576 characters",
        Path("/dev/zero"): "more than 1,048,576 characters",
        Path("/dev/null"): "it must be a mapping",
    }.items():
        with pytest.raises(RecipeError, match=said):
            load_recipe(path)
