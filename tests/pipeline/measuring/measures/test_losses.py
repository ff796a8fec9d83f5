"""Losses through a server: the same rows and columns, no entropies, and failures as states."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.measuring.catalogue import MeasureSettings
from pipeline.measuring.measures.losses import Losses, LossSettings
from pipeline.measuring.shards import measure_here
from pipeline.measuring.stage import plan_measures
from pipeline.scoring.stage import ScoreSettings
from pipeline.scoring.turn_scores import read_turn_scores
from scorers.measures.models.loading import load_language_model, resolve_model
from storage.database import read_workspace
from storage.scores import read_scores
from tests.fake_endpoint import Body, Canned, scored, serve
from tests.stage_runner import score, start, store_measurement
from tests.tiny_models import CHAT, save_tiny_llama


def loss(before: int, token: int) -> float:
    return 0.25 + (before * 7 + token) % 5


def respond(body: Body, _: int) -> Canned:
    if "prompt" not in body:
        return Canned(body={"data": [{"id": "served", "root": "/weights"}]})
    if 66 in body["prompt"]:
        return Canned(status=400, body={"error": {"message": "a bad row"}})
    return scored(body, loss)


@pytest.mark.slow
def test_a_server_may_read_the_rows(tmp_path: Path) -> None:
    model = str(save_tiny_llama(tmp_path / "model"))
    rows = [{"prompt": "1 2 3", "completion": answer} for answer in ("4 5", "66 7", "8 9 10")]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    with serve(respond) as server:
        asked = {
            "model": model,
            "template": "question_answer",
            "endpoint": {"base_url": server.base_url, "retries": 0},
            "served_as": "served",
        }
        tokens = {"model": model, "template": "question_answer"}
        settings = MeasureSettings.model_validate({"tokens": tokens, "losses": asked})
        job = plan_measures(run.workspace, settings, ids, run.seed)["losses"]
        measure_here(run.workspace, job.measure, job.ids)
    with read_workspace(run.workspace) as con:
        found = con.execute(
            "select response, state, nll, mean_nll, mean_nll_alone, mean_entropy, entropy, detail "
            "from losses join examples using (example_id) order by response"
        ).fetchall()
    assert [(row[0], row[1]) for row in found] == [
        ("4 5", "ok"),
        ("66 7", "failed"),
        ("8 9 10", "ok"),
    ]
    assert found[1][2:7] == (None,) * 5 and found[1][7].startswith("http_400")
    assert found[0][5] is None and found[0][6] is None  # a server tells no entropies
    assert found[0][3] == pytest.approx(sum(found[0][2]) / len(found[0][2]))
    in_process = LossSettings.model_validate({**asked, "endpoint": None, "served_as": None})
    other = plan_measures(
        run.workspace, settings.model_copy(update={"losses": in_process}), ids, run.seed
    )
    assert other["losses"].measure.key().measure_key != job.measure.key().measure_key


def test_a_vector_is_the_state_at_the_last_token_of_the_content(tmp_path: Path) -> None:
    model = str(save_tiny_llama(tmp_path / "model", chat_template=CHAT))
    rows = [{"prompt": "14 11", "completion": answer} for answer in ("5 7", "9")]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    settings = MeasureSettings.model_validate(
        {
            "tokens": {"model": model},
            "losses": {"model": model, "vectors": True, "dtype": "float32"},
        }
    )
    job = plan_measures(run.workspace, settings, ids, run.seed)["losses"]
    measure_here(run.workspace, job.measure, job.ids)
    with read_workspace(run.workspace) as con:
        found = con.execute(
            "select response, vector from losses join examples using (example_id) order by response"
        ).fetchall()
    decoder = load_language_model(resolve_model(model), "float32").model.get_decoder()
    # 1 opens a turn, 1 2 an answer, 3 ends a turn: the state behind 7 and 9, and not behind 3.
    for (_, vector), read in zip(
        found, ([1, 14, 11, 3, 1, 2, 5, 7], [1, 14, 11, 3, 1, 2, 9]), strict=True
    ):
        with torch.no_grad():
            state = decoder(torch.tensor([read])).last_hidden_state[0, -1].numpy()
        np.testing.assert_allclose(vector, state / np.linalg.norm(state), atol=1e-5)


def test_weighted_vectors_are_of_the_whole_row_and_of_the_targets_too(tmp_path: Path) -> None:
    model = str(save_tiny_llama(tmp_path / "model", chat_template=CHAT))
    turns = [
        {"role": role, "content": content}
        for role, content in zip(
            ("user", "assistant") * 2, ("22", "33", "14 11", "5 7"), strict=True
        )
    ]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": turns}))
    (tmp_path / "aims.jsonl").write_text(json.dumps({"prompt": "14 11", "completion": "9"}))
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    _, aims = start(tmp_path / "w", [tmp_path / "aims.jsonl"])
    found = {}
    for wanted in (False, True):
        block = {"model": model, "dtype": "float32", "weighted_vectors": wanted}
        settings = MeasureSettings.model_validate({"tokens": {"model": model}, "losses": block})
        jobs = plan_measures(run.workspace, settings, ids, run.seed, aims)
        job = jobs["losses"]
        measure_here(run.workspace, job.measure, job.ids)
        with read_workspace(run.workspace) as con:
            found[wanted] = con.execute(
                "select response, weighted_vector, nll from losses "
                "join examples using (example_id) where measure_key = ? order by response",
                [job.measure.key().measure_key],
            ).fetchall()
    assert [row[:2] for row in found[False]] == [("33\n\n5 7", None)], (
        "targets are read for vectors only"
    )
    assert found[False][0][2] == found[True][0][2], "the losses are the same to the bit"
    assert job.note == "; 1 of them are targets only"
    decoder = load_language_model(resolve_model(model), "float32").model.get_decoder()
    whole = [1, 22, 3, 1, 2, 33, 3, 1, 14, 11, 3, 1, 2, 5, 7, 3]
    for (_, vector, _), read in zip(found[True], (whole, [1, 14, 11, 3, 1, 2, 9, 3]), strict=True):
        with torch.no_grad():
            states = decoder(torch.tensor([read])).last_hidden_state[0].numpy()
        mean = np.arange(1, len(read) + 1) @ states
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-3)  # half precision


def test_vectors_of_the_last_token_of_all_are_not_taken_for_new_ones(tmp_path: Path) -> None:
    model = str(save_tiny_llama(tmp_path / "model", chat_template=CHAT))
    plain, vectors = (
        Losses(settings=LossSettings(model=model, vectors=wanted)).key() for wanted in (False, True)
    )
    old = {"version": 2, "max_tokens": 1024, "dtype": plain.settings["dtype"]}
    assert plain.settings == {**old, "vectors": False}, "losses without vectors are not asked again"
    assert vectors.settings == {**old, "vectors": "last content token"}
    stored = replace(vectors, settings={**old, "vectors": True})
    assert stored.measure_key != vectors.measure_key


def test_el2n_is_measured_where_it_is_asked_for_and_what_is_stored_keeps_its_key(
    tmp_path: Path,
) -> None:
    model = str(save_tiny_llama(tmp_path / "model", chat_template=CHAT))
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "14 11", "completion": "5 7"}))
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    found = []
    for wanted in (False, True):
        block = {"model": model, "dtype": "float32", "el2n": wanted}
        settings = MeasureSettings.model_validate({"tokens": {"model": model}, "losses": block})
        job = plan_measures(run.workspace, settings, ids, run.seed)["losses"]
        measure_here(run.workspace, job.measure, job.ids)
        key = job.measure.key()
        with read_workspace(run.workspace) as con:
            found += con.execute(
                "select el2n, mean_el2n, nll, mean_nll from losses where measure_key = ?",
                [key.measure_key],
            ).fetchall()
    assert key.settings.pop("el2n") is True
    assert (
        key.settings == Losses(settings=LossSettings(model=model, dtype="float32")).key().settings
    )
    (none, no_mean, nll, mean), (el2n, mean_el2n, *same) = found
    assert none is no_mean is None and same == [nll, mean], "the losses are the same to the bit"
    assert mean_el2n == pytest.approx(sum(el2n) / len(nll)) and len(el2n) == len(nll)
    read = load_language_model(resolve_model(model), "float32")
    ids_read = [1, 14, 11, 3, 1, 2, 5, 7]
    with torch.no_grad():
        at = read.model(torch.tensor([ids_read])).logits[0, 5].softmax(-1)
    at[5] -= 1
    assert el2n[0] == pytest.approx(float(at.norm()), rel=1e-4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"endpoint": {"base_url": "http://h/v1"}, "served_as": "m", "el2n": True}, "el2n out"),
        ({"endpoint": {"base_url": "http://h/v1"}}, "go together"),
        ({"served_as": "m"}, "go together"),
        (
            {"endpoint": {"base_url": "http://h/v1"}, "served_as": "m", "vectors": True},
            "no hidden states",
        ),
        (
            {"endpoint": {"base_url": "http://h/v1"}, "served_as": "m", "weighted_vectors": True},
            "leave weighted_vectors out",
        ),
    ],
)
def test_what_a_server_cannot_give_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossSettings.model_validate({"model": "m", **wrong})


@pytest.mark.slow
def test_the_reasonings_part_of_a_turns_loss(tmp_path: Path) -> None:
    template = CHAT.replace(
        "{{ message.content }}",
        "{% if message.reasoning_content %}8 {{ message.reasoning_content }} 9 {% endif %}"
        "{{ message.content }}",
    )
    model = str(save_tiny_llama(tmp_path / "model", chat_template=template))
    asked = {"role": "user", "content": "22"}
    thought = {"role": "assistant", "content": "55 56", "reasoning_content": "44 45 46"}
    plain = {"role": "assistant", "content": "66"}
    rows = [[asked, plain, asked, thought], [asked, plain]]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"messages": r}) for r in rows))
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    measure = Losses(settings=LossSettings(model=model))
    measure_here(run.workspace, measure, ids)
    run = replace(run, measures={"losses": measure.key()})
    for part in ("reasoning", "answer"):
        run = score(run, ScoreSettings(scorer="grape", part=part), ids)
    with read_workspace(run.workspace) as con:
        found = con.execute(
            "select nll, turn_reasoning_tokens, turn_reasoning_nll, example_id from losses "
            "order by len(nll)"
        ).fetchall()
        ordered = [row[-1] for row in found]
        scores = {n: read_scores(con, key, ordered)[0].tolist() for n, key in run.scores.items()}
        turns = read_turn_scores(con, run.scores["grape:answer"], run.measures, ordered)
    # 66 3; and 66 3, then 8 44 45 46 9 55 56 3.
    assert [len(row[0]) for row in found] == [2, 10]
    nll = np.array(found[1][0])
    assert [row[1] for row in found] == [[0], [0, 3]]
    np.testing.assert_allclose(found[1][2], [0, nll[3:6].sum()], rtol=1e-6)
    assert found[0][2] == [0]
    rest = [*nll[:3], *nll[6:]]
    np.testing.assert_allclose(scores["grape:reasoning"], [np.nan, -nll[3:6].mean()], rtol=1e-6)
    np.testing.assert_allclose(
        scores["grape:answer"], [-np.mean(found[0][0]), -np.mean(rest)], rtol=1e-6
    )
    of_turns = [[-np.mean(found[0][0]), np.nan], [-nll[:2].mean(), -np.mean(rest[2:])]]
    np.testing.assert_allclose(turns, of_turns, rtol=1e-6)


def test_losses_from_before_parts_were_told_have_none(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "p", "completion": "r"}')
    run, ids = start(tmp_path / "w", [tmp_path / "rows.jsonl"])
    columns = {
        "state": pa.array(["ok"]),
        "mean_nll": pa.array([2.0]),
        "turn_tokens": pa.array([[2]]),
        "turn_nll": pa.array([[4.0]]),
    }
    run = store_measurement(run, "losses", ids, columns)
    run = score(run, ScoreSettings(scorer="grape", part="answer", reduction="worst"), ids)
    with read_workspace(run.workspace) as con:
        values, states = read_scores(con, run.scores["grape:answer:worst"], ids)
    assert np.isnan(values[0]) and states == ["not_applicable"]
