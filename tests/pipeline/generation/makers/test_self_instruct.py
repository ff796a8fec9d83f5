"""Self-Instruct: when it ends, and the row of an instance."""

from pipeline.generation.instruction_lists import TaskInstance
from pipeline.generation.makers.self_instruct import (
    SelfInstruct,
    make_by_self_instruct,
    task_row,
)
from scorers.measures.protocols import GeneratedAnswer
from storage.examples import Example

SETTINGS = SelfInstruct(method="self_instruct", instructions=3, prompts_at_most=9)

SEEDS = [
    Example(f"seed {n}", "p", [{"role": "user", "content": text}], [], None, text, "")
    for n, text in enumerate(("Name a river in the north.", "Say what seven times eight is."))
]


def test_it_ends_when_there_are_enough_or_no_more_may_be_asked() -> None:
    making = make_by_self_instruct(SETTINGS, SEEDS, 0)
    asked = 0
    wanted = next(making)
    try:
        while True:
            asked += len(wanted.asks)
            wanted = making.send([GeneratedAnswer("no list", 2, True) for _ in wanted.asks])
    except StopIteration as ended:
        settled = ended.value
    assert asked == SETTINGS.prompts_at_most
    assert {each.reason for each in settled} == {"no_list"}


def test_a_row_is_the_instruction_with_its_input_and_the_output() -> None:
    asked, answered = task_row("Translate.", TaskInstance("chat", "cat")).messages
    assert (asked["content"], answered["content"]) == ("Translate.\n\nchat", "cat")
    assert task_row("Say hello.", TaskInstance("", "hello")).messages[0]["content"] == "Say hello."
