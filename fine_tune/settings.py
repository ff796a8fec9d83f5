"""What a training can be told. Importing this costs no torch, so recipes may hold it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainSettings(BaseModel):
    """Settings of one LoRA training; part of its identity, every one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: float = Field(default=1.0, gt=0, description="Passes over the train split.")
    max_steps: int | None = Field(
        default=None,
        ge=1,
        description="Stop after so many optimizer steps instead of after the epochs.",
    )
    learning_rate: float = Field(
        default=2e-4, gt=0, description="Highest rate, per optimizer step."
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="How the rate goes on after warm-up; the first two end at 0."
    )
    warmup_fraction: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the steps in which the rate rises from 0."
    )
    batch_rows: int = Field(default=4, ge=1, description="Rows in one forward pass.")
    gradient_accumulation: int = Field(
        default=1,
        ge=1,
        description="Forward passes in one optimizer step; the loss is per token of all.",
    )
    balance: Literal["source"] | None = Field(
        default=None,
        description="Weigh rows so that every source counts the same in the loss, whatever its "
        "size. None: every token counts the same.",
    )
    lora_rank: int = Field(default=16, ge=1, description="Rank of each adapter matrix.")
    lora_alpha: int = Field(default=32, ge=1, description="Adapters are scaled by alpha / rank.")
    lora_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Share of adapter inputs dropped."
    )
    max_length: int | None = Field(
        default=None,
        ge=2,
        description="Tokens in a row, prompt and response. A longer row is an error, not cut. "
        "None: no limit but that of the export.",
    )
    packing: Literal[False] = Field(
        default=False, description="Rows are padded, never joined: a row is one sequence."
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Less memory for about a third more time; the numbers stay the same.",
    )
    seed: int = Field(
        default=0, ge=0, description="Of adapter initialisation, order of rows and dropout."
    )
    save_every_steps: int = Field(
        default=50, ge=1, description="Optimizer steps between checkpoints: what a kill can cost."
    )
