"""What every scorer must do, whatever it measures."""

import inspect
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import scorers
from pipeline.measuring.catalogue import MEASURES
from scorers import EXAMPLE_ID, PROMPT, RESPONSE, SCORERS, TEXT, Scorer, scorer_settings

NAN = np.nan
TEXTS = np.array(
    [
        "A cat sat on 1 mat.\nThe cat, it saw the rat!\n" * 5 + "I'm sorry, but I cannot help.",
        "",
        "\u732b\u5728\u57ab\u5b50\u4e0a\u3002",
        "```python\nprint(a, a)\n```\nThat prints twice",
    ],
    dtype=object,
)


def by_type(kind: pa.DataType) -> np.ndarray:
    """Four rows of a column that a measure stores, one of them without a number."""
    depth = 0
    while pa.types.is_list(kind):
        kind, depth = kind.value_type, depth + 1
    return np.multiply.outer([0.5, 1.0, NAN, 2.0], np.ones((2,) * depth))


STORED = {field.name: by_type(field.type) for entry in MEASURES.values() for field in entry.columns}
COLUMNS = {
    **STORED,
    **{f"target_{name}": column[[0, 3]] for name, column in STORED.items()},
    # where that would say too little
    "response_tokens": np.array([3, 17, 1, 40]),
    "mean_nll": np.array([0.7, 1.9, 0.0, NAN]),
    "mean_el2n": np.array([0.7, 1.4, 0.0, 1.1]),
    "mean_entropy": np.array([0.7, 2.0, 0.0, 1.1]),
    "mean_nll_alone": np.array([1.4, 1.0, 0.0, 2.0]),
    "probabilities": np.array([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0], [NAN] * 3, [0.1, 0.1, 0.8]]),
    "verdicts": np.array(
        [
            [[0.2, 0.7, 0.1], [0.3, 0.5, 0.2]],
            [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],
            [[NAN, NAN, NAN], [0.1, 0.8, 0.1]],
            [[0.6, 0.4, 0.0], [0.6, 0.4, 0.0]],
        ]
    ),
    "verdict_mass": np.array([[0.9, 0.8], [0.9, 0.7], [NAN, 0.9], [0.8, 0.001]]),
    "marks": np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [NAN] * 3, [1.0, 2.0, 3.0]]),
    **{
        name: np.array([0.9, 0.1, NAN, 0.0])
        for name in (
            "all_turns",
            "current_turn",
            "all_turns_of_means",
            "current_turn_of_means",
        )
    },
    "correctness": np.array([0.9, -0.1, NAN, 1.2]),
    "mass": np.array([0.9, 0.6, NAN, 0.4]),
    "complexity": np.array(
        [
            [[0, 0.5, 0.5, 0, 0, 0], [0, 0.5, 0.5, 0, 0, 0]],
            [[1 / 6] * 6, [NAN] * 6],
            [[NAN] * 6, [NAN] * 6],
            [[0, 0, 0, 0, 0, 1], [NAN] * 6],
        ]
    ),
    "complexity_mass": np.array([[0.9, 0.8], [0.7, NAN], [NAN, NAN], [0.6, NAN]]),
    "quality": np.array(
        [
            [[0, 0, 0, 1, 0, 0], [0, 0, 0, 1, 0, 0]],
            [[1 / 6] * 6, [NAN] * 6],
            [[NAN] * 6, [NAN] * 6],
            [[0.5, 0, 0, 0, 0, 0.5], [NAN] * 6],
        ]
    ),
    "quality_mass": np.array([[0.9, 0.8], [0.001, NAN], [NAN, NAN], [0.6, NAN]]),
    "tag_count": np.array([3.0, 0.0, NAN, 3.0]),
    "embedding": np.array([[1.0, 0.0], [0.6, 0.8], [NAN, NAN], [-1.0, 0.2]]),
    "prompt_embedding": np.array([[1.0, 0.0], [0.6, 0.8], [NAN, NAN], [-1.0, 0.2]]),
    "response_embedding": np.array([[0.0, 1.0], [0.6, 0.8], [1.0, 0.0], [NAN, NAN]]),
    "target_embedding": np.array([[0.0, 1.0], [0.5, 0.5]]),
    "gradient": np.array(
        [
            [[1.0, 0.0], [0.6, 0.8]],
            [[0.0, 2.0], [0.3, 0.4]],
            [[NAN, NAN], [NAN, NAN]],
            [[-1.0, 1.0], [1.0, -1.0]],
        ]
    ),
    "rates": np.array([[2e-5, 1e-5], [2e-5, 1e-5], [NAN, NAN], [2e-5, 1e-5]]),
    "target_gradient": np.array([[[0.0, 1.0], [0.5, 0.5]], [[0.7, 0.7], [-1.0, 0.0]]]),
    "target_source": np.array([0.0, 1.0]),
    "trajectory": np.array([[2.0, 1.5, 1.4], [3.0, 3.1, NAN], [0.2, 0.1, 0.1], [2.0, 1.5, 1.4]]),
    "text": TEXTS,
    "prompt": np.array(["Where did the cat, it saw the rat", "Say it", "", ""], dtype=object),
    "response": TEXTS,
    "example_id": np.array(["d", "a", "c", "b"], dtype=object),
    "contradiction_forward": np.array([[0.1, 0.2], [0.9, NAN], [NAN, NAN], [0.0, 1.0]]),
    "contradiction_backward": np.array([[0.3, 0.1], [0.8, 0.4], [NAN, NAN], [0.0, 1.0]]),
    "exact_match": np.array([[0.0, 1.0], [0.0, NAN], [NAN, NAN], [1.0, 0.0]]),
    "reflection": np.array(
        [
            [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]],
            [[NAN, NAN, NAN], [0.0, 0.0, 1.0]],
            [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
            [[0.0, 1.0, 0.0], [NAN, NAN, NAN]],
        ]
    ),
}
every_scorer = pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)


