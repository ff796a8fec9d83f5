from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from scorers.measures.context import default_layer
from scorers.measures.reading.attention_probe import find_attention, read_attention
from tests.tiny_models import VOCABULARY, tiny_gemma, tiny_llama

pytestmark = pytest.mark.usefixtures("one_thread")

IDS = np.random.default_rng(0).integers(0, VOCABULARY, 12).tolist()
EVERY = np.arange(12)


def layers_of(model: PreTrainedModel) -> torch.nn.ModuleList:
    found: Any = model
    found = found.get_decoder().layers
    assert isinstance(found, torch.nn.ModuleList)
    return found


def whole(model: PreTrainedModel, ids: list[int], layer: int) -> np.ndarray:
    """(heads, t, t) as the model itself gives it, all layers attending in the plain way."""
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        out = model(input_ids=torch.tensor([ids]), output_attentions=True)
    return np.asarray(out.attentions[layer][0].double().numpy())


@pytest.mark.parametrize(("make", "layer"), [(tiny_llama, 0), (tiny_llama, 1), (tiny_gemma, 0)])
def test_the_weights_are_the_models_own(make: type, layer: int) -> None:
    groups = [np.array([0, 3]), np.array([5]), EVERY]
    queries = np.array([4, 11, 7])
    shares = read_attention(make(), IDS, queries, groups, layer)
    weights = whole(make(), IDS, layer)
    expected = np.stack([weights[:, queries][:, :, group].sum(2) for group in groups], axis=2)
    np.testing.assert_allclose(shares, expected, atol=1e-6)
    assert shares.std() > 0


def test_a_sliding_window_is_kept() -> None:
    model = tiny_gemma()
    find_attention(model, 0).sliding_window = 3  # type: ignore[assignment]
    shares = read_attention(model, IDS, EVERY, [EVERY[:9], EVERY[9:]], 0)
    np.testing.assert_array_equal(shares[:, 11], np.tile([0.0, 1.0], (2, 1)))
    assert (shares[:, 9, 0] > 0).all()


def test_nothing_to_look_at_is_zero_and_everything_is_one() -> None:
    shares = read_attention(tiny_llama(), IDS, EVERY, [np.array([], np.int64), EVERY], 1)
    assert (shares[:, :, 0] == 0).all()
    np.testing.assert_allclose(shares[:, :, 1], 1, atol=1e-6)
    assert shares.max() <= 1


def test_later_tokens_are_not_seen_and_change_nothing() -> None:
    model = tiny_llama()
    shares = read_attention(model, IDS, EVERY, [EVERY[6:]], 1)
    assert (shares[:, :6] == 0).all() and (shares[:, 6:] > 0).all()
    other = [*IDS[:8], 1, 2, 3, 4]
    np.testing.assert_allclose(
        read_attention(model, other, EVERY, [EVERY[6:]], 1)[:, :8], shares[:, :8], atol=1e-6
    )


def test_the_model_is_left_as_it_was() -> None:
    model = tiny_llama()
    text = torch.tensor([IDS])
    before, config = model(input_ids=text).logits, find_attention(model, 1).config
    read_attention(model, IDS, EVERY, [EVERY], 1)
    assert find_attention(model, 1).config is config
    assert torch.equal(model(input_ids=text).logits, before)


def test_the_layers_behind_are_not_run() -> None:
    model = tiny_llama()
    ran: list[int] = []
    for number, layer in enumerate(layers_of(model)):
        layer.register_forward_pre_hook(lambda m, a, number=number: ran.append(number))
    read_attention(model, IDS, EVERY, [EVERY], 0)
    assert ran == [0]


def test_another_layers_attention_stays_fused() -> None:
    model = tiny_llama()
    used: list[str] = []
    for each in range(2):
        find_attention(model, each).register_forward_pre_hook(
            lambda m, a: used.append(m.config._attn_implementation)
        )
    read_attention(model, IDS, EVERY, [EVERY], 1)
    assert used == ["sdpa", "eager"]


@pytest.mark.parametrize("layer", [2, -1])
def test_a_layer_that_is_not_there_is_refused(layer: int) -> None:
    with pytest.raises(ValueError, match="layers 0 to 1"):
        read_attention(tiny_llama(), IDS, EVERY, [EVERY], layer)


def test_a_layer_without_attention_is_refused() -> None:
    model = tiny_llama()
    del layers_of(model)[0].self_attn
    with pytest.raises(ValueError, match="no attention"):
        find_attention(model, 0)


@pytest.mark.parametrize(("layers", "layer"), [(22, 15), (30, 20), (32, 22), (2, 1), (1, 0)])
def test_the_layer_by_default_is_as_deep_as_the_authors(layers: int, layer: int) -> None:
    assert default_layer(layers) == layer
