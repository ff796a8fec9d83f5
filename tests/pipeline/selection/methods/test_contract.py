"""What every selection and deduplication method must do, whatever it prefers."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import get_args

import numpy as np
import pytest

from pipeline.dedupe.exact import digest_texts, remove_exact
from pipeline.dedupe.minhash import remove_near_duplicates
from pipeline.dedupe.semantic import remove_similar
from pipeline.dedupe.substring import remove_shared_spans
from pipeline.ranking.budget import Budget
from pipeline.ranking.outcome import Outcome
from pipeline.selection.methods.clear import select_confident
from pipeline.selection.methods.clear_repair import RepairRule, select_repaired
from pipeline.selection.methods.correct_answer import select_correct
from pipeline.selection.methods.diverse import select_diverse
from pipeline.selection.methods.dmt import select_dmt_stage
from pipeline.selection.methods.drop_share import select_without
from pipeline.selection.methods.dsir import NGramWeights, log_weights, select_dsir
from pipeline.selection.methods.facility_location import select_facility_location
from pipeline.selection.methods.grape import select_best_candidates
from pipeline.selection.methods.instag import select_instag
from pipeline.selection.methods.k_centre import select_k_centre
from pipeline.selection.methods.language import select_language
from pipeline.selection.methods.length_matched import select_length_matched
from pipeline.selection.methods.licenses import LicenseSettings, select_licensed
from pipeline.selection.methods.longest import select_longest
from pipeline.selection.methods.middle import select_middle
from pipeline.selection.methods.not_marked_bad import select_not_marked_bad
from pipeline.selection.methods.q_tuning import select_q_tuning
from pipeline.selection.methods.random import select_random
from pipeline.selection.methods.s2l import select_s2l
from pipeline.selection.methods.shortest import select_shortest
from pipeline.selection.methods.targets import Queries, select_targets
from pipeline.selection.methods.threshold import select_within
from pipeline.selection.methods.top_k import select_top_k
from pipeline.selection.methods.top_share import select_top_share
from pipeline.selection.methods.trained_turns import select_trained_turns
from pipeline.selection.shares import Shares, group_rows, select_in_shares
from pipeline.selection.step import RankStep
from pipeline.selection.steps import Step
from pipeline.text.shingles import Shingling


@dataclass(frozen=True)
class Pool:
    ids: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    vectors: np.ndarray
    loss_tokens: np.ndarray
    prompt_ids: np.ndarray
    responses: np.ndarray
    texts: np.ndarray
    sources: np.ndarray

    def rows(self, rows: np.ndarray) -> "Pool":
        return Pool(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def make_pool(n: int) -> Pool:
    """Rows with many ties, copies and gaps."""
    rng = np.random.default_rng(n)
    scores = rng.integers(0, 6, n) / 2
    scores[rng.random(n) < 0.1] = np.nan
    vectors = rng.standard_normal((n, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[rng.random(n) < 0.05] = np.nan
    words = rng.choice(["red", "green", "blue", "six"], (n, 7))
    return Pool(
        ids=np.array([f"{i:04x}" for i in rng.permutation(1 << 16)[:n]], dtype=object),
        scores=scores,
        labels=np.where(np.isnan(scores), np.nan, rng.integers(0, 9, n)),
        vectors=vectors,
        loss_tokens=rng.integers(1, 30, n),
        prompt_ids=rng.choice(["p", "q", "r", *(str(i) for i in range(40))], n),
        responses=np.array([" ".join(row[:2]) for row in words], dtype=object),
        texts=np.array([" ".join(row) for row in words], dtype=object),
        sources=rng.choice(["a", "b", "c"], n),
    )


def words_of(pool: Pool) -> np.ndarray:
    """A set of words for each row, and for some none."""
    words = np.empty(len(pool.ids), dtype=object)
    words[:] = [set(text.split()[:3]) if text[0] != "g" else None for text in pool.texts]
    return words


def repairs_by_id(pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    """Every third row by id is repaired by the next one; and which rows are repairs."""
    order = np.argsort(pool.ids.astype(str))
    repairs, made = np.full(len(order), -1), np.zeros(len(order), dtype=bool)
    for given, repair in zip(order[::3], order[1::3], strict=False):
        repairs[given], made[repair] = repair, True
    return repairs, made


def pick_in_shares(p: Pool) -> Outcome:
    def pick(places: np.ndarray, part: int) -> Outcome:
        own, budget = p.rows(places), Budget(loss_tokens=part)
        return select_top_k(own.scores, own.ids, budget, own.loss_tokens)

    groups = group_rows(p.sources.astype(object), p.loss_tokens, Shares(temperature=2))
    return select_in_shares(groups, p.loss_tokens, 300, pick)[0]


TOKENS = Budget(loss_tokens=300)
METHODS: dict[str, Callable[[Pool], Outcome]] = {
    "top_k": lambda p: select_top_k(p.scores, p.ids, TOKENS, p.loss_tokens),
    "middle": lambda p: select_middle(p.scores, p.ids, TOKENS, p.loss_tokens, (0.2, 0.7), 3),
    "longest": lambda p: select_longest(p.loss_tokens, p.ids, TOKENS),
    "shortest": lambda p: select_shortest(p.loss_tokens, p.ids, TOKENS),
    "threshold": lambda p: select_within(p.scores, p.ids, 0.5, 2),
    "top_share": lambda p: select_top_share(p.scores, p.ids, 0.3),
    "drop_share": lambda p: select_without(p.scores, p.ids, 0.3, "highest"),
    "trained_turns": lambda p: select_trained_turns(
        np.stack([p.scores, p.loss_tokens / 10], axis=1),
        np.stack([p.labels != 0, p.loss_tokens > 9], axis=1),
        p.ids,
        0.5,
        2,
    ),
    "shares": pick_in_shares,
    "dmt": lambda p: select_dmt_stage(p.sources, ("a", "b"), p.ids, 0.2, 2),
    "random": lambda p: select_random(p.ids, TOKENS, p.loss_tokens),
    "clear": lambda p: select_confident(p.scores, p.ids, p.sources),
    "correct_answer": lambda p: select_correct(
        np.where(np.isnan(p.scores), np.nan, p.scores > 1), p.sources == "a", p.ids
    ),
    "q_tuning": lambda p: select_q_tuning(p.scores, np.nan_to_num(p.labels, nan=1) / 2, p.ids, 0.3),
    "clear_repair": lambda p: select_repaired(
        p.scores, np.nan_to_num(p.labels) / 8, *repairs_by_id(p), p.ids, RepairRule(0.5)
    ),
    "grape": lambda p: select_best_candidates(p.scores, p.prompt_ids, p.responses, p.ids),
    "s2l": lambda p: select_s2l(p.labels, p.ids, TOKENS, p.loss_tokens, p.sources),
    "diverse": lambda p: select_diverse(p.scores, p.vectors, p.ids, TOKENS, p.loss_tokens, 0.9),
    "facility_location": lambda p: select_facility_location(
        p.vectors, p.ids, TOKENS, p.loss_tokens, p.scores
    ),
    "k_centre": lambda p: select_k_centre(p.vectors, p.ids, TOKENS, p.loss_tokens),
    "instag": lambda p: select_instag(words_of(p), p.ids, TOKENS, p.loss_tokens, p.scores),
    "length_matched": lambda p: select_length_matched(
        np.flatnonzero(p.scores == 1), p.loss_tokens, p.ids
    ),
    "targets": lambda p: select_targets(
        p.vectors,
        p.ids,
        Queries(["a", "b", "c"], np.eye(4, dtype=np.float32)[:3], ["t", "u", "t"]),
        TOKENS,
        p.loss_tokens,
        p.sources == "c",
    ),
    "dsir": lambda p: select_dsir(
        log_weights(list(p.texts), ["red green", "red six"], NGramWeights()),
        p.ids,
        TOKENS,
        p.loss_tokens,
        p.sources == "c",
    ),
    "language": lambda p: select_language(
        np.where(p.scores > 0, p.sources, ""), p.scores / 2.5, p.ids, {"a", "b"}
    ),
    "not_marked_bad": lambda p: select_not_marked_bad(p.labels == 3, p.ids),
    "licenses": lambda p: select_licensed(
        [[source] for source in p.sources],
        [()] * len(p.ids),
        p.ids,
        LicenseSettings(allowed=("A", "b")),
    ),
    "exact": lambda p: remove_exact(digest_texts(list(p.texts), "whitespace"), p.scores, p.ids),
    "minhash": lambda p: remove_near_duplicates(
        list(p.texts), p.scores, p.ids, 0.5, Shingling("words", 2)
    ),
    "semantic": lambda p: remove_similar(p.vectors, p.scores, p.ids),
    "substring": lambda p: remove_shared_spans(p.texts, p.scores, p.ids, 4),
    "substring_share": lambda p: remove_shared_spans(p.texts, p.scores, p.ids, 2, 0.7),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def by_id(pool: Pool, outcome: Outcome) -> tuple[list[str], dict[str, tuple]]:
    """The picks in order, and what was said of each example, in terms of ids."""
    causes = [None if row < 0 else pool.ids[row] for row in outcome.because_of]
    said = zip(outcome.reasons, causes, outcome.value.astype(str), outcome.remarks, strict=True)
    return list(pool.ids[outcome.indices]), dict(zip(pool.ids, said, strict=True))


@every_method
def test_the_order_of_the_rows_makes_no_difference(method: Callable[[Pool], Outcome]) -> None:
    pool = make_pool(300)
    expected = by_id(pool, method(pool))
    assert 5 < len(expected[0]) < 300
    for seed in range(3):
        shuffled = pool.rows(np.random.default_rng(seed).permutation(300))
        assert by_id(shuffled, method(shuffled)) == expected


@every_method
def test_a_picked_row_has_no_reason_and_every_other_has_one(
    method: Callable[[Pool], Outcome],
) -> None:
    outcome = method(make_pool(300))
    assert set(np.flatnonzero(outcome.reasons == "")) == set(outcome.indices)
    assert len(set(outcome.indices)) == len(outcome.indices)


@every_method
def test_works_on_no_rows_and_on_one(method: Callable[[Pool], Outcome]) -> None:
    assert len(method(make_pool(0)).indices) == 0
    assert len(method(make_pool(1)).reasons) == 1


@every_method
def test_leaves_its_input_alone(method: Callable[[Pool], Outcome]) -> None:
    pool, untouched = make_pool(300), make_pool(300)
    method(pool)
    for field in fields(Pool):
        np.testing.assert_array_equal(getattr(pool, field.name), getattr(untouched, field.name))


RANKS = [
    str(get_args(step.model_fields["method"].annotation)[0])
    for step in get_args(get_args(Step)[0])
    if issubclass(step, RankStep)
]


@pytest.mark.parametrize("name", RANKS)
def test_a_budget_in_tokens_is_kept_and_used(name: str) -> None:
    pool = make_pool(300)
    spent = pool.loss_tokens[METHODS[name](pool).indices].sum()
    assert 300 - pool.loss_tokens.max() < spent <= 300


@pytest.mark.parametrize(
    "name",
    [
        "top_k",
        "middle",
        "top_share",
        "shares",
        "threshold",
        "clear",
        "q_tuning",
        "grape",
        "s2l",
        "diverse",
        "facility_location",
    ],
)
def test_a_row_without_a_score_is_never_picked(name: str) -> None:
    pool = make_pool(300)
    reasons = METHODS[name](pool).reasons
    assert set(reasons[np.isnan(pool.scores)]) == {"no_score"}
    assert "no_score" not in reasons[~np.isnan(pool.scores)]
