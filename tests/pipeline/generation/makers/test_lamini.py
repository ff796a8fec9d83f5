"""LaMini: topics in every second prompt, and an answer to each instruction as it stands."""

from pipeline.generation.maker import Ask, Settled
from pipeline.generation.maker_block import WHOLE_POOL
from pipeline.generation.makers.lamini import LaMini
from scorers.measures.protocols import GeneratedAnswer
from storage.examples import Example

SETTINGS = LaMini(
    method="lamini", instructions=5, prompts_at_most=4, shown_seeds=1, topics=("tea", "whales")
)

SEEDS = [
    Example(f"seed {n}", "p", [{"role": "user", "content": text}], [], None, text, "")
    for n, text in enumerate(("Name a river in the north.", "Say what seven times eight is."))
]

NEW = (
    "Tell of a cow and of its calf.",
    "Sum up what a lawyer does all day.",
    "Explain how ships are steered at sea.",
    "Guess why owls are said to be wise.",
)


def run(settings: LaMini, *answers: str) -> tuple[list[Settled], list[Ask]]:
    """One new task to each prompt, and these answers to the tasks."""
    making = settings.makings(SEEDS, 0)[WHOLE_POOL]
    wanted = next(making)
    asked: list[Ask] = []
    settled: list[Settled] = []
    try:
        while True:
            asked += wanted.asks
            settled += wanted.settled
            said = [
                f"2. {NEW[ask.attempt]}" if ask.stage == "instructions" else answers[ask.attempt]
                for ask in wanted.asks
            ]
            wanted = making.send([GeneratedAnswer(text, 2, True) for text in said])
    except StopIteration as ended:
        return [*settled, *ended.value], asked


def text_of(ask: Ask) -> str:
    return str(ask.messages[-1]["content"])


def test_every_second_prompt_has_a_topic_in_turn() -> None:
    _, asked = run(SETTINGS, *"abcd")
    assert [text_of(ask) for ask in asked[:4]] == [
        f"Write 8 more{about}, numbered from 2 to 9."
        for about in (", on other topics", " about tea", ", on other topics", " about whales")
    ]
    assert {len(ask.messages) for ask in asked[:4]} == {3}, "one seed is shown"
    _, plain = run(SETTINGS.model_copy(update={"topics": ()}), *"abcd")
    assert {text_of(ask) for ask in plain[:4]} == {text_of(asked[0])}


def test_a_row_is_an_instruction_and_its_answer_and_descends_from_what_was_shown() -> None:
    settled, asked = run(SETTINGS, "a cow", "I'm sorry, but I cannot help.", "and so", "  owls\n")
    assert [text_of(ask) for ask in asked[4:]] == [*NEW], "nothing stands around it"
    assert [each.reason for each in settled] == ["answer", "refusal", "no_content", "answer"]
    rows = [each.row for each in settled if each.row]
    assert [[m["content"] for m in row.messages] for row in rows] == [
        [NEW[0], "a cow"],
        [NEW[3], "owls"],
    ]
    shown = [str(ask.messages[1]["content"]).partition(". ")[2] for ask in asked[:4]]
    names = {seed.prompt: seed.example_id for seed in SEEDS}
    assert [each.parents for each in settled] == [[names[text]] for text in shown]
    assert settled[0].replies == [("instructions", 0), ("answer", 0)]
