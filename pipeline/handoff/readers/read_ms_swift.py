"""ms-swift's own loading and encoding of a handoff."""

from collections.abc import Iterable, Iterator, Mapping

from rows_out import IdsAndLabels, write_held_rows

CONFIG_FILE = "swift.yaml"
HERE = {"model": "model", "output_dir": "out", "torch_dtype": "float32"}
"""What is otherwise here: the stand-in for the model, and no GPU."""


def read_ms_swift() -> Mapping[str, Iterable[IdsAndLabels]]:
    """The rows that its trainer would encode, as its command line reads the configuration."""
    from swift.arguments import SftArguments
    from swift.cli.main import parse_yaml_args
    from swift.dataset import load_dataset
    from swift.utils import parse_args

    words = [CONFIG_FILE]
    parse_yaml_args(words)  # puts its settings in the place of the file
    settings, unknown = parse_args(SftArguments, [*words, *(f"--{k}={v}" for k, v in HERE.items())])
    if unknown:
        raise ValueError(f"swift sft does not know {' '.join(unknown)}")
    _, processor = settings.get_model_processor(load_model=False)
    template = settings.get_template(processor)
    template.set_mode("train")

    def encode(path: str) -> Iterator[IdsAndLabels]:
        rows, _ = load_dataset(
            [path], split_dataset_ratio=0.0, strict=settings.strict, load_from_cache_file=False
        )
        for row in rows:
            encoded = template.encode(row)
            yield encoded["input_ids"], encoded["labels"]

    files = {"train": settings.dataset, "validation": settings.val_dataset}
    return {split: encode(paths[0]) for split, paths in files.items() if paths}


if __name__ == "__main__":
    write_held_rows(read_ms_swift)
