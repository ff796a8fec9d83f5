"""Generate stage: new answers to prompts the pool has, and repairs of given responses.

A prompt is asked once under a generation key (model, template and settings); what came back is
stored, answer or failure, and not asked again. An answer that was cut off at its token limit is
recorded as a failure: trained on, it would teach to stop in the middle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.code_version import OtherWorkerError, check_code, code_version
from pipeline.generation.answering_block import AnsweringBlock
from pipeline.measuring.measures.samples import request_seed
from pipeline.run_context import RunContext
from scorers.measures.models.devices import borrowed_device
from scorers.measures.protocols import GeneratedAnswer, GenerationRequest
from storage.conversations import Conversation, canonical_json, content_hash
from storage.database import open_workspace, read_workspace
from storage.decisions import Decisions
from storage.examples import (
    Attempt,
    Example,
    MadeBy,
    count_failed,
    read_attempted,
    read_examples,
    read_generated,
    read_prompts,
    write_attempts,
)
from storage.repairs import REPAIRED
from storage.runs import StageCount, write_step
from storage.visible import is_blank

BATCH_PROMPTS = 16  # prompts asked and stored at a time: what a kill can cost


class GenerateSettings(AnsweringBlock):
    """New answers for prompts of the pool."""

    method: Literal["answer", "repair"] = Field(
        default="answer",
        description="answer: new candidates; repair: another response to every row that has one, "
        "for `clear_repair` to choose from.",
    )
    prompts: Literal["unanswered", "all"] = Field(
        default="unanswered",
        description="unanswered: rows that are a prompt only; all: any.",
    )
    limit: int | None = Field(
        default=None, gt=0, description="At most so many prompts; chosen by a seeded hash."
    )
    answers: int = Field(default=1, gt=0, description="Answers for each prompt.")
    temperature: float = Field(default=0.8, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(
        default=512, gt=0, description="A longer answer is cut off, and counts as failed."
    )

    @model_validator(mode="after")
    def one_repair_each(self) -> Self:
        """Check that a repair is one likeliest answer to every row."""
        if self.method == "repair" and (
            (self.prompts, self.answers, self.temperature) != ("all", 1, 0)
        ):
            raise ValueError(
                "a repair is the likeliest answer to each row: set prompts: all, answers: 1 and "
                "temperature: 0"
            )
        return self

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return self.answers

    def key(self, seed: int) -> str:
        """Hash of everything that can change the answers; not of how hard a server is pressed."""
        sampling = self.model_dump(include={"answers", "temperature", "max_new_tokens"})
        if self.method == "repair":  # not of answers: their keys stay what they were
            sampling["method"] = self.method
        return content_hash([self.identity(), sampling, seed])[:16]


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """One piece of work: the prompts of these examples, under these settings."""

    settings: GenerateSettings
    seed: int
    parents: Sequence[Example]
    requests: Path  # folder of the replies that endpoints gave
    key: str  # the settings' key where the batch was cut
    code: str  # the version of the code that cut it
    attempts: Mapping[str, Sequence[int]] | None = None
    """Example → numbers of the answers that are wanted; None: all of each."""

    def anywhere(self) -> bool:
        """Whether any worker may do it: a server is asked from one place, which keeps replies."""
        return self.settings.endpoint is None


def choose_prompts(run: RunContext, settings: GenerateSettings) -> list[str]:
    """The examples to be answered anew, sorted by id: one for each prompt, all to be repaired."""
    with read_workspace(run.workspace) as con:
        only = settings.prompts == "unanswered"
        ids = read_prompts(con, run.source_ids, only_unanswered=only)
        by_prompt: dict[str, list[str]] = {}
        for example in read_examples(con, ids):
            if settings.method == "repair" and len(example.trained_at) != 1:
                continue  # there is nothing to repair, or not one answer alone
            parents = by_prompt.setdefault(example.prompt_id, [])
            if settings.method == "repair" or not parents:  # one example stands for its prompt
                parents.append(example.example_id)
    chosen = sorted(by_prompt, key=lambda prompt: content_hash([run.seed, prompt]))
    return sorted(i for prompt in chosen[: settings.limit] for i in by_prompt[prompt])


def repair_key(blocks: Sequence[AnsweringBlock], seed: int) -> str | None:
    """The key of the block that repairs; None where none does."""
    keys = [
        block.key(seed)
        for block in blocks
        if isinstance(block, GenerateSettings) and block.method == "repair"
    ]
    return keys[0] if keys else None


def cut_prompts(
    run: RunContext, settings: GenerateSettings, chosen: Sequence[str]
) -> list[PromptBatch]:
    """The prompts that were not asked yet, in batches."""
    with read_workspace(run.workspace) as con:
        asked = read_attempted(con, settings.key(run.seed), chosen)
    return cut_batches(run, settings, [i for i in chosen if i not in asked])


def cut_batches(
    run: RunContext,
    settings: GenerateSettings,
    ids: Sequence[str],
    attempts: Mapping[str, Sequence[int]] | None = None,
) -> list[PromptBatch]:
    """The prompts of examples in batches; `attempts` as PromptBatch has them."""
    key, code = settings.key(run.seed), code_version()
    with read_workspace(run.workspace) as con:
        parents = read_examples(con, ids)
    return [
        PromptBatch(
            settings=settings,
            seed=run.seed,
            parents=parents[start : start + BATCH_PROMPTS],
            requests=run.workspace.requests,
            key=key,
            code=code,
            attempts=attempts,
        )
        for start in range(0, len(parents), BATCH_PROMPTS)
    ]


def answer_prompts(batch: PromptBatch) -> list[Attempt]:
    """Ask the model; needs no database.

    Raises:
        OtherWorkerError: if here is other code than where the batch was cut, or another model.
    """
    check_code(batch.code)
    if batch.anywhere() and batch.settings.key(batch.seed) != batch.key:
        raise OtherWorkerError(
            f"{batch.settings.model}: this worker has another model or template under that name "
            "than the run, or computes in another dtype. Put the same model on every machine, and "
            "start the run on a machine like the workers"
        )
    every = range(batch.settings.answers)
    asked = [
        (parent, attempt)
        for parent in batch.parents
        for attempt in (batch.attempts[parent.example_id] if batch.attempts else every)
    ]
    requests = [
        GenerationRequest(
            messages=parent.conversation.prompt,
            tools=parent.tools,
            temperature=batch.settings.temperature,
            max_new_tokens=batch.settings.max_new_tokens,
            seed=request_seed(batch.seed, parent.prompt_id, attempt),
        )
        for parent, attempt in asked
    ]
    with borrowed_device():
        answers = batch.settings.generator(batch.requests).sample(requests)
    method = batch.settings.method
    return [
        as_attempt(parent, attempt, answer, method)
        for (parent, attempt), answer in zip(asked, answers, strict=True)
    ]


def as_attempt(parent: Example, attempt: int, answer: object, method: str = "answer") -> Attempt:
    """An answer with its prompt as a conversation, or the name of what went wrong."""
    if not isinstance(answer, GeneratedAnswer):
        return Attempt(parent.example_id, attempt, None, getattr(answer, "reason", "failed"))
    if not answer.finished:
        return Attempt(parent.example_id, attempt, None, "cut_off")
    if is_blank(answer.text):
        return Attempt(parent.example_id, attempt, None, "empty_answer")
    reply = {"role": "assistant", "content": answer.text}
    conversation = Conversation([*parent.conversation.prompt, reply], parent.tools)
    if method == "answer":
        return Attempt(parent.example_id, attempt, conversation, "")
    if conversation.example_id == parent.example_id:  # a hash of what is said
        return Attempt(parent.example_id, attempt, None, "unchanged")
    return Attempt(parent.example_id, attempt, conversation, "", REPAIRED)


def commit_answers(
    run: RunContext, settings: GenerateSettings, attempts: Sequence[Attempt]
) -> None:
    """Store answers as examples with their lineage, and failures as failures."""
    told = settings.model_dump(mode="json", exclude={"endpoint"}) | {"model": settings.shown_model}
    described = canonical_json(told).decode()
    made_by = MadeBy(settings.key(run.seed), described, run.run_id, settings.shown_model)
    with open_workspace(run.workspace) as con:
        write_attempts(con, attempts, made_by)


def count_generated(
    run: RunContext,
    blocks: Sequence[tuple[GenerateSettings, Sequence[str]]],
    pool: Sequence[str],
) -> list[str]:
    """Balance the books of the generators; return the pool with what they added.

    `blocks` has each generator's settings, and the examples whose prompts it answered.
    """
    if not blocks:
        return sorted(pool)
    grown = set(pool)
    notes: list[str] = []
    with open_workspace(run.workspace) as con:
        for settings, parents in blocks:
            key = settings.key(run.seed)
            made = read_generated(con, key, parents)
            notes.append(note(settings, len(parents), made, count_failed(con, key, parents)))
            grown |= set(made)
        count = StageCount(
            stage="generate",
            step=1,
            label="answer",
            rows_in=len(pool),
            added=len(grown) - len(pool),
            kept=len(grown),
            notes=notes,
        )
        added = Decisions.of_added(sorted(grown.difference(pool)))
        write_step(con, run.run_id, count, added)
    return sorted(grown)


def note(
    settings: GenerateSettings, prompts: int, made: Sequence[str], failed: Mapping[str, Any]
) -> str:
    """One line on what a generator was asked and what came back."""
    losses = ", ".join(f"{count} {reason}" for reason, count in failed.items())
    without = f"; without an answer: {losses}" if losses else ""
    return (
        f"{settings.shown_model}: {prompts} prompts, {settings.answers} answers each, "
        f"{len(made)} distinct examples{without}"
    )
