"""The documentation says what the code does: tables, queries, examples and messages are checked."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from pydantic import BaseModel
from typer.core import TyperGroup
from typer.main import get_command

from docs.build_reference import build
from docs.docstrings import ROOT, docstring
from docs.field_tables import block_schema, page_files, recipe_pages, tables, value_text
from docs.methods_page import MEASURES as MEASURE_ENTRIES
from docs.methods_page import selection_methods
from flows.cli.environment import ENVIRONMENT
from flows.cli.main import app
from flows.recipe.check import load_recipe
from flows.recipe.form import validate
from flows.recipe.schema import Recipe
from flows.stages import STAGES
from pipeline.dedupe.steps import Dedupe
from pipeline.ingest.rows import ReadReason, ShapeReason
from pipeline.ingest.shapes import SHAPES, read_conversation
from pipeline.ingest.strict_json import JsonReason
from pipeline.measuring.catalogue import MEASURES, VIEW_COLUMNS, MeasureSettings
from pipeline.ranking.outcome import REASONS
from pipeline.selection.step import Filter, RankStep
from pipeline.selection.steps import Step
from scorers import SCORERS
from storage.conversations import Conversation
from storage.database import Connection, open_workspace, read_workspace
from storage.decisions import Decisions
from storage.examples import Attempt, MadeBy, write_attempts
from storage.guarded_queries import run_query
from storage.measurements import MeasureKey, add_measure, commit_shards
from storage.runs import StageCount, start_run, write_step
from storage.scores import ScoreKey, write_scores
from storage.selections import PickedRows, write_selection
from storage.sources import QuarantinedRow, ReadRow, Source, add_source, complete_source, write_rows
from storage.views import declare_measures
from storage.workspace import Workspace
from tests.test_exceptions import PACKAGES, defined

DOCS = ROOT / "docs"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
RECIPES, COMMANDS, CHOOSING = (PAGES[name] for name in ("recipes", "commands", "choosing"))
METHODS, DATA_MODEL, ROW_SHAPES = (PAGES[name] for name in ("methods", "data-model", "row-shapes"))
MEASURING, SERVING = (PAGES[name] for name in ("measuring", "serving"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
DTYPES = ("float32", "bfloat16")
QUERIES = re.findall(r"^```sql\n(.*?)^```$", DATA_MODEL, re.MULTILINE | re.DOTALL)


PAPER = re.compile(r"arXiv:\d{4}\.\d{4,5}|doi:10\.")
WITHOUT_A_PAPER = {
    "drop_share",
    "language",
    "length_matched",
    "licenses",
    "not_marked_bad",
    "random",
    "shortest",
    "threshold",
    "top_k",
}
"""Methods that need none, or name it elsewhere: `language` with the measure it reads."""

PARTS_OF_MEASURES = {"adapter_training", "question_ranker", "reflection", "splitmix64"}
"""Modules of measures that cite a paper and stand on docs/methods.md in the entry of another."""

SAID_OF_A_METHOD = {
    "what it is for": re.compile(
        r"(?:^|[.:] )(?:For|Use it|What it is for|It is (?:meant )?for)\b"
    ),
    "when not to use it": re.compile(r"\b[Nn]ot (?:for|where|as a)\b|\b[Dd]o not (?:use|blend)\b"),
    "what it costs": re.compile(
        r"\b[Cc]osts?\b|\b(?:[Oo]ne|[Tt]wo) pass|\b[Nn]o model\b|\b[Ii]nstant\b|\b[Tt]he dearest\b"
    ),
}
"""What the docstring of a method must say, and by which words a reader finds it."""

FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def recipe_page(name: str) -> str:
    """A page about a block of a recipe."""
    return (ROOT / "docs" / "recipes" / f"{name}.md").read_text(encoding="utf-8")


def verbs() -> list[str]:
    """The verbs, as the command line has them."""
    line = get_command(app)
    assert isinstance(line, TyperGroup)
    return list(line.commands)


def method_of(step: type[BaseModel]) -> str:
    """What a recipe calls a step."""
    (name,) = get_args(step.model_fields["method"].annotation)
    return str(name)


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}$\n(.*?)(?=^#|\Z)", page, re.M | re.S)
    assert found, f"no heading {heading!r}"
    return found[1]


def first_cells(text: str) -> list[tuple[str, str]]:
    """The first two cells of the rows of the tables in a text, where the first is code."""
    return re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", text, re.MULTILINE)


# What is generated


def test_generated_pages_are_fresh() -> None:
    stale = [
        path.relative_to(ROOT).as_posix()
        for path, text in build().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], f"{', '.join(stale)} are stale: run `make docs`"


def test_every_page_with_a_generated_part_is_built() -> None:
    marked = {
        path for path in DOCS.rglob("*.md") if "<!-- generated" in path.read_text(encoding="utf-8")
    }
    assert marked - set(build()) == set()


def test_every_block_of_a_recipe_has_its_table_once() -> None:
    blocks = ["Recipe", *Recipe.model_json_schema()["$defs"]]
    assert sorted(name for _, name, _ in tables(recipe_pages())) == sorted(blocks)


def test_every_field_says_what_it_means() -> None:
    schema = Recipe.model_json_schema()
    silent = [
        f"{block}.{field}"
        for block in ["Recipe", *schema["$defs"]]
        for field, described in block_schema(schema, block)["properties"].items()
        if "description" not in described and field != "method"
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("described", "text"),
    [
        ({"type": "integer", "exclusiveMinimum": 0}, "whole number above 0"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 1}, "number at least 0 and below 1"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text"),
        ({"enum": ["a", "b"], "type": "string"}, "`a`, `b`"),
        ({"const": False, "type": "boolean"}, "`false`"),
        ({"type": "array", "items": {"$ref": "#/$defs/Part"}}, "list of [part](#part)"),
    ],
)
def test_what_a_field_takes_is_said_in_words(described: Mapping[str, object], text: str) -> None:
    assert value_text(described, {"Part": "[part](#part)"}) == text


# Recipes


@pytest.mark.parametrize("name", ["first.yaml", "second.yaml"])
def test_recipes_of_the_page_are_sound(name: str, tmp_path: Path) -> None:
    for file, content in page_files(RECIPES).items():
        (tmp_path / file).write_text(content, encoding="utf-8")
    assert load_recipe(tmp_path / name).name == Path(name).stem


def fragments(page: str) -> list[str]:
    """The parts of recipes that a page shows."""
    return re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_fragments_of_the_pages_are_parts_of_a_recipe() -> None:
    whole = yaml.safe_load(page_files(RECIPES)["first.yaml"])
    shown = [
        each for page in [*recipe_pages().values(), CHOOSING, README] for each in fragments(page)
    ]
    assert len(shown) > 20
    for fragment in shown:
        assert validate({**whole, **yaml.safe_load(fragment)})[1] == [], fragment


def test_the_recipe_of_the_readme_is_sound(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(page_files(RECIPES)["rows.jsonl"], encoding="utf-8")
    (shown,) = fragments(README)
    (tmp_path / "mine.yaml").write_text(shown, encoding="utf-8")
    assert load_recipe(tmp_path / "mine.yaml").name == "mine"


def test_model_directories_go_by_the_folder_that_the_page_says(tmp_path: Path) -> None:
    text = section(recipe_pages()[DOCS / "recipes" / "recipe.md"], "Paths")
    said = {
        name: where.strip() == "the folder of the recipe"
        for names, where in re.findall(r"^\| a model directory (.+?) \|([^;|]+)", text, re.M)
        for name in re.findall(r"`([^`]+)`", names)
    }
    assert said == {"./m": True, "../m": True, "models/m": False}
    whole = yaml.safe_load(page_files(RECIPES)["second.yaml"])
    for name, moves in said.items():
        measure = {"losses": {"model": name}, "embeddings": [{"model": name}]}
        recipe = Recipe.model_validate({**whole, "target": name, "measure": measure})
        placed = recipe.at(tmp_path / "folder")
        wanted = str((tmp_path / "folder" / name).resolve()) if moves else name
        assert placed.measure.losses and placed.measure.losses.model == wanted
        assert [placed.target, placed.measure.embeddings[0].model] == [wanted, wanted]


def test_every_exit_code_is_explained() -> None:
    text = section(COMMANDS, "Exit codes")
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    carried = {int(each.code) for name in PACKAGES for each in defined(name) if each.code}
    assert explained == {0, 1, 4, 130, 143} | carried


def test_every_variable_that_is_set_is_named() -> None:
    text = section(COMMANDS, "Environment")
    assert [name for name in ENVIRONMENT if f"`{name}`" not in text] == []


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_a_line(verb: str) -> None:
    assert re.search(rf"^\| `{verb}[ `]", section(COMMANDS, "Commands"), re.MULTILINE)
    assert re.search(rf"`(sluice )?{verb}[ `]", section(README, "Commands"))


def test_the_stages_stand_in_their_order() -> None:
    said = re.findall(r"^\| `(\w+)` \|", section(COMMANDS, "Commands"), re.MULTILINE)
    stages = [name for name in STAGES if name != "indicate"]  # which has no verb
    assert said[: len(stages)] == stages


def test_the_steps_of_a_selection_are_numbered_and_complete() -> None:
    text = section(CHOOSING, "How rows are chosen")
    numbers = [int(number) for number in re.findall(r"^(\d+)\. \*\*", text, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    filters, ranks = (
        part.split("\n\n")[0] for part in re.split(r"\*\*(?:Filters|One rank)", text)[1:]
    )
    for step in get_args(get_args(Step)[0]):
        said = ranks if issubclass(step, RankStep) else filters
        assert f"`{method_of(step)}`" in said, step


@pytest.mark.parametrize(("page", "base"), [("rankings", RankStep), ("filters", Filter)])
def test_the_index_of_a_page_names_each_of_its_steps_once(page: str, base: type[BaseModel]) -> None:
    index = recipe_page(page).split("\n## ")[0]
    named = re.findall(r"\[`(\w+)`\]\(#\w+-(\w+)\)", index)
    wanted = [method_of(step) for step in get_args(get_args(Step)[0]) if issubclass(step, base)]
    assert sorted(named) == sorted((name, name) for name in wanted)


def test_every_block_of_measures_says_what_is_asked_again() -> None:
    rows = re.findall(r"^\| (`.+?) \|", recipe_page("asked-again"), re.MULTILINE)
    said = " ".join(rows)
    words = set(re.findall(r"`(?:[\w.]+\.)?(\w+)`", said))
    for block, field in MeasureSettings.model_fields.items():
        (settings,) = {*block_models(field.annotation)}
        assert f"measure.{block}" in said or f" of {block}" in said, block
        if not re.search(rf"`measure\.{block}`, but for", said):
            missing = set(settings.model_fields) - words - {"endpoint", "served_as"}
            assert not missing, f"{block}: {missing}"


def block_models(annotation: object) -> Iterator[type[BaseModel]]:
    """The settings classes in an annotation such as `tuple[A, ...]` or `A | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from block_models(part)


def test_where_each_measure_is_taken_on_a_cluster_is_said_once_and_so() -> None:
    table = section(PAGES["cluster"], "What is done where")
    rows = re.findall(r"^\| (.+) \| (.+) \|$", table, re.MULTILINE)
    named = [(name, where) for what, where in rows for name in re.findall(r"`(\w+)`", what)]
    assert sorted(name for name, _ in named) == sorted(MEASURES)
    for name, where in named:
        module = inspect.getmodule(MEASURES[name].plan)
        classes = [each for each in vars(module).values() if hasattr(each, "anywhere")]
        at_home = any("return False" in inspect.getsource(each.anywhere) for each in classes)
        assert where.startswith("the run's own process") is at_home, name


def test_no_heading_clings_to_the_text_above_it() -> None:
    clinging = [
        found
        for page in [README, *PAGES.values(), *recipe_pages().values()]
        for found in re.findall(r"[^\n]\n(#{2,4} .*)", re.sub(FENCE, "", page))
    ]
    assert clinging == []


# Methods


def test_every_measure_with_a_paper_has_one_entry() -> None:
    folder = ROOT / "scorers" / "measures"
    files = [*folder.glob("*.py"), *(folder / "training").glob("*.py")]
    citing = {path.stem for path in files if PAPER.search(docstring(path))} - PARTS_OF_MEASURES
    named = [Path(each).stem for each in MEASURE_ENTRIES.values()]
    assert len(named) == len(set(named))
    assert set(named) == {*citing, "entailment"}, "that one is a part of confidence"
    assert list(MEASURE_ENTRIES) == named


def test_what_needs_no_paper_is_a_method() -> None:
    assert {path.stem for path in selection_methods()} >= WITHOUT_A_PAPER


def test_every_step_has_an_entry() -> None:
    for heading, steps in (("Selection", Step), ("Deduplication", Dedupe)):
        for step in get_args(get_args(steps)[0]):
            assert f"### {heading}: {method_of(step)}\n" in METHODS


@pytest.mark.parametrize(
    "path",
    [*(ROOT / "scorers" / f"{name}.py" for name in SCORERS), *selection_methods()],
    ids=lambda path: f"{path.parent.name}/{path.stem}",
)
def test_every_method_has_a_source_a_purpose_a_limit_and_a_cost(path: Path) -> None:
    paragraphs = [" ".join(each.split()) for each in docstring(path).split("\n\n")]
    assert any(PAPER.search(each) for each in paragraphs) is (path.stem not in WITHOUT_A_PAPER)
    for what, wanted in SAID_OF_A_METHOD.items():
        assert any(wanted.search(each) for each in paragraphs), f"{path.stem}: {what}"


# The data model


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A run over four rows of one prompt, with something to find for every query."""
    workspace = Workspace(tmp_path_factory.mktemp("docs") / "workspace")
    with open_workspace(workspace) as con:
        declare_measures(con, VIEW_COLUMNS)
        ids = store_rows(con)
        store_numbers(con, workspace, ids)
        store_decisions(con, ids)
    return workspace


def dialogue(answer: str) -> Conversation:
    return Conversation(
        [{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]
    )


def store_rows(con: Connection) -> list[str]:
    """Three rows of a file, one of it bad, a prompt, and an answer to that; the four ids."""
    source = Source("s1", "rows.jsonl", None, None, "MIT", "hash", 9)
    add_source(con, source)
    talks = [dialogue("a"), dialogue("a!"), Conversation([{"role": "user", "content": "q"}])]
    rows = [ReadRow(at, talk, "messages") for at, talk in enumerate(talks, 1)]
    write_rows(con, "s1", rows, [QuarantinedRow(4, "invalid_json", "at character 1", b"{")])
    complete_source(con, "s1", 4)
    recipe = {"name": "docs", "seed": 0}
    start_run(con, "r1", recipe, "0", {}, ["s1"])
    attempts = [
        Attempt(talks[2].example_id, 0, dialogue("made"), ""),
        Attempt(talks[2].example_id, 1, None, "cut_off"),
    ]
    write_attempts(con, attempts, MadeBy("key", "{}", "r1", "a model"))
    return [talk.example_id for talk in [*talks, dialogue("made")]]


def store_numbers(con: Connection, workspace: Workspace, ids: list[str]) -> None:
    """Token counts of every example but the prompt, and two scores."""
    key = MeasureKey("token_counts", "a model", "f", "t", {"version": 1})
    add_measure(con, key)
    path = f"token_counts/{key.measure_key}/1.parquet"
    columns = {
        "example_id": ids,
        "state": ["ok", "ok", "not_applicable", "ok"],
        "detail": [""] * 4,
        "prompt_tokens": [3, 3, None, 3],
        "response_tokens": [1, 2, None, 5],
        "measure_key": [key.measure_key] * 4,
    }
    workspace.measurements.write(path, pa.table(columns))
    commit_shards(con, workspace, key, [(path, 0.5)])
    states = ["ok", "ok", "not_applicable", "ok"]
    for scorer, values in (("grape", [-1.0, -2.0, np.nan, -3.0]), ("ifd", [0.1, 0.3, np.nan, 0.2])):
        write_scores(con, ScoreKey(scorer, 1, "{}"), ids, np.array(values), states)


def store_decisions(con: Connection, ids: list[str]) -> None:
    """A near-duplicate, a row without a score, and a choice."""
    first, copy, prompt, made = ids
    kept: list[str | None] = [None] * 4
    write_step(con, "r1", StageCount("ingest", 1, "ingest 1", rows_in=3, kept=3))
    answered = StageCount("generate", 1, "generate 1", rows_in=3, added=1, kept=4)
    write_step(con, "r1", answered, Decisions.of_added([made]))
    steps: list[tuple[str, int, list[str], list[str], list[str | None]]] = [
        ("dedupe", 1, ids, ["", "near_duplicate", "", ""], [None, first, None, None]),
        ("select", 1, [first, prompt, made], ["", "no_response", ""], kept[:3]),
        ("select", 2, [first, made], ["", "no_score:failed"], kept[:2]),
    ]
    for stage, step, rows, reasons, because_of in steps:
        dropped = {reason: reasons.count(reason) for reason in reasons if reason}
        n = len(rows)
        count = StageCount(stage, step, f"{stage} {step}", n, n - len(dropped), dropped=dropped)
        values = [0.9 if cause else None for cause in because_of]
        write_step(con, "r1", count, Decisions(rows, reasons, because_of, values))
    for kind, picked in (("choice", [first, made]), ("random", [first, copy])):
        write_selection(con, "r1", PickedRows(kind, picked, 6, kind))


@pytest.fixture(scope="module")
def reader(workspace: Workspace) -> Iterator[Connection]:
    with read_workspace(workspace) as con:
        yield con


def columns_of(con: Connection, table: str) -> list[tuple[str, str]]:
    con.execute(f"describe {table}")
    return [(str(row[0]), str(row[1])) for row in con.fetchall()]


def test_every_table_has_its_columns_and_types(reader: Connection) -> None:
    reader.execute(
        "select table_name from information_schema.tables where table_type = 'BASE TABLE'"
    )
    tables = {str(row[0]) for row in reader.fetchall()}
    assert len(tables) > 15
    for table in tables:
        described = first_cells(section(DATA_MODEL, table))
        assert described == columns_of(reader, table), table


def test_every_view_has_its_columns_and_types(reader: Connection, tmp_path: Path) -> None:
    reader.execute("select view_name from duckdb_views() where not internal")
    views = {str(row[0]) for row in reader.fetchall()}
    assert views == {"decisions", "examples", "maker_ledger", "measurements", *VIEW_COLUMNS}
    assert first_cells(section(DATA_MODEL, "decisions")) == columns_of(reader, "decisions")
    assert first_cells(section(DATA_MODEL, "maker_ledger")) == columns_of(reader, "maker_ledger")
    assert columns_of(reader, "examples") == columns_of(reader, "short_examples")
    shared = [name for name, _ in first_cells(section(DATA_MODEL, "Views"))]
    assert {*shared} <= {name for name, _ in columns_of(reader, "losses")}
    over_all = {name for name, _ in columns_of(reader, "measurements")}
    own = [name for name, _ in first_cells(section(DATA_MODEL, "measurements"))]
    assert over_all == {*shared, *own}
    for view, fields in VIEW_COLUMNS.items():
        file = tmp_path / f"{view}.parquet"  # what DuckDB reads; it takes no half floats from Arrow
        pq.write_table(pa.schema(fields).empty_table(), file)
        found = columns_of(reader, f"select * from '{file}'")
        assert first_cells(section(DATA_MODEL, view)) == found, view


def test_views_have_their_columns_before_anything_is_stored(tmp_path: Path) -> None:
    with open_workspace(Workspace(tmp_path / "w")) as con:
        declare_measures(con, VIEW_COLUMNS)
        for view in VIEW_COLUMNS:
            shared = [*first_cells(section(DATA_MODEL, "Views"))]
            own = first_cells(section(DATA_MODEL, view))
            assert dict(columns_of(con, view)) == dict([*shared, *own]), view


def test_there_are_ten_queries_that_a_shell_leaves_alone() -> None:
    assert len(QUERIES) == 10
    assert [query for query in QUERIES if set(query) & set('"$`\\!')] == []


