"""RoSTE: a model learns while its linear layers compute with few bits, turned where that helps.

    y = Q_x(X R) [ Q_w(W R) ]^T            in place of  X W^T, but for the head
    R = I, or diag(signs) H with random signs: of the two the one with the smaller
        |Q_w(W R) - W R|^2  +  mean over tokens of |Q_x(X R) - X R|^2

Q_w rounds each row of W to steps of clip max|w| / (2^(weight_bits - 1) - 1), Q_x each token to
2^activation_bits steps from its least to its largest number; gradients pass both as if nothing were
rounded. Which layers are turned is settled once, by the first `rows` rows and the model as it was.

For models that will be served in few bits and lose too much when they are rounded after training.
Not for models that are served as they are trained, and not with adapters: all weights are trained.
Costs the rounding of all linear weights in every pass, and memory for them once more.

What is written is an ordinary model whose linear weights are R times numbers of weight_bits bits;
`roste` in its config.json names the turned layers. Activations are rounded while it trains and in
the held-out loss after, not by who reads it: no engine here turns and rounds them as it answers.
The held-out loss before is that of the model unrounded.

Wei et al. 2025, "RoSTE", arXiv:2502.09003: 4 bits for weights, activations and the cache of keys
and values. Not here: the cache, and the search for clip. That rows and tokens each have a step of
their own is our choice; H is made of blocks where a width is no power of 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from fine_tune.method import Change, TrainingMethod, Tuned

if TYPE_CHECKING:
    import torch

    from fine_tune.rounding import RoundedLayer


class RoSTE(TrainingMethod):
    """Train all weights through the rounding that they will be served with."""

    changes: ClassVar[Change] = "parameters"
    tunes: ClassVar[tuple[Tuned, ...]] = ("full",)
    rounds: ClassVar[bool] = True
    no_mean: ClassVar[str] = "rounds weights, whose mean is none of their steps"

    method: Literal["roste"]
    weight_bits: int = Field(default=4, ge=2, le=8, description="Bits of a linear weight.")
    activation_bits: int | None = Field(
        default=4,
        ge=2,
        le=8,
        description="Bits of what a linear layer reads; none: it is not rounded.",
    )
    clip: float = Field(
        default=1.0, gt=0, le=1, description="Share of the largest number that the steps reach to."
    )
    rows: int = Field(
        default=32, ge=1, description="Most rows by whose activations rotations are chosen."
    )

    def prepare_model(
        self,
        model: torch.nn.Module,
        batches: Iterable[Mapping[str, torch.Tensor]],
        seed: int,
    ) -> str:
        """See TrainingMethod."""
        import torch

        from fine_tune.methods.corda import read_all, unpadded
        from fine_tune.rounding import RoundedLayer, draw_signs, round_layer

        base: Any = model
        head = base.get_output_embeddings()
        layers = {
            name: each
            for name, each in base.named_modules()
            if isinstance(each, torch.nn.Linear) and each is not head
        }
        bits = (self.weight_bits, self.activation_bits, self.clip)
        tried = {
            name: (
                RoundedLayer(None, *bits),
                RoundedLayer(draw_signs(layer.in_features, seed, place), *bits),
            )
            for place, (name, layer) in enumerate(layers.items())
        }
        for pair in tried.values():
            for each in pair:
                each.to(base.device)
        meters = [ErrorMeter(layers[name], pair) for name, pair in tried.items()]
        training = model.training
        model.eval()
        with torch.no_grad():
            read_all(model, islice(unpadded(batches), self.rows) if self.activation_bits else ())
        model.train(training)
        rotated = {}
        for place, (name, meter) in enumerate(zip(tried, meters, strict=True)):
            plain, turned = meter.errors()
            round_layer(layers[name], tried[name][turned < plain])
            if turned < plain:
                rotated[name] = place
        base.config.roste = {
            **self.model_dump(exclude={"method", "rows"}),
            "seed": seed,
            "rotated": rotated,
        }
        return (
            f"{len(layers)} linear layers compute with {self.weight_bits} bits, and read "
            f"{self.activation_bits or 'unrounded'}; {len(rotated)} are turned"
        )


class ErrorMeter:
    """How far a layer's numbers are rounded in each of two ways."""

    def __init__(self, layer: torch.nn.Linear, ways: tuple[RoundedLayer, RoundedLayer]) -> None:
        """Look at what the layer reads from now on."""
        self.layer, self.ways = layer, ways
        self.sums, self.tokens = [0.0, 0.0], 0
        self.hook = layer.register_forward_pre_hook(self.add)

    def add(self, layer: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        """Called with what the layer reads."""
        (inputs,) = given
        self.tokens += inputs.shape[:-1].numel()
        for at, way in enumerate(self.ways):
            (read,) = way.read(layer, given)
            self.sums[at] += float((read - inputs).double().square().sum())

    def errors(self) -> tuple[float, float]:
        """Of both ways, the squares of the weights and the mean of the inputs; looks no more."""
        self.hook.remove()
        weight = self.layer.weight.detach()
        found = [
            float((way(weight) - weight).double().square().sum()) + total / max(1, self.tokens)
            for way, total in zip(self.ways, self.sums, strict=True)
        ]
        return found[0], found[1]
