"""GRAPE: of several answers to one prompt, keep the one the target model finds most likely.

It picks responses, never prompts. Zhang et al. 2025, arXiv:2502.04194; with `score_grape`. It is
for choosing among diverse, correct answers: the paper finds that training on the model's own
samples instead makes it worse.
Not for pools with one answer to each prompt, where it chooses nothing. In verifiable tasks filter
by `correct_answer` first, for a likely answer may be wrong. `keep: match` takes as many candidates
of each prompt as an existing set has rows of it, so that the result is that set with other answers.
Cost: a sort; no model beyond the score's.

Very short responses, and those that repeat their prompt, are likely under any model. Two guards
against them, off by default since the paper has none:

    prompt_overlap_i = share of the response's word 4-grams that stand in its prompt
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from pipeline.ranking.order import group_codes, rank_by_score, turn_in_group
from pipeline.ranking.outcome import Outcome, account_for, no_causes, no_reasons, spread
from pipeline.selection.candidates import Candidates
from pipeline.selection.step import FilterStep
from scorers.arrays import Floats, Ints, Strings, require_same_length

OVERLAP_WORDS = 4


def _first_in_group(order: Ints, groups: Ints) -> Ints:
    """The first row of each group in an order, by code; (codes,), -1 where a group has none."""
    first = no_causes(int(groups.max(initial=-1)) + 1)
    first[groups[order[::-1]]] = order[::-1]  # written last to first: the first one stays
    return first


def _response_codes(prompts: Ints, responses: Iterable[str]) -> Ints:
    """Number the distinct responses of each prompt, whatever their white space; (n,) codes."""
    codes: dict[tuple[int, bytes], int] = {}
    digests = (blake2b(" ".join(r.split()).encode(), digest_size=16).digest() for r in responses)
    keys = zip(prompts.tolist(), digests, strict=True)
    return np.array([codes.setdefault(key, len(codes)) for key in keys], dtype=np.int64)


def prompt_overlap(prompt: str, response: str) -> float:
    """Share of the response's word 4-grams that stand in the prompt; 0 for an empty response.

    A response of fewer words is one gram, as long as it is.
    """
    asked, said = prompt.casefold().split(), response.casefold().split()
    length = min(OVERLAP_WORDS, len(said))
    if not length:
        return 0.0
    grams, known = _grams(said, length), set(_grams(asked, length))
    return sum(gram in known for gram in grams) / len(grams)


def _grams(words: list[str], length: int) -> list[tuple[str, ...]]:
    # + 1: the last one begins `length` words before the end
    return [tuple(words[at : at + length]) for at in range(len(words) - length + 1)]


def select_best_candidates(
    scores: Floats,
    prompt_ids: Strings,
    responses: Strings,
    ids: Strings,
    keep: int | Ints = 1,
    require_alternatives: bool = False,
) -> Outcome:
    """Pick the highest-scored candidates of each prompt.

    Candidates with the same response, up to white space, count as one. A candidate without a score
    is no alternative to anything.

    Args:
        scores: (n,) NaN where there is none; such rows are out as "no_score".
        prompt_ids: (n,) rows with the same one are candidates.
        responses: (n,) texts.
        ids: (n,) distinct example ids; the lower one wins a tie.
        keep: How many of each prompt to pick, 1 or more; or (n,) how many of each row's prompt,
            where 0 puts its rows out as "not_matched".
        require_alternatives: Whether the only candidate of a prompt is out, as in the paper. If
            not, it is picked with the remark "no_alternative": nothing was chosen there.

    Returns:
        The picks: first the best of every prompt, in the order of the prompt ids, then the second
        ones. Scores of different prompts do not compare, and prompt ids are hashes, so a budget
        that cuts this order takes an even sample of the prompts. Values are the scores;
        `because_of` is the best candidate, or the one with the same response.

    Raises:
        ValueError: if lengths differ, `keep` is below 1, or a score is infinite.
    """
    n = len(scores)
    if isinstance(keep, int) and keep < 1:
        raise ValueError(f"keep must be 1 or more, got {keep}")
    wanted = np.full(n, keep) if isinstance(keep, int) else keep
    require_same_length(
        scores=scores, prompt_ids=prompt_ids, responses=responses, ids=ids, keep=wanted
    )
    prompts = group_codes(prompt_ids)
    texts = _response_codes(prompts, responses)
    reasons, remarks, because_of = no_reasons(n), no_reasons(n), no_causes(n)
    reasons[np.isnan(scores)] = "no_score"

    ranked = rank_by_score(scores, ids)
    repeated = turn_in_group(ranked, texts) > 0  # the best of those with one text stands for all
    repeats, distinct = ranked[repeated], ranked[~repeated]
    reasons[repeats] = "same_response"
    because_of[repeats] = _first_in_group(ranked, texts)[texts[repeats]]

    turns = turn_in_group(distinct, prompts)  # aligned with `distinct`: 0 for the best of a prompt
    beaten = distinct[turns >= wanted[distinct]]
    reasons[beaten] = "not_best_candidate"
    because_of[beaten] = _first_in_group(distinct, prompts)[prompts[beaten]]

    # How many distinct candidates each one's prompt has; minlength, as no row makes no counts.
    alone = distinct[np.bincount(prompts[distinct], minlength=1)[prompts[distinct]] == 1]
    remarks[alone] = "no_alternative"
    if require_alternatives:
        reasons[alone] = "no_alternative"
    # A row whose prompt is not asked for was beaten by nobody, whatever was found above.
    unmatched = (wanted == 0) & (reasons != "no_score")
    reasons[unmatched], because_of[unmatched], remarks[unmatched] = "not_matched", -1, ""
    picks = distinct[np.lexsort((prompts[distinct], turns))]  # by turn, then by prompt
    return account_for(picks[reasons[picks] == ""], reasons, scores, because_of, remarks)


class Grape(FilterStep):
    """GRAPE: of several answers to one prompt, keep the likeliest (arXiv 2502.04194)."""

    method: Literal["grape"]
    score: str = Field(default="grape", description="The score that ranks candidates.")
    keep: PositiveInt | Literal["match"] = Field(
        default=1,
        description="Candidates of each prompt that stay; match: as many as the source `match` "
        "has rows of it.",
    )
    match: str | None = Field(
        default=None, description="Path of the source whose numbers `keep: match` takes over."
    )
    min_response_tokens: int = Field(
        default=0, ge=0, description="Shorter responses are no candidates."
    )
    max_prompt_overlap: float = Field(
        default=1,
        ge=0,
        le=1,
        description="Responses with a larger share of word 4-grams from their prompt are no "
        "candidates.",
    )
    require_alternatives: bool = Field(
        default=False, description="Drop prompts with a single answer, as in the paper."
    )

    @model_validator(mode="after")
    def names_what_to_match(self) -> Self:
        """Check that there is a source to match, and only then."""
        if (self.keep == "match") != (self.match is not None):
            raise ValueError("`keep: match` and `match`, the path of a source, go together")
        return self

    def named_sources(self) -> tuple[str, ...]:
        """The source that is matched."""
        return () if self.match is None else (self.match,)

    def pick(self, rows: Candidates) -> Outcome:
        """Keep the best candidates of each prompt, of those that the guards let through."""
        reasons = self.guard(rows)
        indices = np.flatnonzero(reasons == "")
        asked = rows.at(indices)
        outcome = select_best_candidates(
            asked.score(self.score),
            asked.column("prompt_id"),
            asked.column("response"),
            asked.ids,
            asked.prompt_rows(self.match) if self.match else int(self.keep),
            self.require_alternatives,
        )
        return spread(outcome, indices, reasons)

    def guard(self, rows: Candidates) -> NDArray[np.object_]:
        """Why rows are no candidates at all; (n,) "" where they are."""
        reasons = no_reasons(len(rows))
        if self.max_prompt_overlap < 1:
            texts = zip(rows.column("prompt"), rows.column("response"), strict=True)
            overlaps = np.array([prompt_overlap(prompt, response) for prompt, response in texts])
            reasons[overlaps > self.max_prompt_overlap] = "copies_prompt"
        if self.min_response_tokens:
            reasons[rows.loss_tokens < self.min_response_tokens] = "too_short"
        return reasons
