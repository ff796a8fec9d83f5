"""The recipe's places: seen from anywhere, no part of what a run is, and without secrets."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from flows.recipe.schema import Recipe, step_lines

GIVEN = {
    "name": "r",
    "workspace": "work",
    "target": "./model",
    "sources": [{"path": "rows.jsonl"}],
    "measure": {"losses": {"model": "../other"}},
    "select": {"steps": [{"method": "random", "budget": {"rows": 1}}]},
}


def recipe(shards: str | None = None) -> Recipe:
    return Recipe.model_validate({**GIVEN, "shards": shards})


def test_evaluation_sets_are_placed_like_sources() -> None:
    check = {"against": [{"path": "eval.jsonl"}, {"path": "hub:org/set"}]}
    given = Recipe.model_validate({**GIVEN, "check": check})
    placed = given.at(Path("/data")).check
    assert placed is not None
    assert [each.path for each in placed.against] == ["/data/eval.jsonl", "hub:org/set"]


def test_the_check_is_a_line_among_the_steps() -> None:
    check = {"against": [{"path": "a/eval.jsonl"}, {"path": "b", "name": "mine"}], "semantic": {}}
    given = Recipe.model_validate({**GIVEN, "check": {**check, "action": "remove"}})
    line = (
        "remove rows that hold something of eval.jsonl, mine "
        "(13-grams, any; short prompts; embeddings of prompt at 0.9)"
    )
    assert step_lines(given)[0] == line
    assert len(step_lines(given)) == len(step_lines(recipe())) + 1


def test_what_is_sent_to_workers_does_not_depend_on_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    placed = recipe("../shared/").at(Path("project"))
    assert placed.shards == str(tmp_path / "shared")
    assert placed.target == str(tmp_path / "project/model")
    assert placed.measure.losses and placed.measure.losses.model == str(tmp_path / "other")


def test_targets_are_placed_as_sources_are() -> None:
    targets = [{"path": "wanted.jsonl"}, {"path": "hub:org/name"}]
    given = Recipe.model_validate({**GIVEN, "targets": targets})
    assert [each.path for each in given.at(Path("project")).targets] == [
        "project/wanted.jsonl",
        "hub:org/name",
    ]
    assert given.stored()["targets"][0]["path"] == "wanted.jsonl"


def test_a_chat_template_goes_where_the_target_is_named() -> None:
    measure = {"tokens": {}, "losses": {"model": "./model"}, "trajectories": {"proxy": "./other"}}
    given = Recipe.model_validate({**GIVEN, "chat_template": "t/chat.jinja", "measure": measure})
    resolved = given.with_target()
    assert resolved.with_target() == resolved
    assert resolved.target == "./model?chat_template=t/chat.jinja"
    placed = resolved.at(Path("/data"))
    assert placed.chat_template == "/data/t/chat.jinja"
    losses, trajectories = placed.measure.losses, placed.measure.trajectories
    assert losses is not None and trajectories is not None
    assert placed.measure.tokens.model == losses.model == placed.target
    assert placed.target == "/data/model?chat_template=/data/t/chat.jinja"
    assert trajectories.proxy == "/data/other"


def test_a_recipe_without_a_chat_template_is_what_it_was() -> None:
    assert "chat_template" not in recipe().stored()


def test_an_export_of_conversations_alone_is_what_it_was() -> None:
    assert "export" not in recipe().stored()
    plain = Recipe.model_validate({**GIVEN, "export": {"pretokenized": False}})
    assert plain.stored() == recipe().stored()
    more = Recipe.model_validate({**GIVEN, "export": {"pretokenized": True}})
    assert more.stored()["export"] == {"pretokenized": True}
    assert recipe().with_target().target == "./model"


def test_a_store_is_the_same_seen_from_anywhere() -> None:
    assert recipe("s3://bucket/prefix").at(Path("/somewhere")).shards == "s3://bucket/prefix"


def test_where_shards_lie_is_no_part_of_what_a_run_is() -> None:
    assert recipe("s3://bucket/prefix").stored() == recipe().stored()
    assert "shards" not in recipe().stored()


@pytest.mark.parametrize("place", ["s3://key:secret@bucket/prefix", "sftp://user@host/folder"])
def test_a_place_with_a_secret_in_it_is_refused(place: str) -> None:
    with pytest.raises(ValidationError, match="must not name a user or a password") as raised:
        recipe(place)
    assert "secret" not in raised.value.errors()[0]["msg"]


def test_an_at_sign_elsewhere_is_none() -> None:
    for place in ("s3://bucket/a@b", "/data/a@b"):
        assert recipe(place).shards == place


def test_a_form_calls_blocks_by_their_methods_and_in_words() -> None:
    blocks = Recipe.model_json_schema()["$defs"]
    titles = {name: blocks[name]["title"] for name in ("TopK", "NotMarkedBad", "MinHash")}
    assert titles == {"TopK": "top_k", "NotMarkedBad": "not_marked_bad", "MinHash": "minhash"}
    titles = {name: blocks[name]["title"] for name in ("SourceSettings", "BudgetSettings")}
    assert titles == {"SourceSettings": "Source", "BudgetSettings": "Budget"}
