"""Self-Instruct: which instructions are new, what is drawn, and the row of an instance."""

from pipeline.generation.instruction_lists import TaskInstance
from pipeline.generation.makers.self_instruct import (
    SelfInstruct,
    TaskPool,
    draw_shown,
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


def test_at_the_threshold_an_instruction_stays_and_above_it_goes() -> None:
    pool = TaskPool({"a": "one two three four five six seven eight nine ten"})
    # 7 of 10 words are the same, in order: F = 14 / 20
    assert pool.fault("one two three four five six seven x y z", 0.7) == ""
    assert pool.fault("one two three four five six seven eight u v", 0.7) == "too_similar"
    assert pool.fault("one two three four five six seven x y z", 0.7) == "too_similar"
    assert len(pool.accepted) == 1


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


def test_what_is_shown_is_drawn_by_number_and_seed_alone() -> None:
    pool = TaskPool({f"seed {n}": f"Do the thing number {n} now." for n in range(20)})
    shown = draw_shown(SETTINGS, pool, 0, 3)
    assert len(shown[0]) == SETTINGS.shown_seeds and shown[1] == []
    other = TaskPool(dict(sorted(pool.seeds.items(), reverse=True)))
    assert draw_shown(SETTINGS, other, 0, 3) == shown
    assert draw_shown(SETTINGS, pool, 0, 4) != shown != draw_shown(SETTINGS, pool, 1, 3)


def test_a_row_is_the_instruction_with_its_input_and_the_output() -> None:
    asked, answered = task_row("Translate.", TaskInstance("chat", "cat")).messages
    assert (asked["content"], answered["content"]) == ("Translate.\n\nchat", "cat")
    assert task_row("Say hello.", TaskInstance("", "hello")).messages[0]["content"] == "Say hello."
