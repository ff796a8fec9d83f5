"""Which copy stays, and what is said of it."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.dedupe.exact import Exact
from pipeline.dedupe.minhash import MinHash
from pipeline.dedupe.semantic import Semantic
from pipeline.dedupe.stage import deduplicate_examples
from pipeline.dedupe.step import DedupeStep
from pipeline.dedupe.substring import Substring
from pipeline.dedupe.which_copy import (
    Preference,
    SourceOrder,
    later_steps,
    rank_copies,
    why_others_stay,
)
from pipeline.ranking.outcome import account_for
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.methods.licenses import LicenseSettings
from pipeline.selection.run_steps import SelectSettings, later_objections
from storage.database import open_workspace, read_workspace
from storage.explain import read_explanation
from storage.workspace import Workspace
from tests.stage_runner import count_words, score, start, store_measurement

RANDOM = {"method": "random", "budget": {"rows": 1}}
LONGER = "the harbour pilot climbs aboard every large ship before it may pass the narrow gate"
SHORTER = LONGER.removesuffix(" gate")


def objects(*values: str) -> np.ndarray:
    return np.array(values, dtype=object)


def test_later_steps_come_first_then_the_recipe_then_the_id() -> None:
    """Six rows, ids f to a.

    f and d are refused. Of the others the score puts c (2) first, then e and b (1, the lower id
    first), a has none. Of the refused, d has the higher score.
    """
    refused = later_steps(objects("truncated", "", "license_not_allowed", "", "", ""))
    scores = np.array([1.0, 1.0, 5.0, 2.0, 1.0, np.nan])
    by_score = Preference("ifd", scores, objects("1", "1", "5", "2", "1", "none"))
    ranked = rank_copies([refused, by_score], objects(*"fedcba"))
    assert np.argsort(-ranked).tolist() == [3, 4, 1, 5, 2, 0]
    assert len(set(ranked.tolist())) == 6
    with pytest.raises(ValueError, match="ifd is infinite"):
        rank_copies([Preference("ifd", np.array([np.inf]), objects("inf"))], objects("a"))


def test_what_decided_is_the_first_that_tells_two_rows_apart() -> None:
    """Row 0 stays. Row 1 is refused, 2 is of another source, 3 differs in its id alone."""
    preferences = [
        later_steps(objects("", "truncated", "", "")),
        Preference("source", np.array([0.0, 0, -1, 0]), objects("a", "a", "b", "a")),
        Preference("ifd", np.array([np.nan, 0, 3, np.nan]), objects("nan", "0", "3", "nan")),
    ]
    reasons = objects("", "near_duplicate", "near_duplicate", "near_duplicate")
    causes = np.array([-1, 0, 0, 0])
    outcome = account_for(np.array([0]), reasons, np.full(4, np.nan), causes)
    assert why_others_stay(preferences, outcome) == [
        None,
        "later steps: taken before truncated",
        "source: a before b",
        "the lower example_id stays",
    ]


def two_sources(folder: Path) -> tuple[RunContext, dict[str, str]]:
    """Of each source a copy of one text; the run, and text → id."""
    files = []
    for name, response in (("human", SHORTER), ("synthetic", LONGER)):
        files.append(folder / f"{name}.jsonl")
        row = {"prompt": "Who brings ships in?", "completion": response}
        files[-1].write_text(json.dumps(row) + "\n")
    run, pool = start(folder / "workspace", files)
    with open_workspace(run.workspace) as con:
        con.execute("update sources set license = 'MIT' where path like '%synthetic%'")
        paths = dict(con.execute("select path, source_id from sources").fetchall())
        ids = dict(con.execute("select response, example_id from examples").fetchall())
    for path, source_id in paths.items():
        run.named_sources[Path(path).stem] = [source_id]  # type: ignore[index]
    return count_words(run, pool), ids


def embedded(run: RunContext, ids: dict[str, str]) -> RunContext:
    vectors = pa.array([[1.0, 0.0]] * len(ids), pa.list_(pa.float32()))
    columns = {"state": pa.array(["ok"] * len(ids)), "embedding": vectors}
    stored = store_measurement(run, "embeddings", sorted(ids.values()), columns)
    key = stored.measures["embeddings"]
    return replace(stored, measures={**run.measures, "embeddings_response": key})


@pytest.fixture(scope="module")
def scored_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunContext, dict[str, str]]:
    run, ids = two_sources(tmp_path_factory.mktemp("scored"))
    length = ScoreSettings(scorer="response_length")
    return score(embedded(run, ids), length, list(ids.values())), ids


@pytest.fixture
def scored(
    scored_once: tuple[RunContext, dict[str, str]], tmp_path: Path
) -> tuple[RunContext, dict[str, str]]:
    """Both copies measured and scored, in a workspace of the test's own."""
    run, ids = scored_once
    shutil.copytree(run.workspace.directory, tmp_path / "workspace")
    return replace(run, workspace=Workspace(tmp_path / "workspace")), ids


