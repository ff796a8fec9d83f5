"""What is asked of an entry, and what answers it."""

import pytest

from recipes.demo_data import questions
from recipes.demo_data.assembly import PLAN, Asker
from recipes.demo_data.documentation import Entry

DOC = (
    "Return the number of words in a text. A word is what stands between spaces, as readers see it."
)


def entry(doc: str = DOC) -> Entry:
    return Entry("text.count_words", "text", "function", doc, "(text, /)")


def test_every_question_kind_has_answers_to_spare() -> None:
    # Another version of Python documents less: a plan without slack would fail there.
    asker = Asker()
    for ask, count in PLAN:
        assert len(asker.ask(ask, count + count // 3)) > count


def test_asks_no_question_twice() -> None:
    asker = Asker()
    first, second = (asker.ask(questions.ask_source, 20) for _ in range(2))
    assert not {one.subject for one in first} & {one.subject for one in second}


def test_says_how_many_answers_there_are_when_too_few() -> None:
    with pytest.raises(ValueError, match=r"ask_everything: this Python answers \d+, not 500"):
        Asker().ask(questions.ask_everything, 500)


@pytest.mark.parametrize(
    "doc",
    [
        "count_words(text) -> int\n\nReturn the number of words in a text.",
        "See split() for what is a word in a text and what is none.",
        "return the number of words in a text",
        "Number of words.",
        "Deprecated: use len(text.split()) to count the words of a text.",
    ],
)
def test_some_docstrings_are_no_answer(doc: str) -> None:
    assert questions.is_answer(DOC)
    assert not questions.is_answer(doc)


def test_purpose_is_asked_where_the_answer_is_neither_bare_nor_long() -> None:
    assert questions.ask_purpose(entry()) is None
    dialogue = questions.ask_purpose(entry(DOC + " " + DOC + "."))
    assert dialogue is not None and dialogue.turns[1].startswith(DOC)
    assert questions.ask_purpose(entry(" ".join([DOC] * 8))) is None


def test_exceptions_are_the_sentences_that_name_one() -> None:
    doc = f"{DOC} If the text is empty, a ValueError is raised. It never raises a TypeError."
    dialogue = questions.ask_exceptions(entry(doc))
    assert dialogue is not None
    assert dialogue.turns[1] == (
        "If the text is empty, a ValueError is raised. It never raises a TypeError."
    )
    assert questions.ask_exceptions(entry("Count. If it is empty, a ValueError is raised.")) is None


def test_candidates_grow() -> None:
    sentence, whole, called = questions.ask_candidates(entry(DOC + " " + DOC + "."))
    assert sentence.turns[1] == "Return the number of words in a text."
    assert called.turns[1] == whole.turns[1] + "\n\nIt is called as `text.count_words(text, /)`."
    assert len({one.turns[0] for one in (sentence, whole, called)}) == 1


def test_summary_shows_the_code_without_its_docstring() -> None:
    code = Asker().ask(questions.ask_summary, 20)
    for dialogue in code:
        assert dialogue.context is not None and dialogue.context.startswith(("def ", "@"))
        assert dialogue.turns[1] not in dialogue.context
        compile(dialogue.context, "<context>", "exec")
