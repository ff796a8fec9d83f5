"""Whatever looks through the text of a row takes time that grows as the text does, and no faster.

Every pattern of the product is found by itself: those of modules, as they are used there, and those
that a function without arguments makes. So are the functions that a row's text goes through.
"""

import ast
import importlib
import pkgutil
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

import pipeline
import scorers
import storage
from pipeline.cleaning.personal_data import PRECEDENCE, find_personal_data
from pipeline.text.final_answer import final_answer, same_answer
from scorers.measures.confidence import normalise_answer
from storage.visible import is_blank
from tests.hostile_texts import hostile_texts

CHARACTERS = 20_000
MOST_SECONDS = 0.25
"""Of this thread, for one text: a hundred times what a linear pass takes, and far from a square."""

USES = ("finditer", "findall", "search", "sub", "split", "match", "fullmatch")

BOUNDED = {  # what they are given is short: the code before them sees to it
    "pipeline.text.final_answer.MIXED": "read_number: LONGEST_NUMBER",
    "pipeline.text.final_answer.RUNAWAY": "_is_formula: LONGEST_FORMULA",
    "pipeline.cleaning.personal_data.REST_OF_KEY": "one match for each run",
}

ELSEWHERE = ("pipeline.serving", "pipeline.handoff.readers")
"""Servers, and scripts that run in the environments of trainers: they see no rows here."""

Use = tuple[str, str, re.Pattern[str] | re.Pattern[bytes]]


def modules() -> Iterator[ModuleType]:
    """Every module that may see rows."""
    for package in (pipeline, scorers, storage):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.startswith(ELSEWHERE):
                yield importlib.import_module(found.name)


def patterns_of(value: object) -> Iterator[re.Pattern[str] | re.Pattern[bytes]]:
    """The patterns that a value is, or holds."""
    for each in value if isinstance(value, tuple) else (value,):
        if isinstance(each, re.Pattern):
            yield each


def made_by(module: ModuleType) -> Iterator[tuple[str, object]]:
    """The module's patterns by name, and what functions of its own that make some give."""
    for name, value in vars(module).items():
        if "Pattern" in str(getattr(value, "__annotations__", {}).get("return", "")) and not set(
            value.__annotations__
        ) - {"return"}:
            yield name, value()
        else:
            yield name, value


def uses() -> list[Use]:
    """Each pattern and how it is used: from a place on, or anywhere."""
    found: dict[tuple[str, re.Pattern[str] | re.Pattern[bytes]], Use] = {}
    for module in modules():
        source = ast.parse(Path(str(module.__file__)).read_text())
        called = {
            (node.func.value.id, node.func.attr)
            for node in ast.walk(source)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        }
        for name, value in made_by(module):
            ways = {use for named, use in called if named == name} & {*USES}
            anywhere = not ways or ways - {"match", "fullmatch"}  # unknown: the worst of them
            for pattern in patterns_of(value):
                place = f"{module.__name__}.{name}"
                if anywhere:
                    found[("finditer", pattern)] = (place, "finditer", pattern)
                elif ("finditer", pattern) not in found:
                    found[("match", pattern)] = (place, "match", pattern)
    return [use for use in found.values() if use[0] not in BOUNDED]


def use_pattern(way: Callable[[str | bytes], object], text: str | bytes) -> None:
    """Go through all that is found."""
    found = way(text)
    for _ in found if isinstance(found, Iterator) else ():
        pass


def seconds(work: Callable[[], object]) -> float:
    """What it takes of this thread; the less of two, if the first is long."""
    best = float("inf")
    for _ in range(3):
        begun = time.thread_time()
        work()
        best = min(best, time.thread_time() - begun)
        if best < MOST_SECONDS:
            break
    return best


USED = uses()


def test_the_patterns_are_found() -> None:
    places = {place.rpartition(".")[2] for place, _, _ in USED}
    assert {"EMAIL", "BOXED", "CODE_LINE", "SENTENCE_END", "key_patterns"} <= places
    assert len(USED) > 50


@pytest.mark.slow
@pytest.mark.parametrize("use", USED, ids=[f"{place}-{n}" for n, (place, _, _) in enumerate(USED)])
def test_a_pattern_looks_at_each_character_a_few_times(use: Use) -> None:
    _, way, pattern = use
    for label, text in hostile_texts(CHARACTERS):
        given = text.encode() if isinstance(pattern.pattern, bytes) else text
        took = seconds(partial(use_pattern, getattr(pattern, way), given))
        assert took < MOST_SECONDS, f"{took:.2f} s for {len(text)} characters of {label}"


def read(text: str) -> object:
    return find_personal_data(text, [kind for kind in PRECEDENCE if kind != "phone"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "function",
    [read, final_answer, normalise_answer, is_blank, lambda text: same_answer(text, text + "x")],
    ids=["personal data", "final answer", "normalise", "visible", "same answer"],
)
def test_a_function_goes_through_a_text_a_few_times(function: Callable[[str], object]) -> None:
    for label, text in hostile_texts(5 * CHARACTERS):
        took = seconds(partial(function, text))
        assert took < 8 * MOST_SECONDS, f"{took:.2f} s for {len(text)} characters of {label}"
