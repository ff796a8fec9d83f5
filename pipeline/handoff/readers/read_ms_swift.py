"""ms-swift's own loading and encoding of a handoff."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rows_out import IdsAndLabels, write_held_rows


def read_ms_swift() -> Mapping[str, Iterable[IdsAndLabels]]:
    """The rows that its trainer would encode."""
    import yaml
    from swift.dataset import load_dataset
    from swift.model import get_model_processor
    from swift.template import get_template

    settings = yaml.safe_load(Path("swift.yaml").read_text(encoding="utf-8"))
    name = settings["template"]
    kind = settings.get("model_type", "llama")  # as which the stand-in is configured
    _, processor = get_model_processor(
        "model", load_model=False, model_type=kind, template_type=name
    )
    template = get_template(
        processor,
        max_length=settings["max_length"],
        truncation_strategy=settings["truncation_strategy"],
        loss_scale=settings["loss_scale"],
        template_type=name,
    )
    template.set_mode("train")

    def encode(path: str) -> Iterator[IdsAndLabels]:
        rows, _ = load_dataset(
            [path], split_dataset_ratio=0.0, strict=True, load_from_cache_file=False
        )
        for row in rows:
            encoded = template.encode(row)
            yield encoded["input_ids"], encoded["labels"]

    files = {"train": settings["dataset"], "validation": settings.get("val_dataset", [])}
    return {split: encode(paths[0]) for split, paths in files.items() if paths}


if __name__ == "__main__":
    write_held_rows(read_ms_swift)
