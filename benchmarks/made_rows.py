"""What makers keep of what a small model writes, and whether verifiers know right from wrong.

    SLUICE_REAL_DATA=DIR python benchmarks/made_rows.py [--parts PART ...]
        [--questions 16] [--samples 4] [--out FILE]

Of the embedded model of 135 million weights, with seeds, in a workspace that is thrown away:

- on questions of GSM8K's training set, the share of samples whose final answer is right, and the
  same among those that most of the samples of their question agree with; with Wilson intervals.
  What `final_answer` keeps is right by that rule, so the share among it says nothing;
- of AugCon, SELF-GUIDE and Self-Instruct, what became of every call, and how diverse the texts are
  before the filters, after each of them in turn, and in rows: mean ROUGE-L F of pairs (lower is
  more diverse, whatever their number), and distinct word pairs by all word pairs (higher is, but
  falls with the number). A filter is a reason for which texts went.

Of solutions by four other models, which OpenAI published with their marks, whether `final_answer`
tells right from wrong as those marks do. Parts whose data are not there are left out and said;
parts that are not named stay as they were found.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from scipy.stats import binomtest

from benchmarks.diversity import diversity
from benchmarks.real_rows import real_data
from benchmarks.running import RESULTS, machine_facts, write_result
from flows.begin_run import begin, ingest_stage
from flows.recipe.schema import Recipe
from pipeline.generation.catalogue import AnyMaker
from pipeline.generation.instruction_lists import read_instructions
from pipeline.generation.make import make_rows
from pipeline.generation.maker import Unread
from pipeline.generation.task_lists import TaskListBlock, TaskPool
from pipeline.generation.templates import fixed_text
from pipeline.generation.verifiers.final_answer import FinalAnswer
from pipeline.generation.verifiers.majority import Majority
from pipeline.progress import tell_nobody
from pipeline.run_context import RunContext
from scorers.measures.protocols import GeneratedAnswer
from storage.conversations import Conversation
from storage.database import read_workspace
from storage.examples import Example

TRAIN = Path("gsm8k") / "train.jsonl"
SOLUTIONS = Path("gsm8k") / "model_solutions_660.jsonl"
SOLVERS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
GIVEN = Path(__file__).resolve().parent.parent / "recipes" / "maker_data"
HANDBOOK = {"path": str(GIVEN / "handbook"), "passages": {"tokens": 160, "overlap": 0}}

MAKERS: Mapping[str, Mapping[str, Any]] = {
    "augcon": {
        "documents": [HANDBOOK],
        "generate": [
            {
                "method": "augcon",
                "characters_each": 120,
                "questions_at_most": 6,
                "trees": 2,
                "attempts": 2,
                "worse_each": 10,
                "max_new_tokens": 192,
            }
        ],
    },
    "self_guide": {
        "sources": [{"path": str(GIVEN / "praise.jsonl")}],
        "generate": [
            {
                "method": "self_guide",
                "instruction": "Say in one word whether this is praise or a complaint about a "
                "restaurant.",
                "labels": ["praise", "complaint"],
                "epochs": 2,
                "inputs_each": 6,
                "samples": 3,
                "max_new_tokens": 48,
            }
        ],
    },
    "self_instruct": {
        "sources": [{"path": str(GIVEN / "tasks.jsonl")}],
        "generate": [
            {
                "method": "self_instruct",
                "instructions": 24,
                "prompts_at_most": 12,
                "max_new_tokens": 160,
            }
        ],
    },
}


PARTS = ("marks", "gsm8k", *MAKERS)

CHEAPEST_FIRST = (
    *("cut_off", "empty_answer", "no_json", "other_json", "too_short", "too_long", "odd_length"),
    *("odd_beginning", "asks_for_program", "not_text", "noise", "refusal", "repeats_prompt"),
    *("duplicate", "too_similar", "enough"),
)
"""Reasons in the order in which makers look for them; others come behind, by their names."""


def main() -> None:
    """Measure, and store what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--out", type=Path, default=RESULTS / "made_rows.json")
    given = parser.parse_args()
    result: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}
    for part in given.parts:
        if part in MAKERS:
            result[part] = run_maker(part, MAKERS[part])
        elif (data := real_data(TRAIN, SOLUTIONS)) is None:
            continue
        elif part == "marks":
            result[part] = compare_marks(data)
        else:
            result[part] = sample_answers(data, given.questions, given.samples)
        result["machine"] = machine_facts(["torch", "transformers"])
        write_result(given.out, result)  # after each, so that a stop loses one


