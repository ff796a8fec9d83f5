"""What every maker of rows must do, whatever it asks: the acceptance tests of the catalogue."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import pytest

from benchmarks.diversity import diversity
from docs.docstrings import ROOT, docstring
from pipeline.generation import asking, predict
from pipeline.generation import make as make_stage
from pipeline.generation.catalogue import MAKERS, AnyMaker, Generator, generator_tag
from pipeline.generation.make import Workload, make_rows, slice_sources
from pipeline.generation.maker_block import AtMost, GeneratorBlock, PromptingBlock
from pipeline.generation.makers.answer import Answer
from pipeline.generation.makers.answer_styles import AnswerStyles
from pipeline.generation.makers.apigen import APIGen
from pipeline.generation.makers.augcon import AugCon
from pipeline.generation.makers.constrained import Constrained
from pipeline.generation.makers.document_questions import DocumentQuestions
from pipeline.generation.makers.eda import EDA
from pipeline.generation.makers.edit_spans import EditSpans
from pipeline.generation.makers.evol_instruct import EvolInstruct
from pipeline.generation.makers.fuse_answers import FuseAnswers
from pipeline.generation.makers.genstruct import Genstruct
from pipeline.generation.makers.humpback import Humpback
from pipeline.generation.makers.lamini import LaMini
from pipeline.generation.makers.llamait import LlamaIT
from pipeline.generation.makers.magpie import Magpie
from pipeline.generation.makers.mcts_dpo import MCTSDPO
from pipeline.generation.makers.metacognition import Metacognition
from pipeline.generation.makers.orca import Orca
from pipeline.generation.makers.persona import Persona
from pipeline.generation.makers.pseudo_labels import PseudoLabels
from pipeline.generation.makers.r_tuning import RTuning
from pipeline.generation.makers.rejection import Rejection
from pipeline.generation.makers.repair import Repair
from pipeline.generation.makers.reverse_instructions import ReverseInstructions
from pipeline.generation.makers.round_trip import RoundTrip
from pipeline.generation.makers.s3ft import S3FT
from pipeline.generation.makers.scilitllm import ASPECTS, SciLitLLM
from pipeline.generation.makers.self_guide import SelfGuide
from pipeline.generation.makers.self_instruct import SelfInstruct
from pipeline.generation.makers.spin import SPIN
from pipeline.generation.makers.step_by_step import StepByStep
from pipeline.generation.makers.task_cards import TaskCard, TaskCards
from pipeline.generation.makers.translated_templates import TranslatedTemplates
from pipeline.generation.makers.verified import Verified
from pipeline.generation.placeholders import PLACEHOLDERS
from pipeline.generation.predict import plan_maker
from pipeline.generation.retry import ask_failed_again, find_failed_replies
from pipeline.generation.shown_text import OF_THE_HINT, repeats_shown
from pipeline.generation.templates import PROMPTS, fixed_text, prompt_fault, read_prompt_text
from pipeline.generation.verifiers.final_answer import FinalAnswer
from pipeline.generation.verifiers.judged import Judged
from pipeline.generation.verifiers.rubric import Rubric
from pipeline.generation.verifiers.tool_calls import ToolCalls
from pipeline.generation.verifiers.uncontaminated import Uncontaminated, search_of
from pipeline.generation.written_requests import REQUEST
from pipeline.progress import tell_nobody
from pipeline.run_context import RunContext
from pipeline.settings import TARGET
from storage.database import read_workspace
from storage.examples import Example, read_examples
from storage.maker_calls import read_ledger
from tests.fake_endpoint import Canned, completion
from tests.fakes import fraction
from tests.scripted_maker import (
    OPENED,
    Say,
    begin,
    kept_attached,
    make,
    rows_of,
    script,
    scripted,
    served_by,
    write_calls,
    write_corrections,
    write_pages,
    write_reviews,
    write_sums,
    write_tasks,
)

TOKENS = 7  # of each reply of the script


def slow(*values: object) -> list[Any]:
    """More values of a parameter, for the slow suite: each is a run of every maker."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


JUDGED = "Reply with one word"
"""In the prompt of every judge."""


def numbers_of(text: str) -> tuple[int, int]:
    first, second = re.findall(r"What is (\d+) plus (\d+)\?", text)[-1]
    return int(first), int(second)


def say_sums(text: str, seed: int) -> str:
    """Right where 5 is added, wrong where 6 is; right with the hint."""
    a, b = numbers_of(text)
    if "Hint:" in text:
        return f"Both make it. {seed % 3}: {a} + {b} = {a + b}"
    return f"Take {seed % 5}, {seed % 7} and see: {a} + {b} = {a + b + (b == 6)}"


def say_as_given(text: str, seed: int) -> str:
    """The given answer where 6 is added, else one of its own."""
    a, b = numbers_of(text)
    return f"Adding gives it.\n#### {a + b}" if b == 6 else f"{a} and {b} are {a + b}, I think"


def say_targets(text: str, seed: int) -> str:
    """As above; of the paraphrases that of 2 is wrong, and that of 3 speaks of the reference."""
    a, b = numbers_of(text)
    if "to be judged:" in text:
        if (a, b) == (10, 5) and seed == 0:
            return "perhaps"
        return "Yes." if f"= {a + b}" in text else "no"
    if "Reference answer:" not in text:
        return f"{a} + {b} = {a + b + (b == 6)}"
    if a == 3:
        return f"According to the reference answer, {a} + {b} = {a + b}"
    return f"I count on: {a} + {b} = {a + b + (a == 2)}"


