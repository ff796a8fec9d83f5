"""Which rows may be used by the licences of their sources."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.recipe.check import find_problems
from flows.recipe.form import validate
from pipeline.ingest.stage import SourceSettings, identify_sources, ingest_sources
from pipeline.run_context import RunContext
from pipeline.selection.methods.licenses import LicenseSettings, select_licensed
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from storage.conversations import Conversation
from storage.database import open_workspace, read_workspace
from storage.examples import Attempt, MadeBy, read_pool, write_attempts
from storage.licenses import read_licenses, read_writers_licenses
from storage.runs import read_counts, start_run
from storage.selections import read_run_selections
from storage.workspace import Workspace
from tests.stage_runner import count_words

IDS = np.array(["c", "b", "a"], dtype=object)


def test_one_allowed_licence_is_enough_and_case_makes_no_difference() -> None:
    settings = LicenseSettings(allowed=("mit", "CC-BY-4.0"))
    sources = [["GPL-3.0-only", "MIT"], ["unknown"], ["cc-by-4.0"]]
    outcome = select_licensed(sources, [()] * 3, IDS, settings)
    np.testing.assert_array_equal(outcome.indices, [2, 0])
    np.testing.assert_array_equal(outcome.reasons, ["", "license_not_allowed", ""])


def test_unknown_is_allowed_only_where_it_is_named_and_none_is_never() -> None:
    rows: list[list[str]] = [["unknown"], [], ["MIT"]]
    named = select_licensed(rows, [()] * 3, IDS, LicenseSettings(allowed=("unknown",)))
    np.testing.assert_array_equal(named.indices, [0])
    np.testing.assert_array_equal(
        select_licensed(rows, [()] * 3, IDS, LicenseSettings(allowed=("MIT",))).indices, [2]
    )


def test_each_model_that_wrote_a_row_must_be_allowed_as_well() -> None:
    sources = [["MIT"], ["MIT"], [], [], ["GPL-3.0-only"]]
    writers = [["MIT", "unknown"], ["mit"], ["MIT"], ["Llama-3"], ["MIT"]]
    ids = np.array(list("abcde"), dtype=object)
    outcome = select_licensed(sources, writers, ids, LicenseSettings(allowed=("MIT",)))
    np.testing.assert_array_equal(outcome.indices, [1, 2])  # the last two: of no source, one each


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match=r"1 rows have licences, 3 those of models, but .* 3 ids"):
        select_licensed([["MIT"]], [()] * 3, IDS, LicenseSettings(allowed=("MIT",)))
    with pytest.raises(ValueError, match="3 rows have licences, 1 those of models"):
        select_licensed([["MIT"]] * 3, [()], IDS, LicenseSettings(allowed=("MIT",)))


def talk(question: str, answer: str) -> Conversation:
    return Conversation(
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunContext, list[str]]:
    """A row of each of two sources, one of both, and an answer to the second's prompt."""
    folder = tmp_path_factory.mktemp("licences")
    files = {"MIT": ["one", "both"], "GPL-3.0-only": ["two", "both"]}
    sources = []
    for name, prompts in files.items():
        rows = [json.dumps({"prompt": prompt, "completion": "yes"}) for prompt in prompts]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
        sources.append(SourceSettings(path=str(folder / f"{name}.jsonl"), license=name))
    workspace = Workspace(folder / "w")
    found = identify_sources(workspace, sources)
    ids = sorted(source.source_id for source in found)
    run = RunContext(workspace, "run", 0, ids, {}, {})
    ingest_sources(workspace, found)
    answered = [Attempt(talk("two", "yes").example_id, 0, talk("two", "no"), "")]
    stated = [Attempt(talk("one", "yes").example_id, 0, talk("one", "no"), "")]
    made_of_that = [Attempt(talk("one", "no").example_id, 0, talk("one", "so"), "")]
    with open_workspace(workspace) as con:
        start_run(con, "run", {"name": "test", "seed": 0}, "code", {}, ids)
        write_attempts(con, answered, MadeBy("key", "{}", "run", "a model"))
        write_attempts(con, stated, MadeBy("b", '{"license": "MIT"}', "run", "a model"))
        write_attempts(con, made_of_that, MadeBy("c", '{"license": "Other"}', "run", "b"))
        made = [("two", "no"), ("one", "no"), ("one", "so")]
        pool = [*read_pool(con, ids), *(talk(*each).example_id for each in made)]
    return count_words(run, pool), pool


