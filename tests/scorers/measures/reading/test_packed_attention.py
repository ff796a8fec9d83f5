"""Packs against each text alone, for the kinds of attention that models have."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GptOssConfig,
    Lfm2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
)

from scorers.measures.reading.next_token import NextTokenReader, Reading
from scorers.measures.reading.packed_attention import _attention

VOCABULARY = 300
LAYERS: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SIZES: dict[str, Any] = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64}
COMMON: dict[str, Any] = {**SIZES, **LAYERS, "max_position_embeddings": 512}
NARROW: dict[str, Any] = {"head_dim": 8, "sliding_window": 8}
NO_SPECIAL: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
LONG_ROPE: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "factor": 8.0,
}

PACKED: dict[str, Callable[[], PreTrainedConfig]] = {
    "shared key heads": lambda: LlamaConfig(**COMMON),
    "a window in every layer": lambda: MistralConfig(**COMMON, **NARROW),
    "a window in every other layer": lambda: Gemma3TextConfig(
        **COMMON, **NARROW, layer_types=["sliding_attention", "full_attention"]
    ),
    "learnt positions": lambda: GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=512, **NO_SPECIAL
    ),
    "scaled logits": lambda: CohereConfig(**COMMON, **NO_SPECIAL),
}
PADDED: dict[str, Callable[[], PreTrainedConfig]] = {
    "capped attention": lambda: Gemma2Config(**COMMON, head_dim=8),
    "attention sinks": lambda: GptOssConfig(
        **COMMON, **NARROW, num_local_experts=4, **NO_SPECIAL, layer_types=["full_attention"] * 2
    ),
    "convolutions": lambda: Lfm2Config(**COMMON, layer_types=["conv", "full_attention"]),
    "a state": lambda: MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2),
    "rotation by the longest text": lambda: Phi3Config(
        **COMMON, rope_parameters=LONG_ROPE, original_max_position_embeddings=64, **NO_SPECIAL
    ),
}
KINDS = {**PACKED, **PADDED}


def build(kind: str) -> Any:  # noqa: ANN401
    """A model with weights so large that one text seen by another would show."""
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(KINDS[kind]())  # type: ignore[no-untyped-call]
    model.eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter *= 5
    return model


def readings(lengths: list[int]) -> list[Reading]:
    """Texts that begin with the same 20 tokens."""
    draw = np.random.default_rng(1)
    shared = draw.integers(0, VOCABULARY, 20).tolist()
    texts = [shared + draw.integers(0, VOCABULARY, length).tolist() for length in lengths]
    firsts = [int(draw.integers(0, len(text) - 1)) for text in texts]
    # Anywhere: in what all texts share, in the middle of a run, and at the end.
    places = [int(draw.integers(0, len(text) - 1)) for text in texts[:-1]] + [len(texts[-1]) - 2]
    return [
        Reading(text[:-1], first, np.array(text[first + 1 :])[:, None], place)
        for text, first, place in zip(texts, firsts, places, strict=True)
    ]


@pytest.mark.parametrize("batch_tokens", [11, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_no_text_sees_another(kind: str, batch_tokens: int) -> None:
    model = build(kind)
    reader = NextTokenReader(model, batch_tokens)
    assert reader.packs == (kind in PACKED)
    asked = readings([30, 5, 61, 1, 90, 90])
    for reading, got in zip(asked, reader.read(asked), strict=True):
        ids = torch.tensor([reading.ids])
        with torch.no_grad():
            logits = model(ids).logits[0, reading.first :].double()
            hidden = model.get_decoder()(ids).last_hidden_state[0, reading.vector_at]
        log_p = logits.log_softmax(-1)
        wanted = log_p.gather(-1, torch.from_numpy(reading.targets))
        np.testing.assert_allclose(got.log_probability, wanted, atol=1e-4, rtol=0)
        np.testing.assert_allclose(got.entropy, -(log_p.exp() * log_p).sum(-1), atol=1e-4, rtol=0)
        np.testing.assert_array_equal(got.likeliest, logits.argmax(-1))
        assert got.vector is not None
        np.testing.assert_allclose(got.vector, hidden, atol=1e-4, rtol=0)


def test_the_model_is_left_as_it_was() -> None:
    model = build("shared key heads")
    usual = model.config._attn_implementation
    ids = torch.tensor([[1, 2, 3]])
    before = model(ids).logits
    NextTokenReader(model, 40).read(readings([5, 9]))
    assert model.config._attn_implementation == usual
    assert torch.equal(model(ids).logits, before)


def test_each_shared_token_goes_through_the_model_once() -> None:
    model = build("shared key heads")
    reader = NextTokenReader(model, 4096)
    seen: list[int] = []
    model.model.embed_tokens.register_forward_hook(
        lambda _, inputs, __: seen.append(inputs[0].numel())
    )
    reader.read(readings([31, 31, 31]))
    assert seen == [20 + 3 * 30]  # the last token of each text is only predicted


@pytest.mark.parametrize("scaling", [None, 0.3])
def test_two_products_are_torchs_attention(scaling: float | None) -> None:
    torch.manual_seed(0)
    query = torch.randn(2, 6, 5, 8).bfloat16()
    key, value = torch.randn(2, 3, 9, 8).bfloat16(), torch.randn(2, 3, 9, 4).bfloat16()
    mask = torch.zeros(2, 1, 5, 9).masked_fill(torch.rand(2, 1, 5, 9) < 0.3, float("-inf"))
    mask[..., 0] = 0.0
    got = _attention(query, key, value, mask.bfloat16(), scaling)
    exact = torch.nn.functional.scaled_dot_product_attention(
        query.float(), key.float(), value.float(), mask, scale=scaling, enable_gqa=True
    )
    assert got.dtype == torch.bfloat16 and got.shape == exact.shape == (2, 6, 5, 4)
    np.testing.assert_allclose(got.float(), exact, atol=0.03, rtol=0)
