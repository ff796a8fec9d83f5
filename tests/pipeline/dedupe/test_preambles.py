"""What rows share before they come to the point makes no copies of them."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.dedupe.minhash import MinHash
from pipeline.dedupe.preambles import MANY, OPENING, common_length, shared_lines
from pipeline.dedupe.semantic import Semantic
from pipeline.dedupe.stage import deduplicate_examples
from pipeline.dedupe.step import DedupeStep
from pipeline.dedupe.substring import Substring
from pipeline.run_context import RunContext
from storage.conversations import request_at
from storage.database import read_workspace
from storage.runs import read_counts
from tests.stage_runner import start, store_measurement

SCHEMAS = "\n".join(f'{{"name": "tool_{n}", "about": "does the task {n}"}}' for n in range(20))
REQUESTS = [
    "Find me a train to Lyon on Friday, please.",
    "Book a table for five at the harbour tonight.",
    "How many euros are eighty Swiss francs?",
    "Will it rain on the coast at the weekend?",
    "Remind me to water the plants tomorrow.",
    "Play something slow by a string quartet.",
    "Which chemist is open at this hour?",
    "Translate the letter from my landlord.",
]
CALLS = [f"call tool_{n} with what was wanted" for n in range(8)]


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def dialogue(*texts: str, system: str = "") -> dict[str, object]:
    """Turns of user and assistant in turn, behind a system text."""
    turns = [message(("user", "assistant")[n % 2], text) for n, text in enumerate(texts)]
    return {"messages": [message("system", system)] * bool(system) + turns}


def pool_of(folder: Path, rows: list[dict[str, object]]) -> tuple[RunContext, list[str]]:
    file = folder / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    # Of an unrolled dialogue each row trains the turn that it ends with.
    return start(folder / "workspace", [file], turns="last")


def embedded(run: RunContext, pool: list[str]) -> RunContext:
    """All rows point the same way, as they do to a model that reads the preamble alone."""
    vectors = pa.array([[1.0, 0.0]] * len(pool), pa.list_(pa.float32()))
    columns = {"state": pa.array(["ok"] * len(pool)), "embedding": vectors}
    run = store_measurement(run, "embeddings", pool, columns)
    for of in ("prompt", "both"):
        run.measures[f"embeddings_{of}"] = run.measures["embeddings"]  # type: ignore[index]
    return run


SHARED_SYSTEM = [dialogue(*pair, system=SCHEMAS) for pair in zip(REQUESTS, CALLS, strict=True)]
IN_THE_REQUEST = [
    dialogue(f"{SCHEMAS}\n{request}", call) for request, call in zip(REQUESTS, CALLS, strict=True)
]
TURNS = [text for pair in zip(REQUESTS, CALLS, strict=True) for text in pair]
UNROLLED = [dialogue(*TURNS[: 2 * n]) for n in range(4, 9)]

STEPS: list[DedupeStep] = [
    MinHash(method="minhash", text="both"),
    MinHash(method="minhash", text="prompt"),
    MinHash(method="minhash", text="both", unit="characters", n=20),
    Substring(method="substring", text="both", words=12),
    Substring(method="substring", text="prompt", words=12, share=0.5),
    Semantic(method="semantic", text="both"),
    Semantic(method="semantic", text="prompt"),
]


@pytest.fixture(
    scope="module",
    params=[SHARED_SYSTEM, IN_THE_REQUEST, UNROLLED],
    ids=["system", "lines", "unrolled"],
)
def with_preamble(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunContext, list[str]]:
    """A run with rows that share a preamble; what a step does to them changes none of them."""
    run, pool = pool_of(tmp_path_factory.mktemp("rows"), request.param)
    return embedded(run, pool), pool


@pytest.mark.parametrize("step", STEPS, ids=lambda step: str(step.label()))
def test_rows_that_share_a_preamble_are_no_copies_unless_it_is_compared(
    step: DedupeStep, with_preamble: tuple[RunContext, list[str]]
) -> None:
    run, pool = with_preamble
    assert deduplicate_examples(run, [step], pool) == pool
    compared = step.model_copy(update={"preamble": "compare"})
    assert len(deduplicate_examples(run, [compared], pool)) < len(pool)


@pytest.mark.parametrize("step", STEPS[:5], ids=lambda step: str(step.label()))
def test_copies_behind_a_preamble_still_go(step: DedupeStep, tmp_path: Path) -> None:
    """The long request of two rows differs in its last word, and each answers with 15 words."""
    long = "Find me " + " ".join(f"place{n}" for n in range(30))
    answer = " ".join(f"word{n}" for n in range(15))
    same = [dialogue(f"{long} {end}", answer, system=SCHEMAS) for end in ("now", "soon")]
    run, pool = pool_of(tmp_path, [*SHARED_SYSTEM, *same])
    assert len(deduplicate_examples(run, [step], pool)) == 9


def test_with_other_system_texts_the_whole_is_compared(tmp_path: Path) -> None:
    """The requests are one, and what is to be done with them is not.

    10 words of system, of which the last differs, and 3 of request: 13 words and 9 5-grams, of
    which the 4 that hold the word at 10 differ (from 7, 8, 9 and 10 at most 13). J = 5 / 13.
    """
    orders = [f"Put what the user says into the language of {x}" for x in ("Spain", "Finland")]
    rows = [dialogue("Good morning dear", "Hello.", system=each) for each in orders]
    run, pool = pool_of(tmp_path, rows)
    assert deduplicate_examples(run, [STEPS[1]], pool) == pool


def test_a_semantic_step_says_what_it_did_not_compare(tmp_path: Path) -> None:
    run, pool = pool_of(tmp_path, SHARED_SYSTEM)
    deduplicate_examples(embedded(run, pool), [Semantic(method="semantic")], pool)
    with read_workspace(run.workspace) as con:
        (note,) = read_counts(con, run.run_id)[-1].notes
    assert note.startswith("semantic: 8 rows were not compared, and stay")


def test_leading_lines_count_where_many_rows_have_them_and_something_follows() -> None:
    head = "x" * (OPENING - 1) + "\n"
    several = [f"{head}{n} is it\n" for n in range(MANY)]
    assert shared_lines(several).tolist() == [OPENING] * MANY
    assert shared_lines(several[1:]).tolist() == [0] * (MANY - 1), "too few rows"
    assert shared_lines([each[1:] for each in several]).tolist() == [0] * MANY, "too short"
    assert shared_lines([head] * MANY).tolist() == [0] * MANY, "nothing follows"
    deeper = [f"{head}the same\n{n}" for n in range(MANY)]
    assert shared_lines([*several, *deeper]).tolist() == [OPENING] * MANY + [OPENING + 9] * MANY


def test_texts_are_alike_up_to_the_first_difference() -> None:
    assert [common_length(*pair) for pair in (("abc", "abd"), ("ab", "abc"), ("x", "y"))] == [
        2,
        2,
        0,
    ]


def test_a_request_begins_behind_the_last_reply_or_the_system_text() -> None:
    system, asked, reply = (message(r, "text") for r in ("system", "user", "assistant"))
    tool = message("tool", "42")
    for prompt, place in (
        ([asked], 0),
        ([system, asked], 1),
        ([system, asked, reply, asked], 3),
        ([asked, reply, tool], 2),
        ([system], 0),
        ([asked, reply], 0),
        ([asked, system, asked], 0),
    ):
        assert request_at(prompt) == place, prompt


def test_rows_that_share_leading_lines_are_signed_anew_when_others_come(tmp_path: Path) -> None:
    """Seven rows have no lines of MANY; the eighth makes them such."""
    run, pool = pool_of(tmp_path, IN_THE_REQUEST)
    assert len(deduplicate_examples(run, [STEPS[1]], pool[:7])) == 1
    assert deduplicate_examples(run, [STEPS[1]], pool) == pool


def test_a_step_that_takes_most_of_a_source_says_so(tmp_path: Path) -> None:
    run, pool = pool_of(tmp_path, SHARED_SYSTEM)
    step = MinHash(method="minhash", preamble="compare")
    assert len(deduplicate_examples(run, [step], pool)) == 1
    with read_workspace(run.workspace) as con:
        (note,) = read_counts(con, run.run_id)[-1].notes
    assert note.startswith("minhash on both, at 0.7: took 7 of the 8 rows of ")
    assert note.endswith("rows.jsonl")
