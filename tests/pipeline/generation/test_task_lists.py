"""Lists of tasks: which of them are new, what a prompt shows, and what of it may not come back."""

from pipeline.generation.maker import Ask
from pipeline.generation.makers.self_instruct import SelfInstruct
from pipeline.generation.task_lists import TaskPool, accept, draw_shown
from scorers.measures.protocols import GeneratedAnswer

SETTINGS = SelfInstruct(method="self_instruct", instructions=3, prompts_at_most=9)


def test_at_the_threshold_an_instruction_stays_and_above_it_goes() -> None:
    pool = TaskPool({"a": "one two three four five six seven eight nine ten"})
    # 7 of 10 words are the same, in order: F = 14 / 20
    assert pool.fault("one two three four five six seven x y z", 0.7, ()) == ""
    assert pool.fault("one two three four five six seven eight u v", 0.7, ()) == "too_similar"
    assert pool.fault("one two three four five six seven x y z", 0.7, ()) == "too_similar"
    assert len(pool.accepted) == 1


def test_what_is_shown_is_drawn_by_number_and_seed_alone() -> None:
    pool = TaskPool({f"seed {n}": f"Do the thing number {n} now." for n in range(20)})
    shown = draw_shown(SETTINGS, pool, 0, 3)
    assert len(shown[0]) == SETTINGS.shown_seeds and shown[1] == []
    other = TaskPool(dict(sorted(pool.seeds.items(), reverse=True)))
    assert draw_shown(SETTINGS, other, 0, 3) == shown
    assert draw_shown(SETTINGS, pool, 0, 4) != shown != draw_shown(SETTINGS, pool, 1, 3)


def test_what_is_accepted_is_numbered_and_the_rest_has_its_reason() -> None:
    pool = TaskPool({"a": "Name a river in the north."})
    listed = "\n".join(
        f"{n}. {text}"
        for n, text in enumerate(
            (
                "Name a river in the north.",
                "Write a numbered list of different tasks, one on each line.",
                "Tell of a cow and of its calf.",
                "Sum up what a lawyer does all day.",
                "Explain how ships are steered at sea.",
                "Guess why owls are said to be wise.",
            )
        )
    )
    ask = Ask("instructions", 4, [], 0.7, 9)
    ideas, settled = accept(
        SETTINGS, pool, [(["a"], [])], [(ask, GeneratedAnswer(listed, 9, True))]
    )
    assert [(idea.number, idea.text.split()[0]) for idea in ideas] == [
        (0, "Tell"),
        (1, "Sum"),
        (2, "Explain"),
    ]
    assert [each.reason for each in settled] == ["too_similar", "repeats_prompt", "enough"]
    assert all(idea.parents == ["a"] and idea.reply == ("instructions", 4) for idea in ideas)
