"""Make TRL trainers: to train, to evaluate, or only to prepare rows. Importing this takes seconds.

Rows are conversational prompt/completion, so the loss is on the completion alone; the chat template
is the tokenizer's own. On a GPU arithmetic is bfloat16, and so are weights that are not trained;
trained ones are float32, and on a CPU everything is.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from datasets import Dataset
from peft import EvaConfig, LoraConfig, PeftModel
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
)
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

from fine_tune.collate import WeightedRows
from fine_tune.experts import fresh_experts
from fine_tune.four_bits import in_four_bits, read_as_stored
from fine_tune.method import Tuned
from fine_tune.methods.loramoe import expert_method
from fine_tune.settings import TrainSettings
from fine_tune.weighted_trainer import WeightedTrainer
from scorers.measures.models.language_model import read_causal_model, read_tokenizer
from storage.exports_manifest import Split

CHECKPOINTS_KEPT = 2
"""The last is what a resumed training needs; the one before it, if the last is half written."""


def build_trainer(
    model: Path,
    splits: Mapping[Split, Dataset],
    settings: TrainSettings,
    checkpoints: Path,
    adapter: Path | None = None,
) -> WeightedTrainer:
    """A trainer of all weights, or of a fresh LoRA adapter on every linear layer but the head.

    Args:
        model: folder of a causal language model and its tokenizer.
        splits: rows of an export; a missing validation split is none.
        settings: see TrainSettings.
        checkpoints: folder for checkpoints.
        adapter: folder of one to go on with; None: a fresh one, where LoRA is trained.

    Raises:
        ValueError: if a method cannot do with the model.
    """
    begun = next((each.adapter_init for each in settings.methods if each.adapter_init), None)
    fresh = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        init_lora_weights=begun or True,
        eva_config=EvaConfig() if begun == "eva" else None,  # given by the method later
    )
    args = trainer_config(settings, checkpoints)  # which says what device this process has
    loaded = load_model(model, settings.tune)
    given: PreTrainedModel | PeftModel = loaded
    if adapter is not None:
        given = with_adapter(loaded, adapter)
    elif (routed := expert_method(settings.methods)) is not None:
        torch.manual_seed(settings.seed)  # TRL does it for the adapter that it makes itself
        given = fresh_experts(loaded, routed.experts, fresh)
    plain = isinstance(given, PreTrainedModel)
    trainer = WeightedTrainer(
        model=given,
        args=args,
        train_dataset=splits["train"],
        eval_dataset=splits.get("validation"),
        processing_class=load_chat_tokenizer(model),
        peft_config=fresh if settings.tune != "full" and plain else None,
    )
    for parameter in trainer.loaded_model().parameters():
        if parameter.requires_grad:  # beside weights in 4 bits, TRL makes an adapter bfloat16
            parameter.data = parameter.data.float()
    # Set here: asked for in TRL's settings it is refused where attention is not FlashAttention,
    # though the mask of joined rows is right with any (transformers makes it of position_ids).
    pad = trainer.data_collator
    if not isinstance(pad, DataCollatorForLanguageModeling):
        raise TypeError(f"expected TRL's collator of texts, got {type(pad).__name__}")
    pad.padding_free = settings.packing
    trainer.data_collator = WeightedRows(pad, settings.scores())
    trainer.methods = settings.methods
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
        trainer = WeightedTrainer(
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
    estimated = any(each.changes == "gradient" for each in settings.methods)
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
        # What is estimated is followed as it is: AdamW would make all of its parts alike.
        optim="sgd" if estimated else "adamw_torch_fused",
        max_grad_norm=0.0 if estimated else 1.0,
        loss_type="dft" if any(each.loss_type == "dft" for each in settings.methods) else "nll",
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


def load_model(folder: Path, tune: Tuned = "lora") -> PreTrainedModel:
    """Load a causal language model in the type that it is trained in.

    Raises:
        UnusableModelError: if its folder is broken, or lacks weights.
    """
    # A weight in bfloat16 has 8 bits: most steps of an optimizer are too small to move it.
    halved = torch.cuda.is_available() and tune != "full"
    dtype = "bfloat16" if halved else "float32"
    model = read_causal_model(folder, dtype, in_four_bits(dtype) if tune == "qlora" else None)
    read_as_stored(model)
    return model


def with_adapter(model: PreTrainedModel, adapter: Path) -> PeftModel:
    """A model with an adapter that is trained on."""
    found: PeftModel = PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
    return found


def load_chat_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load a tokenizer with its chat template, as the rows were counted with."""
    return read_tokenizer(folder)
