"""The trainer's settings are the recipe's, whatever machine it is on."""

from pathlib import Path

from fine_tune.settings import TrainSettings
from fine_tune.trainer import on_one_device, trainer_config


def test_a_step_has_the_rows_of_the_recipe_however_many_gpus_are_seen(tmp_path: Path) -> None:
    config = trainer_config(TrainSettings(batch_rows=3), tmp_path)
    assert (config.n_gpu, config.train_batch_size) == (0, 3)
    config._n_gpu = 8  # as transformers finds them
    assert config.train_batch_size == 24
    assert on_one_device(config).train_batch_size == 3
