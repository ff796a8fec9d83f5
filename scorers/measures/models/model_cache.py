"""Hashes of model files, and the copies of models that Sluice makes for itself.

Everything here is written under a temporary name and renamed, so that a reader never sees half of
it, and two processes that make the same copy at once end with one whole copy.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from scorers.measures.models.model_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    find_model_files,
    loading_from,
)
from scorers.measures.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

log = logging.getLogger(__name__)

FORMAT = "1"  # of the copies. Raised when the same source file would be written differently

PARTIAL = ".partial-"
STALE_SECONDS = 3600.0  # a partial copy this old was left by a process that was killed

LARGE_BYTES = 1 << 20
"""From here on the hash of a file is remembered; below, reading it again costs nothing."""

TEMPLATE_FILE = "chat_template.jinja"  # goes before one in the tokenizer's configuration
TEMPLATE_PLACES = (TEMPLATE_FILE, "chat_template.json", "additional_chat_templates")


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/sluice`, which is `~/.cache/sluice` unless the user moved it."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "sluice"


def text_fingerprint(text: str) -> str:
    """SHA-256 of a text, 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def file_fingerprint(path: Path, cache: Path) -> str:
    """SHA-256 of a file's content, 64 hex digits.

    For large files it is remembered in the cache by path, size and times, so that a 16 GB model is
    read once and not at each start. What unpacks or copies files may give them any time of
    modification; that of the last change of their entry, and its number, it cannot choose.
    """
    status = path.stat()
    if status.st_size < LARGE_BYTES:
        return _hash_file(path)
    times = f"{status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
    return remember(
        cache / "hashes", f"{path.resolve()} {status.st_size} {times}", lambda: _hash_file(path)
    )


def remember(folder: Path, made_of: str, find: Callable[[], str]) -> str:
    """A text that takes long to find, found once for each thing that it is made of."""
    remembered = folder / text_fingerprint(made_of)
    if remembered.is_file():
        return remembered.read_text().strip()
    found = find()
    folder.mkdir(parents=True, exist_ok=True)
    partial = remembered.with_name(f"{PARTIAL}{uuid4().hex}")
    partial.write_text(found)
    partial.replace(remembered)
    return found


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def directory_fingerprint(path: Path, cache: Path) -> str:
    """SHA-256 over names and contents of a model's configuration, weights and tokenizer files."""
    lines = [
        f"{file.relative_to(path).as_posix()} {file_fingerprint(file, cache)}"
        for file in find_model_files(path)
    ]
    return text_fingerprint("\n".join(lines))