@pytest.mark.parametrize("number", range(1, 11))
def test_a_query_finds_what_it_is_for(reader: Connection, number: int) -> None:
    query = QUERIES[number - 1].replace("'3f2a'", f"'{dialogue('a').example_id[:8]}'")
    names, rows = run_query(reader, query)
    assert rows and len(names) == len(set(names)), query


def test_the_queries_say_what_happened(reader: Connection) -> None:
    answers = [run_query(reader, query)[1] for query in QUERIES]
    copy, made = dialogue("a!").example_id, dialogue("made").example_id
    assert [row[0] for row in answers[1]] == ["ingest", "generate", "dedupe", "select", "select"]
    assert answers[2] == [("select 2", "failed", 1)]
    assert answers[3] == [("grape", "ifd", 3, -0.5)]
    assert [row[:3] for row in answers[4]] == [("choice", 2, 6), ("pool", 2, 6), ("random", 2, 3)]
    assert [row[1] for row in answers[5]][-1] == made and answers[5][-1][3] == "a model"
    assert [row[:3] for row in answers[6]] == [("near_duplicate", 0.9, copy)]
    assert answers[7] == [("MIT", 1), ("generated", 1)]
    assert answers[8][0][:5] == ("token_counts", "a model", 4, 0.5, 125.0)
    assert answers[9] == [("invalid_json", 1, "rows.jsonl, row 4", "at character 1")]


