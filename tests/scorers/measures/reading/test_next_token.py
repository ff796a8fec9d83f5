from typing import Any

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM, LlamaConfig, LlamaForCausalLM

from scorers.measures.reading.next_token import NextTokenReader, Prediction, Reading

VOCABULARY = 300


def small_llama() -> Any:  # noqa: ANN401
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=4096,
        initializer_range=0.3,
    )
    model: Any = LlamaForCausalLM(config)
    return model.eval()


def small_gemma() -> Any:  # noqa: ANN401
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        final_logit_softcapping=2.0,
        initializer_range=0.3,
    )
    model: Any = Gemma2ForCausalLM(config)
    return model.eval()


def readings(lengths: list[int]) -> list[Reading]:
    rng = np.random.default_rng(0)
    texts = [rng.integers(0, VOCABULARY, length + 1) for length in lengths]
    firsts = [int(rng.integers(0, length)) for length in lengths]
    return [
        Reading(text[:-1].tolist(), first, text[first + 1 :, None])
        for text, first in zip(texts, firsts, strict=True)
    ]


def expected(model: Any, reading: Reading) -> Prediction:  # noqa: ANN401
    with torch.no_grad():
        logits = model(torch.tensor([reading.ids])).logits[0, reading.first :].double()
    log_p = logits.log_softmax(-1)
    wanted = log_p.gather(-1, torch.from_numpy(reading.targets)).numpy()
    target = torch.nn.functional.one_hot(torch.from_numpy(reading.targets[:, 0]), VOCABULARY)
    return Prediction(
        wanted,
        -(log_p.exp() * log_p).sum(-1).numpy(),
        logits.argmax(-1).numpy(),
        (log_p.exp() - target).norm(dim=-1).numpy(),
    )


def assert_expected(model: Any, asked: list[Reading], got: list[Prediction]) -> None:  # noqa: ANN401
    assert len(got) == len(asked)
    for reading, prediction in zip(asked, got, strict=True):
        wanted = expected(model, reading)
        np.testing.assert_allclose(
            prediction.log_probability, wanted.log_probability, atol=1e-4, rtol=0
        )
        np.testing.assert_allclose(prediction.entropy, wanted.entropy, atol=1e-4, rtol=0)
        np.testing.assert_array_equal(prediction.likeliest, wanted.likeliest)
        np.testing.assert_allclose(prediction.error, wanted.error, atol=1e-4, rtol=0)


def test_the_head_is_applied_to_the_wanted_places_only() -> None:
    model = small_llama()
    seen: list[int] = []
    model.lm_head.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    reader = NextTokenReader(model, 4096)
    assert reader.head is model.lm_head
    asked = readings([1500, 40, 3])
    assert_expected(model, asked, reader.read(asked))
    pieces = [count for count in seen if count != 1]  # 1: the whole texts of `expected`
    assert sum(pieces) == sum(len(reading.targets) for reading in asked)
    assert max(pieces) <= 256


def test_capped_logits_are_noticed_and_read_whole() -> None:
    model = small_gemma()
    reader = NextTokenReader(model, 4096)
    assert reader.head is None
    asked = readings([30, 7, 19])
    assert_expected(model, asked, reader.read(asked))


def test_without_the_cap_the_same_model_has_a_head() -> None:
    model = small_gemma()
    model.config.final_logit_softcapping = None
    assert NextTokenReader(model, 4096).head is model.lm_head


def test_passes_hold_no_more_tokens_than_asked_for() -> None:
    model = small_llama()
    shapes: list[tuple[int, ...]] = []
    model.model.embed_tokens.register_forward_hook(
        lambda _, inputs, __: shapes.append(tuple(inputs[0].shape))
    )
    reader = NextTokenReader(model, 100)
    shapes.clear()
    asked = readings([10] * 20 + [60, 30, 31, 200])
    reader.read(asked)
    # 521 tokens, one long text among them: full passes, and nothing in them is padding.
    assert sum(tokens for _, tokens in shapes) == sum(len(reading.ids) for reading in asked)
    assert {rows for rows, _ in shapes} == {1} and max(shapes) == (1, 100) and len(shapes) == 6

    reader.packs = False
    shapes.clear()
    reader.read(asked)
    # Padded, similar lengths share a pass; a text longer than a pass may be goes alone.
    assert shapes == [(1, 200), (1, 60), (3, 31), (10, 10), (9, 10)]


