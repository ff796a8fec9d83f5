"""What a run says when it ends: what was asked of models, and which steps the funnel has."""

import pytest

from flows.summary import asked_line
from pipeline.report import funnel_rows
from storage.runs import StageCount


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


def test_a_generator_that_was_not_asked_is_no_step() -> None:
    read = StageCount(stage="ingest", step=1, label="read", rows_in=2, kept=2)
    none = StageCount(stage="generate", step=1, label="answer", rows_in=2, kept=2)
    vain = StageCount(
        stage="generate", step=1, label="answer", rows_in=2, kept=2, notes=["m: 2 prompts"]
    )
    assert [row[0] for row in funnel_rows([none, read])] == ["ingest"]
    assert [row[0] for row in funnel_rows([vain, read])] == ["ingest", "generate"]
