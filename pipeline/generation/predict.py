"""What a maker will ask of its model: bounds of calls, tokens, price and time, before it asks.

A maker at work says by itself what it asks first, so prompts are known before anything is sent;
those of later steps are taken to be as long. For one that reads what others make, the most that
these may still make is counted with the rows that are there. Time goes by the calls of this maker
that were made before in this workspace. Where there were none, a model in process is tried on a few
of the first asks; a server is not, for that would be sending.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import fmean
from time import perf_counter

from pipeline.generation.allowance import Spending, count_prompt_bytes
from pipeline.generation.asking import Asking
from pipeline.generation.catalogue import AnyMaker
from pipeline.generation.make import Workload, find_workload, start_makings
from pipeline.generation.maker import CallKind
from pipeline.generation.maker_block import WHOLE_POOL
from pipeline.progress import tell_nobody
from pipeline.run_context import RunContext
from scorers.measures.protocols import GenerationRequest
from storage.database import read_workspace
from storage.examples import read_made_of
from storage.maker_calls import count_calls, read_seconds

FIRST_ASKS = 64
"""Sources whose first prompts are looked at."""

BYTES_OF_TOKEN = 4
"""Of a prompt: about right in English, and in scripts of three bytes a sign as well."""

TRIED_CALLS = 8

TRIED_TOKENS = 8
"""New tokens of a call that is tried."""


@dataclass(frozen=True, slots=True)
class PlannedCalls:
    """Calls of one kind that a maker will make, fewer those that are stored."""

    maker: str
    model: str
    kind: CallKind
    sources: int
    """Those that are not finished, with those that are coming."""
    coming: int | None
    """Rows that the makers it reads may still make, at most: then all counts here are bounds. None
    where nothing bounds them, and they are not counted."""
    fewest: int
    most: int
    tokens: int
    """New tokens, if every reply is as long as it may be."""
    prompt_tokens: int | None
    """Of all prompts, about: 4 bytes of the first ones to a token; None where none is there yet."""
    price: float | None
    """At most, but for longer prompts; None where the endpoint states none, or no
    prompt is there yet."""
    seconds: float | None
    """About; None for a server that was not asked yet."""


def plan_maker(run: RunContext, settings: AnyMaker) -> list[PlannedCalls]:
    """Predict the calls of a maker, by kind; `at_most` bounds them together.

    Raises:
        MissingModelError: if there is no such model, or a server cannot be asked for it.
    """
    work = find_workload(run, settings)
    sources = [WHOLE_POOL] if settings.makes_of_whole else work.left
    with read_workspace(run.workspace) as con:
        stored = count_calls(con, work.key, sources)
        before = read_seconds(con, work.key)
    coming = count_coming(run, settings)
    known = len(work.left)
    expected = known + (coming or 0)
    if settings.limit is not None:
        expected = min(expected, settings.limit - len(work.chosen) + known)
    first = first_requests(run, work)
    prompt = fmean(map(count_prompt_bytes, first)) / BYTES_OF_TOKEN if first else None
    each_second = before if before is not None or settings.endpoint else try_calls(settings, first)
    price = settings.endpoint.price if settings.endpoint else None
    planned = []
    at_least = settings.calls_for(known)
    for kind, bounds in settings.calls_for(expected).items():
        had = stored.get(kind, 0)
        surely = at_least[kind].fewest if kind in at_least else 0
        fewest, most = (max(0, count - had) for count in (surely, bounds.most))
        if settings.at_most.calls is not None:
            most = min(most, settings.at_most.calls)
        tokens = most * bounds.tokens_each
        if settings.at_most.tokens is not None:
            tokens = min(tokens, settings.at_most.tokens)
        prompts = None if prompt is None and most else round(most * (prompt or 0))
        cost = (
            Spending(most, tokens, prompts).price(price) if price and prompts is not None else None
        )
        if cost is not None and settings.at_most.price is not None:
            cost = min(cost, settings.at_most.price)
        planned.append(
            PlannedCalls(
                maker=settings.method,
                model=settings.shown_model,
                kind=kind,
                sources=expected,
                coming=coming,
                fewest=min(fewest, most),
                most=most,
                tokens=tokens,
                prompt_tokens=prompts,
                price=cost,
                seconds=None if each_second is None else most * each_second,
            )
        )
    return planned


def count_coming(run: RunContext, settings: AnyMaker) -> int | None:
    """Rows that the makers it reads may still make, at most; None where nothing bounds them."""
    coming = 0
    for earlier in settings.earlier:
        assert isinstance(earlier, AnyMaker)  # which blocks cannot name: it names them
        ahead = count_coming(run, earlier)
        work = find_workload(run, earlier)
        most = None if ahead is None else earlier.rows_at_most(len(work.left) + ahead)
        if most is None:
            return None
        if earlier.makes_of_whole:  # what it has made it will not make again
            with read_workspace(run.workspace) as con:
                most = max(
                    0, most - len({*read_made_of(con, work.key, [WHOLE_POOL, *work.chosen])})
                )
        coming += most
    return coming


def first_requests(run: RunContext, work: Workload) -> list[GenerationRequest]:
    """What the makers of the first sources ask at first; nothing is sent."""
    few = work.left if work.settings.makes_of_whole else work.left[:FIRST_ASKS]
    with read_workspace(run.workspace) as con:
        makings = start_makings(con, run, replace(work, left=few), few)
    asking = Asking(run, work.settings, tell_nobody)
    found = []
    for source, making in islice(makings.items(), FIRST_ASKS):
        try:
            found += [asking.request(source, ask) for ask in next(making).asks]
        except StopIteration:  # it makes what it makes without asking
            continue
        making.close()
    return found


def try_calls(settings: AnyMaker, requests: Sequence[GenerationRequest]) -> float | None:
    """Seconds of a call of a model here, if its reply is as long as it may be.

    A few prompts are read with 1 new token and with some more; what is written is thrown away.
    """
    if not requests:
        return None
    tried = [replace(each, form=None) for each in requests[:TRIED_CALLS]]
    generator = settings.generator(Path(), settings.identity())
    took = []
    for tokens in (1, 1, 1 + TRIED_TOKENS):  # the first one loads the model
        began = perf_counter()
        generator.sample([replace(each, max_new_tokens=tokens) for each in tried])
        took.append(perf_counter() - began)
    _, reading, writing = took
    each_token = max(0.0, writing - reading) / TRIED_TOKENS
    longest = fmean(each.max_new_tokens for each in requests)
    return (reading + each_token * (longest - 1)) / len(tried)
