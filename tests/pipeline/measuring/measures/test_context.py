"""Context dependency from the recipe's block to the score, by a tiny model with a window."""

import json
from pathlib import Path

import pytest

from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.measures.context import Context, ContextSettings
from pipeline.measuring.stage import plan_measures
from pipeline.scoring.stage import ScoreSettings
from storage.database import read_workspace
from tests.stage_runner import measure, score, start
from tests.tiny_models import CHAT, WINDOW, save_tiny_llama

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_llama(tmp_path_factory.mktemp("model"), chat_template=CHAT))


def turns(*contents: str) -> dict[str, object]:
    roles = ("user", "assistant")
    said = [{"role": roles[at % 2], "content": text} for at, text in enumerate(contents)]
    return {"messages": said}


def test_rows_get_numbers_or_a_state_and_the_scorer_reads_them(model: str, tmp_path: Path) -> None:
    rows = [
        turns("14 11", "24"),
        turns("14 11", "24", "12", "21 22"),
        turns("15"),
        turns("17", "15 " * WINDOW),
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    settings = MeasureSettings.model_validate({"context": {"model": model}})
    run, asked = measure(run, settings, ids)
    assert asked == {"context": 4}
    run = score(run, ScoreSettings(scorer="context_dependency"), ids)
    with read_workspace(run.workspace) as con:
        found = con.execute(
            "select left(prompt, 2), c.state, all_turns, current_turn, turns, turn_tokens, "
            "each_all_turns, value, s.state from context c join examples using (example_id) "
            "join scores s using (example_id) order by prompt, response"
        ).fetchall()
    short, long, unanswered, cut = found
    assert short[:2] == ("14", "ok") and 0 < short[2] == short[3] < 1
    assert short[4:7] == ([1], [1], [short[2]]) and short[7:] == (short[2], "ok")
    assert long[4:6] == ([1, 3], [1, 2]) and long[6][1] == long[2] == long[7] > long[3]
    assert long[6][0] == pytest.approx(short[2], abs=1e-6), "what comes later is not seen"
    assert unanswered[1:3] == ("not_applicable", None) and unanswered[8] == "not_applicable"
    assert cut[1:3] == ("truncated", None) and cut[7:] == (None, "truncated")
    assert measure(run, settings, ids)[1] == {"context": 0}, "nothing is asked twice"


def test_a_part_is_asked_where_one_is_named(model: str, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(
        "\n".join(json.dumps(turns(f"{at}", "24")) for at in range(11, 17))
    )
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    block = {"context": {"model": model, "part": {"rows": 2}}}
    job = plan_measures(run.workspace, MeasureSettings.model_validate(block), ids, 0)["context"]
    assert len(job.ids) == 2 and job.pool == 6


@pytest.mark.parametrize("change", [{"layer": 0}, {"max_tokens": 99}, {"dtype": "bfloat16"}])
def test_what_can_change_a_number_is_in_the_key(model: str, change: dict[str, object]) -> None:
    plain = ContextSettings(model=model, dtype="float32")
    other = plain.model_copy(update=change)
    assert Context(settings=plain).key().measure_key != Context(settings=other).key().measure_key
