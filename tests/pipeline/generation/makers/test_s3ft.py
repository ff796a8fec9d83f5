"""S3FT: one target for each row, which is the first of three that the judge lets pass."""

from pathlib import Path

import pytest

from pipeline.generation.makers.s3ft import S3FT, fault_of_paraphrase, make_by_s3ft
from scorers.measures.protocols import GeneratedAnswer
from storage.database import read_workspace
from storage.examples import Example, read_pool
from tests.scripted_maker import begin, make, script, write_sums

SOURCE = Example(
    "id",
    "prompt",
    [{"role": "user", "content": "2 + 4?"}, {"role": "assistant", "content": "It is 6"}],
    [],
    1,
    "2 + 4?",
    "It is 6",
    [1],
)


def target(*replies: str, judge: str = "final_answer") -> tuple[str, str, list[str]]:
    """How the target was made, what it says, and the stages that were asked."""
    making = make_by_s3ft(S3FT.model_validate({"method": "s3ft", "judge": judge}), SOURCE)
    stages, given = [], iter(replies)
    try:
        wanted = next(making)
        while True:
            stages += [ask.stage for ask in wanted.asks]
            wanted = making.send([GeneratedAnswer(next(given), 1, finished=True)])
    except StopIteration as ended:
        (row,) = (each for each in ended.value if each.row)
        return row.reason, row.row.messages[-1]["content"], stages


def test_the_first_that_is_right_is_the_target() -> None:
    assert target("so 6.0") == ("model", "so 6.0", ["model"])
    assert target("7", "count on: 6") == ("paraphrase", "count on: 6", ["model", "paraphrase"])
    assert target("7", "8") == ("gold", "It is 6", ["model", "paraphrase"])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("it is 6.", "copy_of_gold"),
        ("According to the reference answer it is 6", "speaks_of_hint"),
        ("Write your own response to the question above, in your own words: 6", "repeats_prompt"),
        ("Four and two are 6", ""),
    ],
)
def test_a_paraphrase_that_shows_where_it_is_from_is_none(text: str, fault: str) -> None:
    assert fault_of_paraphrase(SOURCE, text) == fault
    assert target("7", text)[0] == ("gold" if fault else "paraphrase")


def test_a_model_judges_and_is_asked_again_when_it_says_neither() -> None:
    judged = "judge model"
    assert target("six", "Yes.", judge="model") == ("model", "six", ["model", judged])
    assert target("six", "hm", "yes", judge="model")[2] == ["model", judged, judged]
    reason, _, stages = target("x", "hm", "hm", "count: six", "No", judge="model")
    assert reason == "gold" and stages[-1] == "judge paraphrase"


@pytest.mark.parametrize(("verdict", "stays"), [("yes", False), ("no", True)])
def test_a_judge_of_one_mind_gives_all_answers_or_all_the_given_ones(
    verdict: str, stays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(text: str, seed: int) -> str:
        return verdict if "one word" in text else f"mine, to {text.split('?')[0]}"

    script(monkeypatch, say)
    run, pool = begin(tmp_path, write_sums(tmp_path))
    _, grown = make(run, S3FT(method="s3ft", judge="model"), pool)
    with read_workspace(run.workspace) as con:
        given = read_pool(con, run.source_ids)
    assert len(grown) == len(pool), "one target for each row"
    assert (grown == given) == stays and {*grown}.isdisjoint(given) != stays
