"""How easily a selection moves: the share of its picks that go when something small changes.

    moved = |S - S'| / |S|

S is the selection and S' the one made with one number of one step a tenth higher or lower, a whole
number by at least 1, or with the next seed; all other settings and the held-out rows stay. Every
number of every step is moved: bounds, weights, shares, quotas, thresholds of similarity, budgets. A
selection of which a tenth of a weight moves half rests on that weight. A method that draws moves
with the seed, and how far is the noise that a comparison of two selections has to exceed. A budget
that is a tenth smaller lets a tenth go whatever the method.

Cost: the recipe's steps once more for each change, one for the seed and two for each number. A
value that the step does not allow is not tried, and the report says so. `select.sensitivity: false`
leaves all of it out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_origin

from pydantic import ValidationError

from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.run_steps import SelectSettings, choose_rows
from pipeline.settings import Settings

STEP = 0.1
"""Share by which a number is moved."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What one small change does."""

    change: str
    moved: float | None
    """Share of the picks that are none any more, or of which other turns are trained; None where it
    was not tried."""
    rows: int | None
    """That are picked then."""
    why_not: str = ""
    """Why it was not tried."""


class Variant(NamedTuple):
    """A small change of how a selection is made."""

    change: str
    settings: SelectSettings | str
    """With the change; or why there are none."""
    seed: int


NumberPlace = tuple[str, ...]
"""Names of fields and keys, from a step down to one of its numbers."""


def variants(settings: SelectSettings, seed: int) -> Iterator[Variant]:
    """Another seed, and every number of every step moved a little."""
    yield Variant(f"seed {seed} → {seed + 1}", settings, seed + 1)
    for at, step in enumerate(settings.steps):
        for place, number in find_numbers(step):
            where = ".".join(("select.steps", str(at), *place))
            if not number and isinstance(number, float):
                yield Variant(f"{where} 0", "a tenth of 0 is 0", seed)
            for moved in moved_numbers(number):
                steps: list[Any] = [each.model_dump() for each in settings.steps]
                put_number(steps[at], place, moved)
                again = checked_settings({**settings.model_dump(), "steps": steps})
                yield Variant(f"{where} {number:.6g} → {moved:.6g}", again, seed)


def find_numbers(settings: object, place: NumberPlace = ()) -> Iterator[tuple[NumberPlace, float]]:
    """Every number of a block, and where it stands; a choice between a few numbers is none."""
    if isinstance(settings, Settings):
        fields = type(settings).model_fields.items()
        names = [name for name, field in fields if get_origin(field.annotation) is not Literal]
        parts = {name: getattr(settings, name) for name in names}
    elif isinstance(settings, dict):
        parts = settings
    else:
        if isinstance(settings, int | float) and not isinstance(settings, bool):
            yield place, settings
        return
    for name, part in parts.items():
        yield from find_numbers(part, (*place, str(name)))


def moved_numbers(number: float) -> Sequence[float]:
    """A number a tenth higher and lower; a whole one by at least 1. Of 0 a tenth is nothing."""
    if isinstance(number, int):
        by = max(1, round(STEP * abs(number)))
        return number + by, number - by
    # abs: of a negative one, too, the first is upwards. Rounded: 1.1 * 3 is 3.3000000000000003.
    up, down = (float(f"{number + way * STEP * abs(number):.12g}") for way in (1, -1))
    return (up, down) if number else ()


def put_number(block: dict[str, Any], place: NumberPlace, number: float) -> None:
    """Set one number of a block that was written out."""
    for name in place[:-1]:
        block = block[name]
    block[place[-1]] = number


def checked_settings(written: dict[str, Any]) -> SelectSettings | str:
    """The settings, or what is wrong with them."""
    try:
        return SelectSettings.model_validate(written)
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ")


def measure_sensitivity(
    eligible: Candidates, chosen: Candidates, settings: SelectSettings, vectors: Vectors, seed: int
) -> list[Moved]:
    """Make the selection again with each small change and count what moves.

    A pick moves where it is no pick any more, and where other turns of it are trained.

    Settings and seed are those by which `chosen` was taken of the rows that the first filter was
    given, `eligible`.
    """
    picks = picks_of(chosen)
    found = []
    for change, varied, varied_seed in variants(settings, seed) if picks else ():
        if isinstance(varied, str):
            found.append(Moved(change, None, None, varied))
            continue
        again = picks_of(choose_rows(eligible, varied, vectors, varied_seed).chosen)
        found.append(Moved(change, len(picks.difference(again)) / len(picks), len(again)))
    return found


def picks_of(chosen: Candidates) -> set[tuple[int, bytes]]:
    """Rows of the pool, each with the turns that were put aside; nothing where none was."""
    rows: list[int] = chosen.indices.tolist()
    if chosen.aside is None:
        return {(row, b"") for row in rows}
    masks = zip(rows, chosen.aside, strict=True)
    return {(row, aside.tobytes() if aside.any() else b"") for row, aside in masks}
