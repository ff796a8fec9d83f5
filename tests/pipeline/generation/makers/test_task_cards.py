"""Task cards: every row is of its card's form, and labels come about alike."""

import json
from collections import Counter
from collections.abc import Sequence

import pytest
from pydantic import ValidationError

from pipeline.generation.json_replies import read_json_object
from pipeline.generation.maker import Ask, Settled, Unread
from pipeline.generation.makers.task_cards import TaskCard, TaskCards
from scorers.measures.protocols import GeneratedAnswer, JsonForm
from storage.documents import SourcePassage

TEXT = "A swarm leaves the hive in May. Mites are counted in July."
PASSAGE = SourcePassage("a" * 32, "document", ["Bees", "The year"], 0, len(TEXT), TEXT)

MONTH = {"name": "month", "instructions": ["Name the month."], "labels": ["May", "July"]}
FORM = {
    "name": "form",
    "instructions": ["Fill in the form."],
    "fields": {"what": "what is done", "when": "the month"},
}
TITLE = {"name": "title", "instructions": ["Give a title."], "input": "passage"}


def task_cards(*cards: object, **fields: object) -> TaskCards:
    return TaskCards.model_validate({"method": "task_cards", "cards": cards, **fields})


def run(
    settings: TaskCards, *replies: object, passage: SourcePassage = PASSAGE, seed: int = 0
) -> tuple[list[Settled], Sequence[Ask]]:
    making = settings.makings([passage], seed)[passage.passage_id]
    asks = next(making).asks
    texts = [each if isinstance(each, str) else json.dumps(each) for each in replies]
    assert len(asks) == len(texts)
    with pytest.raises(StopIteration) as ended:
        making.send([GeneratedAnswer(text, 3, True) for text in texts])
    return ended.value.value, asks


def said_in(settled: Settled) -> list[str]:
    assert settled.row is not None, settled.reason
    return [str(message["content"]) for message in settled.row.messages]


def test_each_card_has_rows_of_its_own_form() -> None:
    output = {"when": "July", "what": "count"}
    settled, asks = run(
        task_cards(MONTH, FORM, TITLE),
        {"input": "The bees leave."},
        {"input": "Mites, in July.", "output": output},
        {"output": "Swarms"},
    )
    drawn = next(label for label in ("May", "July") if f"right output: {label}." in shown(asks[0]))
    assert [said_in(each) for each in settled] == [
        ["Name the month.\n\nThe bees leave.", drawn],
        ["Fill in the form.\n\nMites, in July.", '{"what": "count", "when": "July"}'],
        [f"Give a title.\n\n{TEXT}", "Swarms"],
    ]
    assert [each.reason for each in settled] == ["month: row", "form: row", "title: row"]
    assert "Bees > The year" in shown(asks[1]) and '"what": what is done' in shown(asks[1])


def shown(ask: Ask) -> str:
    return str(ask.messages[0]["content"])


@pytest.mark.parametrize(
    ("card", "reply", "reason"),
    [
        (MONTH, "May", "no_json"),
        (MONTH, {"input": "It is May or July."}, "says_label"),
        (MONTH, {"input": "As the passage says, bees leave."}, "speaks_of_passage"),
        (MONTH, {"input": ""}, "other_json"),
        (FORM, {"input": "Bees swarm.", "output": {"what": "swarm"}}, "other_json"),
        (FORM, {"input": "Bees swarm.", "output": {"what": "a", "when": "b", "who": "c"}},
         "other_json"),
        ({**MONTH, "input": "passage"}, {"output": "June"}, "other_json"),
        (TITLE, {"output": "I'm sorry, but I cannot help with that."}, "refusal"),
        (TITLE, {"output": "This task is given again and again, each time with another input"},
         "repeats_prompt"),
    ],
)  # fmt: skip
def test_what_does_not_fit_its_card_makes_no_row(card: object, reply: object, reason: str) -> None:
    (settled,), _ = run(task_cards(card), reply)
    assert settled.row is None
    assert settled.reason.partition(": ")[2] == reason


def test_a_passage_is_sorted_by_the_model_and_may_say_its_label() -> None:
    (settled,), (ask,) = run(task_cards({**MONTH, "input": "passage"}), {"output": "May"})
    assert said_in(settled) == [f"Name the month.\n\n{TEXT}", "May"]
    spoken = SourcePassage("c" * 32, "document", [], 0, 9, "The passage above tells it.")
    (settled,), _ = run(task_cards(TITLE), {"output": "What is told"}, passage=spoken)
    assert settled.row is not None, "it is what there is, and not made up"
    assert isinstance(ask.form, JsonForm)
    six = GeneratedAnswer('{"output": "June"}', 3, True)
    assert read_json_object(six, ask.form) == Unread("other_json")


def test_labels_and_instructions_are_drawn_alike_and_by_passage() -> None:
    tasks = ["Name the month.", "Which month is it?"]
    two = {**MONTH, "instructions": tasks, "rows_each": 200}
    _, asks = run(task_cards(two), *["no"] * 200)
    found = Counter(
        (task, label)
        for ask in asks
        for task in tasks
        for label in ("May", "July")
        if task in shown(ask) and f"right output: {label}." in shown(ask)
    )
    assert sum(found.values()) == 200 and min(found.values()) > 30 and len(found) == 4
    one_task = {**MONTH, "rows_each": 20}
    other = SourcePassage("b" * 32, "document", PASSAGE.headings, 0, len(TEXT), TEXT)
    (_, here), (_, there), (_, later) = (
        run(task_cards(one_task), *["no"] * 20, passage=each, seed=seed)
        for each, seed in ((PASSAGE, 0), (other, 0), (PASSAGE, 1))
    )
    assert [*map(shown, here)] != [*map(shown, there)] and [*map(shown, here)] != [
        *map(shown, later)
    ]


def test_an_output_passes_verifiers() -> None:
    settings = task_cards(TITLE, verify=[{"method": "constraints", "words_at_most": 1}])
    (settled,), _ = run(settings, {"output": "Two words"})
    assert (settled.row, settled.reason) == (None, "title: too_long")


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ({**MONTH, "fields": {"a": "b"}}, "labels or fields"),
        ({**MONTH, "labels": ["May"]}, "two or more"),
        ({**MONTH, "labels": ["May", "May"]}, "two or more"),
        ({**TITLE, "rows_each": 2}, "one input"),
        ({**TITLE, "instructions": []}, "at least 1"),
        ({**TITLE, "output_is": "two\nlines"}, "pattern"),
    ],
)
def test_cards_that_say_two_things_are_refused(card: object, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        TaskCard.model_validate(card)


def test_cards_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(ValidationError, match="two cards have one name: title, title"):
        task_cards(TITLE, TITLE)
    with pytest.raises(ValidationError, match="at temperature 0"):
        task_cards({**MONTH, "rows_each": 2}, temperature=0)
