from typing import Any

import pytest

from pipeline.evidence.lds_markdown import lds_markdown

SCORES = [
    {"score": "ifd", "lds": -0.25, "interval": (-0.5, 0.125), "said": "not told from chance"},
    {"score": "flat", "lds": None, "interval": None, "said": "nothing varies"},
]
TABLE = {"evaluation": "gold", "metric": "nll", "items": 9, "highest": 0.75, "scores": SCORES}
RESULT: dict[str, Any] = {
    "plan_id": "abc",
    "halves": 24,
    "rows": 200,
    "seeds": 2,
    "learning_rate": 0.001,
    "tables": [TABLE],
    "predicted_seconds": 1000.0,
    "real_seconds": 1234.0,
}


def test_the_page() -> None:
    page = lds_markdown(RESULT)
    assert "| ifd | -0.25 | -0.50 to +0.12 | not told from chance |" in page
    assert "| flat |  |  | nothing varies |" in page
    assert "the best score could reach about 0.75" in page
    assert "24 random halves of 200 rows, 2 trainings each, rate 0.001; plan `abc`" in page
    assert "in 1,234 s where 1,000 s were predicted" in page


@pytest.mark.parametrize(("seeds", "said"), [(1, "is not known of one"), (2, "do not agree with")])
def test_without_a_bound_the_page_says_why(seeds: int, said: str) -> None:
    page = lds_markdown({**RESULT, "seeds": seeds, "tables": [{**TABLE, "highest": None}]})
    assert said in page
