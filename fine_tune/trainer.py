"""Make TRL trainers: to train, to evaluate, or only to prepare rows. Importing this takes seconds.

Rows are conversational prompt/completion, so the loss is on the completion alone; the chat template
is the tokenizer's own; nothing is packed. On a GPU weights and arithmetic are bfloat16 (adapters
float32), on a CPU everything is float32.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import orjson
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
)
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from fine_tune.cost import CostMeter
from fine_tune.settings import TrainSettings
from scorers.measures.models.language_model import read_causal_model, read_tokenizer
from storage.exports_manifest import IGNORED, Split

OnStep: TypeAlias = Callable[[int, int, float], None]
"""Called after each optimizer step with the step, all steps, and the loss in nats per token."""

LOSS_WEIGHTS = "loss_weights"
"""A column of rows whose tokens are not to count alike: what each counts, or one number for all."""

TrainingRows: TypeAlias = Sequence[Mapping[str, Any]]

CHECKPOINTS_KEPT = 2
"""The last is what a resumed training needs; the one before it, if the last is half written."""


@dataclass(frozen=True, slots=True)
class WeightedRows:
    """Pads rows to a batch as TRL does, and keeps the weights of their tokens."""

    pad: Callable[..., Any]

    def __call__(self, rows: TrainingRows) -> dict[str, torch.Tensor]:
        """A batch; with weights (rows, tokens) where its rows have them."""
        batch: dict[str, torch.Tensor] = self.pad(rows)  # which drops columns it does not know
        if LOSS_WEIGHTS in rows[0]:
            weights = torch.zeros(batch["labels"].shape)  # padding is on the right, and counts 0
            for index, row in enumerate(rows):
                length = len(row["input_ids"])
                weights[index, :length] = torch.tensor(row[LOSS_WEIGHTS]).expand(length)
            batch[LOSS_WEIGHTS] = weights
        return batch


class AdapterTrainer(SFTTrainer):
    """TRL's trainer, which also tells of each step, and of the loss of rows it does not train."""

    on_step: OnStep | None = None
    meter: CostMeter | None = None

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor | Any],
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """Called by the trainer for each batch; counted once it has been computed."""
        # Before the step, which may take fields out of the inputs.
        rows, tokens = len(inputs["labels"]), int(inputs["attention_mask"].sum())
        loss: torch.Tensor = super().training_step(  # type: ignore[no-untyped-call]
            model, inputs, num_items_in_batch
        )
        if self.meter is not None:
            self.meter.count(rows, tokens)
        return loss

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, Any]:
        """TRL's loss; with weights, the mean over tokens of each token's loss times its weight.

        The mean is taken over as many tokens as without weights: see fine_tune/balance.py.
        """
        if LOSS_WEIGHTS not in inputs:
            plain: torch.Tensor | tuple[torch.Tensor, Any]
            plain = super().compute_loss(  # type: ignore[no-untyped-call]
                model, inputs, return_outputs, num_items_in_batch
            )
            return plain
        rest = {name: value for name, value in inputs.items() if name != LOSS_WEIGHTS}
        outputs = model(**rest, use_cache=False, fused_lm_head=True)
        # log_probs (rows, tokens - 1) are 0 where there is no label; the first of them is that of
        # the second token, for nothing predicts the first.
        nats = -(outputs.log_probs.float() * inputs[LOSS_WEIGHTS][:, 1:]).sum()
        # The trainer counts the tokens of all batches of a step, so that each of them is a share.
        tokens = outputs.label_mask.sum() if num_items_in_batch is None else num_items_in_batch
        loss = nats / torch.as_tensor(tokens).clamp(min=1)
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            loss = loss * self.accelerator.num_processes  # the tokens are those of all of them
        return (loss, outputs) if return_outputs else loss

    def _set_signature_columns_if_needed(self) -> None:
        """Called by the trainer before it drops the columns that it does not know."""
        super()._set_signature_columns_if_needed()  # type: ignore[no-untyped-call]
        known: list[str] = self._signature_columns or []
        columns = list(dict.fromkeys([*known, LOSS_WEIGHTS]))
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
        if self.on_step is not None:
            self.on_step(self.state.global_step, self.state.max_steps, loss)

    def loss_of_batch(self, rows: Sequence[Mapping[str, Sequence[int]]]) -> tuple[float, int]:
        """The trainer's own loss on some prepared rows, without training on them.

        Returns:
            Nats, summed over the tokens that have a label; and the number of those tokens.
        """
        model = self._loaded_model()
        model.eval()
        batch = self.data_collator([dict(row) for row in rows])
        inputs = {name: value.to(self.args.device) for name, value in batch.items()}
        tokens = int((inputs["labels"][:, 1:] != IGNORED).sum())  # the first is never predicted
        with torch.no_grad(), self.compute_loss_context_manager():
            mean: Any = self.compute_loss(model, inputs)
        return float(mean) * tokens, tokens  # the mean is over these tokens

    def longest_row(self) -> int | None:
        """Most tokens the model has positions for; None where it sets no such limit."""
        config = self._loaded_model().config.get_text_config()
        limit: int | None = getattr(config, "max_position_embeddings", None)
        return limit

    def save_adapter(self, folder: Path) -> None:
        """Write adapter and tokenizer; the same adapter gives the same bytes."""
        model = self._loaded_model()
        model.save_pretrained(str(folder))
        self._tokenizer.save_pretrained(str(folder))
        (folder / "README.md").unlink()  # a form that nobody has filled in
        # peft writes a set there, in another order in each process.
        config = folder / "adapter_config.json"
        fields = orjson.loads(config.read_bytes())
        fields["target_modules"] = sorted(fields["target_modules"])
        config.write_bytes(orjson.dumps(fields, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))

    def _loaded_model(self) -> PreTrainedModel | PeftModel:
        if not isinstance(self.model, PreTrainedModel | PeftModel):
            raise TypeError(f"expected a transformers or PEFT model, got {type(self.model)}")
        return self.model