STEPS: list[DedupeStep] = [
    Exact(method="exact", text="prompt"),
    MinHash(method="minhash", text="response", threshold=0.6, n=2),
    Substring(method="substring", text="response", words=5),
    Semantic(method="semantic", text="response", threshold=0.9),
]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: str(step.method))
@pytest.mark.parametrize(
    ("licences", "steps", "stays", "why"),
    [
        ({"allowed": ("MIT",)}, (), LONGER, "later steps: taken before license_not_allowed"),
        ({"allowed": ("MIT",), "action": "report"}, (), SHORTER, "source: human before synthetic"),
        (None, ({"at_least": 15},), LONGER, "later steps: taken before below_threshold"),
        (None, ({"at_most": 14},), SHORTER, "later steps: taken before above_threshold"),
    ],
    ids=["licence", "licence reported", "long enough", "short enough"],
)
def test_every_step_keeps_the_copy_that_later_steps_take(
    step: DedupeStep,
    licences: dict[str, object] | None,
    steps: tuple[dict[str, object], ...],
    stays: str,
    why: str,
    scored: tuple[RunContext, dict[str, str]],
) -> None:
    """15 words in the longer response and 14 in the other, of which `human` would stay."""
    run, ids = scored
    filters = [{"method": "threshold", "score": "response_length", **bounds} for bounds in steps]
    select = SelectSettings.model_validate({"steps": [*filters, RANDOM]})
    licenses = LicenseSettings.model_validate(licences) if licences else None
    objections = partial(later_objections, settings=select, licenses=licenses)
    keep = SourceOrder(sources=("human", "synthetic"))
    step = step.model_copy(update={"keep": keep})
    left = deduplicate_examples(run, [step], sorted(ids.values()), objections)
    assert left == [ids[stays]]
    gone = ids[SHORTER if stays == LONGER else LONGER]
    with read_workspace(run.workspace) as con:
        (decided,) = read_explanation(con, gone, None)["decisions"][-1:]
        (kept,) = read_explanation(con, left[0], None)["decisions"][-1:]
    assert (decided["because_of"], decided["detail"]) == (left[0], why)
    assert (kept["detail"], kept["copies"]) == (None, [{"example_id": gone, "detail": why}])


def test_a_row_the_trainer_cannot_read_gives_way(tmp_path: Path) -> None:
    """The imagined trainer reads 40 words: the copy of 4 + 45 words would be dropped after."""
    file = tmp_path / "rows.jsonl"
    words = [f"w{n}" for n in range(45)]
    rows = [{"prompt": "What are the words?", "completion": " ".join(words[:n])} for n in (35, 45)]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    run, pool = start(tmp_path / "workspace", [file])
    run = score(count_words(run, pool), ScoreSettings(scorer="response_length"), pool)
    select = SelectSettings.model_validate({"steps": [RANDOM]})
    objections = partial(later_objections, settings=select, licenses=None)
    step = MinHash(method="minhash", threshold=0.6, n=2, keep="response_length")
    (left,) = deduplicate_examples(run, [step], pool, objections)
    with read_workspace(run.workspace) as con:
        (said,) = con.execute("select detail from decisions where outcome = 'dropped'").fetchall()
        kept = con.execute("select response from examples where example_id = ?", [left]).fetchall()
    assert kept == [(" ".join(words[:35]),)]
    assert said == ("later steps: taken before truncated",)


def test_sources_then_a_score_then_the_id_may_be_listed() -> None:
    order = {"sources": ["human", "synthetic"]}
    step = MinHash.model_validate({"method": "minhash", "keep": [order, "ifd"]})
    assert step.keeps() == (SourceOrder(sources=("human", "synthetic")), "ifd")
    assert step.keep_said() == "rows of human before synthetic before others, then the highest ifd"
    for keep, kept in (
        (None, ()),
        ("ifd", ("ifd",)),
        (order, (SourceOrder(sources=("human", "synthetic")),)),
    ):
        assert MinHash.model_validate({"method": "minhash", "keep": keep}).keeps() == kept
