"""What a run says when it ends: what was asked of models, and what of none."""

import pytest

from flows.cli.summary import asked_line


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ({"token_counts": 9, "losses": 3}, "models were asked about: losses 3 rows"),
        (
            {"token_counts": 9, "language": 4, "losses": 0},
            "models were asked about 0 rows; measured without one: token_counts 9, language 4 rows",
        ),
        (
            {"token_counts": 0},
            "models were asked about 0 rows: every measurement was stored already",
        ),
    ],
)
def test_only_models_count_as_models(asked: dict[str, int], line: str) -> None:
    assert asked_line(asked) == line
