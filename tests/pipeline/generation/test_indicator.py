"""A indicated row is a new example: counted, exported and walked back as what it is."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.export.stage import export_selection
from pipeline.export.verify import verify_workspace
from pipeline.generation.indicator import IndicatorSettings, indicate, indicate_examples
from pipeline.measuring.measures.token_counts import TokenCounts
from pipeline.measuring.rows import join_row, tokenizer_of
from pipeline.measuring.shards import measure_here
from pipeline.run_context import RunContext
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.run_steps import SelectSettings
from pipeline.selection.stage import select_examples
from scorers.measures.reading.chat_format import RenderedExample
from scorers.measures.reading.dialogue import render_turns
from storage.conversations import Conversation
from storage.database import open_workspace, read_workspace
from storage.examples import Example, read_examples
from storage.runs import read_counts
from tests.stage_runner import score, start, store_measurement
from tests.tiny_models import CHAT, save_tiny_llama

INDICATOR = IndicatorSettings(text=" 77")
SCORES = {"11": 0.9, "12": 0.6, "13": None, "14": 0.1, "15": 0.8}
"""By the answer; 14 and 15 answer one prompt."""


def write_rows(folder: Path) -> Path:
    rows: list[dict[str, object]] = [
        {"prompt": f"ask {at}", "completion": at} for at in ("11", "12", "13")
    ]
    rows += [{"prompt": "both", "completion": at} for at in ("14", "15")]
    rows.append({"messages": [{"role": "user", "content": "alone"}]})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "rows.jsonl"


def with_scores(run: RunContext, ids: list[str]) -> RunContext:
    with read_workspace(run.workspace) as con:
        values = [SCORES.get(example.response) for example in read_examples(con, ids)]
    columns: Mapping[str, pa.Array] = {
        "state": pa.array(["truncated" if value is None else "ok" for value in values]),
        **{
            name: pa.array(values, pa.float64())
            for name in (
                "all_turns",
                "current_turn",
                "all_turns_of_means",
                "current_turn_of_means",
            )
        },
    }
    run = store_measurement(run, "context", ids, columns)
    return score(run, ScoreSettings(scorer="context_dependency"), ids)


@pytest.fixture
def indicated(tmp_path: Path) -> tuple[RunContext, list[str], list[str]]:
    run, ids = start(tmp_path / "w", [write_rows(tmp_path)])
    run = with_scores(run, ids)
    return run, ids, indicate_examples(run, INDICATOR, ids)


def texts(run: RunContext, ids: list[str]) -> list[tuple[str, str]]:
    with read_workspace(run.workspace) as con:
        return sorted((each.prompt, each.response) for each in read_examples(con, ids))


def test_what_is_above_the_bound_is_marked_and_candidates_together(
    indicated: tuple[RunContext, list[str], list[str]],
) -> None:
    run, _, grown = indicated
    assert texts(run, grown) == [
        ("alone", ""),
        ("ask 11. 77", "11"),
        ("ask 12", "12"),  # 0.6 is not above 0.6
        ("ask 13", "13"),  # has no score
        ("both. 77", "14"),
        ("both. 77", "15"),
    ]


def test_the_books_balance_and_each_decision_names_its_copy(
    indicated: tuple[RunContext, list[str], list[str]],
) -> None:
    run, ids, grown = indicated
    with read_workspace(run.workspace) as con:
        (books,) = (each for each in read_counts(con, run.run_id) if each.stage == "indicate")
        assert (books.rows_in, books.added, books.kept) == (6, 3, 6)
        assert books.dropped == {"indicated": 3}
        found = con.execute(
            "select example_id, because_of, value from decisions where reason = 'indicated'"
        ).fetchall()
        parents = dict(
            con.execute(
                "select example_id, parent_id from lineage where method = 'indicated'"
            ).fetchall()
        )
    assert {(child, parent) for parent, child, _ in found} == set(parents.items())
    assert sorted(value for _, _, value in found) == [0.1, 0.8, 0.9]
    assert set(ids) - set(grown) == set(parents.values())


def test_the_same_again_makes_nothing_new(
    indicated: tuple[RunContext, list[str], list[str]],
) -> None:
    run, ids, grown = indicated
    assert indicate_examples(run, INDICATOR, ids[::-1]) == grown
    with read_workspace(run.workspace) as con:
        assert con.execute("select count(*) from lineage").fetchall() == [(3,)]
    higher = indicate_examples(run, INDICATOR.model_copy(update={"above": 0.95}), ids)
    assert higher == sorted(ids)


@pytest.mark.slow
def test_the_trainer_gets_the_mark_and_its_tokens_are_counted(
    indicated: tuple[RunContext, list[str], list[str]], tmp_path: Path
) -> None:
    run, _, grown = indicated
    model = str(save_tiny_llama(tmp_path / "model", chat_template=CHAT))
    tokens = TokenCounts(model=model)
    measure_here(run.workspace, tokens, grown)
    run = replace(run, measures={"token_counts": tokens.key()})
    run = score(run, ScoreSettings(scorer="response_length"), grown)
    top = {"method": "top_k", "score": "response_length", "budget": {"fraction": 1.0}}
    select = SelectSettings.model_validate({"held_out": 0, "steps": [top]})
    select_examples(run, select, grown)
    recipe = {"name": "t", "select": {"name": "choice"}, "measure": {"tokens": {"model": model}}}
    exported = export_selection(run, {**recipe, "seed": 0}, tokens, ["all"])
    rows = [
        row
        for path in exported.manifest.data_files("train")
        for row in pq.read_table(exported.path / path).to_pylist()
    ]
    marked = [row for row in rows if "77" in str(row["prompt"])]
    assert len(rows) == 5 and len(marked) == 3
    with open_workspace(run.workspace, views=False) as con:
        for example in read_examples(con, sorted(row["example_id"] for row in marked)):
            tokenizer, at = tokenizer_of(model), example.trained_at
            turns = render_turns(tokenizer, example.messages, (), at, "chat")
            rendered = join_row(turns)
            assert isinstance(rendered, RenderedExample)
            (kept,) = (each for each in marked if each["example_id"] == example.example_id)
            assert kept["prompt_tokens"] == len(rendered.prompt)
            assert kept["loss_tokens"] == len(rendered.response)
            assert kept["source"].endswith("rows.jsonl"), "a mark is no new origin"
        links = verify_workspace(con, run.workspace)
    assert links and [link for link in links if link.broken or link.closed] == []


def example(*turns: tuple[str, str]) -> Example:
    messages = [{"role": role, "content": content} for role, content in turns]
    at = Conversation(messages).response_at
    return Example("id", "prompt", messages, [], at, "", "")


@pytest.mark.parametrize(
    ("said", "marked"),
    [
        ("Read this", "Read this. [IND]"),
        ("Read this 7", "Read this 7. [IND]"),
        ("Read this?", "Read this? [IND]"),
        ("Read this \n", "Read this. [IND]"),
    ],
)
def test_a_full_stop_stands_between_a_word_and_the_mark(said: str, marked: str) -> None:
    found = indicate(example(("user", said), ("assistant", "yes")), " [IND]")
    assert found is not None and found.messages[0]["content"] == marked


def test_the_last_user_turn_before_the_response_is_marked_and_nothing_else() -> None:
    before = example(
        ("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")
    )
    after = indicate(before, " [IND]")
    assert after is not None
    contents = [message["content"] for message in after.messages]
    assert contents == ["s", "a", "b", "c. [IND]", "d"]
    assert before.messages[3]["content"] == "c", "what it was made from is left alone"


def test_what_is_marked_already_or_has_no_answer_stays() -> None:
    assert indicate(example(("user", "a [IND] "), ("assistant", "b")), " [IND]") is None
    assert indicate(example(("user", "a")), " [IND]") is None
    assert indicate(example(("system", "a"), ("assistant", "b")), " [IND]") is None
