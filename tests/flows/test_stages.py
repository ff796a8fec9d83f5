"""The stages of a flow: what they hand to the tasks, and what becomes of the results."""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flows import stages
from flows.begin_run import NoRowsError, RunState
from flows.recipe.schema import Recipe
from flows.stages import STAGES
from pipeline.cleaning.stage import Cleaned
from pipeline.export.stage import Exported
from pipeline.generation.asking import CallBatch
from pipeline.generation.makers.answer import Answer
from pipeline.measuring.endpoint import Endpoint
from pipeline.run_context import RunContext
from pipeline.selection.stage import Chosen
from scorers.measures.protocols import GenerationRequest
from storage.measurements import MeasureKey
from storage.workspace import Workspace

RUN = RunContext(Workspace(Path("w")), "run", 0, [], {}, {})


def given(**blocks: object) -> RunState:
    """A run of three rows that was asked 5 answers and 3 losses so far."""
    recipe = Recipe.model_validate(
        {
            "name": "test",
            "workspace": "w",
            "target": "t",
            "sources": [{"path": "rows.jsonl"}],
            "select": {"steps": [{"method": "random", "budget": {"rows": 9}}]},
            **blocks,
        }
    )
    return RunState(recipe, recipe, RUN, pool=["a", "b", "c"], asked={"answers": 5, "losses": 3})


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines that stages say."""
    lines: list[str] = []
    monkeypatch.setattr(stages, "say", lines.append)
    return lines


def give(monkeypatch: pytest.MonkeyPatch, **found: object) -> None:
    """Have what a stage calls return this, whatever it is given."""
    for name, value in found.items():
        monkeypatch.setattr(stages, name, lambda *_, value=value, **__: value)


def test_a_stage_that_leaves_rows_out_says_how_many_are_left(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    give(monkeypatch, clean_pool=Cleaned(["a"], 2, {}), check_examples=["b"])
    give(monkeypatch, deduplicate_examples=["a", "b"])
    evaluation = {"path": "e.jsonl", "name": "e", "prompt": "question"}
    state = given(personal_data={"action": "remove"}, check={"against": [evaluation]})
    pools = [STAGES[name](state).pool for name in ("clean", "dedupe", "check")]
    assert pools == [["a"], ["a", "b"], ["b"]]
    assert said == [
        "clean: personal data in 2 examples, 1 left",
        "dedupe: 3 examples, 2 left",
        "check: 3 examples, 1 left",
    ]


def test_a_stage_that_the_recipe_does_not_ask_for_does_nothing(said: list[str]) -> None:
    state = given()
    for name in ("clean", "indicate", "check", "train"):
        assert STAGES[name](state) is state
    exported = replace(state, exported=Exported(Path("e"), cast(Any, None)))
    assert STAGES["train"](exported) is exported
    trained = given(train={})
    assert STAGES["train"](trained) is trained, "nothing was exported"
    assert said == []


def test_marked_prompts_are_measured_anew_and_all_that_was_asked_counts(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    def measure_stage(state: RunState) -> RunState:
        return replace(state, asked={**state.asked, "losses": 2, "context": 1})

    monkeypatch.setattr(stages, "measure_stage", measure_stage)
    monkeypatch.setattr(stages, "score_stage", lambda state: state)
    state = given(indicator={})
    give(monkeypatch, indicate_examples=["a", "x", "y"])
    marked = STAGES["indicate"](state)
    assert marked.pool == ["a", "x", "y"]
    assert marked.asked == {"answers": 5, "losses": 5, "context": 1}
    give(monkeypatch, indicate_examples=["a", "b", "c"])
    assert STAGES["indicate"](state) is state
    assert said == [f"indicate: 3 examples, {n} of them with a mark now" for n in (2, 0)]


def test_calls_of_makers_add_up_and_repairs_are_known_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    makers = [Answer(), Answer(answers=2)]
    steps: list[int] = []

    def make_stage(run: object, maker: object, pool: list[str], step: int) -> tuple[list[str], int]:
        steps.append(step)
        return [*pool, f"new {step}"], 7

    monkeypatch.setattr(stages, "make_stage", make_stage)
    give(monkeypatch, place_adapters=makers, repair_key="key")
    found = STAGES["generate"](replace(given(), asked={"answer": 5}))
    assert found.asked == {"answer": 5 + 14} and steps == [1, 2]
    assert found.pool == ["a", "b", "c", "new 1", "new 2"] and found.run.repairs == "key"


def test_a_measure_of_a_part_of_the_pool_is_told_from_one_of_all(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    keys = {name: MeasureKey(name, "m", "f", "t", {}) for name in ("token_counts", "ratings")}
    measures = {name: SimpleNamespace(key=lambda key=key: key) for name, key in keys.items()}
    ids = {"token_counts": ["a", "b", "c"], "ratings": ["a", "b"]}
    jobs = {n: SimpleNamespace(measure=m, ids=ids[n], pool=3) for n, m in measures.items()}
    give(monkeypatch, plan_measures=jobs, measure_job=2, open_workspace=nullcontext())
    give(monkeypatch, read_workspace=nullcontext(), count_faults=None)
    give(monkeypatch, fault_lines=["a fault"], write_run_measures=None)
    found = STAGES["measure"](given())
    assert found.parts == {"ratings": 2} and found.run.measures == keys
    assert found.asked == {"answers": 5, "losses": 3, "token_counts": 2, "ratings": 2}
    assert said == ["measure: a fault"], "of the token counts alone"


def test_a_choice_is_said_with_its_notes_and_without_rows_is_not_exported(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    give(monkeypatch, select_examples=Chosen("id", 2, 30, ("a note",)))
    give(monkeypatch, export_selection=Exported(Path("there"), cast(Any, None)))
    chosen = STAGES["select"](given())
    assert STAGES["export"](chosen).exported == Exported(Path("there"), cast(Any, None))
    assert said == ["select: 2 rows, 30 loss tokens.", "select: a note", "export: there"]
    for none in (None, Chosen("id", 0, 0)):
        with pytest.raises(NoRowsError, match="the steps left no row to export"):
            STAGES["export"](replace(chosen, chosen=none))


def test_a_score_is_said_by_its_states(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    give(monkeypatch, score_key=("response_length", 1, "{}"), unmeasured_targets="; and more")
    give(monkeypatch, score_examples={"failed": 1, "ok": 2})
    found = STAGES["score"](given(scores=["response_length"]))
    assert found.run.scores == {"response_length": ("response_length", 1, "{}")}
    assert said == ["score: response_length: 1 failed, 2 ok; and more"]


def test_each_batch_of_calls_is_a_task_under_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[object, object, str, bool]] = []

    def do_all(
        work: object, pieces: Iterable[tuple[CallBatch, str]], anywhere: bool
    ) -> Iterator[tuple[CallBatch, str]]:
        for batch, label in pieces:
            sent.append((work, batch, label, anywhere))
            yield batch, f"replies to {batch.number}"

    monkeypatch.setattr(stages, "do_all", do_all)
    request = GenerationRequest([], (), 0.0, 9, 0)
    endpoint = Endpoint(base_url="http://127.0.0.1:1/v1")
    for maker in (Answer(), Answer(endpoint=endpoint)):
        batches = [
            CallBatch(maker, number, dict.fromkeys(keys, request), "m", Path(), "code")
            for number, keys in ((1, "ab"), (2, "c"))
        ]
        replies = map(str, stages.sending(maker)(batches))
        assert list(replies) == ["replies to 1", "replies to 2"]
        labels = ["answer 1, 2 calls", "answer 2, 1 calls"]
        here = maker.endpoint is None  # a server is asked from one place
        each = zip(batches, labels, strict=True)
        assert sent == [(stages.ask_batch, batch, label, here) for batch, label in each]
        sent.clear()
