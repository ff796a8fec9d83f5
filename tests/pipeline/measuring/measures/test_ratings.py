"""Ratings by a model in process: a tiny one, with a window that a long row does not fit."""

from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError

from pipeline.measuring.measures.ratings import Ratings, RatingSettings, as_number
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.models.loading import load_language_model, resolve_model
from scorers.measures.ratings import MARKS, RatedRow, rating_question
from scorers.rating import score_rating
from tests.tiny_models import CHAT, VOCABULARY, WINDOW, save_tiny_llama

TEMPLATE = "7 {prompt} 8 {response} 9"

ANSWERS = ["12 13", "14", "15 " * WINDOW, None]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny_llama(tmp_path_factory.mktemp("model"), chat_template=CHAT))


def examples() -> pa.Table:
    prompt = {"role": "user", "content": "10 11"}
    talks = [
        [prompt] if answer is None else [prompt, {"role": "assistant", "content": answer}]
        for answer in ANSWERS
    ]
    return pa.table(
        {
            "example_id": [str(at) for at in range(len(talks))],
            "messages": [orjson.dumps(talk).decode() for talk in talks],
            "response_at": [1 if len(talk) == 2 else None for talk in talks],
            "response": [answer or "" for answer in ANSWERS],
        }
    )


def test_each_row_has_a_distribution_or_says_why_not(model: str) -> None:
    block = RatingSettings(model=model, template=TEMPLATE)
    rows = Ratings(settings=block).measure(examples()).to_pylist()
    asked = [RatedRow([{"role": "user", "content": "10 11"}], text) for text in ("12 13", "14")]
    questions = [rating_question(TEMPLATE, row) for row in asked]
    loaded = load_language_model(resolve_model(model))
    expected = loaded.option_probabilities(questions, MARKS)
    for at in range(2):
        assert rows[at]["state"] == "ok" and rows[at]["marks"] == [1, 2, 3, 4, 5, 6]
        np.testing.assert_allclose(rows[at]["probabilities"], expected.probabilities[at], rtol=1e-4)
        np.testing.assert_allclose(rows[at]["mass"], expected.mass[at], rtol=1e-4)
    assert rows[2]["state"] == "truncated" and "too long" in rows[2]["detail"]
    assert rows[3]["state"] == "not_applicable"
    assert all(rows[at][name] is None for at in (2, 3) for name in ("probabilities", "marks"))


def test_a_constant_on_all_logits_changes_no_rating(model: str) -> None:
    plain, shifted = (
        HuggingFaceLanguageModel.from_directory(Path(model), "float32", "cpu") for _ in "ab"
    )
    head = shifted.model.get_output_embeddings()
    head.bias = torch.nn.Parameter(torch.full((VOCABULARY,), 5.0))
    questions = [[{"role": "user", "content": text}] for text in ("10 11", "12")]
    ratings = []
    for judge in (plain, shifted):
        said = judge.option_probabilities(questions, MARKS)
        marks = np.tile(np.arange(1.0, 7.0), (2, 1))
        ratings.append(score_rating(said.probabilities, marks, said.mass, least_mass=0.0))
    np.testing.assert_allclose(ratings[0], ratings[1], rtol=1e-5)


def test_the_key_has_model_question_and_options(model: str) -> None:
    block = RatingSettings(model=model, template=TEMPLATE)
    key = Ratings(settings=block).key()
    assert key.model_fingerprint == resolve_model(model).fingerprint and key.template_fingerprint
    assert key.settings["template"] == TEMPLATE and key.settings["options"] == list(MARKS)
    built_in = Ratings(settings=RatingSettings(model=model)).key()
    assert built_in.measure_key != key.measure_key


def test_options_may_be_written_as_numbers() -> None:
    block = RatingSettings.model_validate({"template": TEMPLATE, "options": [1, 2.5, "no"]})
    assert block.options == ("1", "2.5", "no")
    assert block.marks() == [1.0, 2.5, None]


@pytest.mark.parametrize("option", ["", "good", "nan", "inf"])
def test_what_is_no_number_has_no_mark(option: str) -> None:
    assert as_number(option) is None


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["1"], "at least 2 items"),
        (["1", "10"], "different beginnings"),
        (["1", "1"], "different beginnings"),
    ],
)
def test_options_that_cannot_be_told_apart_are_refused(options: list[str], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        RatingSettings.model_validate({"template": TEMPLATE, "options": options})


def test_the_built_in_question_has_its_own_options() -> None:
    with pytest.raises(ValidationError, match="answered from 1 to 6"):
        RatingSettings(options=("1", "2"))
