r"""SciLitLLM: of a scientific corpus the better passages, repaired, and instructions in its words.

    stays(p)   <=>  p is not among the floor(`drop_lowest` n) lowest of n ratings, 0 to 5 each
    p'          =   M(p put right), if it is still p                          with `repair`
    W           ~   P(w)^(1/`keyword_temperature`), `keywords` of all p'      keyword_table.py
    (text, a)   ~   M(W, task)         `instructions` of each of `tasks`, as JSON
    row         =   text -> a          if it is not merged into another of its task, and its five
                                       aspects have a mean of `mean_at_least`

A rating or an aspect that cannot be read is asked for again, `retries` times at temperature 1; then
the passage or the row is out as `unparsed`, and never counts as the worst. Of equal ratings the
lower id goes first. A repaired text is taken if its edit similarity with what it was is 0.6 or
more, its length 0.7 to 1.3 of that, and its digits are the same; else the passage stays as it was,
and the call has the reason. Of a task the share `merged` of pairs that are most alike is merged
(alike_pairs.py). The aspects are clarity, complexity, correctness, usefulness and adaptability,
whole numbers from 1 to 5. Parents of a row are the passages that have its keywords most often: the
text itself is made up.

Li et al. 2024, arXiv:2408.15545. There a small classifier learns the ratings of 50,000 texts and
rates the others, and the repaired texts are trained on as they are; here the judge rates all, and
they give the keywords. The judge of its code is not shown the answer that it rates; this one is.
It asks for 1.5 times as many as it wants, and 3 times for tables, for its replies are often no
JSON. Its prompts are not repeated.

For papers and textbooks, to learn a field's words and forms of question. Not for what the texts
say, which augcon and document_questions ask about; nor for scripts without spaces, which have no
keywords. The two tasks of molecules are for chemistry alone. What a model makes up of keywords may
be wrong, and a model that judges itself does not see it. It costs 2 calls a passage (1 without
`repair`), and 2 for each instruction; rows of a task are compared in pairs, 1,000 in minutes.
"""

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias, TypeVar, get_args

from pydantic import Field

from pipeline.generation.alike_pairs import first_of_alike
from pipeline.generation.json_replies import form_of, read_json_object
from pipeline.generation.judging import VERDICT_TOKENS
from pipeline.generation.keyword_table import KeywordTable
from pipeline.generation.maker import (
    Ask,
    CallKind,
    CallPlace,
    Making,
    Settled,
    Unread,
    Wanted,
    one_exchange,
    read_whole,
)
from pipeline.generation.maker_block import WHOLE_POOL, CallBounds, PassageMakerBlock
from pipeline.generation.templates import fill_prompt, named_lines, read_prompt_text
from pipeline.generation.written_text import fault_of_wording
from pipeline.measuring.measures.samples import Sampled
from pipeline.text.edit_distance import edit_similarity
from scorers.measures.protocols import AnswerForm, OneOf
from scorers.words import split_words
from storage.documents import SourcePassage

QUALITY, REPAIR, TASKS, INSTRUCTION, ASPECTS_PROMPT = (
    f"scilitllm_{name}" for name in ("quality", "repair", "tasks", "instruction", "aspects")
)

Task = Literal[
    "table_extraction",
    "entity_extraction",
    "molecule_translation",
    "molecule_extraction",
    "multiple_choice",
    "true_false",
]

ALL_TASKS: tuple[Task, ...] = get_args(Task)

ASPECTS = ("clarity", "complexity", "correctness", "usefulness", "adaptability")

RATINGS = OneOf(tuple("012345"))
"""What a judge may say of a passage."""

WRITTEN = form_of({name: {"type": "string"} for name in ("text", "answer")})

RATED = form_of({name: {"type": "integer", "minimum": 1, "maximum": 5} for name in ASPECTS})

RATED_TOKENS = 16 * len(ASPECTS)

REPAIRED_SIMILARITY, REPAIRED_LENGTHS = 0.6, (0.7, 1.3)
"""What a repaired text has with what it was, at least; and characters, as a share of that."""

TOGETHER_RATED = 16
"""Rows that are rated together: what a budget can leave undone."""