def run(scorer: Scorer, rows: np.ndarray) -> np.ndarray:
    targets = [COLUMNS[name] for name in target_columns(scorer)]
    return scorer.function(*(COLUMNS[name][rows] for name in scorer.reads), *targets)


def target_columns(scorer: Scorer) -> list[str]:
    return [f"target_{name}" for name in scorer.targets]


@every_scorer
def test_gives_one_float_for_each_row(scorer: Scorer) -> None:
    for n in (0, 1, 4):
        values = run(scorer, np.arange(n))
        assert values.shape == (n,)
        assert values.dtype == np.float64


@every_scorer
def test_follows_the_order_of_the_rows(scorer: Scorer) -> None:
    order = np.array([2, 0, 3, 1])
    np.testing.assert_array_equal(run(scorer, order), run(scorer, np.arange(4))[order])


@every_scorer
def test_a_row_depends_on_no_other_row_unless_it_says_so(scorer: Scorer) -> None:
    together = run(scorer, np.arange(4))
    alone = [run(scorer, np.array([row]))[0] for row in range(4)]
    if scorer.whole_pool:
        assert not np.array_equal(together, alone, equal_nan=True)
    else:
        np.testing.assert_array_equal(together, alone)


@every_scorer
def test_a_value_is_finite_or_missing(scorer: Scorer) -> None:
    values = run(scorer, np.arange(4))
    assert not np.isinf(values).any()
    assert not np.isnan(values).all()


@every_scorer
def test_leaves_its_input_alone(scorer: Scorer) -> None:
    names = [*scorer.reads, *target_columns(scorer)]
    before = {name: COLUMNS[name].copy() for name in names}
    run(scorer, np.arange(4))
    given = {name: COLUMNS[name].copy() for name in names}
    scorer.function(*given.values())
    for name, column in before.items():
        np.testing.assert_array_equal(given[name], column)


@every_scorer
def test_is_documented(scorer: Scorer) -> None:
    module = inspect.getdoc(inspect.getmodule(scorer.function)) or ""
    function = inspect.getdoc(scorer.function) or ""
    assert re.search(r"^ {4}\S.*=", module, re.M), "the module docstring states the formula"
    assert "arXiv:" in module or "doi:" in module, "and its source"
    assert "igher is kept first" in " ".join(module.split()), "and its direction"
    assert "(n,)" in function, "the function docstring gives shapes"
    for name in scorer_settings(scorer, {}):
        assert f"\n    {name}: " in function, "and every setting"


@every_scorer
def test_its_arguments_are_named_as_the_columns_it_reads(scorer: Scorer) -> None:
    parameters = inspect.signature(scorer.function).parameters.values()
    columns = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert columns == [*scorer.reads, *target_columns(scorer)]


@every_scorer
def test_it_reads_one_measure_or_texts_which_come_in_blocks(scorer: Scorer) -> None:
    texts = {TEXT, PROMPT, RESPONSE}
    if scorer.measure:
        assert not texts & {*scorer.reads}
    else:
        assert texts & {*scorer.reads} and {*scorer.reads} <= {*texts, EXAMPLE_ID}
        assert not scorer.whole_pool and not scorer.targets


def test_every_scorer_file_is_in_the_table() -> None:
    files = {path.stem for path in Path(scorers.__path__[0]).glob("*.py")}
    modules = {scorer.function.__module__.removeprefix("scorers.") for scorer in SCORERS.values()}
    assert files - {"__init__", "arrays", "names", "reductions", "words"} == modules
    assert modules == set(SCORERS), "and has the name of its scorer"
