"""LLaMA-Factory's own loading, converting and tokenising of a handoff."""

import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path

from rows_out import IdsAndLabels, stand_in, write_held_rows

stand_in("torchaudio")  # for media; its wheels ask for CUDA


def read_llamafactory() -> Mapping[str, Iterable[IdsAndLabels]]:
    """The datasets that its trainer would be given."""
    import yaml
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    if Path("tokenise.py").is_file():
        runpy.run_path("tokenise.py")
    settings = yaml.safe_load(Path("train.yaml").read_text(encoding="utf-8"))
    here = {"model_name_or_path": "model", "output_dir": "out", "bf16": False, "use_cpu": True}
    model, data, training, *_ = get_train_args({**settings, **here})
    loaded = load_tokenizer(model)
    template = get_template_and_fix_tokenizer(loaded["tokenizer"], data)
    found = get_dataset(template, model, data, training, stage="sft", **loaded)
    names = {"train": "train_dataset", "validation": "eval_dataset"}
    return {
        split: ((row["input_ids"], row["labels"]) for row in found[name])
        for split, name in names.items()
        if found.get(name) is not None
    }


if __name__ == "__main__":
    write_held_rows(read_llamafactory)
