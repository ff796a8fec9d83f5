"""Rows of several exports as one training's."""

from datasets import Dataset

from fine_tune.mixed_rows import one_kind


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
