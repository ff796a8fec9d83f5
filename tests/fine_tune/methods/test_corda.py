"""CorDA is PEFT's; what is ours is what it reads. The rest is in ../test_kept_base.py."""

import torch

from fine_tune.methods.corda import CorDA, read_unpadded
from tests.fine_tune.test_kept_base import RANK, batches, begun
from tests.tiny_models import tiny_llama


def test_rows_are_read_one_by_one_without_padding() -> None:
    model, read = tiny_llama(), []
    model.register_forward_pre_hook(
        lambda _, __, given: read.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    read_unpadded(model, [*batches(), *batches()], 6)
    assert read == [(1, 30), (1, 30), (1, 30), (1, 15), (1, 30), (1, 30)]


def test_it_begins_with_what_the_weights_do_to_the_inputs() -> None:
    model, inputs = begun(CorDA(method="corda")), []
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0][0]))
    with torch.no_grad():
        read_unpadded(model, batches(), 99)
    covariance = sum(x.T @ x / x.max().abs() ** 2 for x in inputs) / len(inputs)
    damped = covariance + 0.01 * covariance.diag().mean() * torch.eye(len(covariance))
    u, s, vh = torch.linalg.svd(layer.base_layer.weight @ damped, full_matrices=False)
    wanted = u[:, :RANK] * s[:RANK] @ vh[:RANK] @ torch.linalg.inv(damped)
    down, up = layer.lora_A["default"].weight[:RANK], layer.lora_B["default"].weight[:, :RANK]
    torch.testing.assert_close(3 * up @ down, wanted, atol=1e-4, rtol=1e-3)