def say_reasons(text: str, seed: int) -> str:
    """Reasons, and an answer that is wrong where 6 is added."""
    a, b = numbers_of(text)
    return f"From {a} I count on by {b}. So the answer is {a + b + (b == 6)}."


def say_shortly(text: str, seed: int) -> str:
    """The words of the given answer, which is wrong where 6 is added."""
    a, b = numbers_of(text)
    return f"Adding gives it {a + b + (b == 6)}"


def say_reversed(text: str, seed: int) -> str:
    """Another request for each text that is shown."""
    return f"Please add them as in {fraction(text, seed):.6f}."


def say_styles(text: str, seed: int) -> str:
    """Three wrong options, or an explanation with the given answer."""
    a, b = numbers_of(text)
    if "numbered list" in text:
        return "\n".join(f"{n}. Adding gives it {a + b + n}" for n in (1, 2, 3))
    return f"Adding gives it. {a + b} " + "is what one comes to by counting on from the first. " * 3


def say_requests(text: str, seed: int) -> str:
    """A request with as many calls as it takes; that of every fourth prompt misses an argument."""
    name = re.findall(r'^{"name": "(\w+)"', text, re.MULTILINE)[0]
    cities = [f"w{fraction(text, seed, n):.6f}" for n in range(1 + ("two or three" in text))]
    asked = f"How is it in {' and '.join(cities)}?"
    key = "town" if "several of the functions" in text else "city"
    return json.dumps(
        {"query": asked, "calls": [{"name": name, "arguments": {key: city}} for city in cities]}
    )


def say_steps(text: str, seed: int) -> str:
    """Steps of its own to an answer, which is wrong where 6 is added; to go on with, none."""
    if JUDGED in text:
        return "Yes."
    if text == OPENED:
        return f" That is w{fraction(seed):.6f}."
    a, b = numbers_of(text)
    return f"I count w{fraction(text, seed):.6f} on. It is {a + b + (b == 6)}"


def say_task_of_one_kind(text: str, seed: int) -> str:
    """Another text each time, and the same of it whenever it is asked."""
    if "Write one new" in text:
        return f"a text {fraction(seed):.6f}"
    return f"what follows is {fraction(text):.6f}"


def say_tasks(text: str, seed: int) -> str:
    """Two new tasks to each prompt, one of which sorts."""
    if "numbered from" in text:
        words = [f"w{fraction(seed, n):.6f}"[3:] for n in range(12)]
        return f"7. Tell of {' '.join(words[:6])}.\n8. Sort these: {' '.join(words[6:])}."
    if JUDGED in text:
        return "Yes" if "Sort" in text else "No."
    if "Write each label" in text:
        return "Class label: good\nInput: a fine day\n\nClass label: bad\nInput: a lost key"
    return f"Input: None\nOutput: it is {fraction(text):.5f}"


def say_lists(text: str, seed: int) -> str:
    """Two new tasks to each prompt, and answers."""
    if "numbered from" in text:
        words = [f"w{fraction(seed, n):.6f}"[3:] for n in range(12)]
        return f"4. Tell of {' '.join(words[:6])}.\n5. Speak of {' '.join(words[6:])}."
    return f"it is {fraction(text):.5f}"


def say_verdicts(text: str, seed: int) -> str:
    """Yes where 5 is added; of the answer to one sum nothing is known at first."""
    a, b = numbers_of(text)
    if (a, b) == (10, 5) and seed == 0:
        return "perhaps"
    return "Yes." if b == 5 else "no"


def say_evolved(text: str, seed: int) -> str:
    """Longer prompts; one of rivers is none, one of planets asks no more, bread is unclear once."""
    if JUDGED in text:
        if "bread" in text and seed == 0:
            return "perhaps"
        return "Yes." if "planets" in text else "no"
    if not text.endswith("New prompt:"):
        return f"it is {fraction(text, seed):.5f}"
    given = text.partition("Given prompt:\n")[2].partition("\n\n")[0]
    if "rivers" in given:
        return "I'm sorry, but I cannot help."
    return f"{given} Say more of w{fraction(text, seed):.6f} too."


def say_anything(text: str, seed: int) -> str:
    """Another request each time, and answers."""
    return f"{'Tell me of' if text == OPENED else 'It is'} {fraction(text, seed):.6f}"


def say_of_passages(text: str, seed: int) -> str:
    """Two questions of each passage, one of which is nearer to another; answers to the others."""
    if JUDGED in text:
        return "perhaps" if "gluten" in text and seed == 0 else "supported"
    if "Write 2 different questions" in text:
        words = ("Danube Forest", "dough yeast gas", "Neptune Mercury days")
        own = next(at for at in range(3) if words[at].split()[0] in text)
        lost = f"What of {words[own - 1]} and the {words[own].split()[0]}?"
        return json.dumps({"questions": [f"What of the {words[own]}?", lost]})
    return f"It tells of w{fraction(text):.6f}"


