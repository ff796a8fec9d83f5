"""Questions of documents: each leads back to its passage, and its row names what it was shown."""

import json
from collections.abc import Sequence

from pipeline.generation.maker import Ask, Settled
from pipeline.generation.makers.document_questions import (
    DocumentQuestions,
    SearchedPassages,
    find_questions,
)
from pipeline.generation.nearest_passages import PassageIndex
from pipeline.generation.written_text import fault_of_wording
from scorers.measures.protocols import GeneratedAnswer
from storage.documents import SourcePassage

DANUBE, BREAD, RHINE = (
    SourcePassage(name, "document", ["Head"], 0, len(text), text)
    for name, text in (
        ("a" * 32, "The Danube ends in the Black Sea."),
        ("b" * 32, "Yeast breathes out the gas that makes bread rise."),
        ("c" * 32, "The Rhine ends in the North Sea."),
    )
)


def block(**fields: object) -> DocumentQuestions:
    given = {"method": "document_questions", "questions": 2, "retrieved": 2, "tags": False}
    return DocumentQuestions.model_validate({**given, **fields})


def run(settings: DocumentQuestions, *rounds: Sequence[str]) -> tuple[list[Settled], list[Ask]]:
    """What comes of the first of three passages, and what was asked."""
    making = settings.makings([DANUBE, BREAD, RHINE], 3)[DANUBE.passage_id]
    settled: list[Settled] = []
    asked: list[Ask] = []
    wanted, given = next(making), iter(rounds)
    while True:
        asked += wanted.asks
        settled += wanted.settled
        texts = next(given)
        assert len(texts) == len(wanted.asks)
        replies = [GeneratedAnswer(text, 3, finished=True) for text in texts]
        try:
            wanted = making.send(replies)
        except StopIteration as ended:
            assert next(given, None) is None, "all were asked for"
            return [*settled, *ended.value], asked


def questions(*texts: str) -> list[str]:
    return [json.dumps({"questions": texts})]


def text_of(ask: Ask) -> str:
    return str(ask.messages[-1]["content"])


def test_a_question_is_answered_from_what_is_found_and_is_the_prompt() -> None:
    settled, asked = run(
        block(),
        questions("Where does the Danube end?", "What makes bread rise?"),
        ["It ends in the Black Sea."],
    )
    lost, row = settled
    assert (lost.reason, lost.row) == ("not_retrieved", None)
    assert row.row is not None
    assert [m["content"] for m in row.row.messages] == [
        "Where does the Danube end?",
        "It ends in the Black Sea.",
    ]
    assert row.parents == [DANUBE.passage_id]
    assert row.replies == [("questions", 0), ("answer", 0)]
    assert DANUBE.text in text_of(asked[1]) and RHINE.text in text_of(asked[1])
    assert BREAD.text not in text_of(asked[1]), "two are retrieved"


def test_with_context_the_prompt_has_the_passage_and_what_distracts_from_it() -> None:
    settled, _ = run(
        block(context="passages"), questions("Where does the Danube end?"), ["In the Black Sea."]
    )
    (made,) = settled
    assert made.row is not None
    prompt = str(made.row.messages[0]["content"])
    assert DANUBE.text in prompt and RHINE.text in prompt and prompt.endswith("Danube end?")
    assert made.parents == [DANUBE.passage_id, RHINE.passage_id], "its own first"


def test_the_order_of_passages_in_a_prompt_is_drawn() -> None:
    first = set()
    for seed in range(12):
        making = block(context="passages").makings([DANUBE, BREAD, RHINE], seed)["a" * 32]
        next(making)
        made = making.send([GeneratedAnswer(questions("Where does the Danube end?")[0], 3, True)])
        try:
            making.send([GeneratedAnswer("In the Black Sea.", 3, finished=True)])
        except StopIteration as ended:
            prompt = str(ended.value[0].row.messages[0]["content"])
            first.add(prompt.index(DANUBE.text) < prompt.index(RHINE.text))
        assert made.asks
    assert first == {True, False}


def test_a_question_that_leads_elsewhere_or_comes_again_is_not_answered() -> None:
    settings = block(retrieved=1, questions=4)
    passages = [DANUBE, BREAD, RHINE]
    corpus = SearchedPassages(passages, PassageIndex([each.text for each in passages]))
    told = find_questions(
        settings,
        DANUBE,
        corpus,
        [
            "Where does the Danube end?",
            "Where does the Danube end then?",
            "Why does bread rise?",
            "What does the passage say of the Danube?",
        ],
    )
    assert [fault for _, fault in told] == ["", "copy", "not_retrieved", "speaks_of_passage"]


def test_tags_are_asked_first_and_shown_but_their_loss_ends_nothing() -> None:
    settings = block(tags=True)
    asked_for = questions("Where does the Danube end?")
    settled, asked = run(settings, ["Rivers of Europe"], asked_for, ["In the Black Sea."])
    assert "It is about: Rivers of Europe" in text_of(asked[1])
    assert [("tags", 0) in each.replies for each in settled] == [True]
    settled, asked = run(settings, [" "], asked_for, ["In the Black Sea."])
    assert "It is about" not in text_of(asked[1])
    assert [each.reason for each in settled] == ["empty_answer", "none"]


def test_what_is_no_list_of_questions_is_named() -> None:
    for reply, reason in (
        ("1. Where?", "no_json"),
        ('{"questions": []}', "other_json"),
        ('{"questions": ["a", "b", "c"]}', "other_json"),
        ('{"question": ["a"]}', "other_json"),
    ):
        settled, _ = run(block(), [reply])
        assert [(each.row, each.reason) for each in settled] == [(None, reason)], reply


def test_texts_that_need_the_passage_are_none() -> None:
    assert fault_of_wording("What does this text say of bread?", ()) == "speaks_of_passage"
    assert fault_of_wording("Where does the text of a law stand?", ()) == "speaks_of_passage"
    assert fault_of_wording("What is a text?", ()) == ""
    assert fault_of_wording("And so it is.", ()) == "no_content"
    assert fault_of_wording("The passage is about bees", (), alone=False) == ""


def test_the_plan_has_a_call_for_each_question() -> None:
    assert block(tags=True, questions=4).calls_for(3)["generate"][:2] == (6, 6 + 12)
    assert block(questions=4).calls_for(3)["generate"][:2] == (3, 3 + 12)
