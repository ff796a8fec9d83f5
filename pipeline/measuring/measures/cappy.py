"""Correctness by a regression model that is trained on the pool itself (Cappy).

The models learn from a pool, so what they learnt from is part of the key and the training is one
piece of work. They are kept: a pool that grew a little is not trained on again, its new rows are
scored by the stored models and marked as not trained on.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
from pydantic import Field

from pipeline.measuring.graded_pairs import PairRow, build_pairs, deal_folds
from pipeline.measuring.measure import Jobs, MeasureJob, MeasureScope
from pipeline.measuring.measures.samples import Samples
from pipeline.measuring.pool_training import PoolTraining, find_trainings
from pipeline.measuring.rows import answer_table, no_response
from pipeline.settings import Settings, Subset
from scorers.arrays import Ints
from scorers.measures.models.devices import borrowed_device, resolve_device, use_allowed_cores
from scorers.measures.models.loading import resolve_model
from storage.conversations import content_hash
from storage.database import Connection, read_workspace
from storage.examples import read_example_table, read_origins
from storage.measurements import MeasureKey, read_answers
from storage.workspace import Workspace

if TYPE_CHECKING:
    from scorers.measures.training.cappy import Correctness, RegressionSettings
    from scorers.measures.training.cappy_folds import FoldModels

FIELDS = [
    pa.field("correctness", pa.float64()),
    pa.field("tokens", pa.int64()),  # of prompt and response together, in the encoder's tokens
    pa.field("tokens_read", pa.int64()),  # fewer where the longer text was cut
    pa.field("trained", pa.bool_()),  # whether the row was in the pool the models learnt from
]

VERSION = 2

NOT_THE_TRAINING = {"encoder", "part", "retrain_above", "samples"}
"""Settings that stand elsewhere in the key, or change no number."""


class CappySettings(Settings):
    """A small model of which response belongs to which instruction: `cappy` needs it."""

    encoder: str = Field(
        default="wheel:all-minilm-l6-v2", description="The encoder that is trained, on pairs."
    )
    folds: int = Field(
        default=3,
        ge=2,
        description="Parts of the pool; the model that scores a part is trained on the others.",
    )
    epochs: int = Field(default=3, gt=0, description="Passes over the pairs.")
    learning_rate: float = Field(default=1e-4, gt=0, description="Peak, of AdamW, linear decay.")
    batch_rows: int = Field(default=16, gt=0, description="Pairs in an optimiser step.")
    max_tokens: int = Field(
        default=256,
        gt=8,
        description="Tokens of instruction and response together; of a longer pair the longer text "
        "is cut, and the row says so.",
    )
    samples: bool = Field(
        default=False,
        description="Learn also from the answers sampled for measure.confidence, by their ROUGE-L.",
    )
    seed: int = Field(default=0, ge=0, description="Of folds, swaps and the order of training.")
    part: Subset | None = Field(
        default=None, description="Train on and score part of the pool only."
    )
    retrain_above: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Share of the pool's rows that stored models may not have been trained on; "
        "above it they are trained anew, and every row is scored again.",
    )

    def regression(self) -> "RegressionSettings":
        """The same for the engine."""
        from scorers.measures.training.cappy import RegressionSettings  # imports torch

        return RegressionSettings(
            epochs=self.epochs,
            batch_rows=self.batch_rows,
            learning_rate=self.learning_rate,
            max_tokens=self.max_tokens,
            seed=self.seed,
        )


class CappyTraining(PoolTraining):
    """One training: what the numbers of old and new rows are stored under."""

    settings: CappySettings
    samples: Samples | None = Field(default=None, description="Whose answers are graded.")

    def key(self) -> MeasureKey:
        """Encoder, how it was trained, and on what."""
        training = self.settings.model_dump(exclude=NOT_THE_TRAINING)
        samples = self.samples.key().measure_key if self.samples else ""
        return MeasureKey(
            measure="cappy",
            model=self.settings.encoder,
            model_fingerprint=resolve_model(self.settings.encoder).fingerprint,
            template_fingerprint="",
            settings={"version": VERSION, "pool": self.pool, "samples": samples, **training},
        )

    def inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """The stored examples with where they are from, and the answers sampled for them."""
        examples = read_example_table(con, ids)
        origins = read_origins(con, ids)
        none: list[list[str] | None] = [None] * len(examples)
        answers = read_answers(con, self.samples.key(), ids) if self.samples else none
        found = [origins[each] for each in examples["example_id"].to_pylist()]
        # zip(*[]) gives no columns at all, and two are unpacked
        sources, first_prompts = zip(*found, strict=True) if found else ((), ())
        examples = examples.append_column("source", pa.array(sources, pa.string()))
        examples = examples.append_column("first_prompt_id", pa.array(first_prompts, pa.string()))
        return examples.append_column("answers", pa.array(answers, pa.list_(pa.string())))

    def models(self) -> "FoldModels":
        """Where this training keeps its models."""
        from scorers.measures.training.cappy_folds import FoldModels  # imports torch

        directory = self.directory / self.key().measure_key
        return FoldModels(directory, self.settings.regression(), resolve_device())

    def score(self, models: "FoldModels", examples: pa.Table, trained: bool) -> pa.Table:
        """Have the models score each example that has a response."""
        rows = [row for row in pair_rows(examples) if row.response]
        said = models.score(
            [(row.prompt_id, row.first_prompt_id) for row in rows],
            [(row.prompt, row.response) for row in rows],
        )
        indices = {row.example_id: at for at, row in enumerate(rows)}
        answers = [
            correctness_answer(said, indices[each], trained) if each in indices else no_response()
            for each in examples["example_id"].to_pylist()
        ]
        return answer_table(examples, answers, FIELDS)


class PoolCappy(CappyTraining):
    """The measure for the pool that the models are trained on."""

    whole_pool: ClassVar[bool] = True

    def measure(self, examples: pa.Table) -> pa.Table:
        """Train a model for each fold, and score each fold with its own."""
        rows = [row for row in pair_rows(examples) if row.response]
        settings = self.settings
        dealt = deal_folds(rows, settings.folds, settings.seed)
        with borrowed_device():
            use_allowed_cores()
            models = self.models()
            pairs = build_pairs(rows, dealt, settings.seed)
            models.train(resolve_model(settings.encoder).path, dealt, pairs)
            return self.score(models, examples, trained=True)

    def tokens_read(self, tokens: Ints, response_tokens: Ints) -> Ints:
        """(n,) each row in two pairs while models are trained, and once when it is scored."""
        settings = self.settings
        # Each row is in two pairs, 1 and 0, and in the training of every fold's model but its own.
        return tokens * (2 * settings.epochs * (settings.folds - 1) + 1)

    def predict_seconds(self, examples: pa.Table, tokens: Ints) -> float | None:
        """By training one model on these for one epoch."""
        tried = [row for row in pair_rows(examples) if row.response]
        one_fold = dict.fromkeys((row.prompt_id for row in tried), 0)
        pairs = build_pairs(tried, one_fold, seed=0).get(0)
        if not pairs:
            return 0.0
        from scorers.measures.training.cappy_folds import FoldModels  # imports torch

        once = self.settings.model_copy(update={"epochs": 1}).regression()
        with borrowed_device(), TemporaryDirectory() as directory:
            models = FoldModels(Path(directory), once, resolve_device())
            started = time.perf_counter()
            folds = {"a": 0, "b": 1}  # the model of fold 1 learns the pairs of fold 0, and no other
            models.train(resolve_model(self.settings.encoder).path, folds, {0: pairs})
            seconds = time.perf_counter() - started
        passes = self.settings.epochs * (self.settings.folds - 1)  # of each row, over all models
        return seconds * passes * len(tokens) / len(tried)


class NewRowCappy(CappyTraining):
    """The measure for a pool whose new rows are scored by the models of a stored training."""

    def measure(self, examples: pa.Table) -> pa.Table:
        """Score each example: by the model of its prompt's fold, or the average of all."""
        with borrowed_device():
            use_allowed_cores()
            return self.score(self.models(), examples, trained=False)


