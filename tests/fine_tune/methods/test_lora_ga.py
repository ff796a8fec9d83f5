"""LoRA-GA is PEFT's; ours is whose gradient it gets. The rest is in ../test_kept_base.py."""

import pytest
import torch

from fine_tune.methods.lora_ga import LoRAGA, add_gradients
from tests.fine_tune.test_kept_base import RANK, batches, begun
from tests.tiny_models import tiny_llama


def test_it_begins_with_the_directions_of_the_first_gradient() -> None:
    layer = begun(LoRAGA(method="lora_ga")).base_model.model.model.layers[0].self_attn.q_proj
    plain = tiny_llama()
    plain(**batches()[0]).loss.backward()
    _, _, vh = torch.linalg.svd(plain.model.layers[0].self_attn.q_proj.weight.grad)
    down = layer.lora_A["default"].weight[:RANK].detach()
    # the same span: projecting on it changes nothing
    projected = down @ vh[:RANK].T @ vh[:RANK]
    torch.testing.assert_close(projected, down, atol=2e-2, rtol=0)


@pytest.mark.parametrize(("rows", "passes"), [(1, 1), (4, 1), (5, 2), (99, 3)])
def test_batches_are_read_until_there_are_rows_enough(rows: int, passes: int) -> None:
    model, read = tiny_llama(), []
    model.register_forward_pre_hook(lambda *_: read.append(1))
    add_gradients(model, 3 * batches(), rows)
    assert len(read) == passes
