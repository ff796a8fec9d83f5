"""What a maker will ask of its model: bounds of calls and new tokens, before it asks."""

from dataclasses import dataclass

from pipeline.generation.catalogue import AnyMaker
from pipeline.generation.make import find_workload
from pipeline.generation.maker import CallKind
from pipeline.generation.maker_block import WHOLE_POOL
from pipeline.run_context import RunContext
from storage.database import read_workspace
from storage.maker_calls import count_calls


@dataclass(frozen=True, slots=True)
class PlannedCalls:
    """Calls of one kind that a maker will make, fewer those that are stored."""

    maker: str
    model: str
    kind: CallKind
    sources: int
    """Those that are not finished."""
    fewest: int
    most: int
    tokens: int
    """New tokens, if every reply is as long as it may be."""


def plan_maker(run: RunContext, settings: AnyMaker) -> list[PlannedCalls]:
    """Predict the calls of a maker, by kind; `at_most` bounds them together.

    Raises:
        MissingModelError: if there is no such model, or a server cannot be asked for it.
    """
    work = find_workload(run, settings)
    sources = [WHOLE_POOL] if settings.makes_of_whole else work.left
    with read_workspace(run.workspace) as con:
        stored = count_calls(con, work.key, sources)
    planned = []
    for kind, bounds in settings.calls_for(len(work.left)).items():
        had = stored.get(kind, 0)
        fewest, most = (max(0, count - had) for count in (bounds.fewest, bounds.most))
        if settings.at_most.calls is not None:
            most = min(most, settings.at_most.calls)
        tokens = most * bounds.tokens_each
        if settings.at_most.tokens is not None:
            tokens = min(tokens, settings.at_most.tokens)
        planned.append(
            PlannedCalls(
                maker=settings.method,
                model=settings.shown_model,
                kind=kind,
                sources=len(work.left),
                fewest=min(fewest, most),
                most=most,
                tokens=tokens,
            )
        )
    return planned
