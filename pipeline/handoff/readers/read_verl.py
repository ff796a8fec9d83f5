"""verl's own dataset over a handoff."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rows_out import IdsAndLabels, command_words, split_files, write_held_rows

CONFIG_FILE = "sft_trainer_engine.yaml"
KEY = re.compile(r"[a-z]+(\.[a-z_]+)+=")
"""What a word of the command begins with that sets something."""


def require_settings(words: Sequence[str]) -> None:
    """See that its own configuration has each setting of the command, as Hydra would.

    Raises:
        ValueError: if it does not know one.
    """
    import verl.trainer.config as own
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import ConfigKeyError

    folder = Path(own.__path__[0])
    whole = OmegaConf.load(folder / CONFIG_FILE)
    assert isinstance(whole, DictConfig)
    for part in whole.pop("defaults"):
        if isinstance(part, DictConfig):  # group@place: file; the last is _self_
            ((place, name),) = part.items()
            group, _, at = str(place).partition("@")
            whole = OmegaConf.merge({at: OmegaConf.load(folder / group / f"{name}.yaml")}, whole)
    OmegaConf.set_struct(whole, True)
    try:
        OmegaConf.merge(whole, OmegaConf.from_dotlist(list(words)))
    except ConfigKeyError as error:
        raise ValueError(f"the trainer of verl has no setting {error.full_key}") from error


def read_verl() -> Mapping[str, Iterable[IdsAndLabels]]:
    """The rows of its dataset; where no loss is taken the label is -100, as in the others."""
    from omegaconf import OmegaConf
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

    words = command_words()
    require_settings([word for word in words if KEY.match(word)])
    said = OmegaConf.from_dotlist([word for word in words if word.startswith("data.")])

    def encode(path: str) -> Iterator[IdsAndLabels]:
        rows = MultiTurnSFTDataset(path, "model", said.data)
        for index in range(len(rows)):
            row = rows[index]
            ids, mask = row["input_ids"].tolist(), row["loss_mask"].tolist()
            yield ids, [token if on else -100 for token, on in zip(ids, mask, strict=True)]

    return {split: encode(path) for split, path in split_files().items()}


if __name__ == "__main__":
    write_held_rows(read_verl)
