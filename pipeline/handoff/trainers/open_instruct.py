"""open-instruct: plain messages, all assistant turns of every row trained or the last of every row.

It renders a conversation in the tokenizer's template, and trains the tokens that lie between the
end of a turn's header and its end, where both are beginnings of the whole text. Where they are not
it counts tokens instead, and masks the whole row if the count looks wrong; no row that would come
to this is held. Its mixer reads `1` as one row, and `1.0` as all of them.

Read: e6c3044, dataset_transformation.py. It is not on the Python package index.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline.handoff.plain_messages import PlainMessage, plain_messages
from pipeline.handoff.prediction import TrainedRow, UnheldRowError
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
from storage.exports_manifest import IGNORED

SCRIPT = "train.sh"


@dataclass(frozen=True, slots=True)
class MessageRows:
    """Rows of plain messages."""

    target: Target
    schema: pa.Schema | None = None
    command: str = f"sh FOLDER/{SCRIPT}  # in a checkout of open-instruct"

    def hold(self, row: PromisedRow) -> HeldRow:
        """A row as plain messages.

        Raises:
            UnheldRowError: if its messages are no plain ones, or its turns cannot be found.
        """
        require_whole_weights(row)
        messages = plain_messages(row, self.target)
        line = {"messages": messages, "row_id": row.row_id}
        return HeldRow(line, self._encode(row.text, messages))

    def _encode(self, text: str, messages: Sequence[PlainMessage]) -> TrainedRow:
        answers = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
        spans = [
            self._span(text, messages, at)
            for at in (answers[-1:] if self.target.last_only else answers)
        ]
        ids, places = self.target.places(text)
        labels = [
            token
            if start < end and any(start < last and first < end for first, last in spans)
            else IGNORED
            for token, (start, end) in zip(ids, places, strict=True)
        ]
        return TrainedRow(ids, labels)

    def _span(self, text: str, messages: Sequence[PlainMessage], at: int) -> tuple[int, int]:
        tokenizer = self.target.tokenizer
        try:
            header = render_text(tokenizer, messages[:at], (), header=True) if at else ""
            through = render_text(tokenizer, messages[: at + 1], ())
        except RenderingError as error:
            raise UnheldRowError(f"a turn of it cannot be found: {error}") from error
        if not (text.startswith(header) and text.startswith(through)):
            raise UnheldRowError("the chat template writes an earlier turn otherwise at the end")
        return len(header), len(through)

    def configure(self, facts: HandoffFacts) -> Mapping[str, str]:
        """The command, with its mixer lines."""
        tokenise = "last_turn_tulu" if facts.last_only else "sft_tulu"
        lines = [
            "accelerate launch open_instruct/finetune.py",
            f"--model_name_or_path {shlex.quote(facts.model)}",
            f'--tokenizer_name_or_path "$HERE/{TOKENIZER_FOLDER}"',
            "--use_slow_tokenizer False",
            # 1.0 is the share; 1 would be one row.
            f'--dataset_mixer_list "$HERE/{facts.file("train")}" 1.0',
            f"--dataset_transform_fn {tokenise}_tokenize_and_truncate_v1 sft_tulu_filter_v1",
            f"--max_seq_length {facts.max_length}",
            # Its cache knows a file by its path and number of rows, and not by what is in it.
            "--dataset_skip_cache True",
            "--use_lora True --lora_rank 16 --lora_alpha 32",
            # Or it asks for a login at the hub, and puts the model there.
            "--push_to_hub False --try_launch_beaker_eval_jobs False",
            "--per_device_train_batch_size 4",
            "--learning_rate 2e-4",
            "--num_train_epochs 1",
            f"--seed {facts.manifest.seed}",
            '--output_dir "$HERE/output"',
        ]
        script = "#!/bin/sh\n# Run it from a checkout of open-instruct: sh FOLDER/train.sh\n"
        if facts.model.startswith("/"):
            script += "# finetune.py asks the hub for the model: --model ORG/NAME, not a folder.\n"
        script += 'HERE=$(cd "$(dirname "$0")" && pwd)\n'
        return {SCRIPT: script + " \\\n    ".join(lines) + "\n"}


OPEN_INSTRUCT = Trainer(
    name="open-instruct",
    distribution="open-instruct",
    version="e6c3044",
    packages=(
        "transformers==5.10.4",
        "tokenizers==0.22.2",
        "huggingface_hub==1.17.0",
        "datasets==4.8.4",
    ),
    found="checkout",
    forms={"conversations": DialectOf("all_or_last", MessageRows)},
    caution="It has no validation split: those rows lie beside the others, and it does not read "
    "them. It asks the hub for the model, so that a folder will not do.",
)
