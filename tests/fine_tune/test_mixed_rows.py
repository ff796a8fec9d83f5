"""Rows of several exports as one training's."""

import random

import pytest
from datasets import Dataset

from fine_tune.mixed_export import MixedExport
from fine_tune.mixed_rows import draw_places, one_kind

IDS = [f"{n:032x}" for n in range(40)]


def drawn(share: float = 1.0, rows: int | None = None, seed: int = 0) -> list[int]:
    return draw_places(IDS, MixedExport(share=share, rows=rows), seed)


@pytest.mark.parametrize(
    ("share", "rows", "count"), [(1.0, None, 40), (0.5, None, 20), (0.001, None, 1), (1, 7, 7)]
)
def test_a_share_is_rounded_up_and_rows_are_at_most_so_many(
    share: float, rows: int | None, count: int
) -> None:
    places = drawn(share, rows)
    assert len(places) == count and places == sorted(set(places))


def test_the_draw_is_of_ids_and_seed_and_not_of_their_order() -> None:
    shuffled = random.Random(3).sample(IDS, len(IDS))
    mixed = MixedExport(share=0.25)
    assert {IDS[at] for at in draw_places(IDS, mixed, 0)} == {
        shuffled[at] for at in draw_places(shuffled, mixed, 0)
    }
    assert drawn(0.25, seed=1) != drawn(0.25, seed=2)
    assert set(drawn(0.1)) < set(drawn(0.3))


def test_rows_become_of_one_kind() -> None:
    rows = Dataset.from_dict(
        {
            "example_id": ["a", "b"],
            "input_ids": [[1, 2, 3], [4]],
            "labels": [[-100, 2, 3], [4]],
            "score_p": [1, 2],
            "score_q": [1, 2],
            "loss_weights": [[2.0], [3.0]],
            "prompt": ["x", "y"],
        }
    )
    kept = one_kind(rows, ["p"], weighed=True)
    assert kept["loss_weights"][:] == [[2.0, 2.0, 2.0], [3.0]]
    assert set(kept.column_names) == {
        "example_id",
        "input_ids",
        "labels",
        "score_p",
        "loss_weights",
    }
    bare = one_kind(rows.remove_columns("loss_weights"), [], weighed=True)
    assert bare["loss_weights"][:] == [[1.0, 1.0, 1.0], [1.0]]
    assert one_kind(rows, [], weighed=False).column_names == ["example_id", "input_ids", "labels"]