def say_problems(text: str, seed: int) -> str:
    """A problem of each passage, whose solution has no number."""
    words = " ".join("abcdefghij"[int(10 * fraction(text, seed, n))] * 3 for n in range(9))
    told = {"problem": f"What of {words}?"}
    steps = "one thinks of what it needs, and then one does just that, until it is done. " * 2
    return json.dumps(told | {"solution": f"First {steps}So it is."})


def say_rated(text: str, seed: int) -> str:
    """A request for each passage; that of bread does not fit it, and that of rivers is unclear."""
    if JUDGED in text:
        return "perhaps" if "Danube" in text and seed == 0 else "12345"[4 - 3 * ("gluten" in text)]
    return f"Tell me of {fraction(text, seed):.6f}."


def say_of_cards(text: str, seed: int) -> str:
    """An input for each label, and a title of each passage."""
    words = " ".join("abcdefghij"[int(10 * fraction(text, seed, n))] * 3 for n in range(9))
    return json.dumps({"output" if "The passage is the input" in text else "input": words})


def say_of_papers(text: str, seed: int) -> str:
    """Bread is the lowest of the passages; a fault in each other; statements are poor."""
    if JUDGED in text:
        if "Danube" in text and seed == 0:
            return "perhaps"
        return "1" if "gluten" in text else "4."
    if "spelling and layout" in text:
        return text.partition("Text:\n")[2].partition("\n\nWrite")[0].replace("of the", "for the")
    if "Rate the question" in text:
        return json.dumps(dict.fromkeys(ASPECTS, 3 if "True" in text else 5))
    answer = "True" if "True or False" in text else "B"
    asked = f"Of w{fraction(text, seed):.6f}: is it so?"
    return json.dumps({"text": asked, "answer": answer})


def say_split(text: str, seed: int) -> str:
    """A question of each text, which is split in half; answers."""
    if "Text:" not in text:
        return f"It tells of w{fraction(text):.6f}"
    words = text.rpartition("Text:\n")[2].split()
    half = len(words) // 2
    first, second = " ".join(words[:half]), " ".join(words[half:])
    asked = f"What of w{int(1e9 * fraction(text, seed))}?"
    return json.dumps({"question": asked, "first": first, "second": second})


def say_fused(text: str, seed: int) -> str:
    """Longer answers, which are wrong where 6 is added; fused, that of 3 and 5 says another sum."""
    a, b = numbers_of(text)
    if JUDGED in text:
        return "Yes." if f"it {a + b}" in text.partition("Answer to be judged")[2] else "no"
    if "Second answer:" not in text:
        return f"One counts on, and adding so gives the reader {a + b + (b == 6)}"
    return f"One counts on: adding gives it {a + b + ((a, b) == (3, 5))}, whoever counts."


def say_translated(text: str, seed: int) -> str:
    """What is added to what; to 10 always another number."""
    if JUDGED in text:
        first = "What is 2 plus 5" in text.partition("judged")[2] and seed == 0
        return "perhaps" if first else "supported"
    if "into French" in text:
        a, b = numbers_of(text)
        return f"Combien font {a} et {b} ensemble ?"
    found = re.search(r"font (\d+) et (\d+)", text)
    if found is None:  # nothing was translated before
        return "that is no French"
    a, b = map(int, found.groups())
    return f"How many are {a} and {b + (a == 10)}?"


def say_template(text: str, seed: int) -> str:
    """The template in another language; in Dutch without its names."""
    said = {
        "French": "Combien font {a} et {b} ensemble ?",
        "Spanish": "Dime, por favor, cuánto es {a} más {b} en total.",
        "Italian": "Dimmi quanto fa {a} più {b} in tutto, per piacere.",
        "Dutch": "Zeg me wat dat samen is.",
    }
    (language,) = (each for each in said if f"into {each}" in text)
    return said[language] if "{a}" in text else said[language].replace("{a}", "2")


def say_label(text: str, seed: int) -> str:
    """By the number of the review; one view has another label for the fifth."""
    number = int(text.split()[1])
    return "good" if number % 2 != ("kind" in text and number == 5) else "bad"


@dataclass(frozen=True)
class Case:
    """A maker on a scripted model."""

    maker: AnyMaker
    rows: Callable[[Path], Path]
    say: Say
    calls: Mapping[str, int]
    """Kind → the calls that it takes, by hand."""
    made: int
    """Rows that are made, which no source is."""


