"""Retry: answers and replies that could not be had are asked for again, and no others."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.generation.catalogue import AnyMaker
from pipeline.generation.make import find_workload, make_rows
from pipeline.generation.stage import GenerateSettings, PromptBatch, cut_batches
from pipeline.progress import Report
from pipeline.run_context import RunContext
from storage.database import open_workspace, read_workspace
from storage.failed_rows import FailedAttempt, read_failed_attempts
from storage.maker_calls import forget_failed_replies, read_failed_replies
from storage.measurement_details import Detail


@dataclass(frozen=True, slots=True)
class FailedAnswers:
    """The answers of one generator that could not be had."""

    settings: GenerateSettings
    attempts: Sequence[FailedAttempt]

    @property
    def reasons(self) -> list[Detail]:
        """Why, the most frequent reason first."""
        counts = Counter(each.detail for each in self.attempts).most_common()
        first = {each.detail: each.parent_id for each in reversed(self.attempts)}
        return [Detail("failed", detail, rows, first[detail]) for detail, rows in counts]


def find_failed_answers(
    run: RunContext, settings: GenerateSettings, reason: str = ""
) -> FailedAnswers:
    """Find a generator's answers that failed for a reason with this text in it.

    Raises:
        MissingModelError: if a server cannot be asked, or does not serve the model.
    """
    with read_workspace(run.workspace) as con:
        failed = read_failed_attempts(con, settings.key(run.seed))
    return FailedAnswers(settings, [each for each in failed if reason in each.detail])


def cut_failed_answers(run: RunContext, failed: FailedAnswers) -> list[PromptBatch]:
    """Their prompts in batches, each with the numbers of the answers that it lacks."""
    numbers: dict[str, list[int]] = {}
    for each in failed.attempts:
        numbers.setdefault(each.parent_id, []).append(each.attempt)
    return cut_batches(run, failed.settings, list(numbers), numbers)


def still_failed(run: RunContext, asked: FailedAnswers) -> FailedAnswers:
    """Those of the answers that cannot be had after they were asked for again."""
    places = {(each.parent_id, each.attempt) for each in asked.attempts}
    now = find_failed_answers(run, asked.settings).attempts
    left = [each for each in now if (each.parent_id, each.attempt) in places]
    return FailedAnswers(asked.settings, left)


@dataclass(frozen=True, slots=True)
class FailedReplies:
    """The replies to one maker that could not be had."""

    settings: AnyMaker
    key: str
    reasons: Sequence[Detail]

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(each.rows for each in self.reasons)


def find_failed_replies(run: RunContext, settings: AnyMaker, reason: str = "") -> FailedReplies:
    """Find the replies to a maker that were not had for a reason with this text in it.

    Raises:
        MissingModelError: if a server cannot be asked, or does not serve the model.
    """
    key = find_workload(run, settings).key
    with read_workspace(run.workspace) as con:
        failed = read_failed_replies(con, key, reason)
    return FailedReplies(settings, key, [Detail("failed", *each) for each in failed])


def ask_failed_again(
    run: RunContext, failed: FailedReplies, reason: str, report: Report
) -> FailedReplies:
    """Ask again, and make the rows of the sources anew; what failed still."""
    with open_workspace(run.workspace) as con:
        forget_failed_replies(con, failed.key, reason)
    make_rows(run, failed.settings, report)
    return find_failed_replies(run, failed.settings, reason)
