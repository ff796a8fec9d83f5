import pytest
import torch

from fine_tune.methods.cofitune import CoFiTune
from tests.fine_tune.methods.test_hft import names
from tests.tiny_models import tiny_llama


@pytest.mark.parametrize(
    ("layers", "first", "last", "blocks"),
    [(32, 0.25, 0.5, range(8, 16)), (40, 0.25, 0.5, range(10, 20)), (2, 0, 1, range(2))],
)
def test_the_range_is_the_published_one(
    layers: int, first: float, last: float, blocks: range
) -> None:
    method = CoFiTune(method="cofitune", first=first, last=last)
    assert method.trained(names(layers)) == {
        f"model.layers.{block}.mlp.{matrix}.weight"
        for block in blocks
        for matrix in ("up_proj", "down_proj")
    }


def test_a_range_of_no_block_and_a_model_of_other_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"first .* must be below last"):
        CoFiTune(method="cofitune", first=0.5, last=0.5)
    narrow = CoFiTune(method="cofitune", first=0.3, last=0.31)
    with pytest.raises(ValueError, match="knows Llama-like models alone"):
        narrow.trained(names(4))
    with pytest.raises(ValueError, match="knows Llama-like models alone"):
        narrow.trained(["transformer.h.0.mlp.c_fc.weight"])


def test_nothing_else_gets_a_gradient() -> None:
    model = tiny_llama()
    note = CoFiTune(method="cofitune", first=0, last=0.5).prepare_model(model, [], 0)
    ids = torch.tensor([[5, 6, 7, 8]])
    model(input_ids=ids, labels=ids).loss.backward()
    moved = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert moved == {f"model.layers.0.mlp.{each}.weight" for each in ("up_proj", "down_proj")}
    assert note.endswith("of the weights trained")