class SciLitLLM(PassageMakerBlock):
    """Instructions in the words of a corpus: SciLitLLM (arXiv:2408.15545)."""

    method: Literal["scilitllm"]
    drop_lowest: float = Field(
        default=0.25, ge=0, lt=1, description="Share of the passages that go, the lowest rated."
    )
    repair: bool = Field(
        default=True, description="Whether spelling and layout of passages are put right."
    )
    tasks: tuple[Task, ...] = Field(
        default=ALL_TASKS, min_length=1, description="Kinds of question that are asked for."
    )
    instructions: int = Field(
        default=50, gt=0, description="Asked for of each kind, before any goes."
    )
    keywords: int = Field(default=20, gt=0, description="Words that a text is to have.")
    keyword_temperature: float = Field(
        default=3.0, gt=0, description="1 draws words by their frequency, more draws evenly."
    )
    merged: float = Field(
        default=0.05, ge=0, le=1, description="Pairs that are merged, for each row of a kind."
    )
    mean_at_least: float = Field(
        default=4.0, ge=1, le=5, description="Mean of the five aspects of a row that stays."
    )
    retries: int = Field(
        default=1, ge=0, description="How often a judge is asked again that cannot be read."
    )
    temperature: float = Field(default=0.7, ge=0, description="Of instructions; others have 0.")
    max_new_tokens: int = Field(default=1024, gt=0, description="Of each reply.")

    prompts: ClassVar[Sequence[str]] = (QUALITY, REPAIR, TASKS, INSTRUCTION, ASPECTS_PROMPT)

    @property
    def makes_of_whole(self) -> bool:
        """Ratings are compared, and keywords are of all passages."""
        return True

    def rows_each(self) -> int:
        """None comes of one alone."""
        return 0

    def rows_at_most(self, sources: int) -> int:
        """A row for each instruction of each task."""
        return self.instructions * len(self.tasks) if sources else 0

    def makings(self, passages: Sequence[SourcePassage], seed: int) -> Mapping[str, Making]:
        """One for all passages together, if there are any."""
        return {WHOLE_POOL: make_by_scilitllm(self, passages, seed)} if passages else {}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """A rating and a repaired text of each passage, and an instruction with its rating."""
        rows = self.instructions * len(self.tasks) if sources else 0
        repaired = sources - int(self.drop_lowest * sources) if self.repair else 0
        most = sources + rows
        return {
            "generate": CallBounds(0, repaired + rows, self.max_new_tokens),
            "judge": CallBounds(sources, most, RATED_TOKENS),
            "retry": CallBounds(0, most * self.retries, RATED_TOKENS),
        }


def make_by_scilitllm(settings: SciLitLLM, passages: Sequence[SourcePassage], seed: int) -> Making:
    """Rate and repair the passages, and ask for instructions in their words."""
    settled, left = yield from rate_passages(settings, passages)
    texts = [each.text for each in left]
    if settings.repair and left:
        repaired, texts = yield from repair_passages(settings, left, settled)
        settled = repaired
    table = KeywordTable(texts)
    if not table.words:
        return settled
    faults, written = yield from ask_questions(settings, table, left, seed, settled)
    merged = [each for task in settings.tasks for each in merge_alike(settings, written, task)]
    rows = [row for row, stays in merged if stays]
    settled = [*faults, *(row.settled([], "alike") for row, stays in merged if not stays)]
    for start in range(0, len(rows), TOGETHER_RATED):
        some = rows[start : start + TOGETHER_RATED]
        told = yield from rate_rows(settings, some, settled)
        settled = [
            row.settled(places, fault) for row, (places, fault) in zip(some, told, strict=True)
        ]
    return settled


T = TypeVar("T")

JudgeTold: TypeAlias = tuple[list[CallPlace], T | Unread]
"""What a judge was asked, and what it said."""