def test_every_reason_of_a_decision_is_explained() -> None:
    explained = [name for name, _ in first_cells(section(DATA_MODEL, "Reasons"))]
    assert sorted(explained) == sorted(REASONS)


# Serving


def test_every_option_of_serve_is_named() -> None:
    (command,) = (each for each in app.registered_commands if each.name == "serve")
    assert command.callback is not None
    options = [name.replace("_", "-") for name in inspect.signature(command.callback).parameters]
    named = [name for name in options if name not in ("model", "more", "as-json")]
    assert [name for name in named if f"| `--{name}` |" not in SERVING] == []


def test_what_serve_prints_for_a_recipe_is_part_of_one() -> None:
    whole = yaml.safe_load(page_files(RECIPES)["first.yaml"])
    shown = fragments(SERVING)
    assert len(shown) == 2  # what serve prints, and losses from the server
    for fragment in shown:
        assert validate({**whole, **yaml.safe_load(fragment)})[1] == []


def result(name: str) -> dict[str, Any]:
    file = ROOT / "benchmarks" / "results" / f"{name}.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_the_figures_of_speed_are_those_that_were_measured() -> None:
    peers, s2l, limit = (
        result(name) for name in ("measuring_peers", "trajectory_losses", "measuring_limit")
    )
    loops = (
        ("Alpaca, with and without prompt", "alpaca_with_and_without_prompt"),
        ("Alpaca, with prompt", "alpaca_with_prompt"),
        ("GRAPE, 8 answers to each prompt", "grape_candidates"),
    )
    wanted = [
        (label, *(f"{peers['loop'][dtype][name]['times_the_loop']:.1f}" for dtype in DTYPES))
        for label, name in loops
    ]
    ifd = [f"{peers['ifd'][dtype]['times_wana']:.1f}" for dtype in DTYPES]
    wanted.append(("IFD of Alpaca rows", *ifd))
    for layers in (30, 2):
        times = f"{s2l[f'{layers} layers']['times_the_loop']:.1f}"
        wanted.append((f"one checkpoint of S2L, {layers} layers", times))
    for label, name, form in (
        ("useful tokens/s of the engine", "engine_useful_tokens_per_second", ""),
        ("share of the limit, useful tokens", "share_of_limit_useful", ".2f"),
        ("share of the limit, tokens computed", "share_of_limit_computed", ".2f"),
    ):
        wanted.append((label, *(format(limit[dtype][name], form) for dtype in DTYPES)))
    for label, *figures in wanted:
        (line,) = re.findall(rf"^\| {re.escape(label)} \|.*$", MEASURING, re.MULTILINE)
        cells = [cell.strip() for cell in line.split("|") if cell.strip()]
        assert cells[-len(figures) :] == figures