CASES = {  # by the method, and where there are several what they differ in
    # 2 rounds of 2 inputs, and 3 outputs to each
    "self_guide": Case(
        SelfGuide(method="self_guide", instruction="Go on.", epochs=2, inputs_each=2, samples=3),
        write_tasks,
        say_task_of_one_kind,
        {"generate": 4 + 4 * 3},
        4,
    ),
    # 2 rounds of 4 prompts, in each of which one is wrong; 5 rows are wanted
    "apigen": Case(
        APIGen(
            method="apigen", rows=5, prompts_at_most=9, verify=(ToolCalls(method="tool_calls"),)
        ),
        write_calls,
        say_requests,
        {"generate": 8},
        5,
    ),
    # two of the sums in each style
    "answer_styles": Case(
        AnswerStyles(method="answer_styles", share=1), write_sums, say_styles, {"generate": 8}, 8
    ),
    # the given answer and 2 others, of which those with 6 are wrong; behind the given one's first
    # step its second and 2 that end on nothing; the given one is the better one of one pair each
    "mcts_dpo": Case(
        MCTSDPO(method="mcts_dpo", iterations=2, template_model="wheel:smollm2-135m-instruct"),
        write_sums,
        say_steps,
        {"generate": 8 * (2 + 2), "judge": 8 * (3 + 3)},
        8,
    ),
    # all answers alike, so all in one tenth, and no pair far enough apart
    "metacognition": Case(
        Metacognition(method="metacognition", samples=3, gap=1),
        write_sums,
        say_shortly,
        {"generate": 8 * 3},
        8,
    ),
    # 8 prompts with 2 answers each
    "answer": Case(Answer(prompts="all", answers=2), write_sums, say_sums, {"generate": 16}, 16),
    # 8 rows, the likeliest answer to each
    "repair": Case(
        Repair(method="repair", prompts="all", temperature=0),
        write_sums,
        say_sums,
        {"generate": 8},
        8,
    ),
    # 3 passages of 2 questions: the whole and both halves, of which 2 are answered
    "augcon": Case(
        AugCon(method="augcon", characters_each=50, questions_at_most=2, trees=1, ranker="none"),
        write_pages,
        say_split,
        {"generate": 3 * 3 + 3 * 2},
        6,
    ),
    # 3 passages rated, one of them twice; 2 repaired; 2 questions of each kind, all rated
    "scilitllm": Case(
        SciLitLLM(
            method="scilitllm",
            tasks=("multiple_choice", "true_false"),
            instructions=2,
            drop_lowest=0.5,
        ),
        write_pages,
        say_of_papers,
        {"generate": 2 + 4, "judge": 3 + 4, "retry": 1},
        2,
    ),
    # 3 passages: what each is about, 2 questions of which 1 leads back to it, and its answer
    "document_questions": Case(
        DocumentQuestions(method="document_questions", questions=2, retrieved=1),
        write_pages,
        say_of_passages,
        {"generate": 3 + 3 + 3},
        3,
    ),
    # two answers to each, which are the same
    "constrained": Case(
        Constrained(method="constrained", rules=("no_commas",), samples=2),
        write_sums,
        say_shortly,
        {"generate": 16},
        8,
    ),
    # no call at all: each of 8 sums with two words swapped, and with one deleted
    "eda": Case(
        EDA(method="eda", variants=2, operations=("swap", "delete")), write_sums, say_sums, {}, 16
    ),
    # no call at all: 3 requests with few changes or none, and a fourth that stays as it is
    "edit_spans": Case(
        EditSpans(method="edit_spans", longest=0.9), write_corrections, say_sums, {}, 3
    ),
    # 4 prompts: 1 declines, 1 asks no more than before, 2 are answered; one judge is unclear
    "evol_instruct": Case(
        EvolInstruct(method="evol_instruct", rounds=1),
        write_tasks,
        say_evolved,
        {"generate": 4 + 2, "judge": 3, "retry": 1},
        2,
    ),
    # 3 passages with 3 problems and their solutions each
    "genstruct": Case(
        Genstruct(method="genstruct", problems_each=3),
        write_pages,
        say_problems,
        {"generate": 9},
        9,
    ),
    # a request for each of 3 passages and its rating, one of them twice
    "humpback": Case(
        Humpback(method="humpback"),
        write_pages,
        say_rated,
        {"generate": 3, "judge": 3, "retry": 1},
        2,
    ),
    # 3 prompts with 2 tasks each, 4 of which are wanted and answered
    "lamini": Case(
        LaMini(method="lamini", instructions=4, prompts_at_most=3, topics=("rivers",)),
        write_tasks,
        say_lists,
        {"generate": 3 + 4},
        4,
    ),
    # no call at all: a request for each
    "llamait": Case(
        LlamaIT(method="llamait", given="sums", wanted="answers"), write_sums, say_sums, {}, 8
    ),
    # 8 requests and their answers, whatever rows there are
    "magpie": Case(
        Magpie(method="magpie", instructions=8, template_model="wheel:smollm2-135m-instruct"),
        write_tasks,
        say_anything,
        {"generate": 16},
        8,
    ),
    # 8 sums x 4 samples; the 4 with 6 have none right, and 2 hints each
    "rejection": Case(
        Rejection(method="rejection", samples=4, hints=2, keep_at_most=1, gold="fallback"),
        write_sums,
        say_sums,
        {"generate": 8 * 4 + 4 * 2},
        8,
    ),
    # a request for each of the responses
    "reverse_instructions": Case(
        ReverseInstructions(method="reverse_instructions", least_words=3),
        write_sums,
        say_reversed,
        {"generate": 8},
        8,
    ),
    # 8 sums there and back, all but those of 10 with the numbers that they had; one way is unclear
    "round_trip": Case(
        # at 0 the same garbage for two sums would be one question on the way back
        RoundTrip(method="round_trip", temperature=0.5),
        write_sums,
        say_translated,
        {"generate": 16, "judge": 12, "retry": 1},
        6,
    ),
    # 8 answers, 4 of them wrong: 4 paraphrases, of which one is not judged; one judge is unclear
    "s3ft": Case(
        S3FT(method="s3ft", judge="model"),
        write_sums,
        say_targets,
        {"generate": 8 + 4, "judge": 8 + 3, "retry": 1},
        6,
    ),
    # an explanation of each, 4 of which end on the given answer
    "orca": Case(
        Orca(method="orca", verify=(FinalAnswer(),)), write_sums, say_sums, {"generate": 8}, 4
    ),
    # 7 reviews without a label are taken for personas: a request of each, and its answer
    "persona": Case(Persona(method="persona"), write_reviews, say_anything, {"generate": 14}, 7),
    # two texts for each, one of which says another sum and is not judged
    "fuse_answers": Case(
        FuseAnswers(method="fuse_answers"),
        write_sums,
        say_fused,
        {"generate": 16, "judge": 7},
        7,
    ),
    # 6 without a label and 4 that are audited, twice each; the fifth is of two minds
    "pseudo_labels": Case(
        PseudoLabels(
            method="pseudo_labels",
            labels=("good", "bad"),
            views=("Which?", "Is it kind?"),
            confidence=0,
            drift=1,
        ),
        write_reviews,
        say_label,
        {"generate": 20},
        5,
    ),
    "r_tuning": Case(
        RTuning(method="r_tuning", compare="final_answer"), write_sums, say_sums, {"generate": 8}, 8
    ),
    # of all sums together, 5 samples each
    "r_tuning by samples": Case(
        RTuning(method="r_tuning", mode="uncertain"), write_sums, say_sums, {"generate": 40}, 8
    ),
    # an answer of its own to each, of which 4 are as given
    "spin": Case(SPIN(method="spin"), write_sums, say_as_given, {"generate": 8}, 4),
    # the given answer of each, and the reasons where the answer is right
    "step_by_step": Case(
        StepByStep(method="step_by_step", keep="right"),
        write_sums,
        say_reasons,
        {"generate": 8},
        8 + 4,
    ),
    # 3 prompts with 2 tasks each, 4 of which are wanted: 2 stories with a row, 2 sortings with 2
    "self_instruct": Case(
        SelfInstruct(method="self_instruct", instructions=4, prompts_at_most=3),
        write_tasks,
        say_tasks,
        {"generate": 3 + 4, "judge": 4},
        6,
    ),
    # 3 passages with a title each, and 2 texts that are sorted
    "task_cards": Case(
        TaskCards(
            method="task_cards",
            cards=(
                TaskCard(name="title", instructions=("Give it a title.",), input="passage"),
                TaskCard(
                    name="kind",
                    instructions=("Say of what kind it is.",),
                    labels=("good", "bad"),
                    rows_each=2,
                ),
            ),
        ),
        write_pages,
        say_of_cards,
        {"generate": 9},
        9,
    ),
    # 2 sums of one template and 6 of another; one of 4 languages loses the names
    "translated_templates": Case(
        TranslatedTemplates(
            method="translated_templates",
            templates=("What is 2 plus {b}?", "What is {a} plus {b}?"),
            languages=("French", "Spanish", "Italian", "Dutch"),
        ),
        write_sums,
        say_template,
        {"generate": 8},
        24,
    ),
    # a verdict on each row, which stays or goes; one judge is unclear
    "verified": Case(
        Verified(method="verified", verify=(Judged(method="judged", against="prompt"),)),
        write_sums,
        say_verdicts,
        {"judge": 8, "retry": 1},
        0,
    ),
}