def ask_judge(
    settings: SciLitLLM,
    questions: Mapping[str, str],
    form: AnswerForm,
    read: Callable[[Sampled], T | Unread],
    settled: Sequence[Settled] = (),
) -> Generator[Wanted, Sequence[Sampled], dict[str, JudgeTold[T]]]:
    """Ask a judge several things until each can be read, at most `retries` times more.

    Args:
        settings: the maker's.
        questions: stage → what is asked.
        form: of a reply.
        read: a reply → what it says.
        settled: what is settled by now.
    """
    tokens = VERDICT_TOKENS if isinstance(form, OneOf) else RATED_TOKENS
    told: dict[str, JudgeTold[T]] = {stage: ([], Unread("unparsed")) for stage in questions}
    for attempt in range(1 + settings.retries):
        kind: CallKind = "retry" if attempt else "judge"
        asks = [
            Ask(stage, attempt, as_user(text), float(attempt > 0), tokens, kind, form=form)
            for stage, text in questions.items()
            if isinstance(told[stage][1], Unread)
        ]
        if not asks:
            break
        replies = yield Wanted(asks, settled)
        settled = ()
        for ask, reply in zip(asks, replies, strict=True):
            told[ask.stage] = ([*told[ask.stage][0], ask.place], read(reply))
    return told


def as_user(text: str) -> list[dict[str, str]]:
    """A question and nothing else."""
    return [{"role": "user", "content": text}]


def rate_passages(
    settings: SciLitLLM, passages: Sequence[SourcePassage]
) -> Generator[Wanted, Sequence[Sampled], tuple[list[Settled], list[SourcePassage]]]:
    """What became of the ratings, and the passages that stay, in their order."""
    questions = {
        f"quality {each.passage_id}": fill_prompt(QUALITY, {"passage": each.text.strip()})
        for each in passages
    }
    told = yield from ask_judge(settings, questions, RATINGS, read_rating)
    verdicts = [told[f"quality {each.passage_id}"] for each in passages]
    ratings = {
        each.passage_id: rating
        for each, (_, rating) in zip(passages, verdicts, strict=True)
        if not isinstance(rating, Unread)
    }
    lowest = lowest_rated(ratings, settings.drop_lowest)
    settled = []
    for each, (places, rating) in zip(passages, verdicts, strict=True):
        reason = "low_quality" if each.passage_id in lowest else "passage"
        reason = "unparsed_rating" if isinstance(rating, Unread) else reason
        settled.append(Settled(places, None, reason, [each.passage_id]))
    return settled, [
        each for each in passages if each.passage_id in ratings and each.passage_id not in lowest
    ]


def lowest_rated(ratings: Mapping[str, int], share: float) -> set[str]:
    """Passages with the lowest ratings, exactly so many; of equal ones by their ids."""
    return {*sorted(ratings, key=lambda name: (ratings[name], name))[: int(share * len(ratings))]}


def read_rating(reply: Sampled) -> int | Unread:
    """The one number of a reply that is nothing else, but for signs around it."""
    text = read_whole(reply)
    words = [] if isinstance(text, Unread) else split_words(text)
    return int(words[0]) if len(words) == 1 and words[0] in RATINGS.options else Unread("unparsed")


def repair_passages(
    settings: SciLitLLM, passages: Sequence[SourcePassage], settled: Sequence[Settled]
) -> Generator[Wanted, Sequence[Sampled], tuple[list[Settled], list[str]]]:
    """What became of the calls, and the text of each passage, put right or as it was."""
    asks = [
        Ask(
            f"repair {each.passage_id}",
            0,
            as_user(fill_prompt(REPAIR, {"passage": each.text.strip()})),
            0.0,
            settings.max_new_tokens,
        )
        for each in passages
    ]
    replies = yield Wanted(asks, settled)
    told, texts = [], []
    for each, ask, reply in zip(passages, asks, replies, strict=True):
        read = read_whole(reply)
        fault = read.reason if isinstance(read, Unread) else fault_of_repair(each.text, read)
        told.append(Settled([ask.place], None, fault or "repaired", [each.passage_id]))
        texts.append(each.text if fault else str(read).strip())
    return told, texts


def fault_of_repair(text: str, repaired: str) -> str:
    """Why a text is no longer what it was; "" where it is."""
    before, after = text.strip(), repaired.strip()
    least, most = REPAIRED_LENGTHS
    if not least * len(before) <= len(after) <= most * len(before):
        return "other_length"
    if Counter(filter(str.isdigit, before)) != Counter(filter(str.isdigit, after)):
        return "other_numbers"
    return "" if edit_similarity(before, after) >= REPAIRED_SIMILARITY else "other_text"


