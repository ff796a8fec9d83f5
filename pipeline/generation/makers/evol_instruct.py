r"""Evol-Instruct: a prompt is rewritten into a harder or a rarer one, round by round, and answered.

    x_t = evolve(o_t, x_{t-1}),   o_t uniform over the operators,   t = 1 … rounds

In depth an operator adds a `constraint`, asks more deeply (`deepen`), puts particular things for
general ones (`concretise`), asks for more steps (`reasoning`) or adds data (`input`); `breadth`
writes another prompt of the same field. A row is x_t with an answer of the same model. It stands
beside its source, and all that it descends from are its parents, so their number is its depth. An
evolution goes, and x_{t-1} is evolved again (once, or `returns` times in a row), where it

    copy            has ROUGE-L F > 0.95 with one that it descends from
    marker          speaks of the given or the new prompt
    repeats_prompt  has eight words in a row of what asked for it
    too_long        has over `longer_at_most` words more than x_{t-1}
    no_gain         asks the same, says the judge: a reply of yes or no, and not both
    unanswerable    cannot be answered by text, says a judge that is asked with `judges`
    refusal         declines, or its answer has under 80 words and declines or is sorry
    empty_info      has an answer of signs and function words alone

A verdict that cannot be read is asked for again `retries` times, and lets nothing in then.

WizardLM: Xu et al. 2023, arXiv:2304.12244. Its released code has no judge and no `input`:
`judges: []`, and the other five as `operators`. The prompts here are our own.

For a pool of short, easy prompts and a model that is better than the one trained. A prompt that has
grown longer need not be harder: measure the losses of the target with it and keep a band, as
recipes/evol_instruct.yaml does, and compare at equal loss tokens. Not for prompts with a context,
such as a system prompt, tools or other turns; those are passed over. It costs 2 calls a round for
each row and 1 for each judge, fewer where it fails.
"""

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.generation.judging import VERDICT_TOKENS, ask_yes_or_no
from pipeline.generation.maker import (
    Ask,
    CallKind,
    CallPlace,
    Making,
    Settled,
    Unread,
    Wanted,
    ask_text,
    is_question,
    last_prompt_text,
    one_exchange,
)
from pipeline.generation.maker_block import CallBounds, MakerBlock
from pipeline.generation.shown_text import repeats_shown
from pipeline.generation.templates import fill_prompt, fixed_text, named_lines, read_prompt_text
from pipeline.generation.written_text import has_no_content, is_refusal, refuses
from pipeline.measuring.measures.samples import Sampled
from pipeline.text.word_overlap import is_near_any
from scorers.words import split_words
from storage.conversations import content_hash
from storage.examples import Example

Operator = Literal["constraint", "deepen", "concretise", "reasoning", "input", "breadth"]

Judge = Literal["gain", "answerable"]

OPERATORS: tuple[Operator, ...] = (
    "constraint",
    "deepen",
    "concretise",
    "reasoning",
    "input",
    "breadth",
)

REWRITES = ("evol_instruct_depth", "evol_instruct_breadth", "evol_instruct_changes")
"""Prompts of which nothing may stand in what comes back."""

MARKER = re.compile(r"\b(?:given|new|rewritten|created) prompts?\b", re.IGNORECASE)

COPY_ABOVE = 0.95
"""ROUGE-L F with a prompt that one descends from; more is a copy of it."""


