"""The trainer's settings are the recipe's, whatever machine it is on."""

from pathlib import Path
from typing import Any

import pytest

from fine_tune.settings import TrainSettings
from fine_tune.trainer import on_one_device, trainer_config
from tests.fine_tune.steps import trainer_of


def test_a_step_has_the_rows_of_the_recipe_however_many_gpus_are_seen(tmp_path: Path) -> None:
    config = trainer_config(TrainSettings(batch_rows=3), tmp_path)
    assert (config.n_gpu, config.train_batch_size) == (0, 3)
    config._n_gpu = 8  # as transformers finds them
    assert config.train_batch_size == 24
    assert on_one_device(config).train_batch_size == 3


@pytest.mark.parametrize("packing", [False, True])
def test_rows_of_a_pass_are_one_sequence_where_they_are_packed(
    packing: bool, tiny_export: Path, tiny_model: Path, tmp_path: Path
) -> None:
    trainer = trainer_of(tiny_export, tiny_model, tmp_path, TrainSettings(packing=packing))
    prepared: Any = trainer.train_dataset
    rows = [{name: row[name] for name in ("input_ids", "labels")} for row in prepared]
    collator: Any = trainer.data_collator
    batch = collator(rows[:3])
    assert len(batch["input_ids"]) == (1 if packing else 3)
    assert ("attention_mask" in batch) is not packing
    assert trainer.loss_of_batch(rows[:3])[1] == sum(
        row["loss_tokens"] for row in prepared.select(range(3))
    )
