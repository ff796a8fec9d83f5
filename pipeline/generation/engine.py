"""The engine: runs makers side by side, a round at a time, until each has settled all it asked.

In a round every maker that goes on asks what it wants next; all of it is asked together, in the
order of the sources, and replies go back by place, never by who was first. Where calls, tokens or
their price are limited, calls are made in that order while there is room for them:

    call i is made  <=>  calls before it < calls allowed, and
                         tokens of all replies before it + its max_new_tokens <= tokens allowed, and
                         price of all calls before it + the most it can cost <= price allowed

which depends on the replies alone: not on how many are asked at a time, nor on what was stored.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.generation.allowance import Allowance
from pipeline.generation.maker import Ask, CallPlace, Making, Settled, Wanted
from pipeline.measuring.measures.samples import Sampled

AskModel = Callable[[Sequence[tuple[str, Ask]]], Sequence[Sampled]]
"""Asks of sources, each with its source → replies, in the same order."""


@dataclass(slots=True)
class SourceWork:
    """What one maker asked, and what is settled of it."""

    asked: dict[CallPlace, Ask] = field(default_factory=dict)
    settled: list[Settled] = field(default_factory=list)
    finished: bool = False


@dataclass(slots=True)
class _Running:
    """A maker that goes on."""

    making: Making
    wanted: Wanted
    work: SourceWork


def run_makings(
    makings: Mapping[str, Making], ask_model: AskModel, allowance: Allowance
) -> dict[str, SourceWork]:
    """Run makers until all have returned, or nothing more may be spent.

    Args:
        makings: source → its maker; the order is that in which calls are made.
        ask_model: gives a reply for each ask, in order; failures are values.
        allowance: is counted down.

    Returns:
        Source → what came of it. One that is not finished was stopped by the allowance.

    Raises:
        ValueError: if a maker asks for one place twice, or does not settle what it asked.
    """
    works = {source: SourceWork() for source in makings}
    running: dict[str, _Running] = {}
    for source, making in makings.items():
        _go_on(running, source, _Running(making, Wanted([]), works[source]), None)
    while running:
        asks = [(source, ask) for source, one in running.items() for ask in one.wanted.asks]
        replies = _ask_what_fits(asks, ask_model, allowance)
        given = iter(replies)
        for source, one in list(running.items()):
            had = [reply for _, reply in zip(one.wanted.asks, given, strict=False)]
            one.work.asked.update({a.place: a for a in one.wanted.asks[: len(had)]})
            if len(had) == len(one.wanted.asks):
                _go_on(running, source, one, had)
        if len(replies) < len(asks):
            break
    for one in running.values():
        one.making.close()
    return works


def _ask_what_fits(
    asks: Sequence[tuple[str, Ask]], ask_model: AskModel, allowance: Allowance
) -> list[Sampled]:
    """Replies to the asks, from the first, that the allowance has room for."""
    replies: list[Sampled] = []
    while len(replies) < len(asks):
        left = asks[len(replies) :]
        now = left[: allowance.take_fitting(left)]
        if not now:
            break
        had = ask_model(now)
        for (source, ask), reply in zip(now, had, strict=True):
            allowance.spend(source, ask, reply)
        replies += had
    return replies


def _go_on(
    running: dict[str, _Running], source: str, one: _Running, replies: Sequence[Sampled] | None
) -> None:
    """Send a maker its replies; it asks more, or is done."""
    try:
        wanted = next(one.making) if replies is None else one.making.send(replies)
    except StopIteration as ended:
        one.work.settled += ended.value
        one.work.finished = True
        _check_settled(source, one.work)
        running.pop(source, None)
        return
    one.work.settled += wanted.settled
    places = [ask.place for ask in wanted.asks]
    if len({*places}) < len(places) or not one.work.asked.keys().isdisjoint(places):
        raise ValueError(f"the maker of {source} asks for one place twice: {places}")
    running[source] = _Running(one.making, wanted, one.work)


def _check_settled(source: str, work: SourceWork) -> None:
    """See that every reply came to something, and nothing is made of what was not asked."""
    named = {place for each in work.settled for place in each.replies}
    if named != work.asked.keys():
        lost = sorted(work.asked.keys() - named)
        raise ValueError(
            f"the maker of {source} must settle what it asked and nothing else: {lost} came to "
            f"nothing, {sorted(named - work.asked.keys())} were never asked"
        )


def outcomes_of(work: SourceWork) -> dict[CallPlace, tuple[str, str]]:
    """Each call → its one outcome and the reason: kept, dropped, or open where it was stopped.

    A reply that several things were made of was kept if one of them is a row.
    """
    found: dict[CallPlace, tuple[str, str]] = {}
    for each in sorted(work.settled, key=lambda each: each.row is None):  # rows first, else stable
        for place in each.replies:
            found.setdefault(place, ("dropped" if each.row is None else "kept", each.reason))
    return {place: found.get(place, ("open", "")) for place in work.asked}
