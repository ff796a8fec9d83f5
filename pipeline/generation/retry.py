"""Retry: replies that could not be had are asked for again, and no others."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.generation.asking import SendBatches, answer_here
from pipeline.generation.catalogue import AnyMaker
from pipeline.generation.make import find_workload, make_rows
from pipeline.progress import Report
from pipeline.run_context import RunContext
from storage.database import open_workspace, read_workspace
from storage.maker_calls import forget_failed_replies, read_failed_replies
from storage.measurement_details import Detail


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
    run: RunContext,
    failed: FailedReplies,
    reason: str,
    report: Report,
    send: SendBatches = answer_here,
) -> FailedReplies:
    """Ask again, and make the rows of the sources anew; what failed still."""
    with open_workspace(run.workspace) as con:
        forget_failed_replies(con, failed.key, reason)
    make_rows(run, failed.settings, report, send)
    return find_failed_replies(run, failed.settings, reason)
