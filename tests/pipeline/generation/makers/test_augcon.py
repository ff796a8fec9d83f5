"""AugCon: trees of texts, questions in the ranker's order, answers from each question's text."""

import json
from collections.abc import Callable, Sequence

import pytest

from pipeline.generation.maker import Ask, Making, Settled
from pipeline.generation.makers.augcon import (
    AugCon,
    Grown,
    Node,
    choose_nodes,
    most_wanted,
    parts_of,
)
from scorers.measures.protocols import GeneratedAnswer
from storage.documents import SourcePassage

TEXT = "one two three four five six seven eight nine ten eleven twelve thirteen"
PASSAGE = SourcePassage("a" * 32, "document", [], 0, len(TEXT), TEXT)
OTHER = SourcePassage("b" * 32, "document", [], 0, len(TEXT), TEXT.upper())


def block(**fields: object) -> AugCon:
    given = {"method": "augcon", "characters_each": 12, "ranker": "none", "trees": 1}
    return AugCon.model_validate({**given, **fields})


def run(making: Making, say: Callable[[Ask], str]) -> tuple[list[Settled], list[Ask]]:
    settled: list[Settled] = []
    asked: list[Ask] = []
    wanted = next(making)
    while True:
        asked += wanted.asks
        settled += wanted.settled
        replies = [GeneratedAnswer(say(ask), 3, finished=True) for ask in wanted.asks]
        try:
            wanted = making.send(replies)
        except StopIteration as ended:
            return [*settled, *ended.value], asked


def text_of(ask: Ask) -> str:
    return str(ask.messages[-1]["content"])


def say(ask: Ask) -> str:
    """Half of the words to each side; the question is the first word of the text."""
    if ask.stage.startswith("answer"):
        return f"Answer of {ask.stage[-8:]}"
    words = text_of(ask).rpartition("\n")[2].split()
    half = len(words) // 2
    return json.dumps(
        {
            "question": f"Asks {words[0]} {len(words)}?",
            "first": " ".join(words[:half]),
            "second": " ".join(words[half:]),
        }
    )


def rows(settled: Sequence[Settled]) -> list[str]:
    return [str(each.row.messages[0]["content"]) for each in settled if each.row]


def test_every_question_is_of_a_node_of_the_tree_and_answered_from_its_text() -> None:
    settings = block(questions_at_most=3)
    settled, asked = run(settings.makings([PASSAGE], 0)[PASSAGE.passage_id], say)
    splits = [ask for ask in asked if ask.stage.startswith("split")]
    texts = [text_of(ask).rpartition("\n")[2] for ask in splits]
    assert texts[0] == TEXT and all(each in TEXT for each in texts)
    assert [ask.stage.split()[-1] for ask in splits] == ["0", "00", "01", "011"]
    assert all(len(each) < len(TEXT) for each in texts[1:])
    for ask in asked:
        if ask.stage.startswith("answer"):
            node = next(at for at, each in enumerate(splits) if each.stage[6:] == ask.stage[7:])
            assert text_of(ask).startswith(texts[node] + "\n")
    kept = [each for each in settled if each.row]
    assert len(kept) == 3 and {each.reason for each in kept} == {"depth 0", "depth 1"}
    assert [each.reason for each in settled if not each.row] == ["over_quota"]
    assert {tuple(each.parents) for each in settled} == {(PASSAGE.passage_id,)}


def test_no_row_has_the_text_unless_the_answer_says_it() -> None:
    settled, _ = run(block().makings([PASSAGE], 0)[PASSAGE.passage_id], say)
    for each in settled:
        assert each.row is None or TEXT not in str(each.row.messages)


def test_a_model_that_gives_no_json_ends_in_counted_drops() -> None:
    settings = block(attempts=3, trees=2)
    settled, asked = run(settings.makings([PASSAGE], 0)[PASSAGE.passage_id], lambda ask: "1, 2")
    assert [(ask.kind, ask.attempt) for ask in asked] == [
        ("generate", 0),
        ("retry", 1),
        ("retry", 2),
    ] * 2
    assert [(each.row, each.reason) for each in settled] == [(None, "no_json")] * 2
    bounds = settings.calls_for(1)
    assert bounds["generate"].fewest == 1 and bounds["retry"].most >= 4


