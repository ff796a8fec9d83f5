"""GRAPE: of several answers to one prompt, keep the one the target model finds most likely.

It picks responses, never prompts. Zhang et al. 2025, arXiv:2502.04194; with `score_grape`. It is
for choosing among diverse, correct answers: the paper finds that training on the model's own
samples instead makes it worse.
Not for pools with one answer to each prompt, where it chooses nothing, and not before wrong answers
are out: a likely one may be wrong. A sort; no model beyond the score's.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.candidates import Candidates
from pipeline.selection.picked import Picked, account_for, no_causes, no_reasons
from pipeline.selection.ranking import group_codes, rank_by_score, turn_in_group
from pipeline.selection.step import FilterStep
from scorers.arrays import Floats, Ints, Strings, require_same_length


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


def select_best_candidates(
    scores: Floats,
    prompt_ids: Strings,
    responses: Strings,
    ids: Strings,
    keep: int = 1,
    require_alternatives: bool = False,
) -> Picked:
    """Pick the highest-scored candidates of each prompt.

    Candidates with the same response, up to white space, count as one. A candidate without a score
    is no alternative to anything.

    Args:
        scores: (n,) NaN where there is none; such rows are out as "no_score".
        prompt_ids: (n,) rows with the same one are candidates.
        responses: (n,) texts.
        ids: (n,) distinct example ids; the lower one wins a tie.
        keep: How many of each prompt to pick; 1 or more.
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
    require_same_length(scores=scores, prompt_ids=prompt_ids, responses=responses, ids=ids)
    if keep < 1:
        raise ValueError(f"keep must be 1 or more, got {keep}")
    n = len(scores)
    prompts = group_codes(prompt_ids)
    texts = _response_codes(prompts, responses)
    reasons, remarks, because_of = no_reasons(n), no_reasons(n), no_causes(n)
    reasons[np.isnan(scores)] = "no_score"

    ranked = rank_by_score(scores, ids)
    repeated = turn_in_group(ranked, texts) > 0
    repeats, distinct = ranked[repeated], ranked[~repeated]
    reasons[repeats] = "same_response"
    because_of[repeats] = _first_in_group(ranked, texts)[texts[repeats]]

    turns = turn_in_group(distinct, prompts)
    beaten = distinct[turns >= keep]
    reasons[beaten] = "not_best_candidate"
    because_of[beaten] = _first_in_group(distinct, prompts)[prompts[beaten]]

    alone = distinct[np.bincount(prompts[distinct], minlength=1)[prompts[distinct]] == 1]
    remarks[alone] = "no_alternative"
    if require_alternatives:
        reasons[alone] = "no_alternative"
    order = np.lexsort((prompts[distinct], turns))
    picks = distinct[order]
    return account_for(picks[reasons[picks] == ""], reasons, scores, because_of, remarks)


class Grape(FilterStep):
    """GRAPE: of several answers to one prompt, keep the likeliest (arXiv 2502.04194)."""

    method: Literal["grape"]
    score: str = Field(default="grape", description="The score that ranks candidates.")
    keep: int = Field(default=1, gt=0, description="Candidates of each prompt that stay.")
    require_alternatives: bool = Field(
        default=False, description="Drop prompts with a single answer, as in the paper."
    )

    def pick(self, rows: Candidates) -> Picked:
        """Keep the best candidates of each prompt."""
        return select_best_candidates(
            rows.score(self.score),
            rows.column("prompt_id"),
            rows.column("response"),
            rows.ids,
            self.keep,
            self.require_alternatives,
        )
