"""Rows of one tensor, and copies that a GPU takes while the next batch is prepared."""

import pytest
import torch
from torch import Tensor

from scorers.measures.reading.padding import pad_rows, to_device


@pytest.mark.parametrize(
    ("side", "rows"), [("right", [[1, 2, 3], [4, 0, 0]]), ("left", [[1, 2, 3], [0, 0, 4]])]
)
def test_rows_are_padded_with_zeros_and_the_mask_says_where(
    side: str, rows: list[list[int]]
) -> None:
    ids, mask = pad_rows([[1, 2, 3], [4]], torch.device("cpu"), side)
    assert ids.tolist() == rows
    assert mask.tolist() == [[int(token > 0) for token in row] for row in rows]


@pytest.mark.parametrize(
    ("device", "asked"),
    [
        ("cpu", [("to", "cpu", {})]),
        ("meta", [("to", "meta", {})]),
        ("cuda:3", [("pin",), ("to", "cuda:3", {"non_blocking": True})]),
        ("cuda", [("pin",), ("to", "cuda", {"non_blocking": True})]),
    ],
)
def test_only_what_goes_to_a_gpu_is_pinned_and_not_waited_for(
    device: str, asked: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple[object, ...]] = []

    def pin(self: Tensor) -> Tensor:
        done.append(("pin",))
        return self

    def to(self: Tensor, device: object, **how: bool) -> Tensor:
        done.append(("to", str(device), how))
        return self

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr(Tensor, "to", to)
    to_device(torch.zeros(2), torch.device(device))
    assert done == asked
