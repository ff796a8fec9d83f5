"""open-instruct's own transformation of a handoff's rows."""

import ast
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from rows_out import IdsAndLabels, command_words, split_files, stand_in, write_held_rows

stand_in("beaker", "wandb")  # for launching and watching jobs


def require_options(options: Sequence[str], tokenizer_config: type) -> None:
    """See that finetune.py has each option of the command; to run it would take a GPU's packages.

    Raises:
        ValueError: if it does not know one.
    """
    import open_instruct

    script = Path(open_instruct.__path__[0]) / "finetune.py"
    classes = [
        each
        for each in ast.parse(script.read_text(encoding="utf-8")).body
        if isinstance(each, ast.ClassDef) and each.name == "FlatArguments"
    ]
    known = {field.name for field in fields(tokenizer_config)}
    known |= {
        line.target.id
        for line in classes[0].body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
    }
    if unknown := [each for each in options if each.removeprefix("--") not in known]:
        raise ValueError(f"finetune.py does not know {' '.join(unknown)}")


def read_open_instruct() -> Mapping[str, Iterable[IdsAndLabels]]:
    """The rows that its cached dataset would hold: transformed, then filtered."""
    from open_instruct import dataset_transformation as own

    words = command_words()
    require_options([word for word in words if word.startswith("--")], own.TokenizerConfig)
    name = words[words.index("--dataset_transform_fn") + 1]
    longest = int(words[words.index("--max_seq_length") + 1])
    tokenizer = own.TokenizerConfig(tokenizer_name_or_path="tokenizer").tokenizer

    def encode(path: str) -> Iterator[IdsAndLabels]:
        with Path(path).open("rb") as lines:
            for line in lines:
                row = getattr(own, name)(json.loads(line), tokenizer, longest)
                if own.sft_tulu_filter_v1(row, tokenizer):
                    yield row["input_ids"].tolist(), row["labels"].tolist()

    return {split: encode(path) for split, path in split_files().items()}


if __name__ == "__main__":
    write_held_rows(read_open_instruct)