class ShortOfMemory(torch.nn.Module):
    """Stands in front of a model that has room for so many tokens at a time."""

    def __init__(self, inner: torch.nn.Module, tokens: int) -> None:
        super().__init__()
        self.inner, self.tokens, self.refused = inner, tokens, 0

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if ids.numel() > self.tokens:
            self.refused += 1
            raise torch.OutOfMemoryError("no room")
        result: torch.Tensor = self.inner(ids)
        return result


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("tokens", [50, 150])
def test_where_memory_is_short_passes_are_halved(tokens: int, packs: bool) -> None:
    model = small_llama()
    reader = NextTokenReader(model, 1000)
    reader.packs = packs
    asked = readings([50] * 40)
    wanted = reader.read(asked)
    gate = ShortOfMemory(model.model.embed_tokens, tokens)
    model.model.embed_tokens = gate
    got = reader.read(asked)
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one.log_probability, other.log_probability, atol=1e-4, rtol=0)
    assert 0 < gate.refused <= 5  # it is remembered, not tried again for each pass

    gate.tokens = 0
    with pytest.raises(torch.OutOfMemoryError):
        reader.read(asked)


def test_another_error_is_not_taken_for_want_of_memory() -> None:
    model = small_llama()
    reader = NextTokenReader(model, 1000)
    with pytest.raises(IndexError):
        reader.read([Reading([VOCABULARY], 0, np.zeros((1, 1), dtype=np.int64))])
    assert reader.batch_tokens == 1000


def sharing() -> list[Reading]:
    """Texts that share a beginning, texts that do not, one of a single token."""
    rng = np.random.default_rng(1)
    shared, *tails = (rng.integers(0, VOCABULARY, size).tolist() for size in (30, 9, 41, 5, 1, 26))
    texts = [*(shared + tail for tail in tails[:3]), tails[3], tails[4]]
    return [
        Reading(text, len(text) - 1, np.array([[7]]), weighted=number != 1)
        for number, text in enumerate(texts)
    ]


def weighted_mean(model: Any, ids: Any) -> np.ndarray:  # noqa: ANN401
    """Of the last hidden states h_1 ... h_L of a text read alone, h_i weighted by i."""
    with torch.no_grad():
        states = model.get_decoder()(torch.tensor([ids])).last_hidden_state[0].double().numpy()
    weights = np.arange(1, len(ids) + 1) / (len(ids) * (len(ids) + 1) / 2)
    assert weights.sum() == pytest.approx(1)
    return np.asarray(weights @ states)


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("batch_tokens", [1, 16, 64, 4096])
def test_the_weighted_mean_of_states_does_not_depend_on_how_texts_are_read(
    batch_tokens: int, packs: bool
) -> None:
    """Passes of one token up to all, runs that texts share, and padding beside short texts."""
    model = small_llama()
    reader = NextTokenReader(model, batch_tokens)
    assert reader.packs
    reader.packs = packs
    asked = sharing()
    for reading, found in zip(asked, reader.read(asked), strict=True):
        if not reading.weighted:
            assert found.weighted_vector is None
            continue
        assert found.weighted_vector is not None
        wanted = weighted_mean(model, reading.ids)
        np.testing.assert_allclose(found.weighted_vector, wanted, atol=2e-4)


def test_a_model_without_a_separable_head_tells_weighted_means_as_well() -> None:
    model = small_gemma()
    asked = sharing()
    reader = NextTokenReader(model, 4096)
    assert reader.head is None
    found = reader.read(asked)[0].weighted_vector
    assert found is not None
    np.testing.assert_allclose(found, weighted_mean(model, asked[0].ids), atol=2e-4)
