"""A model of two layers, and an export whose tokens were counted for it."""

from pathlib import Path

import pytest
from transformers import LlamaConfig, LlamaForCausalLM, set_seed

from tests.fine_tune.tiny import byte_tokenizer, count_rows, export_for, make_rows


@pytest.fixture(scope="module", autouse=True)
def quiet_cores(one_thread: None) -> None:
    """Every test here trains or reads a tiny model."""


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers that reads bytes, so that a step takes milliseconds."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(folder)
    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_export(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 rows to train and 5 held out."""
    rows = [*make_rows(12), *make_rows(5, "validation")]
    folder = tmp_path_factory.mktemp("export") / "tiny"
    return export_for(tiny_model, folder, count_rows(rows, tiny_model))
