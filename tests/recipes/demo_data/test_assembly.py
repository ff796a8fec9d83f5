"""What the demo's rows are made of: everything that real data has."""

import ast
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from recipes.build_demo_data import COPIES, EDITED_COPIES, build
from recipes.demo_data import questions
from recipes.demo_data.assembly import CANDIDATE_PROMPTS, TWINS, WRONG_ANSWERS, Asker
from recipes.demo_data.shapes import TOOL_USES

Turns: TypeAlias = list[tuple[str, str]]
"""Role and text."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("demo")
    build(directory)
    return directory


@pytest.fixture(scope="module")
def stdlib(directory: Path) -> list[Turns]:
    return read_turns(directory / "stdlib.jsonl")


@pytest.fixture(scope="module")
def sharegpt(directory: Path) -> list[Turns]:
    return read_turns(directory / "sharegpt.jsonl")


def read_turns(path: Path) -> list[Turns]:
    return [turns(json.loads(line)) for line in path.read_bytes().splitlines()]


def turns(row: dict[str, Any]) -> Turns:
    """Role and text of each turn, whichever of the three shapes the row has."""
    if "messages" in row:
        return [(message["role"], message["content"]) for message in row["messages"]]
    if "output" in row:
        question = "\n".join(part for part in (row["instruction"], row["input"]) if part)
        return [("user", question), ("assistant", row["output"])]
    roles = {"human": "user", "gpt": "assistant"}
    spoken = [
        (roles.get(turn["from"], turn["from"]), turn["value"]) for turn in row["conversations"]
    ]
    return [*([("system", row["system"])] if "system" in row else []), *spoken]


def shingles(conversation: Turns) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", " ".join(text for _, text in conversation).lower())
    return {tuple(words[at : at + 5]) for at in range(max(1, len(words) - 4))}


def similarity(one: Turns, other: Turns) -> float:
    left, right = shingles(one), shingles(other)
    return len(left & right) / len(left | right)


def questions_of(rows: list[Turns]) -> list[str]:
    return [next(text for role, text in row if role == "user") for row in rows]


def test_no_question_is_asked_twice_but_for_candidates(
    stdlib: list[Turns],
) -> None:
    counts = Counter(questions_of(stdlib))
    assert Counter(counts.values()) == {
        1: len(stdlib) - 3 * CANDIDATE_PROMPTS,
        3: CANDIDATE_PROMPTS,
    }


def test_candidates_are_three_answers_to_one_prompt(stdlib: list[Turns]) -> None:
    prompts = Counter(tuple(row[:-1]) for row in stdlib)
    repeated = [prompt for prompt, count in prompts.items() if count > 1]
    assert len(repeated) == CANDIDATE_PROMPTS
    for prompt in repeated:
        answers = sorted((row[-1][1] for row in stdlib if tuple(row[:-1]) == prompt), key=len)
        sentence, whole, called = answers
        assert whole.startswith(sentence) and called.startswith(whole + "\n\nIt is called as `")


def test_answers_have_the_lengths_of_real_data(stdlib: list[Turns]) -> None:
    lengths = sorted(len(row[-1][1].split()) for row in stdlib)
    assert 30 <= lengths[len(lengths) // 2] <= 60
    assert sum(length < 120 for length in lengths) > 0.95 * len(lengths)
    assert 15 <= lengths.count(1) <= 40
    long = [row for row in stdlib if len(row[-1][1]) > 4 * 400]
    assert len(long) == 6 and all("complete documentation" in row[0][1] for row in long)


def test_has_every_kind_of_row(directory: Path, stdlib: list[Turns]) -> None:
    rows = [json.loads(line) for line in (directory / "stdlib.jsonl").read_bytes().splitlines()]
    shapes = Counter(frozenset(row) for row in rows)
    assert set(shapes) == {frozenset({"messages"}), frozenset({"instruction", "input", "output"})}
    assert (
        shapes[frozenset({"messages"})] > 2 * shapes[frozenset({"instruction", "input", "output"})]
    )
    assert sum(row[0][0] == "system" for row in stdlib) >= 10
    assert sum(bool(row.get("input")) for row in rows) == 8
    assert sum(row[-1][1].startswith("```") for row in stdlib) >= 20
    several = [row for row in stdlib if [role for role, _ in row].count("user") > 1]
    assert len(several) == 14 and {len(row) for row in several} >= {4, 6}


def test_code_answers_are_python(stdlib: list[Turns]) -> None:
    code = [row[-1][1] for row in stdlib if "Show the source" in row[-2][1]]
    assert len(code) == 14
    for text in code:
        assert isinstance(
            ast.parse(text.removeprefix("```python").rstrip("`")).body[0], ast.FunctionDef
        )


def test_twins_are_near_duplicates(stdlib: list[Turns]) -> None:
    about = {question: row for question, row in zip(questions_of(stdlib), stdlib, strict=True)}
    pairs = [[about.get(f"What does `{name}` do?") for name in names] for names in TWINS]
    near = [similarity(one, other) for one, other in pairs if one and other]
    assert len(near) >= 10
    assert sum(value >= 0.7 for value in near) >= 7 and max(near) < 1


def test_copies_and_edited_copies(stdlib: list[Turns], sharegpt: list[Turns]) -> None:
    exact = [row for row in sharegpt if row in stdlib]
    assert len(exact) == COPIES
    assert {len(row) for row in exact} >= {2, 3, 4} and any(row[0][0] == "system" for row in exact)
    others = [row for row in sharegpt if row not in stdlib]
    near = [row for row in others if max(similarity(row, one) for one in stdlib) >= 0.7]
    assert len(near) >= EDITED_COPIES


def test_tools_were_really_called(directory: Path) -> None:
    rows = [json.loads(line) for line in (directory / "sharegpt.jsonl").read_bytes().splitlines()]
    uses = [row for row in rows if "tools" in row]
    assert len(uses) == 3
    for row in uses:
        _, call, observation, reply = (turn["value"] for turn in row["conversations"])
        name = json.loads(call)["name"]
        assert [tool["name"] for tool in json.loads(row["tools"])] == [name]
        assert observation in reply
    assert {use.name: use.result for use in TOOL_USES[:3]} == {
        "comb": "10",
        "isleap": "true",
        "median": "3",
    }


def test_wrong_answers_are_listed_and_wrong(directory: Path, stdlib: list[Turns]) -> None:
    listed = json.loads((directory / "noise.json").read_bytes())["stdlib.jsonl"]["wrong_answers"]
    assert len(listed) == WRONG_ANSWERS
    by_name = {entry.name: entry for entry in Asker().entries}
    for wrong in listed:
        row = stdlib[wrong["line"] - 1]
        assert row[-2][1] == wrong["question"] and wrong["subject"] in wrong["question"]
        assert row[-1][1] == by_name[wrong["answer_of"]].doc != by_name[wrong["subject"]].doc


def test_all_other_answers_are_right(directory: Path, stdlib: list[Turns]) -> None:
    listed = json.loads((directory / "noise.json").read_bytes())["stdlib.jsonl"]["wrong_answers"]
    wrong = {entry["line"] for entry in listed}
    by_question = {
        questions.purpose_question(entry): entry.doc for entry in reversed(Asker().entries)
    }
    checked = 0
    for number, row in enumerate(stdlib, start=1):
        question, answer = row[-2][1], row[-1][1]
        if number not in wrong and question in by_question and "It is called as" not in answer:
            assert by_question[question].startswith(answer), question
            checked += 1
    assert checked > 80


def test_questions_and_answers_share_no_line_between_files(
    stdlib: list[Turns], directory: Path
) -> None:
    asked = set(questions_of(stdlib))
    for line in (directory / "odd_lines.jsonl").read_bytes().splitlines():
        text = line.decode(errors="replace")
        assert not [question for question in asked if json.dumps(question)[1:-1] in text]
