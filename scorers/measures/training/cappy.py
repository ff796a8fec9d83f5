"""Correctness by a small regression model that is trained on the workspace's own rows (Cappy).

    minimise the mean over pairs of (f(instruction, response) - label)^2

f is a sentence-pair encoder with one linear output and no sigmoid. Labels: 1 a reference, 0 the
response of another row, between them a model's answer by its ROUGE-L with the reference. The number
of a row is f of it: around 0 to 1, higher is better, and unbounded: clip it for display only.

For telling answers that belong to their instruction from those that do not: misaligned columns,
swapped or off-topic answers, the best of several samples. Not for style, depth or facts: the labels
reward likeness to the references, whatever they are worth, and a pool of which half is wrong
teaches that. In open tasks ROUGE-L rewards copying the reference's wording.

No row is scored by a model that saw it: a model that learnt "this pair is 1" would only say it
again. The pool's prompts are dealt into folds; the model of a fold is trained on the pairs of all
others and scores the fold. Rows that come later are scored by all models, averaged.

Where a pair does not fit the window, the longer text is cut until it does ("longest first"), and
the row says so. Training sees dropout off, so that settings, rows and threads decide every bit.

Cost: folds - 1 times epochs passes forward and backward over all pairs (two or more for a row), and
one forward over all rows, by a model of tens of millions of weights.

Tan et al. 2023, "Cappy", arXiv:2311.06720. There one model of 360M is pre-trained on many data sets
and adapted to a task; here there is no pre-training and the encoder is small, so these numbers are
not the paper's.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from scorers.arrays import Floats
from scorers.measures.models.model_folder import loading_from
from scorers.measures.quiet import quiet_transformers
from scorers.measures.training.graded_pair import GradedPair
from scorers.measures.training.proxy_schedule import LinearSchedule

VERSION = 1

READ_ROWS = 32  # pairs in a forward pass when scoring

HEAD_SPREAD = 0.02  # standard deviation of the new output's weights, as of encoders


@dataclass(frozen=True, slots=True)
class RegressionSettings:
    """How the model is trained; the released values where they suit a small pool."""

    epochs: int = 3
    batch_rows: int = 16
    learning_rate: float = 1e-4
    """At its highest; linear, with a tenth of the steps of warm-up. Cappy's 2e-5 is for a model of
    fifteen times the size and a hundred thousand pairs."""
    max_tokens: int = 256  # of instruction and response together
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Correctness:
    """What a model says of pairs."""

    values: Floats  # (n,) unbounded
    tokens: NDArray[np.int64]  # (n,) of the pair as it is
    read: NDArray[np.int64]  # (n,) of them within the window


class PairRegressor:
    """A sentence-pair encoder with one linear output."""

    def __init__(self, model: object, tokenizer: object, max_tokens: int) -> None:
        """Wrap a loaded model; training changes it in place."""
        self.model = cast(Any, model)  # transformers annotates few of its methods
        self.tokenizer = cast(Any, tokenizer)
        window = int(self.model.config.max_position_embeddings)
        self.max_tokens = min(max_tokens, window, int(self.tokenizer.model_max_length))
        self.model.eval()

    @classmethod
    def from_directory(
        cls, path: Path, max_tokens: int, seed: int | None = None, device: str = "cpu"
    ) -> Self:
        """Load a folder in float32.

        Args:
            path: of an encoder, or of what `save` wrote.
            max_tokens: of a pair; the model's own window holds as well.
            seed: of the output's weights, where the folder has none; None to insist on them.
            device: as torch names it.

        Raises:
            ValueError: if the folder lacks other weights than the output's.
        """
        with quiet_transformers(), loading_from(path):
            tokenizer = AutoTokenizer.from_pretrained(
                path, local_files_only=True, trust_remote_code=False
            )
            model, report = AutoModelForSequenceClassification.from_pretrained(
                path,
                num_labels=1,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        missing = sorted(report["missing_keys"])
        # An encoder has no output yet; anything else that is missing would be made up.
        body = [name for name in missing if name.startswith(f"{model.base_model_prefix}.")]
        if body or (missing and seed is None):
            raise ValueError(f"{path} lacks weights: {(body or missing)[:3]} ...")
        draw = torch.Generator().manual_seed(seed or 0)
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name in missing:
                parameters[name].zero_()
                if name.endswith("weight"):
                    parameters[name].normal_(0.0, HEAD_SPREAD, generator=draw)
        return cls(model.to(device), tokenizer, max_tokens)

    def save(self, folder: Path) -> None:
        """Write a model folder that then exists whole or not at all."""
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        with quiet_transformers():
            self.model.save_pretrained(partial)
            self.tokenizer.save_pretrained(partial)
        partial.rename(folder)

    def train(self, pairs: Sequence[GradedPair], settings: RegressionSettings) -> None:
        """Fit the labels.

        Raises:
            RuntimeError: if the loss is no number any more.
        """
        encoded = self._encode([(pair.instruction, pair.response) for pair in pairs])
        labels = torch.tensor([pair.label for pair in pairs], dtype=torch.float32)
        schedule = LinearSchedule(
            rows=len(pairs),
            epochs=settings.epochs,
            batch_rows=settings.batch_rows,
            learning_rate=settings.learning_rate,
            warmup_share=0.1,
            seed=settings.seed,
        )
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=settings.learning_rate, weight_decay=0.0, fused=True
        )
        lengths = np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int64)
        step = 0
        for epoch in range(settings.epochs):
            for batch in schedule.epoch_batches(epoch, lengths):
                given = self._forward(encoded, batch)
                loss = torch.nn.functional.mse_loss(given, labels[batch].to(given.device))
                if not bool(torch.isfinite(loss)):
                    raise RuntimeError(
                        f"training diverged at step {step + 1}: lower learning_rate, now "
                        f"{settings.learning_rate:g}"
                    )
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), max_norm=1.0)
                for group in optimizer.param_groups:
                    group["lr"] = schedule.rate(step)
                optimizer.step()
                optimizer.zero_grad()
                step += 1

    @torch.inference_mode()
    def predict(self, pairs: Sequence[tuple[str, str]]) -> Correctness:
        """Say how right each response is for its instruction."""
        encoded = self._encode(pairs)
        read = np.array([len(ids) for ids in encoded["input_ids"]], dtype=np.int64)
        values = np.full(len(pairs), np.nan)
        order = np.argsort(-read, kind="stable")  # longest first, each batch padded to its first
        for at in range(0, len(order), READ_ROWS):
            batch = order[at : at + READ_ROWS]
            values[batch] = self._forward(encoded, batch).cpu().double().numpy()
        return Correctness(values, np.array(encoded["whole"], dtype=np.int64), read)

    def _forward(self, encoded: dict[str, list[Any]], batch: NDArray[np.int64]) -> Tensor:
        """(b,) outputs."""
        rows = {
            name: [values[at] for at in batch]
            for name, values in encoded.items()
            if name != "whole"
        }
        inputs = self.tokenizer.pad(rows, return_tensors="pt").to(self.model.device)
        outputs: Tensor = self.model(**inputs).logits[:, 0]
        return outputs

    def _encode(self, pairs: Sequence[tuple[str, str]]) -> dict[str, list[Any]]:
        """Token ids cut to the window, and the length of each pair uncut."""
        if not pairs:
            return {"input_ids": [], "whole": []}
        texts = [[pair[side] for pair in pairs] for side in (0, 1)]  # as the tokenizer takes pairs
        cut = self.tokenizer(*texts, truncation="longest_first", max_length=self.max_tokens)
        whole = self.tokenizer(*texts, truncation=False, verbose=False)
        return {**cut, "whole": [len(ids) for ids in whole["input_ids"]]}
