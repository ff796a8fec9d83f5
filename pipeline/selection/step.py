"""What every step of a selection has in common: a filter passes rows on, a rank spends the budget.

The steps themselves stand beside their methods, one file each; steps.py lists them.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from pipeline.measuring.measures.embeddings import ComparedField
from pipeline.ranking.blend import blend_ranks
from pipeline.ranking.budget import Budget
from pipeline.ranking.order import sort_rows
from pipeline.ranking.outcome import Outcome
from pipeline.selection.candidates import Candidates, Vectors
from pipeline.selection.shares import Shares
from pipeline.settings import Settings
from scorers.arrays import Floats, Ints, Strings


class Blend(Settings):
    """Several scores as one, by rank: no unit has to be like another's."""

    weights: dict[str, float] = Field(
        min_length=1,
        description="Score → weight. A negative weight prefers low scores; only the proportions "
        "count.",
    )
    within: Literal["pool", "source"] = Field(
        default="pool", description="Rank all rows together, or those of each source apart."
    )

    @model_validator(mode="after")
    def some_weight(self) -> Self:
        """Check that every weight says something."""
        if idle := [name for name, weight in self.weights.items() if not weight]:
            raise ValueError(f"a weight of 0 says nothing: leave {', '.join(idle)} out")
        return self

    def __str__(self) -> str:
        """The weights as a formula."""
        terms = " + ".join(f"{weight:g} {name}" for name, weight in self.weights.items())
        return terms.replace("+ -", "- ") + (" within source" if self.within == "source" else "")


Ranked = str | Blend
"""What ranks rows: a score, or several."""

ComparedText = Annotated[
    ComparedField,
    Field(
        description="The text whose embeddings are compared; hidden: the state kept with losses; "
        "weighted: the mean of all states kept with them."
    ),
]


def by_id(rows: Ints, ids: Strings) -> Ints:
    """Rows in the order of their ids, whatever order the pool has."""
    return rows[sort_rows(np.zeros(len(rows)), ids[rows])]  # all keys are equal: ids decide


def own_note(own: int) -> tuple[str, ...]:
    """What a step says of rows that are targets themselves."""
    if not own:
        return ()
    return (f"{own} rows are targets, or answers to the prompt of one, and are not taken",)


def rank_values(rows: Candidates, ranked: Ranked) -> Floats:
    """(n,) what ranks the rows, higher first; NaN where a score is missing."""
    if isinstance(ranked, str):
        return rows.score(ranked)
    columns = np.stack([rows.score(name) for name in ranked.weights])  # (scores, n)
    groups = rows.sources if ranked.within == "source" else None
    return blend_ranks(columns, np.array(list(ranked.weights.values())), groups)


class BudgetSettings(Settings):
    """How much may be picked; exactly one of the three."""

    rows: int | None = Field(default=None, gt=0, description="Rows.")
    loss_tokens: int | None = Field(
        default=None, gt=0, description="Response tokens, as the target's tokenizer counts them."
    )
    fraction: float | None = Field(
        default=None, gt=0, le=1, description="Share of the rows that reach the step."
    )

    @model_validator(mode="after")
    def exactly_one(self) -> Self:
        """Check that one limit is given."""
        given = [name for name in ("rows", "loss_tokens", "fraction") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                "give exactly one of rows, loss_tokens and fraction, "
                f"got {' and '.join(given) or 'none'}"
            )
        return self

    def budget(self) -> Budget:
        """The same for the methods."""
        return Budget(rows=self.rows, loss_tokens=self.loss_tokens, fraction=self.fraction)


class SelectionStep(Settings):
    """What a recipe's checks ask of every step before any work."""

    ranks_labels: ClassVar[bool] = False
    """Whether its score may be the label of a cluster."""
    of_repairs: ClassVar[bool] = False
    """Whether it chooses between rows and the repairs that a run generated."""
    reads_reviews: ClassVar[bool] = False
    """Whether what persons said of rows decides, so that another verdict is another run."""

    method: str

    @property
    def ranked(self) -> Ranked | None:
        """The field `score` of steps that have one; None where there is none, or it is not set."""
        return getattr(self, "score", None)

    def scores(self) -> tuple[str, ...]:
        """The scores that decide, by the names they have in the recipe; () where none does."""
        if isinstance(self.ranked, Blend):
            return tuple(self.ranked.weights)
        return () if self.ranked is None else (self.ranked,)

    def measures(self) -> tuple[str, ...]:
        """The measures that it reads itself, by their names in the catalogue."""
        return ()

    def source_parts(self) -> Mapping[str, Sequence[str]]:
        """By field, the sources whose rows it treats apart, each by its path or parts of it."""
        return {}


class Filter(SelectionStep):
    """A step that passes on the rows it has nothing against, whatever it looks at."""

    def named_sources(self) -> tuple[str, ...]:
        """The sources whose rows it treats in a way of their own, by their paths."""
        return ()

    def by_row(self) -> bool:
        """Whether it decides about each row by itself, and so can be asked ahead of its turn."""
        return False

    def pick(self, rows: Candidates) -> Outcome:
        """Say which rows pass, and why the others do not."""
        raise NotImplementedError


class FilterStep(Filter):
    """A filter by a score."""

    score: str
    unscored: Literal["drop", "keep"] = Field(
        default="drop", description="What happens to rows without the score: keep passes them on."
    )


class RankStep(SelectionStep):
    """A step that orders rows and spends the budget."""

    budget: BudgetSettings = Field(description="How much may be picked.")
    shares: Shares | None = Field(
        default=None, description="How the budget is shared out; not at all if not given."
    )

    def source_parts(self) -> Mapping[str, Sequence[str]]:
        """The sources that have a quota."""
        if self.shares is None or self.shares.by != "source":
            return {}
        return {"shares.quotas": tuple(self.shares.quotas or ())}

    def compared(self) -> ComparedField | None:
        """The field `text` of steps that compare embeddings; None where none are."""
        return getattr(self, "text", None)

    def compares_targets(self) -> bool:
        """Whether it compares rows with the recipe's targets."""
        return False

    def pick(self, rows: Candidates, vectors: Vectors, seed: int) -> Outcome:
        """Order the rows and take what the budget pays for."""
        raise NotImplementedError
