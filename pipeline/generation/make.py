"""Make stage: rows are made by the makers of a recipe, and the pool has them from then on.

Sources are worked on in slices, in their order, each of which is stored before the next is begun:
what is held in memory does not grow with their number. A source that is finished is not taken up
again. One that a kill or a budget left begins anew, and finds all replies that it had (asking.py).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from pipeline.generation.allowance import Allowance, Spending, no_prompt
from pipeline.generation.asking import Asking, SendBatches, answer_here
from pipeline.generation.catalogue import AnyMaker
from pipeline.generation.engine import SourceWork, outcomes_of, run_makings
from pipeline.generation.few_shot import without_repeats
from pipeline.generation.maker import Making
from pipeline.generation.maker_block import WHOLE_POOL, AtMost, PassageMakerBlock
from pipeline.progress import Report
from pipeline.run_context import RunContext
from storage.conversations import canonical_json
from storage.database import Connection, open_workspace, read_workspace
from storage.decisions import Decisions
from storage.documents import read_source_passages, stream_source_passages
from storage.examples import (
    Attempt,
    MadeBy,
    read_attempted,
    read_examples,
    read_made_of,
    read_unrejected,
    stream_examples,
    write_attempts,
)
from storage.maker_calls import (
    LedgerEntry,
    MakerCall,
    count_outcomes,
    count_spent,
    read_ledger,
    write_maker_calls,
)
from storage.runs import StageCount, write_step

NOT_TOLD = {"endpoint", "at_most", "teachers", "row_goes_to", "reads"}
"""Settings that say nothing of how a row was made by its one model."""

SLICE_CALLS = 8192
"""Calls that the sources of a slice make at most: some 12 KiB are held of each until it is stored.

The slices follow from all sources that were chosen, and not from those that are left: else a
budget that ended a run would be spent on others by the next.
"""

POOL_ROWS = 8192
"""Rows of the pool, or passages, that are looked at together."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What one maker has before it in a run."""

    settings: AnyMaker
    key: str
    chosen: Sequence[str]
    """The sources it is to work on, rows or passages; sorted."""
    left: Sequence[str]
    """Those of them that are not finished."""


@dataclass(frozen=True, slots=True)
class MadeRows:
    """What came of a maker in a run."""

    workload: Workload
    asked: int
    """Calls of the model in this run; what was stored was not asked."""
    unfinished: int
    """Sources that the budget left unfinished."""


def find_workload(run: RunContext, settings: AnyMaker) -> Workload:
    """Choose the sources of a maker, and see which of them are not finished.

    Raises:
        MissingModelError: if there is no such model, or a server cannot be asked for it.
    """
    made = read_made_earlier(run, settings) if settings.reads else None
    with read_workspace(run.workspace) as con:
        chosen = choose_sources(con, run, settings, made)
        key = settings.key(run.seed, chosen if settings.compares_all else None)
        done = set() if settings.makes_of_whole else read_attempted(con, key, chosen)
    return Workload(settings, key, chosen, [each for each in chosen if each not in done])


def read_made_earlier(run: RunContext, settings: AnyMaker) -> list[str]:
    """Ids of the rows that the makers before it which it reads have made in such a run, sorted.

    Never of its own: it is none of those, so that a run that is repeated finds nothing more.
    """
    found: set[str] = set()
    for earlier in settings.earlier:
        assert isinstance(earlier, AnyMaker)  # which blocks cannot name: it names them
        workload = find_workload(run, earlier)
        with read_workspace(run.workspace) as con:
            made = read_made_of(con, workload.key, [*workload.chosen, WHOLE_POOL])
        found |= {child for child, _ in made}
    return sorted(found)


def choose_sources(
    con: Connection, run: RunContext, settings: AnyMaker, made: Sequence[str] | None
) -> list[str]:
    """Ids of the rows, or of the passages of the documents, that a maker works on.

    Args:
        con: an open workspace.
        run: whose sources and documents they are.
        settings: the maker's.
        made: rows that earlier makers made, which it reads; None: those of the sources.
    """
    if isinstance(settings, PassageMakerBlock):
        passages = stream_source_passages(con, run.cut_ids, POOL_ROWS)
        return settings.choose(chain.from_iterable(passages), run.seed)
    ids = read_unrejected(con, run.source_ids) if made is None else made
    pool = stream_examples(con, ids, POOL_ROWS)
    return settings.choose(chain.from_iterable(pool), run.seed)