each_maker = pytest.mark.parametrize("name", list(CASES))
each_that_asks = pytest.mark.parametrize("name", [name for name in CASES if CASES[name].calls])


@pytest.fixture(autouse=True)
def quick_database() -> Iterator[None]:
    with kept_attached():
        yield


@cache
def plain(name: str, model: str = TARGET) -> list[tuple[object, ...]]:
    """What a maker leaves in a workspace of its own, asking a scripted model."""
    case = CASES[name]
    with TemporaryDirectory() as folder, kept_attached(), pytest.MonkeyPatch.context() as patch:
        script(patch, case.say)
        run, pool = begin(Path(folder), case.rows(Path(folder)))
        make(run, case.maker.model_copy(update={"model": model}), pool)
        return rows_of(run)


def made_texts(run: RunContext, before: list[str], after: list[str]) -> list[str]:
    """The responses of rows that were made."""
    with read_workspace(run.workspace) as con:
        return [each.response for each in read_examples(con, sorted({*after} - {*before}))]


def sent_by(kind: type[GeneratorBlock]) -> list[str]:
    """The prompts of a maker, if it has any of its own."""
    return [*kind.prompts] if issubclass(kind, PromptingBlock) else []


def test_every_maker_is_in_the_catalogue_and_has_its_case_and_its_test() -> None:
    folder = ROOT / "pipeline" / "generation" / "makers"
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    union = get_args(get_args(Generator)[0])
    tagged = {get_args(each)[0] for each in union}
    assert files == MAKERS.keys() == {name.partition(" ")[0] for name in CASES}
    assert {*MAKERS.values()} == tagged
    for name, kind in MAKERS.items():
        assert get_args(kind.model_fields["method"].annotation) == (name,)
        assert generator_tag({"method": name}) == name
        assert (Path(__file__).parent / f"test_{name}.py").exists()
        said = docstring(folder / f"{name}.py")
        assert "arXiv:" in said and "Not " in said and "cost" in said, "source, when not, cost"


