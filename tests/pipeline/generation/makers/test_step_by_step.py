"""Distilling step-by-step: where a reply is cut, and what makes a row of each kind."""

import pytest
from pydantic import ValidationError

from pipeline.generation.maker import Unread
from pipeline.generation.makers.step_by_step import (
    CUE,
    StepByStep,
    make_by_step_by_step,
    read_rationale,
)
from scorers.measures.protocols import GeneratedAnswer
from storage.examples import Example


def source(answer: str | None = "It is 6") -> Example:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 4?"}]
    if answer is None:
        return Example("id", "p", messages, [], None, "2 + 4?", "")
    messages.append({"role": "assistant", "content": answer})
    return Example("id", "p", messages, [], 2, "2 + 4?", answer, [2])


def block(**fields: object) -> StepByStep:
    return StepByStep.model_validate({"method": "step_by_step", **fields})


def rows(reply: str, given: str | None = "It is 6", **fields: object) -> dict[str, list[str]]:
    """Reason → the messages of the row, of what is one; the reasons of the others with none."""
    making = make_by_step_by_step(block(**fields), source(given))
    (ask,) = next(making).asks
    assert ask.messages[0]["content"] == "Be brief." and "2 + 4?" in ask.messages[-1]["content"]
    with pytest.raises(StopIteration) as ended:
        making.send([GeneratedAnswer(reply, 9, finished=True)])
    return {
        each.reason: [m["content"] for m in each.row.messages] if each.row else []
        for each in ended.value.value
    }


def test_a_row_of_each_kind_on_the_prompt_with_its_prefix() -> None:
    assert rows("Four and two are six. So the answer is 7.") == {
        "given": ["Be brief.", "predict: 2 + 4?", "It is 6"],
        "rationale": ["Be brief.", "explain: 2 + 4?", "Four and two are six."],
    }


def test_the_label_of_the_model_stands_where_none_is_given() -> None:
    said = "Count on. The answer is 6."
    for made in (rows(said, None), rows(said, label="model")):
        assert made["label"][1:] == ["predict: 2 + 4?", "6"] and made["rationale"]
    assert rows("no idea", None) == {"no_answer": []}


@pytest.mark.parametrize(
    ("reply", "rationale", "label"),
    [
        ("First this.\nSo the answer is 6.", "First this.", "6"),
        ("A. Answer: 6", "A.", "6"),
        ("It seems the answer is 5. But no: the answer is 6.", "It seems", "6"),
        ("So the answer is a knife", "", "a knife"),
        ("Answer: 5? I would say the answer is 6", "", "6"),
        ("He answers that it is so. THE FINAL ANSWER IS: no", "He answers that it is so.", "no"),
    ],
)
def test_a_rationale_ends_at_the_first_cue_and_the_label_stands_behind_the_last(
    reply: str, rationale: str, label: str
) -> None:
    assert read_rationale(GeneratedAnswer(reply, 9, finished=True)) == (rationale, label)
    assert not CUE.search(rationale)


def test_what_is_no_rationale_leaves_the_label() -> None:
    assert rows("So the answer is 6") == {"given": rows("x")["given"], "no_rationale": []}
    assert "no_answer" in rows("Four and two are six.")
    shown = "Of these she gives 2 away, which leaves 12 - 2 = 10. So the answer is 10."
    assert rows(shown)["repeats_prompt"] == []
    cut = read_rationale(GeneratedAnswer("So the answer is 6", 9, finished=False))
    assert cut == Unread("cut_off")


def test_only_right_rationales_are_kept_where_that_is_wanted() -> None:
    said = "Count on. So the answer is {}."
    assert "rationale" in rows(said.format("6.0"), keep="right")
    assert rows(said.format("7"), keep="right")["wrong_answer"] == []
    assert "rationale" in rows(said.format("7"), None, keep="right"), "there is nothing to compare"


def test_two_equal_prefixes_are_refused() -> None:
    with pytest.raises(ValidationError, match="could not tell whether"):
        block(predict_prefix="explain: ")
    assert block(predict_prefix="").takes(source())