def share(hits: int, of: int) -> dict[str, object]:
    """A share with its Wilson interval of 95 %."""
    if not of:
        return {"of": 0}
    low, high = binomtest(hits, of).proportion_ci(method="wilson")
    return {"hits": hits, "of": of, "share": round(hits / of, 3), "low": round(low, 3),
            "high": round(high, 3)}  # fmt: skip


def exchange(question: str, answer: str) -> Example:
    """A question with its trusted answer."""
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    given = Conversation(turns, [])
    return Example(given.example_id, given.prompt_id, turns, [], 1, question, answer, [1])


def compare_marks(data: Path) -> dict[str, object]:
    """Whether verifiers tell right solutions from wrong ones as their published marks do."""
    right, verdicts, agreed = [], [], []
    for line in (data / SOLUTIONS).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        solved = [row[name] for name in SOLVERS]
        source = exchange(row["question"], row["ground_truth"].replace("\nA: ", "\n#### "))
        # The published solutions end on "A: " where GSM8K's own have "#### ".
        texts = [each["solution"].replace("\nA: ", "\n#### ") for each in solved]
        right += [bool(each["is_correct"]) for each in solved]
        verdicts += [not fault for fault in FinalAnswer().faults(source, texts)]
        majority = Majority(method="majority")
        agreed += [not fault for fault in majority.faults(source, texts)]
    marks, kept, agreed_with = np.array(right), np.array(verdicts), np.array(agreed)
    return {
        "solutions right": share(int(marks.sum()), len(marks)),
        "final_answer agrees with the mark": share(int((kept == marks).sum()), len(marks)),
        "right among kept by final_answer": share(int((kept & marks).sum()), int(kept.sum())),
        "right that final_answer keeps": share(int((kept & marks).sum()), int(marks.sum())),
        "right among kept by majority of the four": share(
            int((agreed_with & marks).sum()), int(agreed_with.sum())
        ),
    }


