"""Samples as lm-evaluation-harness 0.4.13 wrote them; each is of the item that it says it is of."""

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from pipeline.ingest.rows import UnreadableSourceError
from pipeline.trials.evaluations import TrialItems, render_questions
from pipeline.trials.questions import TrialQuestion, as_conversation
from pipeline.trials.samples import find_samples, read_logged_samples
from pipeline.trials.settings import TrialEvaluation
from tests.fine_tune.tiny import byte_tokenizer

ROWS = [("What is 2 + 3?", "5"), ("What is 1 + 1?", "2"), ("What is 9 - 5?", "4")]


def sample(number: int, **changed: Any) -> dict[str, Any]:  # noqa: ANN401
    """A line with the keys and types of a real one."""
    question, answer = ROWS[number]
    return {
        "doc_id": number,
        "doc": {"question": question, "answer": answer},
        "target": answer,
        "arguments": {"gen_args_0": {"arg_0": question, "arg_1": {"until": ["\n"]}}},
        "resps": [["It is 5."]],
        "filtered_resps": ["It is 5."],
        "filter": "none",
        "metrics": ["exact_match"],
        "doc_hash": "d",
        "prompt_hash": "p",
        "target_hash": "t",
        "exact_match": float(number == 0),
        **changed,
    }


@pytest.fixture
def house(tmp_path: Path) -> TrialItems:
    settings = TrialEvaluation(
        path="house.jsonl",
        metric="exact",
        prompt="question",
        answer="answer",
        samples=str(tmp_path / "evals/{training}/*/samples_house_*.jsonl"),
        value="exact_match",
    )
    asked = [TrialQuestion(at, None, as_conversation(*row)) for at, row in enumerate(ROWS, 1)]
    return render_questions("house", settings, (asked, Counter()), byte_tokenizer(), 400)


def write(folder: Path, *lines: dict[str, Any]) -> Path:
    file = folder / "samples_house_2026-11-30T22-00-00.000000.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    return file


def test_values_are_those_of_the_items_whatever_their_order(
    house: TrialItems, tmp_path: Path
) -> None:
    other = sample(0, filter="strict", exact_match=0.0)
    file = write(tmp_path / "evals/abc/model", sample(2), sample(0), other, sample(1))
    assert find_samples(house.settings, "abc") == file
    assert find_samples(house.settings, "abd") is None
    found = read_logged_samples(house, file)
    assert (found.metric, found.items, found.tokens) == ("exact", [1, 2, 3], [1, 1, 1])
    assert found.values == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([sample(0), sample(1)], "2 documents, and none of row 3 of house.jsonl"),
        ([sample(0), sample(1), sample(2, doc={"question": "?"})], "document 2 is not row 3"),
        ([sample(0), sample(0), sample(1), sample(2)], "has a document twice"),
        ([sample(0, exact_match=None), sample(1), sample(2)], "its metrics are exact_match"),
        ([sample(0, filter="strict")], "no samples of filter 'none'; it has strict"),
    ],
)
def test_what_is_no_number_of_each_item_is_refused(
    lines: list[dict[str, Any]], said: str, house: TrialItems, tmp_path: Path
) -> None:
    with pytest.raises(UnreadableSourceError, match=said):
        read_logged_samples(house, write(tmp_path, *lines))


def test_a_file_that_is_cut_off_and_two_of_one_training_are_refused(
    house: TrialItems, tmp_path: Path
) -> None:
    file = write(tmp_path / "evals/abc/model", sample(0))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(UnreadableSourceError, match="is no JSONL"):
        read_logged_samples(house, file)
    write(tmp_path / "evals/abc/again", sample(0))
    with pytest.raises(UnreadableSourceError, match="2 files match"):
        find_samples(house.settings, "abc")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"samples": None}, "samples of metric: exact"),
        ({"value": None}, "the value to read"),
        ({"samples": "evals/*.jsonl"}, "say {training} where"),
    ],
)
def test_samples_need_their_place_and_their_value(
    changed: dict[str, Any], said: str, house: TrialItems
) -> None:
    with pytest.raises(ValidationError, match=said):
        TrialEvaluation.model_validate({**house.settings.model_dump(), **changed})


def test_paths_are_relative_to_the_trials_file_and_old_evaluations_keep_their_ids(
    house: TrialItems, tmp_path: Path
) -> None:
    given = house.settings.model_copy(update={"samples": "evals/{training}/s_*.jsonl"})
    assert given.placed(tmp_path).samples == str(tmp_path / "evals/{training}/s_*.jsonl")
    plain = TrialEvaluation(path="x", prompt="q", answer="a")
    asked = [TrialQuestion(at, None, as_conversation(*row)) for at, row in enumerate(ROWS, 1)]
    found = render_questions("gold", plain, (asked, Counter()), byte_tokenizer(), 400)
    assert found.evaluation_id == "c7b993746ce067a2"
