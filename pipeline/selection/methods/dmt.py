"""DMT: train the specialised sources first, then everything general with a little of them.

    stage 1: all specialised rows
    stage 2: all general rows, and round(k n_s) of the n_s rows of each specialised source s

k is the fraction: at 0 the second stage forgets what the first taught, at 1 it is all of the data.
Rows are drawn by a seeded hash of their id, apart for each source: a larger k adds rows and drops
none. It is a filter, so the two stages are two recipes that differ in one number, or one recipe run
twice.

For models that must keep a narrow skill, such as mathematics or code, beside general chat. Each
stage is a training of its own, the second starting from what the first left. Not for a single
training: use shares there. The paper finds that mixing all data helps while there is little of it,
and that with much of it the skills conflict. Costs nothing.

Dong et al. 2023, "How Abilities in Large Language Models are Affected by Supervised Fine-tuning
Data Composition", arXiv:2310.05492. There is no code of theirs.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from pipeline.ranking.order import sort_rows
from pipeline.ranking.outcome import Outcome, account_for, no_reasons
from pipeline.selection.candidates import Candidates
from pipeline.selection.methods.random import random_keys
from pipeline.selection.source_names import name_sources, require_known
from pipeline.selection.step import Filter, by_id
from scorers.arrays import Strings, require_same_length


def as_fraction(value: object) -> object:
    """Let a fraction be written as one: 1/256."""
    if not isinstance(value, str):
        return value
    try:
        return float(Fraction(value))
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"expected a number or a fraction such as 1/256, got {value!r}") from None


def select_dmt_stage(
    skills: Strings,
    specialised: Sequence[str],
    ids: Strings,
    fraction: float,
    stage: Literal[1, 2],
    seed: int = 0,
) -> Outcome:
    """Say which rows are trained on in a stage.

    Args:
        skills: (n,) what each row's source is called.
        specialised: the sources that teach a skill; every other one is general.
        ids: (n,) distinct example ids.
        fraction: of each specialised source that the second stage sees again, from 0 to 1.
        stage: the first or the second.
        seed: of the draw, 0 or more.

    Returns:
        The rows of the stage, by id; no values. Specialised rows that the second stage does
        not draw are "not_drawn", general rows of the first "other_stage".

    Raises:
        ValueError: if lengths differ, or the fraction is not within 0 and 1.
    """
    require_same_length(skills=skills, ids=ids)
    if not 0 <= fraction <= 1:
        raise ValueError(f"the fraction must be from 0 to 1, got {fraction}")
    special = np.isin(np.asarray(skills, dtype=np.str_), np.asarray(specialised, dtype=np.str_))
    reasons = no_reasons(len(ids))
    if stage == 1:
        reasons[~special] = "other_stage"
    else:
        keys = random_keys(ids, seed, "dmt")
        for skill in specialised:
            rows = np.flatnonzero(skills == skill)
            drawn = round(Fraction(fraction) * len(rows))  # half a row goes to the even number
            reasons[rows[sort_rows(keys[rows], ids[rows])[drawn:]]] = "not_drawn"
    kept = by_id(np.flatnonzero(reasons == ""), ids)
    return account_for(kept, reasons, np.full(len(ids), np.nan))


class DMT(Filter):
    """One of DMT's two stages (arXiv 2310.05492)."""

    method: Literal["dmt"]
    specialised: tuple[str, ...] = Field(
        min_length=1,
        description="Sources that teach a skill, each by its path or parts of it; the others are "
        "general.",
    )
    fraction: Annotated[float, BeforeValidator(as_fraction)] = Field(
        default=1 / 256,
        ge=0,
        le=1,
        description="Of each specialised source that the second stage sees again, as a number or "
        "as 1/256, the value of the paper's DMT.",
    )
    stage: Literal[1, 2] = Field(
        description="1: specialised rows. 2: general rows and a few of them."
    )
    seed: int = Field(default=0, ge=0, description="Of the draw.")

    def source_parts(self) -> Mapping[str, Sequence[str]]:
        """The specialised sources."""
        return {"specialised": self.specialised}

    def pick(self, rows: Candidates) -> Outcome:
        """Keep the rows of the stage.

        Raises:
            ValueError: if a specialised source is not there.
        """
        skills = name_sources(rows.sources, self.specialised)
        require_known(self.specialised, skills.tolist(), "source")
        return select_dmt_stage(
            skills, self.specialised, rows.ids, self.fraction, self.stage, self.seed
        )