def test_the_figures_of_bfloat16_and_of_size_are_those_that_were_measured() -> None:
    overlaps = result("bfloat16_selection")["overlap"]
    for name, shares in overlaps.items():
        figures = " | ".join(f"{share:.3f}" for share in shares.values())
        assert f"| `{name}` | {figures} |" in MEASURING
    for size in result("bookkeeping")["sizes"]:
        assert (
            f"| {size['rows']:,} | {size['shards']:,} | {size['files']} "
            f"| {size['seconds_per_1000_rows']:.2f} s | {size['peak_gib_measured']:.2f} GiB |"
        ) in MEASURING
    for name, measure in result("plan_accuracy")["measures"].items():
        assert f"`{name}` {measure['predicted_over_real']:.2f}" in MEASURING


def test_the_figures_of_agreement_are_those_that_were_measured() -> None:
    file = ROOT / "benchmarks" / "results" / "vllm_agreement.json"
    measured = json.loads(file.read_text(encoding="utf-8"))
    rows = {
        "largest difference of a token": ("losses", "largest_token_difference"),
        "mean difference of a token": ("losses", "mean_token_difference"),
        "largest difference of a row's mean": ("losses", "largest_row_mean_difference"),
        "the same, responses of 20 tokens or more": ("losses", "largest_long_row_mean_difference"),
        "largest difference of a judge's probability": ("judge", "largest_difference"),
    }
    for name, (part, key) in rows.items():
        cells = re.search(rf"^\| {name} \| ([\d.]+) \| ([\d.]+) \|$", SERVING, re.MULTILINE)
        assert cells, name
        for text, dtype in zip(cells.groups(), ("float32", "bfloat16"), strict=True):
            digits = len(text.partition(".")[2])
            assert f"{measured[dtype][part][key]:.{digits}f}" == text, (name, dtype)


