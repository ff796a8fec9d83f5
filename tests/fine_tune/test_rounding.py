from typing import Any

import pytest
import torch
from scipy.linalg import hadamard

from fine_tune.rounding import (
    RoundedLayer,
    draw_signs,
    rotate,
    rotate_back,
    round_inputs,
    round_layer,
    round_rows,
    transform,
    unrounded,
)


@pytest.mark.parametrize(("width", "block"), [(64, 64), (48, 16), (5, 1)])
def test_values_are_turned_by_hadamard_matrices_along_the_diagonal(width: int, block: int) -> None:
    matrix = torch.block_diag(  # type: ignore[no-untyped-call]
        *[torch.tensor(hadamard(block), dtype=torch.float32) / block**0.5] * (width // block)
    )
    values = torch.randn(3, 2, width)
    torch.testing.assert_close(transform(values), values @ matrix)
    signs = draw_signs(width, seed=0, place=1)
    torch.testing.assert_close(rotate(values, signs), values @ (signs[:, None] * matrix))
    torch.testing.assert_close(rotate_back(rotate(values, signs), signs), values)


def test_signs_are_of_the_seed_and_the_place() -> None:
    one = draw_signs(64, 3, 7)
    assert set(one.tolist()) == {1.0, -1.0}
    assert torch.equal(one, draw_signs(64, 3, 7))
    assert not torch.equal(one, draw_signs(64, 3, 8))
    assert not torch.equal(one, draw_signs(64, 4, 7))


def test_weights_round_to_steps_of_their_row_by_hand() -> None:
    weights = torch.tensor([[7.0, -3.4, 0.6], [0.7, 0.26, 0.0], [0.0, 0.0, 0.0]])
    expected = torch.tensor([[7.0, -3.0, 1.0], [0.7, 0.3, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(round_rows(weights, 4, 1.0), expected)
    clipped = round_rows(weights, 4, 0.5)[0]  # steps of 0.5 up to 3.5
    torch.testing.assert_close(clipped, torch.tensor([3.5, -3.5, 0.5]))


def test_inputs_round_to_steps_of_their_token_and_0_is_one() -> None:
    inputs = torch.tensor([[-1.0, 0.0, 0.42, 2.0], [3.0, 1.6, 0.4, 0.0], [-4.0, -3.0, -1.0, -2.4]])
    # 2 bits: -1, 0, 1, 2; 0 to 3; the third has steps of 4/3 from -4 to 0
    expected = [[-1.0, 0.0, 0.0, 2.0], [3.0, 2.0, 0.0, 0.0], [-4.0, -8 / 3, -4 / 3, -8 / 3]]
    torch.testing.assert_close(round_inputs(inputs, 2, 1.0), torch.tensor(expected))
    torch.testing.assert_close(round_inputs(inputs[:1], 2, 1.0), torch.tensor(expected[:1]))


def rounded_linear(signs: torch.Tensor | None) -> Any:  # noqa: ANN401 - parametrized
    torch.manual_seed(0)
    layer = torch.nn.Linear(16, 5, bias=False)
    round_layer(layer, RoundedLayer(signs, weight_bits=3, input_bits=4, clip=0.9))
    return layer


@pytest.mark.parametrize("turned", [False, True])
def test_a_layer_multiplies_what_is_turned_and_rounded(turned: bool) -> None:
    signs = draw_signs(16, 0, 0) if turned else None
    layer, inputs = rounded_linear(signs), torch.randn(2, 3, 16, requires_grad=True)
    weight = layer.parametrizations.weight.original
    read = round_inputs(rotate(inputs, signs), 4, 0.9)
    expected = read @ round_rows(rotate(weight, signs), 3, 0.9).T
    torch.testing.assert_close(layer(inputs), expected)
    layer(inputs).sum().backward()
    rounded = rotate_back(read, signs).sum((0, 1))
    torch.testing.assert_close(weight.grad, rounded.expand(5, 16), msg="as if nothing were rounded")
    torch.testing.assert_close(inputs.grad, layer.weight.sum(0).expand(2, 3, 16))


def test_it_can_be_left_off() -> None:
    layer, inputs = rounded_linear(draw_signs(16, 0, 0)), torch.randn(2, 16)
    plain = inputs @ layer.parametrizations.weight.original.T
    before = layer(inputs)
    with unrounded(layer):
        assert torch.equal(layer(inputs), plain)
    assert torch.equal(layer(inputs), before) and not torch.allclose(before, plain)
