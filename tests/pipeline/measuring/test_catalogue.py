"""A measure is a file, a block and line in the catalogue, and a test: a forgotten one is named."""

import inspect
from pathlib import Path
from typing import Any, get_args

import pytest

from pipeline.measuring import measures
from pipeline.measuring.catalogue import MEASURES, MeasureSettings, asks_model
from pipeline.measuring.measures.embeddings import embeddings_name
from pipeline.measuring.measures.ratings import ratings_name
from scorers import EXAMPLE_ID, SCORERS

FOLDER = Path(str(measures.__file__)).parent

SEVERAL: dict[str, Any] = {
    "embeddings": [{"of": "prompt"}, {"of": "both"}],
    "ratings": [{"name": "quality"}, {"name": "help"}],
}
"""Blocks of which a recipe may have more than one."""

EVERYTHING = {field: SEVERAL.get(field, {}) for field in MeasureSettings.model_fields}


def everything() -> MeasureSettings:
    return MeasureSettings.model_validate(EVERYTHING)


def test_every_file_of_a_measure_is_in_the_catalogue() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    planned = {entry.plan.__module__.rpartition(".")[2] for entry in MEASURES.values()}
    assert planned - files == set(), "planned by something that is no file of measures/"
    assert files - planned == set(), "files of measures/ without a line in MEASURES"


def test_every_block_of_a_recipe_asks_for_a_measure_and_the_other_way_round() -> None:
    blocks = {entry.block for entry in MEASURES.values()}
    assert blocks - set(MeasureSettings.model_fields) == set(), "without a field in MeasureSettings"
    assert set(MeasureSettings.model_fields) - blocks == set(), "fields that no measure answers to"


@pytest.mark.parametrize("name", [name for name, each in SCORERS.items() if each.measure])
def test_every_scorer_reads_a_measure_and_columns_that_there_are(name: str) -> None:
    scorer = SCORERS[name]
    assert scorer.measure in MEASURES, f"{name} reads {scorer.measure}, which is no measure"
    stored = {field.name for field in MEASURES[scorer.measure].columns} | {EXAMPLE_ID}
    of_blocks = {f"{block}_{column}" for block in scorer.blocks for column in stored}
    read = set(scorer.reads) - (of_blocks if scorer.blocks else stored)
    assert read == set(), f"{name} reads columns that nothing stores"


@pytest.mark.parametrize("name", MEASURES)
def test_columns_are_named_once_and_none_is_of_the_state(name: str) -> None:
    names = [field.name for field in MEASURES[name].columns]
    assert len(set(names)) == len(names)
    assert not {"example_id", "measure_key", "state", "detail"} & set(names)


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_says_whether_it_is_of_a_whole_pool(name: str) -> None:
    module = inspect.getmodule(MEASURES[name].plan)
    own = [
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if each.__module__ == module.__name__ and hasattr(each, "whole_pool")  # type: ignore[union-attr]
    ]
    whole = {each.whole_pool for each in own if name != "tag_replies"}
    assert (True in whole) is MEASURES[name].whole_pool


def test_a_run_names_the_blocks_apart_where_there_are_several() -> None:
    names = everything().names()
    assert {embeddings_name("prompt"), embeddings_name("both")} <= names
    assert {ratings_name("quality"), ratings_name("help")} <= names
    assert {"token_counts", "losses", "samples", "judgements", "tags"} <= names
    assert not {"embeddings", "ratings", embeddings_name("response")} & names
    assert MeasureSettings().names() == {"token_counts"}


@pytest.mark.parametrize("name", sorted(everything().names() - {"token_counts"}))
def test_only_the_blocks_that_are_wanted_are_kept(name: str) -> None:
    kept = everything().only({name})
    assert name in kept.names()
    together = {n for n in kept.names() if n != "token_counts"}
    assert len(together) == (2 if name in ("samples", "judgements", "tags", "tag_replies") else 1)


def test_what_asks_no_model() -> None:
    names = everything().names()
    assert {name for name in names if not asks_model(name)} == {"token_counts", "language"}
    assert asks_model("target_gradients")


def test_steps_read_measures_that_there_are() -> None:
    from pipeline.selection.steps import Step

    for step in get_args(get_args(Step)[0]):
        assert set(step.measures(step.model_construct())) <= set(MEASURES)
