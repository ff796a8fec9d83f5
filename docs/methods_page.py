"""docs/methods.md: an entry for each method, which is the docstring of its module."""

import ast
from collections.abc import Iterator
from pathlib import Path

from docs.docstrings import ROOT, docstring
from pipeline.generation.catalogue import MAKERS
from scorers import SCORERS

METHODS = ROOT / "docs" / "methods.md"

METHODS_START = "<!-- generated: methods -->\n"
"""Where in docs/methods.md the entries begin; what stands before is written by hand."""

MEASURES = {
    "losses": "scorers/measures/losses",
    "trajectories": "scorers/measures/training/trajectories",
    "confidence": "scorers/measures/confidence",
    "entailment": "scorers/measures/entailment",
    "preferences": "scorers/measures/preferences",
    "ratings": "scorers/measures/ratings",
    "turn_ratings": "scorers/measures/turn_ratings",
    "tags": "scorers/measures/tags",
    "context": "scorers/measures/context",
    "cappy": "scorers/measures/training/cappy",
    "gradients": "scorers/measures/training/gradients",
    "projection": "scorers/measures/training/projection",
}
"""What defines a number, as opposed to how a model is loaded or asked."""

SELECTION = ROOT / "pipeline" / "selection"

IN_SEVERAL = ("pipeline/ranking/blend", "pipeline/selection/shares")
"""What is no step of a selection, and part of several."""

DEDUPE = {
    "exact": "pipeline/dedupe/exact",
    "minhash": "pipeline/dedupe/minhash",
    "signatures": "pipeline/dedupe/signatures",
    "shingles": "pipeline/text/shingles",
    "words and signs": "pipeline/text/compared_words",
    "which copy": "pipeline/dedupe/which_copy",
    "preambles": "pipeline/dedupe/preambles",
    "semantic": "pipeline/dedupe/semantic",
    "cells": "pipeline/ranking/inverted_index",
    "substring": "pipeline/dedupe/substring",
}
"""What is compared to find copies."""

CONTAMINATION = ("texts", "ngrams", "short", "semantic", "leaks")
"""Files of pipeline/contamination/ that say what is compared, and what recall is of."""

ROWS = {
    "language": "pipeline/measuring/measures/languages",
    "personal data": "pipeline/cleaning/personal_data",
    "final answer": "pipeline/text/final_answer",
    "indicator": "pipeline/generation/indicator",
}
"""What else is found in a row or put into it, and the files that say how."""

TRACING = {
    "spans": "pipeline/tracing/spans",
    "tokens": "pipeline/text/tokens",
    "suffix array": "pipeline/text/suffix_array",
}
"""How a completion is traced back to rows."""

EVIDENCE = {
    "lengths": "pipeline/evidence/lengths",
    "overlap": "pipeline/evidence/overlap",
    "sensitivity": "pipeline/selection/sensitivity",
    "agreement": "pipeline/evidence/agreement",
}
"""What stands for and against a choice."""

VERIFIERS = ROOT / "pipeline" / "generation" / "verifiers"
"""One file for each verifier of answers that were made."""

TRAINING = ROOT / "fine_tune" / "methods"
"""One file for each method of training."""

PLANNING = {
    "next tasks, MoPPS": "pipeline/advice/mopps",
    "next tasks, MPTS": "pipeline/advice/mpts",
    "mixtures": "pipeline/advice/mixture_model",
    "balanced loss": "fine_tune/balance",
    "budgets": "pipeline/advice/budget_advice",
    "what if": "pipeline/reporting/what_if",
    "screening": "pipeline/advice/screen",
}
"""What helps to decide on data and money before and between runs, and the files that say how."""


def methods_page() -> str:
    """The text of docs/methods.md."""
    head = METHODS.read_text(encoding="utf-8").split(METHODS_START)[0]
    entries = "\n".join([head + METHODS_START, *scorer_entries(), *other_entries()])
    return entries.rstrip("\n") + "\n"


def scorer_entries() -> Iterator[str]:
    """An entry for each scorer."""
    yield "## Scores\n"
    for name, scorer in SCORERS.items():
        reads = ", ".join(f"`{column}`" for column in scorer.reads)
        of = f" of `{scorer.measure}`" if scorer.measure else ""
        facts = f"Reads {reads}{of}. Unit: {scorer.unit}."
        text = docstring(ROOT / "scorers" / f"{name}.py")
        yield f"### Score: {name}\n\n{facts}\n\n{text}\n"


def other_entries() -> Iterator[str]:
    """Entries for all that is no score, a chapter at a time."""
    for heading, entry, introduction, files in chapters():
        text = f"{docstring(ROOT / introduction)}\n" if introduction else ""
        yield f"## {heading}\n\n{text}" if text else f"## {heading}\n"
        for name, file in files.items():
            yield f"### {entry}: {name}\n\n{docstring(ROOT / f'{file}.py')}\n"


def chapters() -> Iterator[tuple[str, str, str, dict[str, str]]]:
    """Heading, the word before each entry, the file that introduces it, and name → file."""
    yield "Measures", "Measure", "", MEASURES
    steps = {path.stem: str(path.with_suffix("").relative_to(ROOT)) for path in selection_methods()}
    yield "Selection", "Selection", "", steps
    makers = {name: f"pipeline/generation/makers/{name}" for name in MAKERS}
    yield "Makers of rows", "Maker", "", makers
    verifiers = {
        path.stem: f"pipeline/generation/verifiers/{path.stem}"
        for path in sorted(VERIFIERS.glob("*.py"))
        if path.stem != "__init__"
    }
    yield "Verifiers of answers", "Verifier", "", verifiers
    yield "Evidence", "Evidence", "pipeline/evidence/__init__.py", EVIDENCE
    yield "Deduplication", "Deduplication", "pipeline/dedupe/__init__.py", DEDUPE
    yield "Rows", "Rows", "", ROWS
    yield "Tracing", "Tracing", "", TRACING
    check = {name: f"pipeline/contamination/{name}" for name in CONTAMINATION}
    yield "Contamination", "Contamination", "pipeline/contamination/__init__.py", check
    training = {path.stem: f"fine_tune/methods/{path.stem}" for path in training_methods()}
    yield "Training", "Training", "fine_tune/methods/__init__.py", training
    yield "Planning", "Planning", "", PLANNING


def training_methods() -> list[Path]:
    """The files of the methods of training, by name."""
    return [path for path in sorted(TRAINING.glob("*.py")) if path.stem != "__init__"]


def selection_methods() -> list[Path]:
    """The files of the methods of selection, by name."""
    shared = [ROOT / f"{name}.py" for name in IN_SEVERAL]
    steps = modules_with(SELECTION / "methods", "select_")
    return sorted([*steps, *shared], key=lambda path: path.stem)


def modules_with(folder: Path, prefix: str) -> Iterator[Path]:
    """Modules of a folder that define a function whose name starts so."""
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        if any(name.startswith(prefix) for name in names):
            yield path
