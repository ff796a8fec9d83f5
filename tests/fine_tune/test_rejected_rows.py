"""Rejected answers as a training reads them: behind their row's prompt, however a step is cut."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fine_tune.libraries import quiet_libraries
from fine_tune.rejected_rows import pair_method
from fine_tune.settings import TrainSettings
from fine_tune.train import train_adapter
from fine_tune.trainer import load_chat_tokenizer
from pipeline.export.rows import ExportRow, RejectedAnswer
from scorers.measures.reading.chat_format import render
from storage.exports_manifest import IGNORED
from tests.fine_tune.steps import Row, difference, step_of, trainer_of
from tests.fine_tune.tiny import count_rows, export_for, make_rows

WORSE = {"role": "assistant", "content": "It rains,\nand it will not."}
HAVING = (0, 2, 3)
"""Rows that have a rejected answer."""
COLUMNS = ("input_ids", "labels", "rejected_ids", "rejected_labels", "marks", "rejected_marks")


def paired_rows(model: Path, wrong: int = 0) -> list[ExportRow]:
    """Six rows, of which three have a rejected answer; `wrong` tokens are added to their count."""
    return with_rejected(count_rows(make_rows(6), model), model, HAVING, wrong)


def with_rejected(
    counted: Sequence[ExportRow], model: Path, having: Sequence[int], wrong: int = 0
) -> list[ExportRow]:
    """Rows of which those at some places have a rejected answer."""
    rows, tokenizer = list(counted), load_chat_tokenizer(model)
    for place in having:
        row = rows[place]
        ids = render(tokenizer, [*row.prompt, WORSE], row.tools, len(row.prompt), "chat")
        answer = RejectedAnswer(
            f"{900 + place:032x}", WORSE, len(ids.response) + wrong, "wrong_answer"
        )
        rows[place] = replace(row, rejected=answer)
    return rows


@pytest.fixture(scope="module")
def pairs(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "pairs"
    return export_for(tiny_model, folder, paired_rows(tiny_model))


def settings_of(method: str) -> TrainSettings:
    return TrainSettings.model_validate({"lora_rank": 2, "methods": [{"method": method}]})


@pytest.mark.parametrize("name", ["asft", "dpo", "fait"])
def test_a_step_is_the_same_however_it_is_cut(
    name: str, pairs: Path, tiny_model: Path, tmp_path: Path
) -> None:
    settings = settings_of(name)
    trainer: Any = trainer_of(pairs, tiny_model, tmp_path, settings)
    rows: list[Row] = [{column: row[column] for column in COLUMNS} for row in trainer.train_dataset]
    assert [place for place, row in enumerate(rows) if row["rejected_ids"]] == list(HAVING)
    whole, expected = step_of(trainer, [rows], settings.methods)
    # In the second pass no row, in the third all have one.
    for cut in ([rows[:4], rows[4:]], [[rows[1]], rows[4:], [rows[0], *rows[2:4]]]):
        loss, grads = step_of(trainer, cut, settings.methods)
        assert loss == pytest.approx(whole, rel=1e-6)
        assert difference(grads, expected) < 1e-5
    other = [
        {**row, "rejected_ids": [], "rejected_labels": [], "rejected_marks": []} for row in rows
    ]
    assert step_of(trainer, [other], settings.methods)[0] != pytest.approx(whole, rel=1e-3)


def test_the_rejected_answer_stands_behind_the_prompt_of_its_row(
    pairs: Path, tiny_model: Path, tmp_path: Path
) -> None:
    trainer: Any = trainer_of(pairs, tiny_model, tmp_path, settings_of("fait"))
    tokenizer = load_chat_tokenizer(tiny_model)
    for place, row in enumerate(trainer.train_dataset):
        ids, labels = row["rejected_ids"], row["rejected_labels"]
        if place not in HAVING:
            assert (ids, labels, row["rejected_marks"], sum(row["marks"])) == ([], [], [], 0)
            continue
        prompt = [
            own
            for own, label in zip(row["input_ids"], row["labels"], strict=True)
            if label == IGNORED
        ]
        assert ids[: len(prompt)] == prompt
        said = str(tokenizer.decode([label for label in labels if label != IGNORED]))
        assert said.startswith(WORSE["content"])
        assert labels[len(prompt) :] == ids[len(prompt) :]
        told = tokenizer.decode(
            [i for i, mark in zip(ids, row["rejected_marks"], strict=True) if mark]
        )
        if place == 0:  # "It rains, and it will rain on."
            assert told == "\nt"  # of bytes, each a token
    batch = trainer.data_collator([{c: row[c] for c in COLUMNS} for row in trainer.train_dataset])
    loss_batch = trainer._loss_batch(trainer.model, batch)
    kept, rejected = loss_batch.read_both()
    assert rejected is not None and loss_batch.rejected is not None
    assert loss_batch.rejected.rows.tolist() == list(HAVING)
    # Read together they say what each says alone.
    for answers, inputs in ((kept, batch), (rejected, loss_batch.rejected.inputs)):
        names = ("input_ids", "labels", "attention_mask")
        with torch.no_grad():
            alone = trainer.model(
                **{name: inputs[name] for name in names}, use_cache=False, fused_lm_head=True
            )
        torch.testing.assert_close(answers.log_probs, alone.log_probs, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_what_lacks_rejected_answers_or_counts_them_otherwise_is_refused(
    pairs: Path, tiny_export: Path, tiny_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="no rejected answers, which asft reads: name reasons in"):
        trainer_of(tiny_export, tiny_model, tmp_path / "none", settings_of("asft"))
    rows = paired_rows(tiny_model)
    bare = [replace(row, rejected=None) for row in rows]
    held_out = replace(rows[0], example_id="f" * 32, split="validation")
    asked = export_for(tiny_model, tmp_path / "bare", [*bare, held_out])
    with pytest.raises(ValueError, match="none of the 6 rows has a rejected answer"):
        trainer_of(asked, tiny_model, tmp_path / "bare trained", settings_of("asft"))
    wrong = export_for(tiny_model, tmp_path / "wrong", paired_rows(tiny_model, 1))
    with pytest.raises(ValueError, match="its rejected answer has 28 tokens here, and 29 in"):
        trainer_of(wrong, tiny_model, tmp_path / "wrong trained", settings_of("asft"))
    assert pair_method(TrainSettings()) is None


@pytest.mark.slow
def test_a_training_says_how_many_pairs_it_had_and_mixes_rows_with_them(
    pairs: Path, tiny_model: Path, tmp_path: Path
) -> None:
    settings = settings_of("asft").model_copy(update={"max_steps": 2})
    with quiet_libraries():
        report = train_adapter(pairs, tiny_model, tmp_path / "own", settings)
    said = "asft: 3 of 6 rows have a rejected answer; the others are trained without"
    assert report.method_notes == (said,)
    mixed = TrainSettings.model_validate({**settings.model_dump(), "mix": [{}]})
    other = train_adapter(pairs, tiny_model, tmp_path / "mixed", mixed)
    assert other.losses == pytest.approx(report.losses, rel=1e-6)
