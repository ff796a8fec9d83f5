"""What a model's folder may hold: whatever is loaded lies in it, is no pickle and no code.

transformers and sentence-transformers follow what the files of a folder say: an index names the
files of weights, `modules.json` names folders and classes. Here both are looked at before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import ClassVar

MODEL_FILES = (
    *("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"),
    *("*.spm", "*.codes", "*.bpe", "*.tiktoken", "*.tokenizer"),  # of some tokenizers
)
NOT_THE_MODEL = ("trainer_state.json", "training_args.json", "all_results.json")

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
EXPERTS_CONFIG, EXPERTS_WEIGHTS = "experts_config.json", "experts.safetensors"
"""Of experts behind a router, which no other weights can be merged with."""
CONFIG, WEIGHTS, INDEX_END = "config.json", "model.safetensors", ".safetensors.index.json"
MODULES = "modules.json"
OWN_CLASSES = "sentence_transformers."
"""How the names of classes begin that come with sentence-transformers, and not with a model."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
INTO_SAFETENSORS = (
    "pickles are never read, for they can run code: load it once where you trust it, and save it "
    "with save_pretrained(FOLDER, safe_serialization=True)"
)

LARGEST_HEADER = 100_000_000
"""Bytes; safetensors itself takes no larger one."""


class UnusableModelError(ValueError):
    """A model's folder is broken, or asks for what is never done; the message says which."""

    exit_code: ClassVar[int] = 5


def find_model_files(folder: Path) -> list[Path]:
    """All files of a model's configuration, weights and tokenizer, sorted; also behind links."""
    found: set[Path] = set()
    waiting = [(folder, frozenset({folder.resolve()}))]
    while waiting:
        place, above = waiting.pop()
        for entry in place.iterdir():
            if entry.is_dir():
                target = entry.resolve()
                if target not in above:  # a link to a folder it lies in has nothing new
                    waiting.append((entry, above | {target}))
            elif any(map(entry.match, MODEL_FILES)) and entry.name not in NOT_THE_MODEL:
                if not entry.is_file():
                    raise UnusableModelError(f"{entry} leads nowhere: fetch the whole model")
                found.add(entry)
    return sorted(found)


def require_safe(folder: Path) -> None:
    """Refuse a folder that has files loaded which its fingerprint does not cover, or code run.

    Raises:
        UnusableModelError: if it does; its configuration must be JSON as well.
    """
    if (folder / CONFIG).exists():
        read_object(folder / CONFIG)
    for file in find_model_files(folder):
        if file.name.endswith(INDEX_END):
            list(indexed_shards(file, folder))
    if (folder / ADAPTER_CONFIG).exists() and not (folder / ADAPTER_WEIGHTS).exists():
        raise UnusableModelError(
            f"{folder} has an {ADAPTER_CONFIG} and no {ADAPTER_WEIGHTS}: {INTO_SAFETENSORS}"
        )
    for module in sentence_modules(folder):
        require_no_pickle(module, folder)


def indexed_shards(index: Path, folder: Path) -> Iterator[Path]:
    """The files of weights that an index names, each once.

    Raises:
        UnusableModelError: if one lies outside of the folder, or is no safetensors.
    """
    weight_map = read_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UnusableModelError(f"{index} names no weights: write the model's folder anew")
    for name in sorted({str(name) for name in weight_map.values()}):
        file = index.parent / name
        if not name.endswith(".safetensors"):
            raise UnusableModelError(f"{index} names {name!r}: {INTO_SAFETENSORS}")
        if not is_inside(file, name, folder):
            raise UnusableModelError(
                f"{index} names {name!r}, which lies outside of the model's folder: put the file "
                "itself there"
            )
        yield file


def is_inside(file: Path, name: str, folder: Path) -> bool:
    """Whether a file of a folder, by its name there, lies in it, or in the hub's cache of it."""
    written = PurePosixPath(name.replace("\\", "/"))
    if written.is_absolute() or ".." in written.parts:
        return False
    home, target = folder.resolve(), file.resolve()
    blobs = home.parent.parent / "blobs"  # where the hub's cache has what a snapshot links to
    return home in target.parents or (home.parent.name == "snapshots" and blobs == target.parent)


def sentence_modules(folder: Path) -> Iterator[Path]:
    """The folders of a sentence-transformers model, each of which has weights of its own.

    Raises:
        UnusableModelError: if one lies elsewhere, or is of a class that comes with the model.
    """
    if not (folder / MODULES).exists():
        return
    modules = parse_file(folder / MODULES)
    if not isinstance(modules, list) or not all(isinstance(each, dict) for each in modules):
        raise UnusableModelError(f"{folder / MODULES} is no list of modules")
    for each in modules:
        path, kind = str(each.get("path", "")), str(each.get("type", ""))
        if not kind.startswith(OWN_CLASSES):
            raise UnusableModelError(
                f"{folder / MODULES} has a module of the type {kind!r}, which is code of the "
                "model's own: none is run"
            )
        module = folder / path
        if path and not is_inside(module, path, folder):
            raise UnusableModelError(
                f"{folder / MODULES} names {path!r}, which lies outside of the model's folder: "
                "put the folder itself there"
            )
        yield module