def build_trainer(
    model: Path, splits: Mapping[Split, Dataset], settings: TrainSettings, checkpoints: Path
) -> AdapterTrainer:
    """A trainer with a fresh LoRA adapter on every linear layer but the head.

    Args:
        model: folder of a causal language model and its tokenizer.
        splits: rows of an export; a missing validation split is none.
        settings: see TrainSettings.
        checkpoints: folder for checkpoints.
    """
    adapter = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    trainer = AdapterTrainer(
        model=load_model(model),
        args=trainer_config(settings, checkpoints),
        train_dataset=splits["train"],
        eval_dataset=splits.get("validation"),
        processing_class=load_chat_tokenizer(model),
        peft_config=adapter,
    )
    trainer.data_collator = WeightedRows(trainer.data_collator)
    trainer.remove_callback(PrinterCallback)  # prints to stdout, which is for data
    return trainer


def prepare_without_model(rows: Dataset, tokenizer: Path, max_length: int | None) -> Dataset:
    """Let TRL prepare rows, with a stand-in for the model, which it needs and never calls.

    Args:
        rows: a split of an export.
        tokenizer: folder of the tokenizer.
        max_length: in tokens; the trainer cuts longer rows. None for no limit.

    Returns:
        The trainer's rows, with `input_ids` and `labels`.
    """
    smallest = LlamaConfig(
        vocab_size=8,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
    )
    with TemporaryDirectory(prefix="sluice-") as folder:
        trainer = AdapterTrainer(
            model=LlamaForCausalLM(smallest),
            args=trainer_config(TrainSettings(max_length=max_length), Path(folder)),
            train_dataset=rows,
            processing_class=load_chat_tokenizer(tokenizer),
        )
        return prepared_rows(trainer)


def prepared_rows(trainer: SFTTrainer) -> Dataset:
    """The rows a trainer trains on, after its own preparation."""
    rows = trainer.train_dataset
    if not isinstance(rows, Dataset):
        raise TypeError(f"expected a Dataset, got {type(rows).__name__}")
    return rows


def trainer_config(settings: TrainSettings, folder: Path) -> SFTConfig:
    """TRL's settings for ours; it writes checkpoints into the folder."""
    on_gpu = torch.cuda.is_available()
    config = SFTConfig(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,  # -1: as many as the epochs have
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup_fraction,  # below 1, transformers takes it for a share
        per_device_train_batch_size=settings.batch_rows,
        gradient_accumulation_steps=settings.gradient_accumulation,
        gradient_checkpointing=settings.gradient_checkpointing,
        max_length=settings.max_length,
        packing=settings.packing,
        completion_only_loss=True,
        seed=settings.seed,
        bf16=on_gpu,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        save_strategy="steps",
        save_steps=settings.save_every_steps,
        save_total_limit=CHECKPOINTS_KEPT,
        eval_strategy="no",  # the trainer's own eval_loss depends on the batches
        logging_steps=1,  # a loss for each step
        logging_nan_inf_filter=False,  # it would hide a diverged step behind the mean of others
        disable_tqdm=True,
        report_to="none",
    )
    return on_one_device(config)


def on_one_device(config: SFTConfig) -> SFTConfig:
    """The settings with one GPU for each process, however many it sees.

    transformers would copy the model to all of them and give each a batch: with eight, a step
    would be of eight times as many rows as the recipe says. A launcher starts a process for each.
    """
    if config.n_gpu > 1:
        config._n_gpu = 1  # transformers' own way for a model that is spread over devices
    return config


def load_model(folder: Path) -> PreTrainedModel:
    """Load a causal language model in the type that it is trained in.

    Raises:
        UnusableModelError: if its folder is broken, or lacks weights.
    """
    return read_causal_model(folder, "bfloat16" if torch.cuda.is_available() else "float32")


def load_chat_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a tokenizer with its chat template, as the rows were counted with."""
    return read_tokenizer(folder)
