"""TRL: token ids, or prompt and completion for each trained turn; also what Unsloth reads.

Of token ids with labels it prepares nothing. Of conversations as `messages` it would train every
token, and of `prompt` and `completion` the completion alone, whose beginning it finds as
scorers/measures/reading/chat_format.py does. Its default `max_length` of 1,024 cuts rows in
silence. Read: 1.16, trainer/sft_trainer.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from pipeline.handoff.plain_messages import plain_messages
from pipeline.handoff.prediction import UnheldRowError, join_pieces
from pipeline.handoff.promises import PromisedRow
from pipeline.handoff.token_rows import TokenRows
from pipeline.handoff.trainer import (
    TOKENIZER_FOLDER,
    DialectOf,
    HandoffFacts,
    HeldRow,
    Target,
    Trainer,
    require_whole_weights,
)
from scorers.measures.reading.chat_format import RenderingError, render

SCRIPT = "train.py"
COMMAND = f"python {SCRIPT}"


@dataclass(frozen=True, slots=True)
class PromptCompletionRows:
    """Rows of a prompt and its answer, of plain messages."""

    target: Target
    schema: pa.Schema | None = None
    command: str = COMMAND

    def hold(self, row: PromisedRow) -> HeldRow:
        """A row as prompt and completion.

        Raises:
            UnheldRowError: if its messages are no plain ones, or its prompt would end elsewhere.
        """
        require_whole_weights(row)
        messages = plain_messages(row, self.target)
        try:
            ids = render(self.target.tokenizer, messages, (), len(messages) - 1, "chat")
        except RenderingError as error:
            raise UnheldRowError(str(error)) from error
        line = {"prompt": messages[:-1], "completion": messages[-1:], "row_id": row.row_id}
        return HeldRow(line, join_pieces([(ids.prompt, False), (ids.response, True)]))

    def configure(self, facts: HandoffFacts) -> Mapping[str, str]:
        """The training script."""
        return {SCRIPT: training_script(facts, "json")}


def configure_trl_tokens(facts: HandoffFacts) -> Mapping[str, str]:
    """The training script, for rows of ids."""
    return {SCRIPT: training_script(facts, "parquet")}


def training_script(facts: HandoffFacts, builder: str) -> str:
    """A LoRA training that runs, to be changed at will but for what decides tokens and labels."""
    splits = {split: facts.file(split) for split in facts.counts}
    evaluated = "validation" in facts.counts
    return f'''"""Trains on the rows of this folder with TRL; run it from here."""

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

gpu = torch.accelerator.is_available()
rows = load_dataset({builder!r}, data_files={splits!r}).remove_columns("row_id")
config = SFTConfig(
    output_dir="output",
    max_length={facts.max_length},  # of the export: no row is longer
    packing=False,
    learning_rate=2e-4,
    num_train_epochs=1,
    per_device_train_batch_size=4,
    eval_strategy={"epoch" if evaluated else "no"!r},
    seed={facts.manifest.seed},
    bf16=gpu,
    use_cpu=not gpu,
)
trainer = SFTTrainer(
    model={facts.model!r},
    args=config,
    train_dataset=rows["train"],
    eval_dataset={'rows["validation"]' if evaluated else None},
    processing_class=AutoTokenizer.from_pretrained({TOKENIZER_FOLDER!r}),
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"),
)
trainer.train()
trainer.save_model("output/adapter")
'''


TRL = Trainer(
    name="trl",
    distribution="trl",
    version="1.16.0",
    packages=(),
    found="here",
    forms={
        "tokens": DialectOf("each", lambda _: TokenRows(COMMAND, configure_trl_tokens)),
        "conversations": DialectOf("last", PromptCompletionRows),
    },
    caution="Unsloth's trainer is TRL's and reads the same rows; it was not tried, for it needs a "
    "GPU.",
)
