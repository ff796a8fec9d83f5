"""Per-sample files of lm-evaluation-harness as an evaluation: what it found of each item, read.

With --log_samples the harness writes samples_TASK_DATE.jsonl, a line for each document and filter:
`doc_id` (from 0, in the order of the task's split), `doc` (the row itself), `filter`, `metrics`
(names), and a number under each of these names. The items are those of the task's own file, which
the trial names too. So a sample is found by its number, its document is compared with the row that
stands there, and nothing is aligned by luck. The training that a file is of stands in its path.

Read of lm-evaluation-harness 0.4.13, and tried with files that it wrote.
"""

import math
from collections.abc import Mapping, Sequence
from glob import glob
from pathlib import Path
from typing import Any

import orjson

from pipeline.contamination.evaluations import read_field
from pipeline.ingest.rows import UnreadableSourceError
from pipeline.trials.evaluations import TrialItems
from pipeline.trials.settings import TrialEvaluation
from storage.trial_items import ItemValues


def find_samples(settings: TrialEvaluation, training: str) -> Path | None:
    """The file of one training; None where there is none yet.

    Raises:
        UnreadableSourceError: if several match.
    """
    pattern = place_of_samples(settings, training)
    found = sorted(glob(pattern, recursive=True))
    if len(found) > 1:
        raise UnreadableSourceError(
            f"{len(found)} files match {pattern}: keep one for each training, such as {found[-1]}"
        )
    return Path(found[0]) if found else None


def place_of_samples(settings: TrialEvaluation, training: str) -> str:
    """Where the samples of a training are looked for."""
    assert settings.samples is not None
    return settings.samples.replace("{training}", training)


def read_logged_samples(evaluation: TrialItems, file: Path) -> ItemValues:
    """What the harness found of every item.

    Raises:
        UnreadableSourceError: if an item has no sample, or more than one, or its document is
            another; if there is no such filter or metric, or a value is no number.
    """
    settings = evaluation.settings
    lines = file.read_bytes().splitlines()
    try:
        read: Sequence[Mapping[str, Any]] = [orjson.loads(line) for line in lines]
    except orjson.JSONDecodeError as error:
        raise UnreadableSourceError(f"{file} is no JSONL: {error}") from None
    kept = [each for each in read if each.get("filter") == settings.filter]
    if not kept:
        filters = sorted({str(each.get("filter")) for each in read})
        raise UnreadableSourceError(
            f"{file} has no samples of filter {settings.filter!r}; it has {', '.join(filters)}"
        )
    samples = {int(each["doc_id"]) + 1: each for each in kept}  # items count from 1
    if len(samples) < len(kept):
        raise UnreadableSourceError(f"{file} has a document twice: it was written to by two runs")
    values = []
    for item in evaluation.items:
        sample = samples.get(item.position)
        if sample is None:
            raise UnreadableSourceError(
                f"{file} has {len(kept)} documents, and none of row {item.position} of "
                f"{settings.path}: run the harness on all of it, without --limit"
            )
        if read_field(sample["doc"], settings.prompt or "") != item.prompt_text:
            raise UnreadableSourceError(
                f"{file}: document {sample['doc_id']} is not row {item.position} of "
                f"{settings.path}: `{settings.prompt}` differs, so items cannot be compared"
            )
        values.append(read_value(sample, settings.value or "", file))
    positions = [item.position for item in evaluation.items]
    clusters = [item.cluster for item in evaluation.items]
    return ItemValues("exact", positions, clusters, values, [1] * len(values))


def read_value(sample: Mapping[str, Any], name: str, file: Path) -> float:
    """The number that a metric gave a sample.

    Raises:
        UnreadableSourceError: if it is none, or there is no such metric.
    """
    value = sample.get(name)
    if isinstance(value, int | float) and math.isfinite(value):  # true and false are 1 and 0
        return float(value)
    raise UnreadableSourceError(
        f"{file}: document {sample['doc_id']} has no number called {name!r}; its metrics are "
        f"{', '.join(sample.get('metrics', ()))}"
    )