# Row shapes


def test_every_shape_has_an_example_that_is_read_as_it() -> None:
    examples = re.findall(r"^```json (\w+)\n(.*?)^```$", ROW_SHAPES, re.MULTILINE | re.DOTALL)
    assert {name for name, _ in examples} == set(SHAPES)
    for name, text in examples:
        for line in text.splitlines():
            assert read_conversation(json.loads(line))[1] == name


def test_every_shape_names_its_keys() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", ROW_SHAPES, re.MULTILINE))
    for name, shape in SHAPES.items():
        said = set(re.findall(r"`(\w+)`", rows[name]))
        one_pair = shape.keys if len(shape.keys) == 1 else ()
        assert said == set().union(*one_pair, *shape.weak_keys, shape.not_beside), name
    pairs = re.findall(
        r"^\| `(\w+)` \| `(\w+)` \|$", section(ROW_SHAPES, "prompt_completion"), re.M
    )
    assert {frozenset(pair) for pair in pairs} == set(SHAPES["prompt_completion"].keys)


def test_every_reason_for_quarantine_is_explained() -> None:
    reasons = {
        *get_args(JsonReason),
        *get_args(get_args(ReadReason)[1]),
        *get_args(ShapeReason),
    }
    assert len(reasons) == 32
    text = section(ROW_SHAPES, "Reasons for quarantine")
    assert sorted(name for name, _ in first_cells(text)) == sorted(reasons)