def test_every_prompt_is_sent_by_one_maker_which_says_so() -> None:
    named = [prompt for kind in MAKERS.values() for prompt in sent_by(kind)]
    named.remove(REQUEST)  # which two makers send, of one module
    assert len(named) == len({*named})
    of_verifiers = {
        prompt
        for against in ("prompt", "response")
        for prompt in Judged.model_validate({"method": "judged", "against": against}).sent_prompts()
    }
    of_verifiers |= {
        "entailed_judge",
        "tool_results_judge",
        *Rubric(method="rubric").sent_prompts(),
    }
    assert {*named} | of_verifiers == {path.stem for path in PROMPTS.glob("*.txt")}
    for name, kind in MAKERS.items():
        source = (ROOT / "pipeline" / "generation" / "makers" / f"{name}.py").read_text()
        sent = set(re.findall(r'"(\w+)"', source)) & {*named}
        assert sent <= {*sent_by(kind)}


def test_each_prompt_has_the_marks_that_it_is_filled_in_at() -> None:
    assert PLACEHOLDERS.keys() == {path.stem for path in PROMPTS.glob("*.txt")}
    assert [fault for name in PLACEHOLDERS if (fault := prompt_fault(name))] == []


@each_maker
def test_the_key_follows_prompts_and_settings_and_not_what_changes_no_row(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = CASES[name].maker
    monkeypatch.setattr(type(maker), "identity", lambda self: "the model")
    key = maker.key(0)
    same = maker.model_copy(update={"at_most": AtMost(calls=1), "limit": 2, "license": "mit"})
    assert same.key(0) == key != maker.key(1)
    changed: dict[str, object] = {"max_new_tokens": 3}
    if isinstance(maker, EditSpans):  # it asks nothing
        changed = {"longest": 0.1}
    if isinstance(maker, LlamaIT):
        changed = {"terms_share": 0.1}
    if isinstance(maker, EDA):
        changed = {"alpha": 0.5}
    if isinstance(maker, Verified):  # it writes nothing
        changed = {"verify": (Judged(method="judged"),)}
    assert maker.model_copy(update=changed).key(0) != key
    for prompt in sent_by(type(maker)):
        with monkeypatch.context() as patched:
            text = read_prompt_text(prompt)
            patched.setattr(
                "pipeline.generation.templates.read_prompt_text",
                lambda each, prompt=prompt, text=text: text + "!" * (each == prompt),
            )
            assert maker.key(0) != key, prompt


@each_maker
def test_late_and_shuffled_replies_give_the_same_rows(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    with scripted(case.say, scramble=True) as server:
        run, pool = begin(tmp_path, case.rows(tmp_path))
        make(run, served_by(case.maker, server), pool)
    assert rows_of(run) == plain(name, "m")


class Killed(BaseException):
    """The process ends here."""


@each_that_asks
def test_a_kill_loses_no_reply_and_changes_no_row(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    model = script(monkeypatch, case.say)
    monkeypatch.setattr(asking, "TOGETHER", 3)

    def die(what: str, calls: int, total: int | None) -> None:
        if calls >= 6:
            raise Killed

    run, pool = begin(tmp_path, case.rows(tmp_path))
    with pytest.raises(Killed):
        make_rows(run, case.maker, die)
    assert 0 < len(model.asked) < sum(case.calls.values())
    make(run, case.maker, pool)
    assert len(model.asked) == sum(case.calls.values())
    assert rows_of(run) == plain(name)


SLICED = ("evol_instruct", "document_questions", "s3ft", "verified")
"""Makers of one source each: rejection and others are no different."""


@pytest.mark.parametrize("name", SLICED)
def test_in_slices_the_rows_are_the_same_whether_killed_or_stopped_by_a_budget(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    model = script(monkeypatch, case.say)
    monkeypatch.setattr(asking, "TOGETHER", 2)
    monkeypatch.setattr(make_stage, "SLICE_CALLS", 1)  # one source in each
    run, pool = begin(tmp_path, case.rows(tmp_path))
    total = sum(case.calls.values())
    capped = case.maker.model_copy(update={"at_most": AtMost(calls=total - 2)})
    made, _ = make(run, capped, pool)
    sources = len(made.workload.chosen)
    assert len(model.asked) == total - 2 and 0 < made.unfinished < sources
    again, _ = make(run, capped, pool)
    assert (again.asked, again.unfinished) == (0, made.unfinished)
    assert len(slice_sources(again.workload)) == made.unfinished, "what is stored is not begun"

    def die(what: str, calls: int, total: int | None) -> None:
        raise Killed

    with pytest.raises(Killed):
        make_rows(run, case.maker, die)
    make(run, case.maker, pool)
    assert len(model.asked) == total and rows_of(run) == plain(name)


def test_slices_are_of_all_that_was_chosen_and_not_of_what_is_left() -> None:
    maker = CASES["rejection"].maker
    each = sum(bounds.most for bounds in maker.calls_for(1).values())
    size = make_stage.SLICE_CALLS // each
    chosen = [f"{n:05}" for n in range(2 * size + 5)]
    left = chosen[3 : size + 1]
    assert slice_sources(Workload(maker, "k", chosen, chosen)) == [
        chosen[:size],
        chosen[size : 2 * size],
        chosen[2 * size :],
    ]
    assert slice_sources(Workload(maker, "k", chosen, left)) == [chosen[3:size], [chosen[size]]]


@each_that_asks
def test_the_ledger_is_what_was_asked_and_within_what_was_planned(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    model = script(monkeypatch, case.say)
    monkeypatch.setattr(predict, "try_calls", lambda settings, first: len(first))
    run, pool = begin(tmp_path, case.rows(tmp_path))
    planned = {each.kind: each for each in plan_maker(run, case.maker)}
    made, grown = make(run, case.maker, pool)
    assert len(model.asked) == made.asked == sum(case.calls.values())
    assert all(each.seconds for each in planned.values()), "it says what it asks first"
    left = sum(each.most for each in plan_maker(run, case.maker))
    assert left < sum(each.most for each in planned.values())
    with read_workspace(run.workspace) as con:
        ledger = {each.kind: each for each in read_ledger(con, made.workload.key)}
    assert {kind: each.calls for kind, each in ledger.items()} == case.calls
    assert {kind for kind in planned} >= {*ledger}
    for kind, plan in planned.items():
        calls = case.calls.get(kind, 0)
        assert plan.fewest <= calls <= plan.most
        assert not calls or ledger[kind].tokens == TOKENS * calls <= plan.tokens
    assert len({*grown} - {*pool}) == case.made
    bound = case.maker.rows_at_most(len(made.workload.chosen))
    assert bound is None or case.made <= bound


@each_maker
def test_a_second_run_asks_nothing_and_adds_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    model = script(monkeypatch, case.say)
    run, pool = begin(tmp_path, case.rows(tmp_path))
    _, first = make(run, case.maker, pool)
    before, asked = rows_of(run), len(model.asked)
    made, second = make(run, case.maker, pool)
    assert (made.asked, len(model.asked)) == (0, asked)
    assert (second, rows_of(run)) == (first, before)


@each_that_asks
@pytest.mark.parametrize("share", [0.4, *slow(0.1, 0.8)])
def test_a_budget_of_calls_ends_it_there_and_a_higher_one_goes_on(
    name: str, share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    total = sum(case.calls.values())
    cap = max(1, int(share * total))
    model = script(monkeypatch, case.say)
    run, pool = begin(tmp_path, case.rows(tmp_path))
    capped = case.maker.model_copy(update={"at_most": AtMost(calls=cap)})
    made, grown = make(run, capped, pool)
    assert len(model.asked) == made.asked == cap and made.unfinished
    again, same = make(run, capped, pool)
    assert again.asked == 0 and same == grown and again.unfinished == made.unfinished
    calls = [row for row in rows_of(run) if row[0] == "calls"]
    assert len(calls) == cap and {row[6] for row in calls} <= {"kept", "dropped", "open"}
    make(run, case.maker, pool)
    assert len(model.asked) == total
    assert rows_of(run) == plain(name)


@each_that_asks
@pytest.mark.parametrize("together", [2, *slow(64)])
def test_a_budget_of_tokens_is_not_exceeded_and_ends_where_no_reply_would_fit(
    name: str, together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]
    monkeypatch.setattr(asking, "TOGETHER", together)
    model = script(monkeypatch, case.say)
    run, pool = begin(tmp_path, case.rows(tmp_path))
    small = {"max_new_tokens": 20, "at_most": AtMost(tokens=34)}
    maker = case.maker.model_copy(update=small)
    make(run, maker, pool)
    make(run, maker, pool)
    # After n replies of 7 the next, of up to 20, fits while 7 n + 20 <= 34.
    assert len(model.asked) == 3


GARBAGE: tuple[str | Canned, ...] = (
    "",
    "\n\n \n",
    '```json\n{"answer": [1, 2,],}\n```',
    '{"output": "x",}',
    "I'm sorry, but I cannot assist with that.",
    "1.\n2.\n3.",
    "yes no",
    "Input:\nOutput:",
    "####",
    "\x00\u202e\ufeff",
    "9" * 5000,
    completion("1. Cut off in the mid", finish_reason="length"),
    Canned(500),
    Canned(body={"choices": []}),
)


@each_maker
@pytest.mark.parametrize("salt", [1, *slow(2)])
def test_whatever_is_replied_each_reply_has_one_counted_outcome(
    name: str, salt: int, tmp_path: Path
) -> None:
    case = CASES[name]

    def say(text: str, seed: int) -> str | Canned:
        draw = fraction(salt, text, seed)
        if draw > 0.7:
            return case.say(text, seed)
        return GARBAGE[int(draw / 0.7 * len(GARBAGE))]

    with scripted(say) as server:
        run, pool = begin(tmp_path, case.rows(tmp_path))
        made, grown = make(run, served_by(case.maker, server), pool)
    calls = [row for row in rows_of(run) if row[0] == "calls"]
    assert len(calls) == made.asked and all(reason for *_, reason in calls)
    assert {outcome for *_, outcome, _ in calls} <= {"kept", "dropped"}
    with read_workspace(run.workspace) as con:
        kept = con.execute(
            "select count(*) from replies where reason = '' and kept_at <> ''"
        ).fetchone()
        had = con.execute("select count(*) from replies where reason = ''").fetchone()
    assert kept == had, "each reply that was had has its place in the request cache"
    assert all(text.strip() for text in made_texts(run, pool, grown))


@each_that_asks
def test_replies_that_were_not_had_are_asked_for_again_and_no_others(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]

    gone: dict[tuple[str, int], bool] = {}

    def lost(text: str, seed: int) -> str | Canned:
        """Every second question has no answer, however often it is asked."""
        is_gone = gone.setdefault((text, seed), len(gone) % 2 == 0)
        return Canned(500) if is_gone else case.say(text, seed)

    script(monkeypatch, lost)
    run, pool = begin(tmp_path, case.rows(tmp_path))
    make(run, case.maker, pool)
    failed = find_failed_replies(run, case.maker)
    assert [each.detail for each in failed.reasons] == ["http_500"] and failed.count
    assert not find_failed_replies(run, case.maker, "http_4").count
    model = script(monkeypatch, case.say)
    left = ask_failed_again(run, failed, "", tell_nobody)
    assert left.count == 0 and len(model.asked) < sum(case.calls.values())
    found = rows_of(run)
    assert [row for row in found if row[0] in ("attempts", "calls")] == [
        row for row in plain(name) if row[0] in ("attempts", "calls")
    ]


@each_maker
@pytest.mark.parametrize("said", ["I know it is not", *slow("not really", "Yes and no")])
def test_a_judge_that_says_neither_lets_nothing_in(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]

    def say(text: str, seed: int) -> str | Canned:
        return said if JUDGED in text else case.say(text, seed)

    model = script(monkeypatch, say)
    run, pool = begin(tmp_path, case.rows(tmp_path))
    _, grown = make(run, case.maker, pool)
    reasons = {row[7] for row in rows_of(run) if row[0] == "calls" and row[5] == "judge"}
    assert bool(reasons) == ("judge" in case.calls) == any(JUDGED in each for each in model.asked)
    if reasons:
        assert {*grown} <= {*pool} and all("unparsed" in str(reason) for reason in reasons)


@each_maker
def test_nothing_of_what_was_shown_stands_in_a_row(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES[name]

    def say(text: str, seed: int) -> str | Canned:
        """The reply, and the prompt behind it."""
        said = case.say(text, seed)
        return said if JUDGED in text else f"{said}\n{text}"

    model = script(monkeypatch, say)
    run, pool = begin(tmp_path, case.rows(tmp_path))
    _, grown = make(run, case.maker, pool)
    shown = [piece for prompt in sent_by(type(case.maker)) for piece in fixed_text(prompt)]
    asked = any(repeats_shown(each, shown) for each in model.shown)
    assert asked == bool(shown), "the case is one, where anything is shown"
    for text in made_texts(run, pool, grown):
        assert not repeats_shown(text, shown) and not OF_THE_HINT.search(text), text


def made_examples(name: str) -> list[Example]:
    """The rows that a maker makes, as it leaves them."""
    found = [row for row in plain(name) if row[0] == "examples" and row[3] == "generated"]
    made = []
    for _, example_id, messages, _ in found:
        *before, last = json.loads(str(messages))
        texts = "\n".join(str(each["content"]) for each in before), str(last["content"])
        turns = [*before, last]
        made.append(Example(str(example_id), "", turns, [], len(before), *texts, [len(before)]))
    return made


@each_maker
def test_a_made_row_that_holds_a_test_item_is_found_and_its_method_is_known(
    name: str, tmp_path: Path
) -> None:
    made = made_examples(name)
    if not CASES[name].made:
        assert not made, "its rows are those that it was given"
        return
    leaked = made[0]
    item = {"question": leaked.prompt, "answer": leaked.response}
    (tmp_path / "test.jsonl").write_text(json.dumps(item))
    against = {"path": str(tmp_path / "test.jsonl"), "prompt": "question", "answer": "answer"}
    search = Uncontaminated.model_validate({"method": "uncontaminated", "against": [against]})
    assert search.faults(leaked, [leaked.response]) == ["in_test"]
    clean = {"question": "Who wrote down how the tides of the sea come about, and when was that?"}
    (tmp_path / "test.jsonl").write_text(json.dumps(clean | {"answer": "Newton, in 1687."}))
    search_of.cache_clear()
    assert search.faults(leaked, [leaked.response]) == [""]
    methods = {row[3] for row in plain(name) if row[0] == "lineage" and row[1] == leaked.example_id}
    assert len(methods) == 1 and str(*methods).startswith(name.partition(" ")[0].rstrip("s"))


@each_that_asks
def test_rows_are_as_diverse_as_what_was_written(name: str) -> None:
    written = [str(row[1]) for row in plain(name) if row[0] == "replies" and row[1]]
    made = [f"{each.prompt}\n{each.response}" for each in made_examples(name)]
    before, after = diversity(written), diversity(made)
    if len(made) < 2:
        assert CASES[name].made < 2
        return
    assert after["texts"] == CASES[name].made, "no row twice"
    alike, distinct = "mean ROUGE-L F of pairs", "distinct word pairs"
    # Replies of the script differ: rows of which all said one thing would have lost what was said.
    assert 0 <= float(str(before[alike])) < 1 and 0 <= float(str(after[alike])) < 1
    assert 0 < float(str(after[distinct])) <= 1