def pair_rows(examples: pa.Table) -> list[PairRow]:
    """What of each example goes into pairs."""
    return [
        PairRow(
            example_id=row["example_id"],
            prompt_id=row["prompt_id"],
            prompt=row["prompt"],
            response=row["response"] if row["response_at"] is not None else "",
            task=row["source"] or "",
            generated=row["source"] is None,
            first_prompt_id=row["first_prompt_id"],
            samples=row["answers"] or (),
        )
        for row in examples.to_pylist()
    ]


def correctness_answer(said: "Correctness", at: int, trained: bool) -> dict[str, Any]:
    """What was said of one row."""
    value = float(said.values[at])
    if value != value:  # NaN
        detail = "the pool has too few prompts: none is left to learn from"
        return {"state": "not_applicable", "detail": detail}
    whole, read = int(said.tokens[at]), int(said.read[at])
    cut = f"{read} of {whole} tokens were read: the longer text was cut" if read < whole else ""
    return {
        "state": "ok",
        "detail": cut,
        "correctness": value,
        "tokens": whole,
        "tokens_read": read,
        "trained": trained,
    }


def plan_cappy(block: CappySettings, scope: MeasureScope, planned: Jobs) -> Jobs:
    """Of a subset, or of all; it also learns from sampled answers if it is told to."""
    ids, sampled = scope.subset(block.part), planned.get("samples") if block.samples else None
    samples = sampled.measure if sampled else None
    assert samples is None or isinstance(samples, Samples)
    measure = find_cappy(scope.workspace, block, ids, samples, sampled.ids if sampled else ())
    return {"cappy": MeasureJob(measure, ids, len(scope.pool), measure.note)}


def find_cappy(
    workspace: Workspace,
    settings: CappySettings,
    ids: Sequence[str],
    samples: Samples | None,
    sampled: Sequence[str],
) -> PoolCappy | NewRowCappy:
    """The measure for the pool with these ids: a training, or the models of a stored one.

    The answers that `samples` has of the examples in `sampled` are learnt from too.
    """
    with read_workspace(workspace) as con:
        origins = read_origins(con, ids)
    pool = content_hash([[(each, *origins[each]) for each in sorted(ids)], sorted(sampled)])
    training = PoolCappy(
        settings=settings, samples=samples, pool=pool, directory=workspace.models / "cappy"
    )
    near = find_trainings(workspace, training.key(), ids, settings.retrain_above)
    for stored in near:
        note = f"; scored by stored models and not trained on: {stored.unseen}"
        update = {"pool": stored.key.settings["pool"], "note": note}
        new = NewRowCappy(**{**dict(training), **update})
        if not stored.unseen or new.models().complete():
            return new
    note = "; trained again, for the models of an earlier training are gone" if near else ""
    return training.model_copy(update={"note": note})
