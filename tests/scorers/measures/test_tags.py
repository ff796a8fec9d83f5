import pytest

from scorers.measures.protocols import GeneratedAnswer, GenerationFailure
from scorers.measures.tags import (
    QUESTION,
    TagReply,
    by_frequency,
    check_question,
    name_tags,
    read_reply,
    read_tags,
    stem,
    stem_names,
    tag_request,
)


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("Python, Unit-Testing, sorting", ["python", "unit testing", "sorting"]),
        ("Tags: #python; #python; Data  Science.", ["python", "data science"]),
        ("1. essay\n2) 3 paragraphs\n- formal tone\n", ["essay", "3 paragraphs", "formal tone"]),
        ('["C#", "c++", ".NET"]', ["c#", "c++", ".net"]),
        ("**Poem**, Here is a poem about the sea, rhyme", ["poem", "rhyme"]),
        (" , ;\n", []),
    ],
)
def test_a_list_is_read_as_tags(text: str, tags: list[str]) -> None:
    assert read_tags(text) == tags


def test_what_is_no_whole_list_has_no_tags() -> None:
    assert read_reply(GeneratedAnswer("a, b", 4, finished=True)) == TagReply("ok", None, ["a", "b"])
    cut = read_reply(GeneratedAnswer("a, b", 4, finished=False))
    none = read_reply(GeneratedAnswer("I cannot say what that asks for", 4, finished=True))
    long = read_reply(GenerationFailure("context_length", "too long"))
    down = read_reply(GenerationFailure("timeout", "60 s"))
    assert [each.state for each in (cut, none, long, down)] == [
        "failed",
        "failed",
        "truncated",
        "failed",
    ]
    assert all(each.tags is None for each in (cut, none, long, down))
    assert "cut_off" in str(cut.detail) and "no_tags" in str(none.detail)


def test_a_question_shows_the_prompt_and_is_answered_with_the_likeliest_tokens() -> None:
    request = tag_request("Tag {prompt}!", [{"role": "user", "content": "{prompt} {x}"}], 9)
    assert request.messages == [{"role": "user", "content": "Tag {prompt} {x}!"}]
    assert (request.temperature, request.max_new_tokens, request.seed) == (0.0, 9, 0)


@pytest.mark.parametrize("template", ["tag it", "{prompt} {response}", "{promt}"])
def test_a_question_that_cannot_be_put_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"has \{prompt\} in it and no other name"):
        check_question(template)


def test_the_built_in_question_can_be_put() -> None:
    check_question(QUESTION)


@pytest.mark.parametrize(
    ("tag", "singular"),
    [
        ("unit tests", "unit test"),
        ("queries", "query"),
        ("classes", "classe"),  # the rules take one letter; all that counts is that both agree
        ("trees", "tree"),
        ("virus", "virus"),
        ("css", "css"),
        ("gas", "gas"),
    ],
)
def test_a_stem_is_the_singular(tag: str, singular: str) -> None:
    assert stem(tag) == singular


ROWS = [["loops", "python"], ["loop", "python"], ["loops"], ["rust"], ["a"], ["b"]]


def test_tags_with_one_stem_take_the_name_that_most_rows_wrote() -> None:
    names = stem_names(ROWS)
    assert names["loop"] == names["loops"] == "loops"
    assert names["python"] == "python"
    assert by_frequency(ROWS, names) == ["loops", "python", "a", "b", "rust"]
    assert stem_names([["dogs"], ["dog"]]) == {"dog": "dog", "dogs": "dog"}, "then the alphabet"


def test_a_row_has_each_name_once_and_rare_ones_go() -> None:
    names = stem_names(ROWS)
    named = [["loops", "python"], ["loops", "python"], ["loops"], [], [], []]
    assert name_tags(ROWS, names, 2) == named
    assert name_tags([["loop", "loops"], ["x"]], names, 1) == [["loops"], ["x"]]
    assert name_tags([["loop", "loops"]], names, 2) == [[]], "one row is one row"
    assert name_tags(ROWS, names, 3)[0] == ["loops"]