def test_another_tree_grows_where_one_gave_too_few() -> None:
    def shallow(ask: Ask) -> str:
        said = json.loads(say(ask)) if ask.stage.startswith("split") else None
        if said is None:
            return say(ask)
        said["question"] = f"Asks {ask.stage[-1]} of the words in it?"
        return json.dumps({**said, "first": TEXT})  # no shorter than the whole

    settings = block(trees=3, questions_at_most=3)
    _, asked = run(settings.makings([PASSAGE], 0)[PASSAGE.passage_id], shallow)
    stages = [ask.stage.split()[-1] for ask in asked if ask.stage.startswith("split")]
    assert stages == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("first", "second", "split"),
    [
        ("one two three four five", "six seven eight nine ten", True),
        ("one two three four five", TEXT, False),  # no shorter
        ("one two three alien words", "six seven eight nine ten", False),  # 3 of 5 words
        ("one two three four alien more of", "six seven eight nine ten", False),  # 4 of 7
        ("one two three four five six seven a b c", "six seven eight nine", True),  # 7 of 10
    ],
)
def test_parts_are_split_further_if_they_are_shorter_and_say_no_more(
    first: str, second: str, split: bool
) -> None:
    found = parts_of(block(shortest=5), "0", TEXT, {"first": first, "second": second})
    assert found == ([("00", first), ("01", second)] if split else [])


def test_a_text_below_the_shortest_is_not_asked_about() -> None:
    settings = block(shortest=20)
    nineteen, twenty = "x" * 19, "y" * 20
    whole = f"{nineteen} {twenty} z"
    assert parts_of(settings, "0", whole, {"first": nineteen, "second": twenty}) == [("01", twenty)]
    for text, taken in ((nineteen, False), (twenty, True)):
        passage = SourcePassage("a", "b", [], 0, 9, text)
        assert settings.takes(passage) is taken


def test_the_quota_is_of_characters_and_what_is_wanted_is_more() -> None:
    settings = block(characters_each=35, questions_at_most=20)
    assert [settings.quota("x" * n) for n in (34, 35, 70, 71, 10_000)] == [0, 1, 2, 2, 20]
    assert [most_wanted(n) for n in (1, 2, 20)] == [2, 3, 23]


def chosen(settings: AugCon, questions: Sequence[str], scores: Sequence[float]) -> list[str]:
    nodes = [Node(f"0{at}", TEXT, text, []) for at, text in enumerate(questions)]
    stay, fell = choose_nodes(settings, Grown(PASSAGE, nodes), scores)
    assert len(stay) + len(fell) == len(nodes)
    return [node.question for node in stay]


def test_questions_stay_by_their_scores_and_equal_ones_in_their_order() -> None:
    questions = ["a b", "c d", "e f", "g h"]
    settings = block(questions_at_most=3)
    assert chosen(settings, questions, [0, 0, 0, 0]) == ["a b", "c d", "e f"]
    assert chosen(settings, questions, [0, 2, 1, 3]) == ["g h", "c d", "e f"]


def test_what_is_alike_goes_by_precision_or_f_from_the_bound_on() -> None:
    seven, ten = "a b c d e f g", "a b c d e f g x y z"
    # Of ten words seven are kept already: 0.7 is too much, and 6 of 9 are not.
    assert chosen(block(), [seven, ten], [1, 0]) == [seven]
    assert chosen(block(), ["a b c d e f", "a b c d e f x y z"], [1, 0])[1:] != []
    # The other way round all seven words are there: P = 1, F = 14 / 17.
    assert chosen(block(), [ten, seven], [1, 0]) == [ten]
    wide = "a b c d e f g " + " ".join(f"n{n}" for n in range(20))
    assert chosen(block(), [wide, seven], [1, 0]) == [wide]  # P = 1
    assert chosen(block(similarity="f"), [wide, seven], [1, 0]) == [wide, seven]  # F = 0.41


def test_a_ranker_learns_from_worse_questions_and_orders_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = block(ranker="contrastive", questions_at_most=3, worse_each=1)
    monkeypatch.setattr(
        "pipeline.generation.makers.augcon.resolve_model",
        lambda name: type("Resolved", (), {"fingerprint": "f"}),
    )

    def train_or_say(ask: Ask) -> str:
        if ask.kind != "train":
            return say(ask)
        task = json.loads(text_of(ask))
        assert len(task["pairs"]) == 3 and len(task["questions"]) == 8
        # The last of each passage is the best.
        return json.dumps([float(at) for at in range(8)])

    making = settings.makings([PASSAGE, OTHER], 3)[""]
    settled, asked = run(making, train_or_say)
    weak = [ask for ask in asked if ask.stage.startswith("worse")]
    assert [len(ask.messages) for ask in weak] == [7, 3, 3], "3 examples, 1, 1"
    kinds = [ask.kind for ask in asked]
    assert kinds.count("train") == 1 and len(rows(settled)) == 6
    of_first = [each for each in settled if each.row and each.parents == [PASSAGE.passage_id]]
    assert of_first[0].replies[0][0].endswith(" 011"), "the one with the highest number"
    reasons = [each.reason for each in settled if not each.row]
    assert reasons.count("worse_question") == 3 and reasons.count("ranker") == 1
    named = {place for each in settled for place in each.replies}
    assert named == {ask.place for ask in asked}