class EvolInstruct(MakerBlock):
    """Prompts made harder or rarer, and answered: Evol-Instruct (arXiv:2304.12244)."""

    method: Literal["evol_instruct"]
    rounds: int = Field(default=4, gt=0, description="Evolutions of a prompt, one of the other.")
    operators: tuple[Operator, ...] = Field(
        default=OPERATORS, min_length=1, description="One is drawn for each evolution."
    )
    judges: tuple[Judge, ...] = Field(
        default=("gain",),
        description="gain: whether it asks more than before; answerable: whether text can answer.",
    )
    returns: int = Field(
        default=1, ge=0, description="Failures in a row after which a prompt is evolved again."
    )
    longer_at_most: int = Field(
        default=60, gt=0, description="Words that an evolution may add to a prompt."
    )
    temperature: float = Field(default=1.0, ge=0, description="Of evolutions and answers.")
    max_new_tokens: int = Field(default=512, gt=0, description="Of each reply.")
    retries: int = Field(
        default=1, ge=0, description="How often a judge is asked again that said neither."
    )

    prompts: ClassVar[Sequence[str]] = (*REWRITES, "evol_instruct_gain", "evol_instruct_answerable")

    def takes(self, example: Example) -> bool:
        """Rows of one question, whose prompt is all that there is to it."""
        return is_question(example)

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return self.rounds

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {source.example_id: make_by_evol_instruct(self, source, seed) for source in sources}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """An evolution and an answer a round, judged between; at fewest evolutions that fail."""
        most = sources * self.rounds
        fewest = sources * min(self.rounds, 1 + self.returns)
        bounds: dict[CallKind, CallBounds] = {
            "generate": CallBounds(fewest, 2 * most, self.max_new_tokens)
        }
        if judged := most * len(self.judges):
            bounds["judge"] = CallBounds(0, judged, VERDICT_TOKENS)
            bounds["retry"] = CallBounds(0, judged * self.retries, VERDICT_TOKENS)
        return bounds


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A prompt that others were evolved from, and the example it belongs to."""

    example_id: str
    prompt: str


def make_by_evol_instruct(settings: EvolInstruct, source: Example, seed: int) -> Making:
    """Evolve what the last round left, until it fails too often or the rounds are over."""
    line = [Ancestor(source.example_id, last_prompt_text(source))]
    settled: list[Settled] = []
    failed = 0
    for number in range(settings.rounds):
        operator = draw_operator(settings, source.example_id, seed, number)
        step = yield from evolve_once(settings, line, operator, number)
        settled.append(step)
        if step.row is None:
            failed += 1
            if failed > settings.returns:
                break
        else:
            failed = 0
            line.append(Ancestor(step.row.example_id, str(step.row.messages[0]["content"])))
    return settled


def draw_operator(settings: EvolInstruct, source: str, seed: int, number: int) -> Operator:
    """The operator of a round, by a seeded hash."""
    drawn = int(content_hash([seed, "operator", source, number]), 16)
    return settings.operators[drawn % len(settings.operators)]


def evolve_once(
    settings: EvolInstruct, line: Sequence[Ancestor], operator: Operator, number: int
) -> Generator[Wanted, Sequence[Sampled], Settled]:
    """Evolve the youngest of a line, have it judged and answer it."""
    parent = line[-1].prompt
    ask = ask_plain(settings, f"evolve {operator}", number, evolving(operator, parent))
    evolved = yield from ask_text(ask, lambda text: fault_of_prompt(settings, text, line))
    places = [ask.place]
    if isinstance(evolved, Unread):
        return Settled(places, None, evolved.reason)
    for judge in settings.judges:
        shown = {"child": evolved} | ({"parent": parent} if judge == "gain" else {})
        asked, fault = yield from judge_prompt(settings, judge, shown, number)
        places += asked
        if fault:
            return Settled(places, None, fault)
    ask = ask_plain(settings, "answer", number, evolved)
    answer = yield from ask_text(ask, fault_of_answer)
    places.append(ask.place)
    if isinstance(answer, Unread):
        return Settled(places, None, answer.reason)
    row = one_exchange(evolved, answer)
    return Settled(places, row, operator, [each.example_id for each in line])


def evolving(operator: Operator, prompt: str) -> str:
    """What is asked to have a prompt evolved."""
    if operator == "breadth":
        return fill_prompt("evol_instruct_breadth", {"prompt": prompt})
    change = named_lines(read_prompt_text("evol_instruct_changes"))[operator]
    return fill_prompt("evol_instruct_depth", {"prompt": prompt, "change": change})


def ask_plain(settings: EvolInstruct, stage: str, number: int, question: str) -> Ask:
    """One message, and nothing else."""
    messages = [{"role": "user", "content": question}]
    return Ask(stage, number, messages, settings.temperature, settings.max_new_tokens)


def judge_prompt(
    settings: EvolInstruct, judge: Judge, shown: Mapping[str, str], number: int
) -> Generator[Wanted, Sequence[Sampled], tuple[list[CallPlace], str]]:
    """Ask a judge of an evolved prompt; what it was asked, and why the prompt goes."""
    name = "evol_instruct_gain" if judge == "gain" else "evol_instruct_answerable"
    question = fill_prompt(name, shown)
    asked, verdict = yield from ask_yes_or_no(f"{judge} {number}", question, settings.retries)
    if isinstance(verdict, Unread):
        return asked, f"{judge}_{verdict.reason}"
    if judge == "gain":  # asked the other way round: yes is that they ask the same
        return asked, "no_gain" if verdict else ""
    return asked, "" if verdict else "unanswerable"


def fault_of_prompt(settings: EvolInstruct, text: str, line: Sequence[Ancestor]) -> str:
    """Why an evolved prompt goes, before it is judged; "" where it may stay."""
    parent = line[-1].prompt
    words, before = split_words(text), [split_words(each.prompt) for each in line]
    faults = {
        "empty_info": has_no_content(text),
        "refusal": refuses(text),
        "marker": any(f[0].casefold() not in parent.casefold() for f in MARKER.finditer(text)),
        "repeats_prompt": repeats_shown(text, [p for name in REWRITES for p in fixed_text(name)]),
        "copy": is_near_any(words, before, COPY_ABOVE),
        "too_long": len(words) > len(before[-1]) + settings.longer_at_most,
    }
    return next((name for name, found in faults.items() if found), "")


def fault_of_answer(text: str) -> str:
    """Why an answer makes no row; "" where it does."""
    if has_no_content(text):
        return "empty_info"
    return "refusal" if is_refusal(text) else ""
