import pytest
import torch

from fine_tune.methods.hft import ATTENTION, FEED_FORWARD, HFT, draw_frozen
from tests.tiny_models import tiny_llama

NORMS = ("input_layernorm", "post_attention_layernorm")


def names(layers: int, *extra: str) -> list[str]:
    return [
        f"model.layers.{layer}.{module}.weight"
        for layer in range(layers)
        for module in (
            *(f"self_attn.{each}" for each in ATTENTION),
            *(f"mlp.{each}" for each in FEED_FORWARD),
            *NORMS,
            *extra,
        )
    ] + ["model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"]


def frozen_of(frozen: set[str], layer: int, modules: tuple[str, ...]) -> int:
    return sum(name.split(".")[-2] in modules for name in frozen if f".layers.{layer}." in name)


@pytest.mark.parametrize("layers", [2, 5, 8])
def test_half_of_each_category_is_frozen(layers: int) -> None:
    frozen = draw_frozen(names(layers), seed=3)
    assert {frozen_of(frozen, layer, ATTENTION) for layer in range(layers)} == {2}
    assert {frozen_of(frozen, layer, NORMS) for layer in range(layers)} == {1}
    matrices = sorted(frozen_of(frozen, layer, FEED_FORWARD) for layer in range(layers))
    assert matrices == [1] * (layers - layers // 2) + [2] * (layers // 2)
    assert all(".layers." in name for name in frozen), "embeddings, last norm and head are trained"


def test_the_seed_draws_and_nothing_else() -> None:
    assert draw_frozen(names(6), 1) == draw_frozen(names(6)[::-1], 1)
    assert draw_frozen(names(6), 1) != draw_frozen(names(6), 2)


def test_a_bias_is_frozen_with_its_matrix() -> None:
    biased = [*names(2), *(f"model.layers.0.self_attn.{each}.bias" for each in ATTENTION)]
    frozen = draw_frozen(biased, 0)
    for each in ATTENTION:
        stem = f"model.layers.0.self_attn.{each}"
        assert (f"{stem}.weight" in frozen) == (f"{stem}.bias" in frozen)


def test_other_models_are_refused() -> None:
    with pytest.raises(ValueError, match="one has no q_proj"):
        draw_frozen([each.replace("q_proj", "qkv") for each in names(2)], 0)
    with pytest.raises(ValueError, match="no blocks named layers"):
        draw_frozen(["transformer.h.0.attn.c_attn.weight"], 0)


def test_what_is_frozen_gets_no_gradient_and_half_of_the_blocks_is() -> None:
    model = tiny_llama()
    note = HFT(method="hft").prepare_model(model, [], seed=0)
    ids = torch.tensor([[5, 6, 7, 8]])
    model(input_ids=ids, labels=ids).loss.backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == draw_frozen([name for name, _ in model.named_parameters()], 0)
    assert "of the weights frozen" in note
