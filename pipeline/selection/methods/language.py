"""Rows in the languages that are wanted.

    kept where language_i is wanted, and confidence_i >= at_least

A row that has no language, or one told with a lower confidence, is out as `no_language` unless it
is let pass. The number stored with each decision is the confidence.

For keeping a set to the languages it is for. Not for finding a foreign sentence in a long answer,
since a text is judged as a whole, and no mark of quality. Very short texts have no language: where
many answers are a word, let the unclear ones pass. A comparison for each row, no model; telling the
languages, with the source of the method, is `measure.language`.
"""

from collections.abc import Collection
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pipeline.ranking.outcome import Outcome, account_for, no_reasons
from pipeline.selection.candidates import Candidates
from pipeline.selection.step import Filter, by_id
from scorers.arrays import Floats, Strings, require_same_length

LanguageCode = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]


def select_language(
    languages: Strings,
    confidence: Floats,
    ids: Strings,
    keep: Collection[str],
    least: float = 0.5,
    unclear: bool = False,
) -> Outcome:
    """Pick the rows whose language is one of those wanted.

    Args:
        languages: (n,) codes, "" where the language is not known.
        confidence: (n,) from 0 to 1, NaN where the language is not known.
        ids: (n,) distinct example ids.
        keep: Codes of the languages wanted.
        least: A language with a lower confidence is not known either.
        unclear: Whether to pick rows whose language is not known.

    Returns:
        The picks, by id; others are "other_language", or "no_language" where it is not known. The
        values are the confidence.

    Raises:
        ValueError: if lengths differ, no language is wanted, or `least` is not from 0 to 1.
    """
    require_same_length(languages=languages, confidence=confidence, ids=ids)
    if not keep or not 0 <= least <= 1:
        raise ValueError(
            f"keep must name a language, and least be from 0 to 1, got {sorted(keep)} and {least}"
        )
    known = np.asarray(confidence >= least, dtype=bool)  # NaN is not
    wanted = np.isin(languages.astype(str), sorted(keep))
    reasons = no_reasons(len(ids))
    reasons[known & ~wanted] = "other_language"
    reasons[~known] = "" if unclear else "no_language"
    return account_for(by_id(np.flatnonzero(reasons == ""), ids), reasons, confidence)


class Language(Filter):
    """Keep the languages that are wanted."""

    method: Literal["language"]
    keep: tuple[LanguageCode, ...] = Field(
        min_length=1, description="Their codes: of ISO 639-1 where there is one, else of 639-3."
    )
    at_least: float = Field(
        default=0.5, ge=0.5, le=1, description="A lower confidence counts as no language."
    )
    unclear: Literal["drop", "keep"] = Field(
        default="drop", description="What happens to rows without a language: keep passes them on."
    )

    def measures(self) -> tuple[str, ...]:
        """The language of each row."""
        return ("language",)

    def by_row(self) -> bool:
        """By its own language."""
        return True

    def pick(self, rows: Candidates) -> Outcome:
        """Look at the language of each row."""
        names, confidence = rows.languages
        unclear = self.unclear == "keep"
        return select_language(names, confidence, rows.ids, self.keep, self.at_least, unclear)
