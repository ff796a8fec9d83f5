"""TRL's trainer with weights of tokens and the hooks of methods; exact over passes and processes.

The loss of an optimizer step is one sum over all rows of it, in whatever passes and processes they
are read, divided by one number: see Divisor in fine_tune/method.py. Without weights and methods it
is TRL's own, to the bit.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedModel
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

from fine_tune.collate import (
    BESIDE,
    LOSS_WEIGHTS,
    PAIR_COLUMNS,
    REJECTED,
    REJECTED_ROWS,
    TASK,
    count_read,
    count_rows_of,
    row_places,
)
from fine_tune.cost import CostMeter
from fine_tune.heldout_tasks import LOSSES, HeldOutTasks
from fine_tune.method import Divisor, LossBatch, TrainingMethod
from fine_tune.mixed_export import MixedExport
from fine_tune.report import OnStep
from fine_tune.rounding import unrounded
from fine_tune.spanned import fold_in
from fine_tune.wrapped_model import (
    Inputs,
    WrappedModel,
    rejected_of,
    weighted_nats,
    without_adapter,
)
from scorers.measures.models.language_model import read_causal_model
from storage.exports_manifest import IGNORED, SCORE_PREFIX


class WeightedTrainer(SFTTrainer):
    """TRL's trainer, which also tells of each step, and of the loss of rows it does not train."""

    # The loss is a share of its step's: transformers then divides it by the passes no more.
    loss_is_scaled_for_ga = True  # type: ignore[assignment]

    on_step: OnStep | None = None
    meter: CostMeter | None = None
    methods: Sequence[TrainingMethod] = ()
    looked_at: Mapping[MixedExport, Dataset] = {}
    """Rows of other exports that methods look at; where they miss, the trained ones stand in."""
    tasks: HeldOutTasks | None = None
    task_factors: torch.Tensor | None = None
    """(K,) times which the rows of each task count in the step that is under way."""

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor | Any],
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Called by the trainer for each batch; counted once it has been computed."""
        # Before the step, which may take fields out of the inputs.
        rows, tokens = count_rows_of(inputs), count_read(inputs)
        loss = self._add_gradient(model, inputs, num_items_in_batch)
        if self.meter is not None:
            self.meter.count(rows, tokens)
        return loss

    def _add_gradient(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor | Any],
        items: torch.Tensor | int | None,
    ) -> torch.Tensor:
        """The trainer's own, backward; or that of a method."""
        method = next((each for each in self.methods if each.changes == "gradient"), None)
        if method is None:
            own: torch.Tensor = super().training_step(model, inputs, items)  # type: ignore[no-untyped-call]
            return own
        prepared = self._prepare_inputs(inputs)

        def take() -> torch.Tensor:
            with self.compute_loss_context_manager():
                found = self.compute_loss(model, prepared, num_items_in_batch=items)
            assert isinstance(found, torch.Tensor)
            reduced: torch.Tensor = self.accelerator.reduce(found.detach(), "mean")
            return reduced

        step = self.args.seed * 2**32 + self.state.global_step
        return method.take_gradient(self.loaded_model(), take, step)

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """TRL's loss, or that of weights and methods where there are some. For training alone."""
        losses = [each for each in self.methods if each.changes == "loss"]
        own = next((each for each in losses if each.loss_type == "nll"), None)
        inputs = {**inputs, "input_ids": self._inputs_read(inputs)}
        if LOSS_WEIGHTS not in inputs and own is None:
            plain: torch.Tensor | tuple[torch.Tensor, Any]
            plain = super().compute_loss(  # type: ignore[no-untyped-call]
                model, inputs, return_outputs, num_items_in_batch
            )
            return plain
        batch = self._loss_batch(model, inputs)
        total = own.batch_loss(batch) if own else weighted_nats(batch, by_probability=bool(losses))
        items = self._count_items([inputs]) if num_items_in_batch is None else num_items_in_batch
        loss = total / torch.as_tensor(items).clamp(min=1e-6)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # the items are those of all of them
        return loss

    def _loss_batch(self, model: torch.nn.Module, inputs: Inputs) -> LossBatch:
        """A batch as methods see it; the model is called as it is wrapped, for its own hooks."""
        read = {
            name: value
            for name, value in inputs.items()
            if name not in BESIDE and not name.startswith((SCORE_PREFIX, REJECTED))
        }
        return LossBatch(
            inputs=read,
            weights=self._weights(inputs),
            places=row_places(inputs),
            scores={
                name.removeprefix(SCORE_PREFIX): value
                for name, value in inputs.items()
                if name.startswith(SCORE_PREFIX)
            },
            model=WrappedModel(model, self.loaded_model()),
            tasks=inputs.get(TASK),
            rejected=rejected_of(inputs),
        )

    def _weights(self, inputs: Inputs) -> torch.Tensor:
        """(rows, tokens - 1) what each next token counts; nothing predicts the first."""
        labels = inputs["labels"][:, 1:]
        if LOSS_WEIGHTS not in inputs:
            return torch.ones_like(labels, dtype=torch.float32)
        weights = inputs[LOSS_WEIGHTS][:, 1:]
        if self.task_factors is not None:
            of_rows = self.task_factors.to(weights.device)[inputs[TASK]]
            weights = weights * of_rows[row_places(inputs)]
        return weights

    def _inputs_read(self, inputs: Inputs) -> torch.Tensor:
        """The ids that the model reads, as methods change them."""
        ids = inputs["input_ids"]
        for method in self.methods:
            if method.changes == "inputs":
                progress = self.state.global_step / max(1, self.state.max_steps)
                ids = method.change_inputs(inputs, len(self._tokenizer), progress)
        return ids

    def _divisor(self) -> Divisor:
        """What the sum of a step's losses is divided by: what a loss says, else what weights do."""
        by: dict[str, Divisor] = {each.changes: each.divides_by for each in self.methods}
        return by.get("loss") or by.get("weights of tokens") or "tokens"

    def _get_num_items_in_batch(
        self, batch_samples: list[Inputs], device: torch.device
    ) -> torch.Tensor:
        """Called by the trainer for the batches of a step: what their losses are divided by."""
        if self.tasks is not None:
            factors = self.tasks.factors(self.state.log_history)
            self.task_factors = torch.tensor(factors, dtype=torch.float32)
        items = self._count_items(batch_samples).to(device)
        if self.args.average_tokens_across_devices and self.args.world_size > 1:
            items = self.accelerator.gather(items).sum()
        return items

    def _count_items(self, batches: Sequence[Inputs]) -> torch.Tensor:
        """What the losses of batches are divided by, in this process."""
        by = self._divisor()
        if by == "batches":
            return torch.tensor(len(batches))
        if by == "rows":
            return torch.tensor(sum(count_rows_of(batch) for batch in batches))
        if by == "pairs":
            return torch.tensor(sum(len(b[REJECTED_ROWS]) for b in batches if REJECTED_ROWS in b))
        total = torch.tensor(0)
        for batch in batches:
            trained = batch["labels"][:, 1:] != IGNORED
            if by == "weights" and LOSS_WEIGHTS in batch:
                total = total + (self._weights(batch) * trained).sum().cpu()
            else:
                total = total + trained.sum().cpu()
        return total

    def _set_signature_columns_if_needed(self) -> None:
        """Called by the trainer before it drops the columns that it does not know."""
        super()._set_signature_columns_if_needed()  # type: ignore[no-untyped-call]
        known: list[str] = self._signature_columns or []
        scores = [f"{SCORE_PREFIX}{name}" for each in self.methods for name in each.scores()]
        columns = list(dict.fromkeys([*known, *BESIDE, *PAIR_COLUMNS, *scores]))
        self._signature_columns = columns  # type: ignore[assignment]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Called by the trainer after each step.

        Raises:
            FloatingPointError: if the loss is no longer a number; training on is pointless.
        """
        super().log(logs, start_time)
        loss = logs.get("loss")
        if loss is None:  # of evaluations, and the summary at the end
            return
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the loss of step {self.state.global_step} is {loss}; "
                "a lower learning_rate may help"
            )
        if self.tasks is not None:
            entry: Any = {"step": self.state.global_step, LOSSES: self.tasks.measure(self)}
            self.state.log_history.append(entry)
        if self.on_step is not None:
            self.on_step(self.state.global_step, self.state.max_steps, loss)

    def loss_of_batch(self, rows: Sequence[Mapping[str, Sequence[int]]]) -> tuple[float, int]:
        """The plain loss on some prepared rows, without training on them.

        Returns:
            Nats, summed over the tokens that have a label; and the number of those tokens.
        """
        model = self.loaded_model()
        model.eval()
        # Padded also where training packs: joined, each row would be attended to by all the others,
        # to no effect. What padding holds is read by nobody.
        batch = DataCollatorForLanguageModeling(pad_token_id=0)([dict(row) for row in rows])
        inputs = self._prepare_inputs(batch)
        tokens = int((inputs["labels"][:, 1:] != IGNORED).sum())  # the first is never predicted
        with torch.no_grad(), self.compute_loss_context_manager():
            read = model(**inputs, use_cache=False, fused_lm_head=True)
        return float(-read.log_probs.sum()), tokens

    def prepare_methods(self, seed: int) -> list[str]:
        """Let methods change the model before its optimizer is made; what they did."""
        notes = []
        for each in self.methods:
            each.require_model(self.loaded_model())
            if each.changes == "adapter":
                torch.manual_seed(seed)
                did = each.init_adapter(self.loaded_model(), self._batches_for(each))
            elif each.changes == "parameters":
                did = each.prepare_model(self.loaded_model(), self._batches_for(each), seed)
            else:
                continue
            notes.append(f"{each.method}: {did}")
        return notes

    def _batches_for(self, method: TrainingMethod) -> Iterator[Inputs]:
        """The rows that a method looks at, in their order; what is left at the end is no batch."""
        rows: Any = self.train_dataset
        size = min(self.args.per_device_train_batch_size, len(rows))
        collate: Any = self.data_collator
        for each in method.looks_at().values():
            if each in self.looked_at:
                # One by one: nothing is padded then, nor joined where training packs.
                rows, size = self.looked_at[each], 1
                collate = DataCollatorForLanguageModeling(pad_token_id=0)
        rows = rows.select_columns(["input_ids", "labels"])
        for start in range(0, len(rows) - size + 1, size):
            yield self._prepare_inputs(collate([*rows.select(range(start, start + size))]))

    def finish_methods(self, start: Path) -> list[str]:
        """Make weights of what was trained, and let methods change them.

        Args:
            start: folder that the model came from.
        """

        def load() -> PreTrainedModel:
            return read_causal_model(start, "float32")

        model = self.loaded_model()
        fold_in(model)
        notes = [self.tasks.said(self.state.log_history)] if self.tasks else []
        return notes + [
            f"{each.method}: {each.finish_model(model, load, self._batches_for(each))}"
            for each in self.methods
            if each.changes == "trained weights"
        ]

    @contextmanager
    def as_it_was(self) -> Iterator[None]:
        """The model before it is trained, without its adapter, which may begin with something."""
        model = self.loaded_model()
        if not isinstance(model, PeftModel):
            with unrounded(model):
                yield
            return
        with without_adapter(model):
            yield

    def longest_row(self) -> int | None:
        """Most tokens the model has positions for; None where it sets no such limit."""
        config = self.loaded_model().config.get_text_config()
        limit: int | None = getattr(config, "max_position_embeddings", None)
        return limit

    def loaded_model(self) -> PreTrainedModel | PeftModel:
        """The model that is trained, not as it is wrapped for several processes."""
        if not isinstance(self.model, PreTrainedModel | PeftModel):
            raise TypeError(f"expected a transformers or PEFT model, got {type(self.model)}")
        return self.model
