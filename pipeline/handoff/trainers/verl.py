"""verl: plain messages whose every assistant turn is trained.

It renders every message by itself, takes off what the template writes in front of a conversation,
and joins the tokens. Where these are not the tokens of the whole conversation it ends the run; no
row that would come to this is held. There is no flag for a turn. Read: 0.9.1,
utils/dataset/multiturn_sft_dataset.py.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa

from pipeline.handoff.plain_messages import PlainMessage, plain_messages
from pipeline.handoff.prediction import TrainedRow, UnheldRowError, join_pieces
from pipeline.handoff.promises import PromisedRow
from pipeline.handoff.trainer import (
    TOKENIZER_FOLDER,
    DialectOf,
    HandoffFacts,
    HeldRow,
    Target,
    Trainer,
    require_whole_weights,
)
from scorers.measures.reading.chat_format import RenderingError, render_text

SCRIPT = "train.sh"
TOKENS_AT_ONCE = 8_192
"""Of a GPU, where no row is longer."""
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
SCHEMA = pa.schema([("messages", pa.list_(MESSAGE)), ("row_id", pa.string())])


class Preamble(NamedTuple):
    """How many tokens a template writes where verl takes them off."""

    system: int
    """In front of a conversation without a system prompt."""
    header: int
    """In front of an answer."""


@dataclass(frozen=True, slots=True)
class JoinedMessageRows:
    """Rows of plain messages, as a Parquet file of structs."""

    target: Target
    preamble: Preamble | None
    """None where the template refuses what verl finds it out with."""
    schema: pa.Schema | None = field(default=SCHEMA)
    command: str = f"sh {SCRIPT}"

    def hold(self, row: PromisedRow) -> HeldRow:
        """A row as plain messages.

        Raises:
            UnheldRowError: if a turn of it is not trained, or messages by themselves come to other
                tokens than together.
        """
        require_whole_weights(row)
        if not row.all_trained:
            raise UnheldRowError("some assistant turns of it are read only, and verl trains all")
        if self.preamble is None:
            raise UnheldRowError("the chat template writes no conversation without an answer")
        messages = plain_messages(row, self.target)
        line = {"messages": messages, "row_id": row.row_id}
        try:
            return HeldRow(line, self._encode(messages, self.preamble))
        except RenderingError as error:
            raise UnheldRowError(f"a message of it cannot be written by itself: {error}") from error

    def _encode(self, messages: Sequence[PlainMessage], preamble: Preamble) -> TrainedRow:
        pieces: list[tuple[Sequence[int], bool]] = []
        for index, message in enumerate(messages):
            piece = self.target.ids(render_text(self.target.tokenizer, [message], ()))
            if index and message["role"] != "system":
                piece = piece[preamble.system :]
            pieces.append((piece[: preamble.header], False))
            pieces.append((piece[preamble.header :], message["role"] == "assistant"))
        return join_pieces(pieces)

    def configure(self, facts: HandoffFacts) -> Mapping[str, str]:
        """The command."""
        validation = facts.counts.get("validation")
        lines = [
            "torchrun --standalone --nproc_per_node 1 -m verl.trainer.sft_trainer",
            f'data.train_files="$HERE/{facts.file("train")}"',
            *([f'data.val_files="$HERE/{facts.file("validation")}"'] if validation else []),
            "data.messages_key=messages",
            f"data.max_length={facts.max_length}",
            "data.truncation=error",
            "data.pad_mode=no_padding",
            "data.ignore_input_ids_mismatch=False",
            # Its own default is the text "none", which it takes as true.
            "data.enable_thinking_default=null",
            f"data.max_token_len_per_gpu={max(TOKENS_AT_ONCE, facts.max_length)}",
            f"data.train_batch_size={batch_size(facts)}",
            shlex.quote(f"model.path={facts.model}"),
            f'model.tokenizer_path="$HERE/{TOKENIZER_FOLDER}"',
            "model.lora_rank=16",
            "model.lora_alpha=32",
            "model.target_modules=all-linear",
            "optim.lr=2e-4",
            "trainer.total_epochs=1",
            'trainer.default_local_dir="$HERE/output"',
            "trainer.logger=console",
            "trainer.resume_mode=disable",
            f"trainer.seed={facts.manifest.seed}",
        ]
        script = '#!/bin/sh\nHERE=$(cd "$(dirname "$0")" && pwd)\n'
        return {SCRIPT: script + " \\\n    ".join(lines) + "\n"}


def batch_size(facts: HandoffFacts) -> int:
    """The largest batch up to 4 that no row is left over from, for verl drops what is."""
    counts = [counts.rows for counts in facts.counts.values()]
    return next(size for size in (4, 3, 2, 1) if all(rows % size == 0 for rows in counts))


def joined_message_rows(target: Target) -> JoinedMessageRows:
    """The dialect, with what the template writes in front found out as verl does."""
    empty: PlainMessage = {"role": "user", "content": ""}
    try:
        one, two, asked = (
            len(target.ids(render_text(target.tokenizer, turns, (), header=header)))
            for turns, header in (([empty], False), ([empty, empty], False), ([empty], True))
        )
    except RenderingError:
        return JoinedMessageRows(target, None)
    return JoinedMessageRows(target, Preamble(one - (two - one), asked - one))


VERL = Trainer(
    name="verl",
    distribution="verl",
    version="0.9.1",
    packages=(
        "verl==0.9.1",
        "transformers==5.10.4",
        "tokenizers==0.22.2",
        "huggingface_hub==1.17.0",
        "datasets==4.8.4",
        "tensordict==0.10.0",
        "omegaconf==2.4.0",
        "pyvers==0.2.3",
    ),
    forms={"conversations": DialectOf("all", joined_message_rows)},
    caution="It leaves out the rows that do not fill the last batch, of each split: keep "
    "`data.train_batch_size` a divisor of their numbers.",
)
