"""Makers from the recipe to the export: planned, run, explained, verified, with their licence."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness
from typer.testing import CliRunner

from flows.cli.main import app
from storage.database import read_workspace
from storage.runs import read_counts
from storage.workspace import Workspace
from tests.scripted_maker import SUMS, questions, scripted, write_sums

pytestmark = pytest.mark.slow

RECIPE = """
name: made
workspace: work
target: wheel:smollm2-135m-instruct
sources: [{{path: sums.jsonl, license: CC0-1.0}}]
generate:
  - method: rejection
    samples: 3
    keep_at_most: 1
    gold: never
    license: the-model-license
    model: m
    endpoint: {{base_url: {url}, retries: 0}}
scores: [response_length]
select: {{held_out: 0, steps: [{{method: random, budget: {{fraction: 1.0}}}}]}}
"""


@pytest.fixture(scope="module")
def harness() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


def say(text: str, seed: int) -> str:
    """Right, but for what begins with 10."""
    a, b = (int(each) for each in text.rstrip("?").split() if each.isdigit())
    return f"way {seed % 9}: {a} + {b} = {a + b + (a == 10)}"


def sluice(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def tasks() -> list[str]:
    """Names of the tasks that the server knows which asked a model for a maker."""
    with get_client(sync_client=True) as client:
        names = [each.name for each in client.read_task_runs()]
    return [name for name in names if name.endswith("calls")]


def test_a_maker_goes_from_the_recipe_to_the_card(tmp_path: Path, harness: None) -> None:
    write_sums(tmp_path)
    recipe, work = tmp_path / "recipe.yaml", tmp_path / "work"
    with scripted(say) as server:
        recipe.write_text(RECIPE.format(url=server.base_url))
        (planned,) = json.loads(sluice("plan", str(recipe), "--json"))["calls_of_makers"]
        assert (planned["fewest"], planned["most"]) == (24, 24) and planned["tokens"] == 24 * 256
        assert not questions(server), "a plan asks nothing"
        sluice("run", str(recipe))
        asked = questions(server)
        exports = sorted(path.name for path in (work / "exports").iterdir())
        sluice("run", str(recipe))
        # A request whose connection was lost before the answer is sent again, in a busy hour.
        assert len(set(asked)) == 24
        assert (questions(server), tasks()) == (asked, ["rejection 1, 24 calls"]), "once for all"
    assert sorted(path.name for path in (work / "exports").iterdir()) == exports
    workspace = Workspace(work)
    with read_workspace(workspace) as con:
        ((child, parent),) = con.execute(
            "select example_id, parent_id from lineage order by all limit 1"
        ).fetchall()
        (run_id,) = con.execute("select run_id from runs").fetchall()[0]
        (books,) = (each for each in read_counts(con, run_id) if each.stage == "generate")
    right = len(SUMS) - 2
    assert (books.rows_in, books.added, books.kept) == (len(SUMS), right, right)
    assert books.dropped == {"nothing_made": 2, "replaced": right}
    assert "24 generate (168 tokens)" in books.notes[0]
    told = sluice("explain", child, "-w", str(work))
    assert f"rejection by m to the prompt of {parent[:8]}" in told
    story = sluice("explain", parent, "-w", str(work))
    assert f"generate  rejection: dropped: replaced, because of {child[:8]}" in story
    card = (work / "exports" / exports[0] / "README.md").read_text()
    assert "m, licence the-model-license" in card
    assert "BROKEN" not in sluice("verify", "-w", str(work))
