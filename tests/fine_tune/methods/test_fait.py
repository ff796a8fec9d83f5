import math

import pytest

from fine_tune.methods.fait import FAIT, differing_tokens
from tests.fine_tune.fake_forward import FakeForward, pair_batch

METHOD = FAIT(method="fait")


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def marked(kept: str, rejected: str) -> tuple[str, str]:
    """The characters that are marked, each a token."""
    marks = differing_tokens(list(kept), list(rejected))
    return tuple(  # type: ignore[return-value]
        "".join(each if mark else "-" for each, mark in zip(text, of, strict=True))
        for text, of in zip((kept, rejected), marks, strict=True)
    )


def test_the_loss_of_a_pair_by_hand() -> None:
    # Of the kept answer the second token is marked, of the rejected one both.
    forward = FakeForward([[-1.0, -2.0], [-0.5, -0.5], [-0.25, -0.75]])
    loss = METHOD.batch_loss(pair_batch(forward, [0], [[0, 1], [0, 0], [1, 1]]))
    weight = 1 + sigmoid(-0.5 - -2.0)  # b is -0.5, a is -2
    assert float(loss.detach()) == pytest.approx(1 + weight * 2 + 1, rel=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    # No gradient through the weight, and none into the rejected answer.
    assert forward.gradient() == pytest.approx([-1, -weight, -1, -1, 0, 0], rel=1e-6)


def test_the_likelier_the_wrong_tokens_the_more_the_right_ones_count() -> None:
    def extra(wrong: float, **settings: float) -> float:
        method = FAIT(method="fait", **settings)
        forward = FakeForward([[-2.0], [wrong]])
        return float(method.batch_loss(pair_batch(forward, [0], [[1], [1]])).detach()) / 2 - 1

    assert extra(-0.1) > extra(-2.0) > extra(-9.0) > 0
    assert extra(-2.0) == pytest.approx(0.5)
    assert extra(-1.0, more=3.0, spread=2.0) == pytest.approx(3 * sigmoid(0.5), rel=1e-6)


def test_weights_of_rows_count_and_what_is_not_marked_is_plain() -> None:
    forward = FakeForward([[-1.0, -2.0], [-4.0, -4.0]])
    batch = pair_batch(forward, [0], weights=[[0.5, 1.0], [1.0, 1.0]])
    assert float(METHOD.batch_loss(batch).detach()) == pytest.approx(2.5)
    # Marked is something of the kept answer alone: b is taken for a.
    batch = pair_batch(forward, [0], [[0, 1], [0, 0]])
    assert float(METHOD.batch_loss(batch).detach()) == pytest.approx(1 + 1.5 * 2)


def test_tokens_are_marked_by_lines_and_then_within_them() -> None:
    assert marked("a = 1 + 2\n", "a = 1 - 2\n") == ("------+---", "-------"[:6] + "-" + "---")
    # The second lines are alike: only what differs in the first is marked.
    assert marked("xy\nab\n", "xz\nab\n") == ("-y----", "-z----")
    # A line that one of them lacks is marked whole, in that one alone.
    assert marked("p\nq\n", "q\n") == ("p\n--", "--")
    assert marked("q\n", "p\nq\n") == ("--", "p\n--")
    assert marked("same", "same") == ("----", "----")
    assert marked("", "x") == ("", "x")
