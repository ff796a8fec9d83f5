"""Fine-tune a small proxy model, step by step, so that it can be stopped after any of them.

Plain supervised fine-tuning as the target model will get it: all weights, AdamW, a linear warm-up
and a cosine to zero, gradients clipped, the loss taken over response tokens alone and averaged over
all response tokens of the batch. The target's own training goes through TRL; this loop exists
because a trajectory needs the same loss function before and after each step, a data order that
ignores the order of rows, and a state that resumes to the last bit.

Dropout stays off: models that are tuned this way have none today, and no random state is needed.
On a CPU the same settings and number of threads give the same bits; a GPU adds up in any order.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from scorers.measures.batches import batches_of_like_length
from scorers.measures.reading.padding import pad_rows
from scorers.measures.reading.vocabulary_head import HEAD_TOKENS, separable_head
from scorers.measures.training.proxy_schedule import Schedule

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from scorers.measures.reading.chat_format import RenderedExample

MICRO_BATCH_TOKENS_CPU = 4096
MICRO_BATCH_TOKENS_GPU = 32768
"""Padded tokens in one forward and backward pass; a larger batch takes several and adds up."""


class AdamMoments(NamedTuple):
    """What Adam keeps of its gradients."""

    mean: Tensor  # (p,) of the gradients
    square: Tensor  # (p,) of their squares
    steps: int  # that are in them


class ProxyTrainer:
    """A model in training, and the number of steps it has taken."""

    def __init__(
        self,
        model: PreTrainedModel,
        rows: Sequence[RenderedExample],
        schedule: Schedule,
        precision: AbstractContextManager[Any],
    ) -> None:
        """Prepare to train.

        Args:
            model: float32 weights, in evaluation mode; those that ask for a gradient are changed in
                place by `step`.
            rows: none of them longer than the model's window, none without a response.
            schedule: for that many rows.
            precision: entered for each forward pass, such as an autocast.
        """
        self.model = model
        self.schedule = schedule
        self.steps_taken = 0
        self._rows = rows
        self._lengths = np.array([len(row.prompt) + len(row.response) for row in rows])
        self._precision = precision
        self._parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._optimizer = torch.optim.AdamW(
            self._parameters.values(), lr=schedule.learning_rate, weight_decay=0.0, fused=True
        )
        on_cpu = model.device.type == "cpu"
        self._micro_tokens = MICRO_BATCH_TOKENS_CPU if on_cpu else MICRO_BATCH_TOKENS_GPU
        self._head = separable_head(model)
        self._epoch: tuple[int, list[NDArray[np.int64]]] = (-1, [])  # batches of the current one

    def step(self) -> float:
        """Train on the next batch; return its mean loss before the step, nats per token.

        Raises:
            RuntimeError: if the loss or its gradient is not finite any more.
        """
        batch = [self._rows[row] for row in self._next_batch()]
        tokens = sum(row.loss_tokens for row in batch)
        # Divided by the tokens of the whole batch, so that it matters nothing how it was cut.
        loss = 0.0
        lengths = [len(row.prompt) + len(row.response) for row in batch]
        for micro in batches_of_like_length(lengths, self._micro_tokens):
            loss += self.accumulate([batch[at] for at in micro], tokens)
        norm = torch.nn.utils.clip_grad_norm_(self._parameters.values(), max_norm=1.0)
        if not bool(torch.isfinite(norm)):  # before the weights are touched
            raise RuntimeError(
                f"training diverged at step {self.steps_taken + 1}: loss {loss:g}, gradient "
                f"{float(norm):g}. Lower learning_rate, now {self.schedule.learning_rate:g}."
            )
        for group in self._optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.steps_taken)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.steps_taken += 1
        return loss

    @property
    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """The weights that are trained, by name."""
        return self._parameters

    def moments(self) -> AdamMoments:
        """Adam's moments of all p weights, in the order of `parameters`, once a step was taken."""
        states = [self._optimizer.state[each] for each in self._parameters.values()]
        first, second = (
            torch.cat([state[name].flatten() for state in states])
            for name in ("exp_avg", "exp_avg_sq")
        )
        return AdamMoments(first, second, int(states[0]["step"]))

    def save(self, folder: Path) -> None:
        """Write weights, optimizer state and step into a folder that then exists whole or not."""
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file(
            {name: parameter.detach() for name, parameter in self._parameters.items()},
            partial / "weights.safetensors",
        )
        moments = {
            f"{name}/{key}": value
            for name, parameter in self._parameters.items()
            for key, value in self._optimizer.state[parameter].items()
        }
        save_file(moments, partial / "optimizer.safetensors")
        (partial / "step.json").write_text(json.dumps({"step": self.steps_taken}))
        partial.rename(folder)

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote, as if nothing had happened."""
        weights = load_file(folder / "weights.safetensors")
        moments = load_file(folder / "optimizer.safetensors")
        device = self.model.device
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(weights[name])
        for key, value in moments.items():
            name, _, kind = key.rpartition("/")  # as `save` joined them
            self._optimizer.state[self._parameters[name]][kind] = value.to(device)
        self.steps_taken = json.loads((folder / "step.json").read_text())["step"]

    def _next_batch(self) -> NDArray[np.int64]:
        per_epoch = self.schedule.steps // self.schedule.epochs
        epoch, at = divmod(self.steps_taken, per_epoch)
        if self._epoch[0] != epoch:  # its batches are drawn once
            self._epoch = (epoch, self.schedule.epoch_batches(epoch, self._lengths))
        return self._epoch[1][at]

    def accumulate(self, rows: Sequence[RenderedExample], tokens: int) -> float:
        """Add the gradient of these rows' share of the batch's mean loss; return the share.

        The output embedding is applied to response positions alone, and to a few hundred at a time:
        each piece goes backward to the hidden states before the next is computed, so that the
        logits of a batch never exist together.
        """
        loss = 0.0
        with self._precision:
            outputs, targets = self._outputs(rows)
        pieces = [piece.detach().requires_grad_() for piece in torch.split(outputs, HEAD_TOKENS)]
        for piece, wanted in zip(pieces, torch.split(targets, HEAD_TOKENS), strict=True):
            with self._precision:
                logits = piece if self._head is None else self._head(piece)
            share = torch.nn.functional.cross_entropy(logits.float(), wanted, reduction="sum")
            # As far as the detached piece: the logits are freed before the next ones are made.
            (share / tokens).backward()  # type: ignore[no-untyped-call]
            loss += float(share.detach()) / tokens
        gradients = [piece.grad for piece in pieces if piece.grad is not None]
        # From there on through the model, once for all pieces.
        outputs.backward(torch.cat(gradients))  # type: ignore[no-untyped-call]
        return loss

    def _outputs(self, rows: Sequence[RenderedExample]) -> tuple[Tensor, Tensor]:
        """(m, h) last hidden states where a response token is predicted, and the (m,) tokens.

        Logits in place of hidden states where the model has no head that can be applied apart.
        """
        device = self.model.device
        ids, mask = pad_rows([[*row.prompt, *row.response] for row in rows], device)
        predicts = torch.zeros(ids.shape, dtype=torch.bool)
        for at, row in enumerate(rows):
            # A place predicts the token behind it, so each stands one before its response token.
            first = len(row.prompt) - 1
            predicts[at, first : first + len(row.response)] = torch.from_numpy(row.trained)
        # Row by row, in the order in which a boolean index takes them.
        targets = torch.cat(
            [torch.tensor(row.response)[torch.from_numpy(row.trained)] for row in rows]
        )
        inputs = {"input_ids": ids, "attention_mask": mask, "use_cache": False}
        if self._head is None:
            outputs: Tensor = self.model(**inputs).logits
        else:
            decoder: Any = self.model.get_decoder()  # type: ignore[no-untyped-call]
            outputs = decoder(**inputs).last_hidden_state
        return outputs[predicts.to(device)], targets.to(device)