def start_makings(
    con: Connection, run: RunContext, workload: Workload, sources: Sequence[str]
) -> Mapping[str, Making]:
    """A maker at work on each of some sources that are not finished, or one on all of them.

    Args:
        con: an open workspace.
        run: whose rows and documents they are.
        workload: the maker's.
        sources: of `left`, in their order.
    """
    settings = workload.settings
    if not isinstance(settings, PassageMakerBlock):
        return settings.makings(read_examples(con, sources), run.seed)
    shown = workload.chosen if settings.compares_all else sources
    makings = settings.makings(read_source_passages(con, run.cut_ids, shown), run.seed)
    wanted = [WHOLE_POOL] if settings.makes_of_whole else sources
    return {source: makings[source] for source in wanted if source in makings}


def slice_sources(workload: Workload) -> list[list[str]]:
    """The sources that are not finished, in the slices in which they are worked on."""
    settings, chosen, left = workload.settings, workload.chosen, {*workload.left}
    if settings.makes_of_whole:
        return [[*workload.left]]
    each = sum(bounds.most for bounds in settings.calls_for(1).values())
    endpoint = settings.endpoint
    # A batch file takes hours however few its requests are, so that a slice shall fill one.
    batch = endpoint.batch.most_requests if endpoint and endpoint.batch else 0
    size = max(1, max(batch, SLICE_CALLS) // max(1, each))
    slices = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    found = [[source for source in some if source in left] for some in slices]
    return [some for some in found if some]


def make_rows(
    run: RunContext, settings: AnyMaker, report: Report, send: SendBatches = answer_here
) -> MadeRows:
    """Run a maker on the sources that are not finished, and store what comes of it.

    Args:
        run: whose rows they are.
        settings: the maker's.
        report: is told how many calls are answered.
        send: has batches of calls answered.

    Raises:
        MissingModelError: if there is no such model, or a server cannot be asked for it.
        ValueError: if the maker works on the whole pool and does not say so, or the other way
            round.
    """
    workload = find_workload(run, settings)
    finished = sorted({*workload.chosen} - {*workload.left})
    with read_workspace(run.workspace) as con:
        spent = Spending(*count_spent(con, workload.key, finished))
    bounds = settings.calls_for(len(workload.left)).values()
    known = settings.at_most == AtMost() and all(each.fewest == each.most for each in bounds)
    asking = Asking(run, settings, report, send, sum(e.most for e in bounds) if known else None)
    allowance = Allowance(
        settings.at_most.calls,
        settings.at_most.tokens,
        settings.at_most.price,
        settings.endpoint.price if settings.endpoint else None,
        asking.most_prompt_tokens if settings.at_most.price else no_prompt,
        spent,
    )
    unfinished, slices = 0, slice_sources(workload)
    while slices and not unfinished:
        works = run_makings(begin_makings(run, workload, slices.pop(0)), asking.ask, allowance)
        commit_rows(run, workload, works, asking)
        unfinished = sum(not work.finished for work in works.values())
    if unfinished:  # nothing more may be spent: those behind are not begun
        unfinished += sum(map(len, slices))
    return MadeRows(workload, asking.asked, unfinished)


def begin_makings(
    run: RunContext, workload: Workload, sources: Sequence[str]
) -> Mapping[str, Making]:
    """The makers of a slice; see start_makings.

    Raises:
        ValueError: if the maker works on the whole pool and does not say so, or the other way
            round.
    """
    settings = workload.settings
    with read_workspace(run.workspace) as con:
        makings = start_makings(con, run, workload, sources)
    if makings and settings.makes_of_whole != (WHOLE_POOL in makings):
        raise ValueError(
            f"makes_of_whole of {settings.method} is {settings.makes_of_whole}, and its makings of "
            f"{'the whole pool' if WHOLE_POOL in makings else 'each source'}"
        )
    if not (examples := settings.examples()):
        return makings
    return {source: without_repeats(making, examples.texts) for source, making in makings.items()}


def commit_rows(
    run: RunContext, workload: Workload, works: Mapping[str, SourceWork], asking: Asking
) -> None:
    """Store calls with their outcomes, and what is settled as rows and drops with their lineage."""
    settings, key = workload.settings, workload.key
    calls = [
        MakerCall(
            key, settings.method, source, *place, ask.kind, asking.key(source, ask), outcome, why
        )
        for source, work in works.items()
        for (place, (outcome, why)), ask in zip(
            outcomes_of(work).items(), work.asked.values(), strict=True
        )
    ]
    # A source that waits for replies has no rows yet; the pool has those that are settled.
    attempts = [
        Attempt(
            (each.parents or [source])[0],
            number,
            each.row,
            each.reason,
            f"{settings.method}_worse"
            if each.rejected_for
            else settings.made_as or settings.method,
            [*each.parents[1:]],
            each.rejected_for,
        )
        for source, work in works.items()
        if work.finished or source == WHOLE_POOL
        for number, each in enumerate(work.settled)
        if source != WHOLE_POOL or each.parents or each.row
    ]
    told = settings.model_dump(mode="json", exclude=NOT_TOLD)
    described = canonical_json(told | {"model": settings.shown_model}).decode()
    with open_workspace(run.workspace) as con:
        write_maker_calls(con, calls)
        write_attempts(con, attempts, MadeBy(key, described, run.run_id, settings.shown_model))


def repair_key(generators: Sequence[AnyMaker], seed: int) -> str | None:
    """The key of the block that repairs; None where none does."""
    keys = [each.key(seed) for each in generators if each.method == "repair"]
    return keys[0] if keys else None


def count_made(run: RunContext, made: MadeRows, pool: Sequence[str], step: int) -> list[str]:
    """Balance the books of one maker; return the pool with its rows.

    Args:
        run: whose books they are.
        made: what the maker made.
        pool: the pool before.
        step: number of this step of the stage.
    """
    workload, before = made.workload, {*pool}
    settings, key = workload.settings, workload.key
    with open_workspace(run.workspace) as con:
        rows = read_made_of(con, key, [*workload.chosen, WHOLE_POOL])
        done = read_attempted(con, key, workload.chosen) if settings.takes_over else set()
        stands_for = {parent: child for child, parent in sorted(rows, reverse=True)}
        children = {child for child, _ in rows}
        gone = (done & before) - children
        grown = sorted((before - gone) | children)
        reasons = {each: "replaced" if each in stands_for else "nothing_made" for each in gone}
        added = sorted({*grown} - before)
        count = StageCount(
            stage="generate",
            step=step,
            label=settings.method,
            rows_in=len(before),
            added=len(added),
            kept=len(grown),
            dropped=dict(sorted(Counter(reasons.values()).items())),
            notes=make_notes(made, count_outcomes(con, key), read_ledger(con, key)),
        )
        everything = [*sorted(gone), *added]
        decided = Decisions(
            everything,
            [reasons.get(each, "") for each in everything],
            [stands_for.get(each) if each in gone else None for each in everything],
            [None] * len(everything),
            added=frozenset(added),
        )
        write_step(con, run.run_id, count, decided)
    return grown


def make_notes(
    made: MadeRows, outcomes: Mapping[str, int], ledger: Sequence[LedgerEntry]
) -> list[str]:
    """What a maker was asked and what came of it, and whether a budget stopped it."""
    workload = made.workload
    sources = "passages" if workload.settings.needs == "passages" else "sources"
    spent = ", ".join(f"{each.calls} {each.kind} ({each.tokens} tokens)" for each in ledger)
    if workload.settings.endpoint and (price := workload.settings.endpoint.price):
        total = Spending(
            tokens=sum(each.tokens for each in ledger),
            prompt_tokens=sum(each.prompt_tokens for each in ledger),
        )
        spent += f", which cost {total.price(price):.6g}"
    by = f" by {workload.settings.shown_model}" if workload.settings.asks else ""
    came_to = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    notes = [
        f"{workload.settings.method}{by}: {len(workload.chosen)} "
        f"{sources}; calls: {spent or 'none'}; replies: {came_to or 'none'}",
        *workload.settings.notes_of(outcomes),
    ]
    if made.unfinished:
        what = f"{made.unfinished} of {len(workload.chosen)} {sources} are not finished"
        if workload.settings.makes_of_whole:
            what = "it was not finished"
        notes.append(
            f"at_most stopped {workload.settings.method}: {what}; what was made is kept, and a "
            "run with a higher at_most goes on from there"
        )
    return notes