def sample_answers(data: Path, questions: int, samples: int) -> dict[str, object]:
    """How many of the embedded model's answers are right, of all and of those that agree."""
    rows = [json.loads(line) for line in islice((data / TRAIN).open(encoding="utf-8"), questions)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        rewritten = [{"prompt": row["question"], "completion": row["answer"]} for row in rows]
        path.write_text("\n".join(map(json.dumps, rewritten)))
        maker = {
            "method": "rejection",
            "samples": samples,
            "keep_at_most": samples,
            "max_new_tokens": 200,
            "gold": "never",
        }
        found = made_by({"sources": [{"path": str(path)}], "generate": [maker]}, Path(folder))
        by_question: dict[str, list[str]] = {}
        for call in found["calls"]:
            if call["text"] is not None and call["finished"]:
                by_question.setdefault(call["source_id"], []).append(call["text"])
    given = {exchange(row["question"], row["answer"]).example_id: row for row in rows}
    right, agreed = [], []
    for source_id, texts in sorted(by_question.items()):
        row = given[source_id]
        source = exchange(row["question"], row["answer"])
        right += [not fault for fault in FinalAnswer().faults(source, texts)]
        agreed += [not fault for fault in Majority(method="majority").faults(source, texts)]
    hits, kept = np.array(right, dtype=bool), np.array(agreed, dtype=bool)
    return {
        "calls": len(found["calls"]),
        "finished": len(hits),
        "right among finished": share(int(hits.sum()), len(hits)),
        "right among kept by majority": share(int((hits & kept).sum()), int(kept.sum())),
        "questions with a right sample": share(len(found["parents"]), questions),
        "reasons": found["reasons"],
    }


def begin_maker(blocks: Mapping[str, Any], folder: Path) -> tuple[RunContext, AnyMaker]:
    """A run of a recipe with one maker, its rows read in."""
    recipe = Recipe.model_validate(
        {
            "name": "made",
            "workspace": str(folder / "w"),
            "target": "wheel:smollm2-135m-instruct",
            "seed": 7,
            "select": {"steps": [{"method": "random", "budget": {"fraction": 1.0}}]},
            **blocks,
        }
    ).with_target()
    state = ingest_stage(begin(recipe, folder))
    (maker,) = state.placed.generate
    return state.run, maker


def made_by(blocks: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Run the one maker of a recipe; its calls, and the rows that came of them."""
    run, maker = begin_maker(blocks, folder)
    make_rows(run, maker, tell_nobody)
    with read_workspace(run.workspace) as con:
        con.execute(
            "select source_id, stage, attempt, kind, outcome, c.reason, text, finished "
            "from maker_calls c join replies r using (reply_key) order by all"
        )
        calls = con.to_arrow_table().to_pylist()
        con.execute(
            "select distinct e.prompt, l.parent_id from lineage l join examples e "
            "using (example_id) order by all"
        )
        rows = con.to_arrow_table().to_pylist()
    reasons = Counter(f"{each['outcome']} {each['reason']}" for each in calls)
    return {
        "maker": maker,
        "seeds": seeds_of(run),
        "calls": calls,
        "rows": sorted({row["prompt"] for row in rows}),
        "parents": {row["parent_id"] for row in rows},
        "reasons": dict(reasons.most_common()),
    }


def run_maker(name: str, blocks: Mapping[str, Any]) -> dict[str, object]:
    """What a maker came to, and how diverse its texts are before its filters and after each."""
    with tempfile.TemporaryDirectory() as folder:
        found = made_by(blocks, Path(folder))
    calls = found["calls"]
    stages = {each["stage"].partition(" ")[0] for each in calls}
    kept = sum(each["outcome"] == "kept" for each in calls)
    judged = [*judge_texts(name, found)]
    texts = {"written": [text for text, _ in judged]}
    if name == "augcon":  # the questions that were left by likeness and number are answered
        answered = {each["stage"].removeprefix("answer ") for each in calls}
        chosen = [each for each in calls if each["stage"].removeprefix("split ") in answered]
        split = [each for each in chosen if each["stage"].startswith("split ")]
        texts["chosen"] = [text for text, _ in judge_texts(name, {**found, "calls": split})]
    texts["in rows"] = found["rows"]
    return {
        "calls": len(calls),
        "calls kept": share(kept, len(calls)),
        "rows": len(found["rows"]),
        "stages": sorted(stages),
        "reasons": found["reasons"],
        "diversity": {step: diversity(each) for step, each in texts.items()},
        "after each filter": filter_in_turn(judged),
    }


def filter_in_turn(judged: Sequence[tuple[str, str]]) -> list[dict[str, object]]:
    """For each reason what it took out, and how diverse the texts are that are left by then.

    Args:
        judged: (n,) texts, each with why it went; "" where it is in a row.
    """
    left, found = [*judged], []
    reasons = {reason for _, reason in judged if reason}
    known = {reason: at for at, reason in enumerate(CHEAPEST_FIRST)}
    for reason in sorted(reasons, key=lambda each: (known.get(each, len(known)), each)):
        before = len(left)
        left = [each for each in left if each[1] != reason]
        taken = {"filter": reason, "dropped": before - len(left)}
        found.append({**taken, "left": diversity([text for text, _ in left])})
    return found


def seeds_of(run: RunContext) -> dict[str, str]:
    """Id → prompt of the rows that a run was given."""
    with read_workspace(run.workspace) as con:
        found = con.execute(
            "select example_id, prompt from examples where origin <> 'generated' order by 1"
        )
        return {str(example_id): str(prompt) for example_id, prompt in found.fetchall()}


def judge_texts(name: str, found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The questions, inputs or instructions that the model wrote, each with why it went, or ""."""
    if name == "self_instruct":
        yield from judge_instructions(found["maker"], found["seeds"], found["calls"])
        return
    first = {"augcon": "split", "self_guide": "input"}[name]
    for call in found["calls"]:
        text = call["text"]
        if text is None or not call["stage"].startswith(first):
            continue
        if name == "augcon":
            try:
                text = str(json.loads(text)["question"])
            except (ValueError, KeyError, TypeError):
                continue  # no question was written
        yield text, "" if call["outcome"] == "kept" else call["reason"]


def judge_instructions(
    settings: TaskListBlock, seeds: Mapping[str, str], calls: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Each item of the lists, and why it, or its instance, went: a call does not tell its items.

    Raises:
        ValueError: if other items are accepted than the maker has asked about.
    """
    pool = TaskPool(seeds)
    fates = {  # number of an instruction → what became of it; its instance is the last that tells
        call["attempt"]: "" if call["outcome"] == "kept" else f"instance: {call['reason']}"
        for stage in ("classification", "instance")
        for call in calls
        if call["stage"] == stage
    }
    lists = [call for call in calls if call["stage"] == "instructions" and call["text"] is not None]
    for call in sorted(lists, key=lambda call: int(call["attempt"])):
        read = read_instructions(GeneratedAnswer(call["text"], 0, call["finished"]))
        wording = fixed_text(settings.list_prompt(call["attempt"])[0])
        for text in () if isinstance(read, Unread) else read:
            number = len(pool.accepted)
            enough = number >= settings.instructions
            fault = "enough" if enough else pool.fault(text, settings.similarity_at_most, wording)
            yield text, fault or fates[number]
    if len(pool.accepted) != len(fates):
        raise ValueError(f"{len(pool.accepted)} are accepted here, and {len(fates)} by the maker")


if __name__ == "__main__":
    main()
