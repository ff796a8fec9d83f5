"""Q-Tuning's two stages on rows whose corners can be seen."""

import pytest
import torch

from fine_tune.methods.q_tuning import PrunedBatches, choose_of_batch, keep_calm
from tests.fine_tune.fake_forward import FakeForward

# 0 and 1 are wrong and sure, 2 and 3 right and unsure, the others both or neither
PERPLEXITY = torch.tensor([9.0, 8.0, 1.0, 1.1, 9.5, 8.5, 1.2, 1.3])
ENTROPY = torch.tensor([0.1, 0.2, 3.0, 2.9, 3.1, 2.8, 0.3, 0.4])


def test_the_two_corners_are_trained_and_wrong_rows_are_told() -> None:
    trained, wrong = choose_of_batch(PERPLEXITY, ENTROPY, 0.5)
    assert trained.nonzero().flatten().tolist() == [0, 1, 2, 3]
    assert wrong.nonzero().flatten().tolist() == [0, 1]


@pytest.mark.parametrize("share", [0.125, 0.25, 0.375, 0.75, 1.0])
def test_the_share_is_met_and_the_rows_that_lean_furthest_fill_up(share: float) -> None:
    trained, _ = choose_of_batch(PERPLEXITY, ENTROPY, share)
    assert trained.sum() == int(8 * share)
    lean = (PERPLEXITY - 1) / 8.5 - (ENTROPY - 0.1) / 3
    if share == 0.75:
        others = sorted([4, 5, 6, 7], key=lambda row: -abs(float(lean[row])))
        assert set(trained.nonzero().flatten().tolist()) == {0, 1, 2, 3, *others[:2]}


def test_rows_that_are_all_alike_are_taken_in_their_order() -> None:
    trained, wrong = choose_of_batch(torch.ones(8), torch.ones(8), 0.25)
    assert trained.tolist() == [True] * 2 + [False] * 6 and not wrong.any()


def test_the_tokens_among_surprising_ones_go() -> None:
    nats = torch.tensor([0.1, 0.1, 3.0, 3.2, 0.1, 0.1, 0.1, 0.1])
    assert keep_calm(nats, 0.5, 0.5).nonzero().flatten().tolist() == [0, 5, 6, 7]
    assert keep_calm(nats, 0.75, 0.0).nonzero().flatten().tolist() == [0, 1, 4, 5, 6, 7]
    assert keep_calm(nats[:1], 0.1, 0.5).tolist() == [True], "one is always kept"


def test_the_loss_is_the_mean_over_what_is_kept() -> None:
    # two tokens a row; wrong rows lose the more surprising of theirs
    log_probs = [[-float(p.log()) - 0.5, -float(p.log()) + 0.5] for p in PERPLEXITY]
    forward = FakeForward(log_probs, [[float(h), float(h)] for h in ENTROPY])
    method = PrunedBatches(method="q_tuning", rows=0.5, tokens=0.5, neighbours=0.0)
    loss = method.batch_loss(forward.batch())
    kept = [-log_probs[0][1], -log_probs[1][1], *(-v for row in log_probs[2:4] for v in row)]
    assert float(loss.detach()) == pytest.approx(sum(kept) / 6, rel=1e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    moved = [bool(g) for g in forward.gradient()]
    assert moved == [False, True] * 2 + [True] * 4 + [False] * 8


def test_stored_scores_judge_in_place_of_the_model() -> None:
    forward = FakeForward([[-1.0]] * 8, [[1.0]] * 8)
    method = PrunedBatches(method="q_tuning", rows=0.5, perplexity="p", entropy="e")
    assert method.scores() == ("p", "e")
    # The model finds all rows alike, of which it would take the first ones.
    scores = {"p": PERPLEXITY.tolist()[::-1], "e": ENTROPY.tolist()[::-1]}
    method.batch_loss(forward.batch(scores=scores)).backward()  # type: ignore[no-untyped-call]
    assert [bool(g) for g in forward.gradient()] == [False] * 4 + [True] * 4
