"""axolotl's own loading and tokenising of a handoff."""

import os
from collections.abc import Iterable, Mapping

from rows_out import IdsAndLabels, write_held_rows

os.environ.update(AXOLOTL_DO_NOT_TRACK="1", DO_NOT_TRACK="1")


def read_axolotl() -> Mapping[str, Iterable[IdsAndLabels]]:
    """The datasets that its trainer would be given."""
    from axolotl.cli.config import load_cfg
    from axolotl.loaders import load_tokenizer
    from axolotl.utils.data.sft import prepare_datasets

    cfg = load_cfg(
        "axolotl.yaml", base_model="model", bf16=False, fp16=False, device="cpu", use_cpu=True
    )
    train, validation, *_ = prepare_datasets(cfg, load_tokenizer(cfg))
    datasets = {"train": train, "validation": validation}
    return {
        split: ((row["input_ids"], row["labels"]) for row in rows)
        for split, rows in datasets.items()
        if rows is not None
    }


if __name__ == "__main__":
    write_held_rows(read_axolotl)
