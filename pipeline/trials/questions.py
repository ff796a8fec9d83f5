"""The items of an evaluation as they stand in its file: gold answers, or answers to choose from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.contamination.evaluations import read_field
from pipeline.ingest.readers import read_rows
from pipeline.ingest.rows import RawRow, UnreadableSourceError
from pipeline.ingest.shapes import UnreadableRowError, read_conversation
from pipeline.trials.settings import TrialEvaluation
from storage.conversations import Conversation


@dataclass(frozen=True, slots=True)
class TrialQuestion:
    """An item as it was read: messages, not yet token ids."""

    position: int
    cluster: str | None
    conversation: Conversation
    """Up to its right answer, which is its last turn."""
    choices: Sequence[str] = ()
    """None of gold answers."""
    right: int = 0


def read_questions(settings: TrialEvaluation) -> tuple[list[TrialQuestion], Counter[str]]:
    """Read a file of items.

    Returns:
        The items, and why other rows are none.

    Raises:
        UnreadableSourceError: if the file cannot be read, or no row of it is an item.
    """
    assert settings.path is not None
    if not Path(settings.path).exists():
        raise UnreadableSourceError(f"there is nothing at {settings.path}")
    questions: list[TrialQuestion] = []
    left_out: Counter[str] = Counter()
    for row in read_rows(settings.path):
        if not isinstance(row, RawRow):
            left_out[row.reason] += 1
            continue
        try:
            questions.append(read_question(settings, row))
        except UnreadableRowError as error:
            left_out[f"{error.reason} ({error.detail})"] += 1
    if not questions:
        why = ", ".join(f"{reason}: {count}" for reason, count in left_out.most_common(3))
        raise UnreadableSourceError(f"no row of {settings.path} is an item: {why or 'it is empty'}")
    return questions, left_out


def read_question(settings: TrialEvaluation, row: RawRow) -> TrialQuestion:
    """One row as an item.

    Raises:
        UnreadableRowError: if it has no prompt, no answer, or an answer that is no choice.
    """
    cluster = None if settings.cluster is None else str(row.value.get(settings.cluster))
    if settings.prompt is None:
        conversation, _ = read_conversation(row.value, settings.shape)
        if conversation.response is None:
            raise UnreadableRowError("empty_response", "it has a prompt and no answer")
        end = conversation.trained_at[-1] + 1
        whole = Conversation(conversation.messages[:end], conversation.tools)
        return TrialQuestion(row.position, cluster, whole)
    prompt = read_field(row.value, settings.prompt)
    if not prompt:
        raise UnreadableRowError("missing_key", f"no {settings.prompt}, or an empty one")
    if settings.choices is None:
        answer = read_field(row.value, settings.answer) if settings.answer else None
        if not answer:
            raise UnreadableRowError("missing_key", f"no {settings.answer}, or an empty one")
        return TrialQuestion(row.position, cluster, as_conversation(prompt, answer))
    choices, right = read_choices(settings, row.value)
    conversation = as_conversation(prompt, choices[right])
    return TrialQuestion(row.position, cluster, conversation, choices, right)


def read_choices(settings: TrialEvaluation, value: Mapping[str, Any]) -> tuple[list[str], int]:
    """The choices of a row and the place of the right one: by text, by label, or by number.

    Raises:
        UnreadableRowError: if there are not at least two different ones, or none is right.
    """
    given = value.get(settings.choices or "")
    labels: list[str] = []
    if isinstance(given, dict):  # as ARC has them
        labels, given = [str(each) for each in given.get("label", ())], given.get("text")
    if not isinstance(given, list) or not all(isinstance(each, str) and each for each in given):
        raise UnreadableRowError("wrong_type", f"{settings.choices} must be a list of texts")
    if len(given) < 2 or len(set(given)) < len(given):
        raise UnreadableRowError(
            "wrong_type", f"{settings.choices} must be two or more that differ"
        )
    answer = value.get(settings.answer or "")
    if isinstance(answer, str) and answer in given:
        return given, given.index(answer)
    if isinstance(answer, str) and answer in labels:
        return given, labels.index(answer)
    if isinstance(answer, str) and len(answer) == 1 and not labels:
        answer = "ABCDEFGHIJ".find(answer)  # -1 where it is no letter: no choice then
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(given):
        return given, answer
    raise UnreadableRowError("wrong_type", f"{settings.answer} is none of the choices")


def as_conversation(prompt: str, answer: str) -> Conversation:
    """A question and its answer as a user and an assistant would say them."""
    return Conversation(
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    )
