"""What is loaded is what was hashed, lies in the folder, and is neither a pickle nor code."""

import ast
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from scorers.measures.models import model_cache
from scorers.measures.models.loading import (
    WHEEL_MODELS,
    MissingModelError,
    find_wheel_weights,
    load_embedder,
    load_language_model,
    load_tokenizer,
    resolve_model,
)
from scorers.measures.models.model_folder import (
    UnusableModelError,
    find_model_files,
    loading_from,
    require_whole,
)
from tests.tiny_models import save_tiny_llama

ROOT = Path(__file__).parents[4]
PRODUCT = [ROOT / name for name in ("pipeline", "flows", "scorers", "storage", "fine_tune")]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A whole model."""
    return Path(shutil.copytree(tiny, tmp_path / "model"))


@pytest.fixture
def sharded(folder: Path) -> Path:
    """The same in two files."""
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, held in parts.items():
        save_file({name: weights[name] for name in held}, folder / part, {"format": "pt"})
    (folder / "model.safetensors").unlink()
    write_index(folder, {name: part for part, held in parts.items() for name in held})
    return folder


@pytest.fixture
def sentences(tmp_path: Path) -> Path:
    """A sentence-transformers folder with a Dense part; nothing of it is loaded here."""
    source = find_wheel_weights("all-minilm-l6-v2").parent
    folder = tmp_path / "sentences"
    folder.mkdir()
    for each in source.iterdir():
        if each.name != "model.safetensors":
            copy = shutil.copytree if each.is_dir() else shutil.copyfile
            copy(each, folder / each.name)
    save_file({"w": torch.zeros(2)}, folder / "model.safetensors")
    modules = json.loads((folder / "modules.json").read_bytes())
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps([*modules, dense]))
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "config.json").write_text('{"in_features": 384}')
    save_file({"linear.weight": torch.zeros(2)}, folder / "2_Dense" / "model.safetensors")
    return folder


def write_index(folder: Path, weight_map: object, name: str = "model") -> None:
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / f"{name}.safetensors.index.json").write_text(json.dumps(index))


def change_json(file: Path, **changes: Any) -> None:  # noqa: ANN401 - a test's shorthand
    file.write_text(json.dumps({**json.loads(file.read_bytes()), **changes}))


def fingerprint(folder: Path) -> str:
    return resolve_model(str(folder)).fingerprint


def refused(folder: Path, match: str, load: bool = False) -> None:
    """In one line, with the exit code of models that are not there."""
    with pytest.raises(UnusableModelError, match=match) as raised:
        found = resolve_model(str(folder))
        if load:
            load_language_model(found, "float32", "cpu")
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 5


@pytest.mark.parametrize(
    "name",
    [
        "a.safetensors",
        "b.safetensors",
        "config.json",
        "generation_config.json",
        "model.safetensors.index.json",
        "chat_template.jinja",
        "additional_chat_templates/tools.jinja",
        "tokenizer.json",
        "added_tokens.json",
        "spiece.model",
        "merges.txt",
        "source.spm",
        "bpe.codes",
        "vocab.bpe",
        "qwen.tiktoken",
        "prophetnet.tokenizer",
        "adapter_model.safetensors",
        "deep/er/x.safetensors",
    ],
)
def test_every_file_that_can_be_loaded_is_part_of_the_fingerprint(sharded: Path, name: str) -> None:
    file = sharded / name
    if not file.exists():
        without = fingerprint(sharded)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
        assert fingerprint(sharded) != without
    before = fingerprint(sharded)
    content = file.read_bytes()
    file.write_bytes(
        content + b"\n" if name.endswith(".json") else content[:-1] + bytes([content[-1] ^ 1])
    )
    assert fingerprint(sharded) != before


@pytest.mark.parametrize("name", ["README.md", "pytorch_model.bin", "trainer_state.json", "x.png"])
def test_what_is_never_loaded_is_not(folder: Path, name: str) -> None:
    before = fingerprint(folder)
    (folder / name).write_text("{}")
    assert fingerprint(folder) == before


def test_shards_are_loaded(sharded: Path, tiny: Path) -> None:
    loaded, whole = (
        load_language_model(resolve_model(str(each)), "float32", "cpu").model.state_dict()
        for each in (sharded, tiny)
    )
    assert all(torch.equal(loaded[name], whole[name]) for name in whole)


def test_a_folder_behind_a_link_is_hashed_too(sentences: Path, tmp_path: Path) -> None:
    other = sentences / "variants"
    shutil.copytree(sentences / "1_Pooling", other / "b")
    change_json(other / "b" / "config.json", pooling_mode_cls_token=True)
    (sentences / "1_Pooling").rename(other / "a")
    (sentences / "1_Pooling").symlink_to(other / "a")
    first = fingerprint(sentences)
    (sentences / "1_Pooling").unlink()
    (sentences / "1_Pooling").symlink_to(other / "b")
    assert fingerprint(sentences) != first
    (sentences / "round").symlink_to(sentences)  # has an end
    fingerprint(sentences)


def test_equal_size_and_time_are_not_the_same_weights(tmp_path: Path) -> None:
    file, cache = tmp_path / "w.safetensors", tmp_path / "cache"
    found = set()
    for letter in b"abc":
        other = tmp_path / "other"
        other.write_bytes(bytes([letter]) * model_cache.LARGE_BYTES)
        os.utime(other, ns=(1, 1))  # as an archive gives all that is unpacked from it
        other.replace(file)
        found.add(model_cache.file_fingerprint(file, cache))
    assert len(found) == 3


OUTSIDE: dict[str, Callable[[Path, Path], str]] = {
    "above": lambda folder, other: f"../{other.name}",
    "absolute": lambda folder, other: str(other),
    "there and back": lambda folder, other: "x/../../" + other.name,
    "backslashes": lambda folder, other: f"..\\{other.name}",
    "a link": lambda folder, other: link_to(folder / "c.safetensors", other),
    "a linked folder": lambda folder, other: link_to(folder / "c", other.parent) + f"/{other.name}",
}


def link_to(link: Path, target: Path) -> str:
    link.symlink_to(target)
    return link.name


@pytest.mark.parametrize("way", OUTSIDE)
def test_an_index_names_no_file_outside(sharded: Path, tmp_path: Path, way: str) -> None:
    other = tmp_path / "other.safetensors"
    shutil.copyfile(sharded / "a.safetensors", other)
    name = OUTSIDE[way](sharded, other)
    index = sharded / "model.safetensors.index.json"
    named = json.loads(index.read_bytes())["weight_map"]
    write_index(sharded, {each: name if of.startswith("a") else of for each, of in named.items()})
    refused(sharded, "lies outside of the model's folder")


@pytest.mark.parametrize("ending", [".bin", ".pt", ".ckpt", ".pkl", "", ".safetensors.pkl"])
def test_an_index_names_no_pickle(sharded: Path, ending: str) -> None:
    write_index(sharded, {"w": f"weights{ending}"})
    (sharded / f"weights{ending}").write_bytes(b"a pickle")
    refused(sharded, "pickles are never read")


@pytest.mark.parametrize("content", ["[]", "{", "{}", '{"weight_map": []}', '{"weight_map": {}}'])
def test_an_index_that_is_none_is_told(sharded: Path, content: str) -> None:
    (sharded / "model.safetensors.index.json").write_text(content)
    refused(sharded, r"index\.json (names no weights|is no JSON)")


def test_an_index_of_another_name_is_looked_at_too(sharded: Path) -> None:
    write_index(sharded, {"w": "../x.safetensors"}, "other")  # config.json can name it
    refused(sharded, "lies outside")


def test_the_hubs_cache_links_to_its_blobs(sharded: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models--a--b"
    snapshot = repository / "snapshots" / ("0" * 40)
    shutil.copytree(sharded, snapshot)
    (repository / "blobs").mkdir()
    for file in snapshot.iterdir():
        blob = repository / "blobs" / file.name
        file.rename(blob)
        file.symlink_to(Path("../../blobs") / file.name)
    assert fingerprint(snapshot) == fingerprint(sharded)


MODULES: dict[str, dict[str, str]] = {
    "lies outside": {"path": "../other"},
    "lies outside of": {"path": "/etc"},
    "is code": {"type": "os.system"},
    "which is code": {"type": "custom.Module"},
    "is code of": {"type": "sentence_transformersevil.Module"},
}


@pytest.mark.parametrize("match", MODULES)
def test_modules_are_in_the_folder_and_bring_no_code(sentences: Path, match: str) -> None:
    modules = json.loads((sentences / "modules.json").read_bytes())
    (sentences / "modules.json").write_text(
        json.dumps([*modules[:-1], modules[-1] | MODULES[match]])
    )
    refused(sentences, match)


@pytest.mark.parametrize("place", ["2_Dense", "2_Dense/inner"])
def test_no_module_is_a_pickle(sentences: Path, place: str) -> None:
    fingerprint(sentences)
    (sentences / "2_Dense" / "model.safetensors").unlink()
    (sentences / place).mkdir(exist_ok=True)
    (sentences / place / "pytorch_model.bin").write_bytes(b"a pickle")
    refused(sentences, r"pytorch_model\.bin: pickles are never read")


def test_an_adapter_inside_a_model_is_no_pickle(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.bin").write_bytes(b"a pickle")
    refused(folder, "pickles are never read")


def test_an_adapter_leads_to_no_others_and_not_to_itself(folder: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    save_file({"w": torch.zeros(2)}, adapter / "adapter_model.safetensors")
    for settings, match in (
        ({"base_model_name_or_path": str(folder), "adapters": {"0": "/else"}}, "no other adapters"),
        ({"base_model_name_or_path": None}, "must name one base_model"),
        ({}, "must name one base_model"),
        ([], "is no JSON object"),
        ({"base_model_name_or_path": f"adapter:{adapter}"}, "an adapter of itself"),
    ):
        (adapter / "adapter_config.json").write_text(json.dumps(settings))
        with pytest.raises(UnusableModelError, match=match):
            resolve_model(f"adapter:{adapter}")
    (adapter / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(folder)})
    )
    resolve = pytest.raises(UnusableModelError, match="by its own header")
    os.truncate(adapter / "adapter_model.safetensors", 20)
    with pytest.raises(UnusableModelError, match="is no safetensors file"):
        resolve_model(f"adapter:{adapter}")
    save_file({"w": torch.zeros(9)}, adapter / "adapter_model.safetensors")
    truncated(adapter / "adapter_model.safetensors")
    with resolve:
        resolve_model(f"adapter:{adapter}")


def truncated(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 4)


def only_a_pickle(file: Path) -> None:
    file.rename(file.with_name("pytorch_model.bin"))


BROKEN: dict[str, Callable[[Path], object]] = {
    "by its own header": lambda it: truncated(it / "model.safetensors"),
    "is no safetensors file": lambda it: (it / "model.safetensors").write_text("version https://"),
    "or its beginning is damaged": lambda it: (it / "model.safetensors").write_bytes(b""),
    r"no model\.safetensors, only pytorch_model\.bin: pickles": lambda it: only_a_pickle(
        it / "model.safetensors"
    ),
    r"no model\.safetensors, name the whole": lambda it: (it / "model.safetensors").unlink(),
    "leads nowhere": lambda it: (it / "x.json").symlink_to("nowhere"),
    r"config\.json is no JSON": lambda it: truncated(it / "config.json"),
    r"config\.json is no JSON object": lambda it: (it / "config.json").write_text("[]"),
    "model type `unheard-of`": lambda it: change_json(
        it / "config.json", model_type="unheard-of", auto_map={}
    ),
    "code that comes with it, which is never run": lambda it: change_json(
        it / "config.json", model_type="mine", auto_map={"AutoConfig": "mine.Config"}
    ),
    "no tokenizer that can be loaded": lambda it: (it / "tokenizer.json").unlink(),
    "no tokenizer that": lambda it: truncated(it / "tokenizer.json"),
    "has no model that can be loaded": lambda it: change_json(it / "config.json", hidden_size="x"),
    "lacks weights": lambda it: save_file({"w": torch.zeros(1)}, it / "model.safetensors"),
}


@pytest.mark.parametrize("match", BROKEN)
def test_a_broken_folder_gets_one_line(folder: Path, match: str) -> None:
    BROKEN[match](folder)
    refused(folder, match, load=True)


def test_shards_that_are_not_there_are_named_when_they_are_loaded(sharded: Path) -> None:
    (sharded / "b.safetensors").unlink()
    load_tokenizer(resolve_model(str(sharded)))  # to count tokens for a server, it will do
    refused(sharded, r"b\.safetensors is missing, and an index names it", load=True)


def test_a_broken_embedder_gets_one_line(sentences: Path) -> None:
    found = resolve_model(str(sentences))
    truncated(sentences / "2_Dense" / "model.safetensors")
    with pytest.raises(UnusableModelError, match=r"2_Dense/model\.safetensors has"):
        load_embedder(found, "cpu")


def test_a_folder_without_configuration_is_no_model(folder: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(MissingModelError, match=r"has no config\.json"):
        resolve_model(str(folder))


@pytest.mark.parametrize("error", [MemoryError(), OSError(28, "No space left"), TimeoutError(4)])
def test_faults_of_the_machine_are_no_faults_of_the_folder(folder: Path, error: Exception) -> None:
    if isinstance(error, TimeoutError):
        error = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(type(error)) as raised, loading_from(folder):
        raise error
    assert raised.value is error


def test_the_embedded_models_are_whole() -> None:
    for name in WHEEL_MODELS:
        path = resolve_model(f"wheel:{name}").path
        require_whole(path)
        assert path / "config.json" in find_model_files(path)


def loads(file: Path) -> list[ast.Call]:
    """Calls of from_pretrained in a file."""
    return [
        node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "from_pretrained"
        and ast.unparse(node.func.value) != "PeftModel"  # it has no such argument
    ]


def test_whatever_is_loaded_is_told_to_run_no_code() -> None:
    files = [file for folder in PRODUCT for file in folder.rglob("*.py")]
    calls = [(file, call) for file in files for call in loads(file)]
    assert len(calls) > 8, "as many there are"
    for file, call in calls:
        given = {each.arg: ast.unparse(each.value) for each in call.keywords}
        assert given.get("trust_remote_code") == "False", f"{file}:{call.lineno}"
        if "ForCausalLM" in ast.unparse(call.func) or "Classification" in ast.unparse(call.func):
            assert {"use_safetensors", "gguf_file"} & {*given}, f"{file}:{call.lineno}"
