"""Correctness from the recipe's block to the score, by a tiny encoder trained on the pool."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.generation.indicator import indicate
from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.measures.cappy import (
    CappySettings,
    NewRowCappy,
    PoolCappy,
    find_cappy,
    pair_rows,
)
from pipeline.measuring.shards import measure_here
from pipeline.measuring.stage import plan_measures
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings
from storage.conversations import Conversation
from storage.database import open_workspace, read_workspace
from storage.examples import (
    Attempt,
    MadeBy,
    read_examples,
    read_made_of,
    read_makers,
    write_attempts,
    write_edited,
)
from tests.stage_runner import measure, score, start
from tests.tiny_encoder import WINDOW, save_tiny_encoder

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.slow]  # they train


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_encoder(tmp_path_factory.mktemp("encoder")))


def write(path: Path, numbers: Sequence[int]) -> Path:
    rows = [{"prompt": f"w{at}", "completion": f"w{at + 20}"} for at in numbers]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def block(encoder: str, **more: object) -> MeasureSettings:
    cappy = {"encoder": encoder, "folds": 2, "epochs": 1, "max_tokens": WINDOW, **more}
    return MeasureSettings.model_validate({"cappy": cappy})


def test_rows_are_scored_and_cut_ones_say_so(encoder: str, tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", range(6))
    long = {"prompt": "w9", "completion": "w8 " * WINDOW}
    alone = {"messages": [{"role": "user", "content": "w7"}]}
    file.write_text(file.read_text() + f"\n{json.dumps(long)}\n{json.dumps(alone)}")
    run, ids = start(tmp_path / "w", [file])
    run, asked = measure(run, block(encoder), ids)
    assert asked == {"cappy": 8}
    run = score(run, ScoreSettings(scorer="cappy"), ids)
    with read_workspace(run.workspace) as con:
        found = con.execute(
            "select prompt, c.state, detail, correctness, tokens, tokens_read, trained, value "
            "from cappy c join examples using (example_id) join scores using (example_id) "
            "order by prompt"
        ).fetchall()
    assert [row[1] for row in found] == ["ok"] * 6 + ["not_applicable", "ok"]
    assert all(row[3] == row[7] and row[6] for row in found if row[1] == "ok")
    assert found[6][3:] == (None,) * 5
    assert found[7][2] == f"{WINDOW} of {WINDOW + 4} tokens were read: the longer text was cut"
    assert found[0][2] == "" and found[0][4] == found[0][5] == 5
    assert measure(run, block(encoder), ids)[1] == {"cappy": 0}, "nothing is trained twice"


def test_a_few_new_rows_are_scored_by_the_stored_models(encoder: str, tmp_path: Path) -> None:
    first = write(tmp_path / "first.jsonl", range(10))
    run, ids = start(tmp_path / "w", [first])
    settings = block(encoder, retrain_above=0.2)
    measure(run, settings, ids)
    more = write(tmp_path / "more.jsonl", range(10, 12))
    run, grown = start(tmp_path / "w", [first, more])
    job = plan_measures(run.workspace, settings, grown, 0)["cappy"]
    assert isinstance(job.measure, NewRowCappy) and job.note.endswith("not trained on: 2")
    assert measure_here(run.workspace, job.measure, job.ids) == 2
    with read_workspace(run.workspace) as con:
        counted = con.execute("select trained, count(*) from cappy group by all order by all")
        assert counted.fetchall() == [(False, 2), (True, 10)]
    many = write(tmp_path / "many.jsonl", range(12, 16))
    run, grown = start(tmp_path / "w", [first, more, many])
    job = plan_measures(run.workspace, settings, grown, 0)["cappy"]
    assert isinstance(job.measure, PoolCappy), "6 of 16 are above a fifth"


def indicate_all(run: RunContext, ids: Sequence[str]) -> list[str]:
    with open_workspace(run.workspace) as con:
        examples = read_examples(con, ids)
        marked = [found for each in examples if (found := indicate(each, " w30")) is not None]
        edited = list(zip((each.example_id for each in examples), marked, strict=True))
        return sorted(write_edited(con, "indicated", edited, MadeBy("key", "{}", run.run_id)))


def test_an_indicated_row_is_scored_by_the_model_that_did_not_learn_its_parent(
    encoder: str, tmp_path: Path
) -> None:
    run, ids = start(tmp_path / "w", [write(tmp_path / "rows.jsonl", range(6))])
    settings = block(encoder, retrain_above=1.0)
    job = plan_measures(run.workspace, settings, ids, 0)["cappy"]
    measure_here(run.workspace, job.measure, job.ids)
    children = indicate_all(run, ids)
    again = plan_measures(run.workspace, settings, children, 0)["cappy"].measure
    assert isinstance(again, NewRowCappy)
    with read_workspace(run.workspace) as con:
        rows = pair_rows(again.inputs(con, children))
        before = {row.prompt_id for row in pair_rows(again.inputs(con, ids))}
    assert {row.first_prompt_id for row in rows} == before
    assert not before & {row.prompt_id for row in rows}
    assert all(row.task and not row.generated for row in rows), "they stand where the row stands"
    found = again.models().score(
        [(row.prompt_id, row.first_prompt_id) for row in rows],
        [(row.prompt, row.response) for row in rows],
    )
    with read_workspace(run.workspace) as con:
        table = again.measure(again.inputs(con, children))
    assert table["correctness"].to_pylist() == found.values.tolist()
    every = again.models().score([[]] * len(rows), [(row.prompt, row.response) for row in rows])
    assert (every.values != found.values).all(), "not the average, in which is one that saw it"


def test_an_edited_answer_of_a_model_is_no_reference(encoder: str, tmp_path: Path) -> None:
    run, ids = start(tmp_path / "w", [write(tmp_path / "rows.jsonl", range(2))])
    with open_workspace(run.workspace) as con:
        parent = read_examples(con, ids)[0]
        messages = [*parent.messages[:-1], {"role": "assistant", "content": "w5 w6"}]
        attempt = Attempt(parent.example_id, 0, Conversation(messages, []), "")
        write_attempts(con, [attempt], MadeBy("key", "{}", run.run_id, "a model"))
        answered = [child for child, _ in read_made_of(con, "key", [parent.example_id])]
    marked = indicate_all(run, answered)
    training = find_cappy(run.workspace, CappySettings(encoder=encoder), [*ids, *marked], None, ())
    with read_workspace(run.workspace) as con:
        rows = pair_rows(training.inputs(con, [*ids, *marked]))
        assert read_makers(con, marked) == {marked[0]: "a model"}
    assert {row.example_id for row in rows if row.generated} == set(marked)


def test_what_can_change_a_number_is_in_the_key(encoder: str, tmp_path: Path) -> None:
    run, ids = start(tmp_path / "w", [write(tmp_path / "rows.jsonl", range(4))])
    plain = CappySettings(encoder=encoder)

    def key(pool: Sequence[str], **change: object) -> str:
        settings = plain.model_copy(update=change)
        return find_cappy(run.workspace, settings, pool, None, ()).key().measure_key

    keys = [key(ids), key(ids[1:]), key(ids, folds=4), key(ids, seed=1), key(ids, epochs=1)]
    keys += [key(ids, max_tokens=99), key(ids, learning_rate=1e-3), key(ids, batch_rows=2)]
    assert len(set(keys)) == len(keys)
    assert key(ids[::-1], retrain_above=0.5) == keys[0]


def test_a_plan_keeps_no_model(encoder: str, tmp_path: Path) -> None:
    run, ids = start(tmp_path / "w", [write(tmp_path / "rows.jsonl", range(6))])
    training = plan_measures(run.workspace, block(encoder), ids, 0)["cappy"].measure
    assert isinstance(training, PoolCappy)
    with read_workspace(run.workspace) as con:
        tried = training.inputs(con, ids)
    seconds = training.predict_seconds(tried, np.full(600, 9))
    assert seconds is not None and seconds > 0
    assert not (run.workspace.models / "cappy").exists()
