import hashlib
from collections.abc import Sequence

import numpy as np
import pytest

from pipeline.handoff.prediction import TrainedRow, UnheldRowError, keep, lose
from pipeline.handoff.promises import PromisedRow, PromisedTurn

IDS = [10, 11, 12, 13, 14, 15, 16, 17]


def promised() -> PromisedRow:
    """Two turns: tokens 2 and 3 with a line break behind the stop; 6 and 7 without one."""
    turns = [PromisedTurn(1, 2, 3, 4, 1.0), PromisedTurn(3, 6, 8, 8, 1.0)]
    return PromisedRow("row", "train", [], (), turns, "text", np.array(IDS, np.int32))


def labels(trained: Sequence[int]) -> list[int]:
    return [token if at in trained else -100 for at, token in enumerate(IDS)]


def test_a_row_as_promised_is_kept() -> None:
    prediction = keep(promised(), TrainedRow(IDS, labels([2, 3, 6, 7])))
    assert (prediction.outcome, prediction.tokens, prediction.loss_tokens) == ("kept", 8, 4)
    numbers = [*IDS, *labels([2, 3, 6, 7])]
    data = b"".join(number.to_bytes(8, "little", signed=True) for number in numbers)
    assert prediction.sha256 == hashlib.sha256(data).hexdigest()


def test_what_stands_behind_a_stop_may_be_left_out_and_is_not_counted() -> None:
    assert keep(promised(), TrainedRow(IDS, labels([2, 6, 7]))).loss_tokens == 3


@pytest.mark.parametrize(
    ("trained", "reason", "detail"),
    [
        ([2, 3, 6], "not trained there", "1 tokens, the first is token 7"),
        ([3, 6, 7], "not trained there", "1 tokens, the first is token 2"),
        ([2, 3, 4, 6, 7], "trained there that were promised to be read only", "token 4"),
        ([1, 2, 3, 6, 7], "trained there that were promised to be read only", "token 1"),
    ],
)
def test_other_labels_are_refused(trained: list[int], reason: str, detail: str) -> None:
    with pytest.raises(UnheldRowError, match=reason) as raised:
        keep(promised(), TrainedRow(IDS, labels(trained)))
    assert detail in raised.value.detail and raised.value.outcome == "cut"


def test_a_label_that_is_another_token_is_refused_behind_a_stop_too() -> None:
    other = labels([2, 3, 6, 7])
    other[3] = 99
    with pytest.raises(UnheldRowError):
        keep(promised(), TrainedRow(IDS, other))


@pytest.mark.parametrize(("ids", "place"), [([*IDS[:-1], 9], 7), (IDS[:-1], 7), ([*IDS, 1], 8)])
def test_other_ids_are_refused_and_the_place_is_named(ids: list[int], place: int) -> None:
    with pytest.raises(UnheldRowError, match="other tokens") as raised:
        keep(promised(), TrainedRow(ids, ids))
    assert raised.value.detail.endswith(f"from token {place}")


def test_a_lost_row_says_what_was_promised() -> None:
    lost = lose(promised(), UnheldRowError("why", "cut", "detail"))
    assert (lost.outcome, lost.reason, lost.detail, lost.sha256) == ("cut", "why", "detail", None)
    assert (lost.tokens, lost.loss_tokens) == (8, 4)