def choose(run: tuple[RunContext, list[str]], **given: Any) -> dict[str, str]:  # noqa: ANN401
    """Prompt and response → why it is out, of all that are."""
    steps = [{"method": "random", "budget": {"rows": 9}}]
    settings = SelectSettings.model_validate({"held_out": 0, "steps": steps})
    licenses = LicenseSettings.model_validate(given) if given else None
    select_examples(run[0], settings, run[1], licenses)
    with read_workspace(run[0].workspace) as con:
        rows = con.execute(
            "select prompt || ' ' || response, reason from decisions join examples "
            "using (example_id) where outcome = 'dropped'"
        ).fetchall()
    return dict(rows)


def test_rows_of_other_licences_are_out_and_answers_go_by_their_prompt(
    run: tuple[RunContext, list[str]],
) -> None:
    assert choose(run, allowed=["MIT"]) == {
        "two yes": "license_not_allowed",
        "two no": "license_not_allowed",
        "one so": "license_not_allowed",
    }
    with read_workspace(run[0].workspace) as con:
        kinds = read_run_selections(con, "run")
        counts = read_counts(con, "run")
    assert {kind: each.rows for kind, each in kinds.items()} == {
        "choice": 3,
        "held_out": 0,
        "length_matched": 3,
        "random": 3,
        "random_tokens": 3,
    }
    (first,) = (count for count in counts if (count.stage, count.step) == ("select", 1))
    assert (first.label, first.rows_in, first.kept) == ("licences", 6, 3)
    assert first.notes == ("3 rows have no licence among MIT",)


def test_a_report_keeps_every_row(run: tuple[RunContext, list[str]]) -> None:
    assert choose(run, allowed=["MIT"], action="report") == {}
    assert choose(run) == {}


def test_licences_are_those_of_the_sources_of_the_run(run: tuple[RunContext, list[str]]) -> None:
    context, pool = run
    with read_workspace(context.workspace) as con:
        both = talk("both", "yes").example_id
        assert read_licenses(con, pool, context.source_ids, "run")[both] == ["GPL-3.0-only", "MIT"]
        assert len(read_licenses(con, pool, context.source_ids[:1], "run")) in (2, 3)
        assert read_licenses(con, pool, [], "run") == {}
        ids = {text: talk("one", text).example_id for text in ("yes", "no", "so")}
        assert read_writers_licenses(con, pool, context.source_ids) == {
            talk("two", "no").example_id: ["unknown"],
            ids["no"]: ["MIT"],
            ids["so"]: ["MIT", "Other"],
        }


def test_a_recipe_of_which_no_row_could_be_chosen_is_refused(tmp_path: Path) -> None:
    steps = [{"method": "random", "budget": {"fraction": 0.5}}]
    (tmp_path / "rows.jsonl").write_text("{}\n")
    recipe = {
        "name": "r",
        "workspace": "w",
        "target": "t",
        "sources": [{"path": "rows.jsonl", "license": "MIT"}],
        "select": {"steps": steps},
    }
    for licenses, refused in (
        ({"allowed": ["mit"]}, False),
        ({"allowed": ["Apache-2.0"]}, True),
        ({"allowed": ["Apache-2.0"], "action": "report"}, False),
    ):
        blocks, wrong = validate({**recipe, "licenses": licenses})
        problems = wrong + find_problems(blocks, tmp_path)
        told = [each for each in problems if "no source has one of these" in each]
        assert bool(told) == refused
        assert all("the sources have: MIT" in each for each in told)


def test_a_maker_none_of_whose_rows_could_be_chosen_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    recipe = {
        "name": "r",
        "workspace": "w",
        "target": "t",
        "sources": [{"path": "rows.jsonl", "license": "MIT"}],
        "select": {"steps": [{"method": "random", "budget": {"fraction": 0.5}}]},
        "licenses": {"allowed": ["MIT"]},
    }
    teachers = [{"model": "a", "license": "mit"}, {"model": "b"}]
    for block, refused in (
        ({}, "generate.0.license: that of target is unknown"),
        ({"license": "MIT"}, ""),
        ({"teachers": teachers}, "generate.0.license: that of b is unknown"),
        ({"teachers": teachers, "license": "MIT"}, ""),
    ):
        blocks, wrong = validate({**recipe, "generate": [block]})
        found = [each for each in wrong + find_problems(blocks, tmp_path) if "license" in each]
        assert bool(found) == bool(refused) and all(refused in each for each in found)
    reported, _ = validate(
        {**recipe, "generate": [{}], "licenses": {"allowed": ["MIT"], "action": "report"}}
    )
    assert not [each for each in find_problems(reported, tmp_path) if "license" in each]
