"""Several models for one maker: who is asked about which row, and what the rows then say."""

from collections import Counter
from itertools import chain
from pathlib import Path

import pytest

from pipeline.generation.answering_block import AnsweringBlock
from pipeline.generation.catalogue import AnyMaker
from pipeline.generation.makers.answer import Answer
from pipeline.generation.makers.magpie import Magpie
from pipeline.generation.makers.rejection import Rejection
from pipeline.generation.makers.repair import Repair
from pipeline.generation.makers.self_instruct import SelfInstruct
from pipeline.generation.teachers import Teacher, draw_teacher
from pipeline.generation.verifiers.final_answer import FinalAnswer
from storage.database import read_workspace
from storage.examples import Example
from tests.scripted_maker import ScriptedModel, begin, kept_attached, make, write_sums

ROWS = [str(n) for n in range(300)]

SERVER = {"base_url": "http://127.0.0.1:1/v1"}

TWO = ({"model": "a", "license": "MIT"}, {"model": "b"})


def test_a_row_goes_to_one_teacher_and_one_more_takes_its_share_of_each() -> None:
    two = {row: draw_teacher(["a", "b"], row, 7) for row in ROWS}
    three = {row: draw_teacher(["c", "a", "b"], row, 7) for row in ROWS}
    assert {row for row in ROWS if two[row] != three[row]} == {r for r in ROWS if three[r] == "c"}
    assert all(70 < n < 130 for n in Counter(three.values()).values())
    assert two != {row: draw_teacher(["a", "b"], row, 8) for row in ROWS}


def test_each_teacher_is_the_maker_with_its_own_model_and_licence() -> None:
    served = {"model": "b", "endpoint": SERVER, "few_shot": "urial"}
    block = Answer.model_validate({"teachers": ({"model": "b", "license": "MIT"}, served)})
    alone = Answer.model_validate({"license": "Other"}).model_copy(
        update={"teachers": block.teachers}
    )
    first, second = alone.by_teacher()
    assert (first.model, first.license, first.endpoint, first.few_shot) == ("b", "MIT", None, None)
    assert (second.model, second.license, second.few_shot) == ("b", "Other", "urial")
    assert second.endpoint is not None and not first.teachers
    plain = Answer()
    assert plain.by_teacher() == [plain]


@pytest.mark.parametrize(
    ("block", "kind", "told"),
    [
        ({"teachers": ({"model": "a"}, {"model": "a"})}, Answer, "two teachers are the same model"),
        ({"teachers": TWO, "endpoint": SERVER}, Answer, "give `endpoint` and `few_shot` to each"),
        ({"method": "self_instruct", "teachers": TWO}, SelfInstruct, "set row_goes_to: all"),
        (
            {"method": "repair", "prompts": "all", "temperature": 0, "teachers": TWO},
            Repair,
            "name one `model`, and no teachers",
        ),
        (
            {
                "method": "magpie",
                "row_goes_to": "all",
                "teachers": ({"model": "a", "few_shot": "f"},),
            },
            Magpie,
            "goes on from the chat template",
        ),
        (
            {
                "method": "magpie",
                "row_goes_to": "all",
                "teachers": ({"model": "a", "endpoint": SERVER},),
            },
            Magpie,
            "name as template_model",
        ),
    ],
)
def test_teachers_that_could_not_work_are_refused(
    block: dict[str, object], kind: type[AnyMaker], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        kind.model_validate(block)


def test_a_maker_of_the_whole_pool_is_run_with_each() -> None:
    block = {"method": "self_instruct", "teachers": TWO, "row_goes_to": "all"}
    assert [each.model for each in SelfInstruct.model_validate(block).by_teacher()] == ["a", "b"]
    assert (
        Teacher(model="a").name != Teacher.model_validate({"model": "a", "endpoint": SERVER}).name
    )


@pytest.fixture
def wordy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each model answers with its name, and the sum in the question."""

    def named(block: AnsweringBlock, requests: Path, identity: str) -> ScriptedModel:
        def say(text: str, seed: int) -> str:
            a, b = (int(word.strip("?")) for word in text.split() if word.strip("?").isdigit())
            return f"{identity} has {a + b}"

        return ScriptedModel(say)

    monkeypatch.setattr(AnsweringBlock, "identity", lambda self: self.model)
    monkeypatch.setattr(AnsweringBlock, "generator", named)


def lineage_of(folder: Path, block: AnyMaker) -> list[tuple[str, str | None, str, str]]:
    """Model, licence, response and question of each row that is made."""
    with kept_attached():
        run, pool = begin(folder, write_sums(folder))
        for maker in block.by_teacher():
            make(run, maker, pool)
        with read_workspace(run.workspace) as con:
            return con.execute(
                "select model, settings ->> '$.license', e.response, e.prompt "
                "from lineage join examples e using (example_id) order by all"
            ).fetchall()


@pytest.mark.usefixtures("wordy")
def test_rows_say_which_teacher_wrote_them_and_under_which_licence(tmp_path: Path) -> None:
    made = lineage_of(tmp_path, Answer.model_validate({"prompts": "all", "teachers": TWO}))
    assert len(made) == 8 and len({prompt for *_, prompt in made}) == 8
    assert {(model, license) for model, license, *_ in made} == {("a", "MIT"), ("b", None)}
    assert all(response.startswith(f"{model} has") for model, _, response, _ in made)


@pytest.mark.usefixtures("wordy")
def test_all_teachers_work_on_all_rows_also_where_these_are_replaced(tmp_path: Path) -> None:
    block = {
        "method": "rejection",
        "samples": 1,
        "gold": "never",
        "row_goes_to": "all",
        "teachers": TWO,
    }
    made = lineage_of(tmp_path, Rejection.model_validate(block))
    assert Counter(model for model, *_ in made) == {"a": 8, "b": 8}


def test_a_limit_is_of_all_teachers_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asks = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    rows = [Example(f"e{n}", f"p{n}", asks, [], 1, "Why?", "So.", (1,)) for n in range(60)]
    monkeypatch.setattr(FinalAnswer, "takes", lambda self, example: True)
    for maker in (Answer(prompts="all"), Rejection(method="rejection")):
        chosen = maker.model_copy(update={"limit": 20}).choose(rows, 0)
        block = type(maker).model_validate(maker.model_dump() | {"limit": 20, "teachers": TWO})
        parts = [each.choose(rows, 0) for each in block.by_teacher()]
        assert all(parts) and sorted(chain(*parts)) == chosen, type(maker)
