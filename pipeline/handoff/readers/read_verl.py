"""verl's own dataset over a handoff."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rows_out import IdsAndLabels, split_files, write_held_rows


def read_verl() -> Mapping[str, Iterable[IdsAndLabels]]:
    """The rows of its dataset; where no loss is taken the label is -100, as in the others."""
    from omegaconf import OmegaConf
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

    script = Path("train.sh").read_text(encoding="utf-8").replace("\\\n", " ")
    words = shlex.split(script, comments=True)
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