def require_no_pickle(module: Path, folder: Path) -> None:
    """Refuse a part of a model whose weights are there as a pickle alone."""
    # A part may have parts; those of the model itself are in its list.
    within = (path for path in module.rglob("*") if path.is_dir() and module != folder)
    for each in [module, *within]:
        pickled = sorted(p.name for p in each.glob("pytorch_model*") if p.suffix in PICKLES)
        if pickled and not any(each.glob("*.safetensors")):
            raise UnusableModelError(f"{each / pickled[0]}: {INTO_SAFETENSORS}")


def require_whole(folder: Path) -> None:
    """Refuse a folder without the weights to load a model from, or with files that are cut short.

    Raises:
        UnusableModelError: if there are none, only pickled ones, or some are missing or damaged.
    """
    index = folder / f"model{INDEX_END}"
    modules = list(sentence_modules(folder))
    if (folder / WEIGHTS).exists():
        files = [folder / WEIGHTS]
    elif index.exists():
        files = list(indexed_shards(index, folder))
    elif modules or any(folder.glob("*.safetensors")):  # a name that the configuration gives
        files = sorted(folder.glob("*.safetensors"))
    else:
        pickled = sorted(each.name for each in folder.iterdir() if each.suffix in PICKLES)
        told = f"only {pickled[0]}: {INTO_SAFETENSORS}" if pickled else "name the whole model"
        raise UnusableModelError(f"{folder} has no {WEIGHTS}, {told}")
    for file in [*files, *(file for each in modules for file in each.glob("*.safetensors"))]:
        require_all_bytes(file)


def require_all_bytes(file: Path) -> None:
    """Refuse a safetensors file that is not there, or not as long as its own header says."""
    if not file.is_file():
        raise UnusableModelError(f"{file} is missing, and an index names it: fetch the whole model")
    size = file.stat().st_size
    try:
        with file.open("rb") as content:
            length = int.from_bytes(content.read(8), "little")
            header = json.loads(content.read(min(length, LARGEST_HEADER)))
        header.pop("__metadata__", None)
        wanted = 8 + length + max((each["data_offsets"][1] for each in header.values()), default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise UnusableModelError(
            f"{file} is no safetensors file, or its beginning is damaged: fetch it again"
        ) from None
    if size != wanted:
        raise UnusableModelError(
            f"{file} has {size:,} bytes, and by its own header {wanted:,}: fetch it again"
        )


@contextmanager
def loading_from(folder: Path, what: str = "model") -> Iterator[None]:
    """Say in one line what is wrong with a folder that a model, or its tokenizer, cannot be had of.

    Raises:
        UnusableModelError: for what the libraries say of files that they cannot use.
    """
    if what == "model":
        require_whole(folder)
    try:
        yield
    except Exception as error:  # each class of model has errors of its own
        if not is_of_the_files(error):
            raise
        raise UnusableModelError(
            f"{folder} has no {what} that can be loaded: {reason_of(error)}"
        ) from error


def is_of_the_files(error: Exception) -> bool:
    """Whether an error is about what a folder holds, and not about this machine."""
    if hasattr(error, "exit_code") or isinstance(error, MemoryError | InterruptedError):
        return False
    if isinstance(error, OSError) and error.errno is not None:
        return False  # of the disk, which has words of its own
    return "OutOfMemory" not in type(error).__name__


def reason_of(error: Exception) -> str:
    """What a library says, in one line."""
    said = " ".join(str(error).split()) or type(error).__name__
    if "trust_remote_code" in said:
        return "it needs code that comes with it, which is never run (trust_remote_code is off)"
    if isinstance(error, KeyError):
        said = f"{said} is not there"
    return f"{said[:300].rstrip(' .')}. Fetch the whole model again, or name another"


def read_object(file: Path) -> dict[str, object]:
    """A JSON object of a model's folder.

    Raises:
        UnusableModelError: if the file holds none.
    """
    value = parse_file(file)
    if not isinstance(value, dict):
        raise UnusableModelError(f"{file} is no JSON object: fetch it again")
    return value


def parse_file(file: Path) -> object:
    """The JSON of a file of a model's folder; UnusableModelError if it is none."""
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        told = " ".join(str(error).split())
        raise UnusableModelError(f"{file} is no JSON ({told}): fetch it again") from None