@dataclass(frozen=True, slots=True)
class WrittenRow:
    """A question with its answer, not rated yet."""

    task: Task
    number: int
    text: str
    answer: str
    parents: Sequence[str]

    @property
    def place(self) -> CallPlace:
        """The call that wrote it."""
        return f"instruction {self.task}", self.number

    def settled(self, rated: Sequence[CallPlace], fault: str) -> Settled:
        """It as a row, or why it is none."""
        row = None if fault else one_exchange(self.text, self.answer)
        return Settled([self.place, *rated], row, fault or self.task, self.parents)


def ask_questions(
    settings: SciLitLLM,
    table: KeywordTable,
    passages: Sequence[SourcePassage],
    seed: int,
    settled: Sequence[Settled],
) -> Generator[Wanted, Sequence[Sampled], tuple[list[Settled], list[WrittenRow]]]:
    """Questions of each kind in the words of the passages, and why others are none."""
    kinds = named_lines(read_prompt_text(TASKS))
    wanted = [(task, n) for task in settings.tasks for n in range(settings.instructions)]
    asks, parents = [], []
    for task, number in wanted:
        lot = [seed, "keywords", task, number]
        drawn = table.draw(settings.keywords, settings.keyword_temperature, lot)
        question = fill_prompt(INSTRUCTION, {"keywords": ", ".join(drawn), "task": kinds[task]})
        asks.append(
            Ask(
                f"instruction {task}",
                number,
                as_user(question),
                settings.temperature,
                settings.max_new_tokens,
                form=WRITTEN,
            )
        )
        parents.append([passages[at].passage_id for at in table.places(drawn)])
    replies = yield Wanted(asks, settled)
    faults, rows = [], []
    for (task, number), ask, reply, named in zip(wanted, asks, replies, parents, strict=True):
        read = read_json_object(reply, WRITTEN)
        told = {"text": "", "answer": ""} if isinstance(read, Unread) else read
        row = WrittenRow(task, number, told["text"].strip(), told["answer"].strip(), named)
        fault = read.reason if isinstance(read, Unread) else fault_of_written(row)
        if fault:
            faults.append(Settled([ask.place], None, fault, named))
        else:
            rows.append(row)
    return faults, rows


def fault_of_written(row: WrittenRow) -> str:
    """Why a question and its answer are none; "" where they are."""
    if not row.answer:
        return "empty_answer"
    return fault_of_wording(f"{row.text}\n{row.answer}", (INSTRUCTION, TASKS), alone=False)


def merge_alike(
    settings: SciLitLLM, rows: Sequence[WrittenRow], task: Task
) -> list[tuple[WrittenRow, bool]]:
    """The rows of a task, and whether each stays: not one that is merged into another."""
    own = [each for each in rows if each.task == task]
    stays = first_of_alike([(each.text, each.answer) for each in own], settings.merged)
    return [(each, at == first) for at, (each, first) in enumerate(zip(own, stays, strict=True))]


def rate_rows(
    settings: SciLitLLM, rows: Sequence[WrittenRow], settled: Sequence[Settled]
) -> Generator[Wanted, Sequence[Sampled], list[tuple[list[CallPlace], str]]]:
    """What a judge was asked about each row, and why it goes; "" where it stays."""
    stages = [f"aspects {row.task} {row.number}" for row in rows]
    questions = {
        stage: fill_prompt(ASPECTS_PROMPT, {"text": row.text, "answer": row.answer})
        for stage, row in zip(stages, rows, strict=True)
    }
    told = yield from ask_judge(settings, questions, RATED, read_mean, settled)
    found = []
    for stage in stages:
        places, mean = told[stage]
        fault = "" if isinstance(mean, Unread) or mean >= settings.mean_at_least else "low_mean"
        found.append((places, "unparsed_aspects" if isinstance(mean, Unread) else fault))
    return found


def read_mean(reply: Sampled) -> float | Unread:
    """The mean of five whole numbers."""
    read = read_json_object(reply, RATED)
    return read if isinstance(read, Unread) else sum(read[name] for name in ASPECTS) / len(ASPECTS)
