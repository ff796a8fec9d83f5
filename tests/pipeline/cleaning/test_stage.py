"""The clean stage: what happens to rows with personal data, and what is stored of it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.cleaning.stage import (
    Cleaned,
    PersonalDataSettings,
    clean_example,
    clean_pool,
)
from pipeline.run_context import RunContext
from storage.conversations import Conversation
from storage.database import open_workspace, read_workspace
from storage.examples import (
    Attempt,
    MadeBy,
    read_examples,
    read_first_sources,
    read_makers,
    write_attempts,
)
from storage.explain import read_explanation
from storage.runs import read_counts
from storage.workspace import Workspace
from tests.stage_runner import start

CALL = {"name": "send", "arguments": {"to": ["jane@firm.io"], "text": "hi", "at": 3}}
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "Mail jane@firm.io"},
    {
        "role": "assistant",
        "content": "",
        "reasoning_content": "Her number is +44 20 7946 0018.",
        "tool_calls": [{"type": "function", "function": CALL}],
    },
    {"role": "user", "content": "and bob@firm.io"},
]
ROWS: list[dict[str, Any]] = [
    {"prompt": "Who is it?", "completion": "jane@firm.io, jane@firm.io"},
    {"prompt": "Who is it?", "completion": "bob@firm.io, jane@firm.io"},
    {"prompt": "Who is it?", "completion": "Nobody."},
    {"messages": TALK},
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunContext, list[str]]:
    folder = tmp_path_factory.mktemp("made")
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    return start(folder / "w", [folder / "rows.jsonl"])


@pytest.fixture
def run(made: tuple[RunContext, list[str]], tmp_path: Path) -> RunContext:
    shutil.copytree(made[0].workspace.directory, tmp_path / "w")
    return replace(made[0], workspace=Workspace(tmp_path / "w"))


@pytest.fixture
def pool(made: tuple[RunContext, list[str]]) -> list[str]:
    return made[1]


def clean(run: RunContext, pool: list[str], **given: Any) -> Cleaned:  # noqa: ANN401
    return clean_pool(run, PersonalDataSettings.model_validate(given), pool)


def ask(run: RunContext, query: str) -> list[tuple]:
    with read_workspace(run.workspace) as con:
        return con.execute(query).fetchall()


def responses(run: RunContext, ids: list[str]) -> dict[str, str]:
    with read_workspace(run.workspace) as con:
        return {example.example_id: example.response for example in read_examples(con, ids)}


def test_a_report_counts_and_names_no_row(run: RunContext, pool: list[str]) -> None:
    cleaned = clean(run, pool)
    assert list(cleaned.pool) == pool
    assert (cleaned.examples, cleaned.hits) == (3, {"email": 7, "phone": 1})
    assert ask(run, "select * from personal_data_hits") == []
    with read_workspace(run.workspace) as con:
        (count,) = (each for each in read_counts(con, run.run_id) if each.stage == "clean")
    assert (count.rows_in, count.added, count.kept, dict(count.dropped)) == (4, 0, 4, {})
    assert count.notes == ("personal data in 3 examples, by kind: email 7, phone 1",)


def test_the_order_of_kinds_and_regions_is_no_part_of_the_key() -> None:
    kinds, regions = ["phone", "email", "iban"], ["US", "GB", "DE"]
    keys = {
        PersonalDataSettings.model_validate({"kinds": k, "regions": r}).key()
        for k in (kinds, kinds[::-1])
        for r in (regions, regions[::-1])
    }
    fewer = PersonalDataSettings.model_validate({"kinds": kinds[:2], "regions": regions})
    assert len(keys) == 1 and fewer.key() not in keys


def test_the_source_that_lost_most_is_named_whatever_the_order_of_the_pool(tmp_path: Path) -> None:
    for name, completion in (("bad", "jane@firm.io"), ("good", "nobody")):
        rows = [{"prompt": f"{name} {n}", "completion": completion} for n in range(8)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run, pool = start(tmp_path / "w", [tmp_path / "bad.jsonl", tmp_path / "good.jsonl"])
    for order in (pool, pool[::-1], pool[8:] + pool[:8]):
        assert len(clean(run, order, action="remove").pool) == 8
        with read_workspace(run.workspace) as con:
            (count,) = (each for each in read_counts(con, run.run_id) if each.stage == "clean")
        assert count.notes[1:] == ("personal data: took 8 of the 8 rows of ../bad.jsonl",)


def test_a_flag_says_what_is_where_and_not_what_it_is(run: RunContext, pool: list[str]) -> None:
    assert list(clean(run, pool, action="flag").pool) == pool
    clean(run, pool, action="flag")  # again: the same, once
    found = ask(
        run,
        "select kind, place, hits from personal_data_hits join examples using (example_id) "
        "where tools = '[]' and prompt like 'Mail%' order by all",
    )
    assert found == [
        ("email", "later", 1),
        ("email", "prompt", 1),
        ("email", "response", 1),
        ("phone", "response", 1),
    ]
    assert sum(n for (n,) in ask(run, "select hits from personal_data_hits")) == 8
    stored = ask(run, "select columns(*)::varchar from personal_data_hits")
    assert not any("firm.io" in str(row) for row in stored)


def test_what_is_removed_has_its_reason(run: RunContext, pool: list[str]) -> None:
    cleaned = clean(run, pool, action="remove", kinds=["phone"])
    gone = [row[0] for row in ask(run, "select example_id from personal_data_hits")]
    assert len(gone) == 1 and set(cleaned.pool) == set(pool) - set(gone)
    decided = ask(run, "select example_id, reason from decisions where outcome = 'dropped'")
    assert decided == [(gone[0], "personal_data")]


def test_a_redacted_example_takes_the_place_of_its_parent(run: RunContext, pool: list[str]) -> None:
    cleaned = clean(run, pool, action="redact")
    assert set(responses(run, list(cleaned.pool)).values()) >= {"[EMAIL], [EMAIL]", "Nobody."}
    assert len(cleaned.pool) == 3  # the first two are the same now
    replaced = ask(
        run, "select example_id, because_of from decisions where reason = 'redacted' order by all"
    )
    lineage = ask(run, "select parent_id, example_id, method from lineage order by all")
    assert [(*pair, "redacted") for pair in replaced] == lineage and len(lineage) == 3
    assert {new for _, new in replaced} <= set(cleaned.pool)
    assert not {old for old, _ in replaced} & set(cleaned.pool)
    with read_workspace(run.workspace) as con:
        (count,) = (each for each in read_counts(con, run.run_id) if each.stage == "clean")
        (talk,) = (e for e in read_examples(con, list(cleaned.pool)) if len(e.messages) == 3)
    assert (count.rows_in, count.added, count.kept) == (4, 2, 3)
    user, reply, later = talk.messages
    assert user["content"] == "Mail [EMAIL]" and later["content"] == "and [EMAIL]"
    assert reply["reasoning_content"] == "Her number is [PHONE]."
    (call,) = reply["tool_calls"]
    sent = {"to": ["[EMAIL]"], "text": "hi", "at": 3}
    assert call["function"] == {"name": "send", "arguments": sent}
    assert list(call["function"]["arguments"]) == ["to", "text", "at"]  # as the row has them
    assert ask(run, "select count(*) from examples where origin = 'redacted'") == [(2,)]


def test_a_redacted_example_has_the_source_of_its_parent(run: RunContext, pool: list[str]) -> None:
    cleaned = clean(run, pool, action="redact")
    with read_workspace(run.workspace) as con:
        sources = read_first_sources(con, list(cleaned.pool), run.source_ids)
        assert sorted(each.position for each in sources.values()) == [1, 3, 4]
        new = [i for i in cleaned.pool if i not in pool]
        stories = [read_explanation(con, example_id, None) for example_id in new]
        assert read_makers(con, list(cleaned.pool)) == {}
    assert [story["lineage"][0]["method"] for story in stories] == ["redacted"] * 2


def test_doing_it_again_changes_nothing(run: RunContext, pool: list[str]) -> None:
    first = clean(run, pool, action="redact")
    rows = ask(run, "select * from examples order by all")
    assert clean(run, pool[::-1], action="redact") == first
    assert ask(run, "select * from examples order by all") == rows
    again = clean(run, list(first.pool), action="redact")
    assert (list(again.pool), again.examples) == (list(first.pool), 0)


def test_a_redacted_answer_keeps_the_name_of_its_maker(run: RunContext, pool: list[str]) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "x@firm.io"}]
    answer = Conversation(turns)
    with open_workspace(run.workspace) as con:
        write_attempts(con, [Attempt(pool[0], 0, answer, "")], MadeBy("k", "{}", "run", "a model"))
    cleaned = clean(run, [answer.example_id], action="redact")
    with read_workspace(run.workspace) as con:
        assert read_makers(con, list(cleaned.pool)) == {cleaned.pool[0]: "a model"}
        assert read_makers(con, [answer.example_id]) == {answer.example_id: "a model"}


def test_an_empty_pool_is_clean(run: RunContext) -> None:
    assert clean(run, [], action="redact") == Cleaned([], 0, {})


@pytest.mark.parametrize("given", [{"kinds": []}, {"kinds": ["mail"]}, {"regions": ["XX"]}])
def test_settings_that_cannot_be_are_refused(given: dict[str, list[str]]) -> None:
    with pytest.raises(ValidationError):
        PersonalDataSettings.model_validate(given)


def test_hits_of_a_row_are_in_one_order(run: RunContext, pool: list[str]) -> None:
    with read_workspace(run.workspace) as con:
        (talk,) = (each for each in read_examples(con, pool) if len(each.messages) == 3)
    counts, _ = clean_example(talk, PersonalDataSettings())
    assert list(counts.items()) == [
        (("email", "later"), 1),
        (("email", "prompt"), 1),
        (("email", "response"), 1),
        (("phone", "response"), 1),
    ]