def build_once(target: Path, build: Callable[[Path], None]) -> Path:
    """Have `build` fill a folder, unless it is there already; all of it or nothing is ever seen.

    Args:
        target: the folder wanted.
        build: writes into the empty folder it is given.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(target.parent)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=target.parent))
    try:
        build(partial)
        partial.chmod(0o755)  # mkdtemp makes it private
        try:
            partial.rename(target)
        except OSError:  # a folder is not renamed over one that has files in it
            if not target.is_dir():
                raise
            log.debug("another process made %s first", target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # gone already, if it was renamed
    return target


def _remove_stale(folder: Path) -> None:
    for partial in folder.glob(f"{PARTIAL}*"):
        if partial.is_dir() and time.time() - partial.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(partial, ignore_errors=True)


def copy_folder(target: Path) -> Path:
    """Where a copy lies that is written as it is today."""
    return target.with_name(f"{target.name}-{FORMAT}")


def converted_gguf(weights: Path, target: Path) -> Path:
    """A GGUF file as a transformers folder: float32 safetensors, tokenizer, chat template.

    transformers needs 10 to 30 s to read the GGUF, and a second to read what is written here. The
    weights are the dequantised ones, exactly.

    Raises:
        ValueError: if the file cuts text into words by rules not known here.
    """
    target = copy_folder(target)

    def build(folder: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        log.info("converting %s once, into %s", weights.name, target)
        source, name = str(weights.parent), weights.name
        with quiet_transformers():
            model = AutoModelForCausalLM.from_pretrained(
                source, gguf_file=name, trust_remote_code=False
            )
            tokenizer = AutoTokenizer.from_pretrained(
                source, gguf_file=name, trust_remote_code=False
            )
        _split_words_as_trained(tokenizer, weights)
        tokenizer.model_max_length = model.config.max_position_embeddings
        # transformers will not save a model marked as quantised, although its weights no longer
        # are: an unmarked one of the same class takes them over.
        fields = model.config.to_dict()
        del fields["quantization_config"]
        plain = type(model)(type(model.config).from_dict(fields))
        plain.load_state_dict(model.state_dict())
        plain.generation_config.eos_token_id = tokenizer.eos_token_id
        plain.generation_config.pad_token_id = tokenizer.pad_token_id
        plain.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return build_once(target, build)


def _split_words_as_trained(tokenizer: PreTrainedTokenizerBase, weights: Path) -> None:
    # transformers gives every GGUF of this family GPT-2's word splitting. SmolLM was trained with
    # digits split off first, which tokenises runs of spaces before a digit otherwise.
    from gguf import GGUFReader
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    rules = GGUFReader(weights).fields["tokenizer.ggml.pre"].contents()
    if rules != "smollm":
        raise ValueError(f"{weights.name} splits words by the rules {rules!r}, not known here")
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )


def truncated_copy(source: Path, layers: int, target: Path) -> Path:
    """A copy of a model folder with the first `layers` decoder layers, final norm and head kept.

    Raises:
        ValueError: if the model does not have that many layers.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    from scorers.measures.models.language_model import read_tokenizer

    target = copy_folder(target)
    if target.is_dir():
        return target
    with loading_from(source):
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    if not 1 <= layers <= config.num_hidden_layers:
        raise ValueError(
            f"layers must be between 1 and {config.num_hidden_layers}, which the model has; "
            f"got {layers}"
        )
    config.num_hidden_layers = layers
    if getattr(config, "layer_types", None) is not None:  # one for each layer, and checked so
        config.layer_types = config.layer_types[:layers]

    def build(folder: Path) -> None:
        log.info("copying the first %d layers of %s into %s", layers, source.name, target)
        # Quiet: it would note that the other layers are left on disk.
        with quiet_transformers(), loading_from(source):
            model = AutoModelForCausalLM.from_pretrained(
                source, config=config, dtype="auto", use_safetensors=True, trust_remote_code=False
            )
        model.save_pretrained(folder)
        read_tokenizer(source).save_pretrained(folder)

    return build_once(target, build)


def templated_copy(source: Path, template: str, target: Path) -> Path:
    """A model folder with another chat template; its other files are links."""

    def build(folder: Path) -> None:
        for entry in source.iterdir():
            if entry.name not in TEMPLATE_PLACES:
                (folder / entry.name).symlink_to(entry.resolve(), entry.is_dir())
        (folder / TEMPLATE_FILE).write_text(template, encoding="utf-8", newline="")

    return build_once(target, build)


def adapter_fingerprint(folder: Path, base: str, cache: Path) -> str:
    """SHA-256 over an adapter's weights and settings and its base model, wherever they lie.

    Args:
        folder: as PEFT saves an adapter.
        base: fingerprint of the model it was trained on.
        cache: where hashes of large files are remembered.
    """
    settings = json.loads((folder / ADAPTER_CONFIG).read_bytes())
    settings.pop("base_model_name_or_path")  # a place, where `base` says what lies there
    weights = file_fingerprint(folder / ADAPTER_WEIGHTS, cache)
    return text_fingerprint(f"{base} adapter={weights} {json.dumps(settings, sort_keys=True)}")


def merged_adapter(base: Path, adapter: Path, target: Path) -> Path:
    """A copy of a model folder with a LoRA adapter added to its weights, in the base's own type.

    So an adapter is a model like any other, and measured and sampled as fast.
    """
    target = copy_folder(target)

    def build(folder: Path) -> None:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        from scorers.measures.models.language_model import read_tokenizer

        log.info("merging the adapter in %s into a copy of %s, in %s", adapter, base.name, target)
        with quiet_transformers(), loading_from(base):
            model = AutoModelForCausalLM.from_pretrained(
                base, dtype="auto", use_safetensors=True, trust_remote_code=False
            )
        with loading_from(adapter, "adapter"):
            tuned = PeftModel.from_pretrained(model, adapter)
        tuned.merge_and_unload().save_pretrained(folder)
        read_tokenizer(base).save_pretrained(folder)

    return build_once(target, build)
