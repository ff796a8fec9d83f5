"""Measure stage: what a recipe wants asked of models, in which order, of which examples.

Asking is in measures/, one file for each measure; cutting the work and storing the answers is in
shards.py, the same for all.
"""

from collections.abc import Sequence

from pipeline.measuring.catalogue import MEASURES, MeasureSettings
from pipeline.measuring.measure import MeasureJob, MeasureScope, Repairs
from pipeline.measuring.rows import tokenizer_of
from scorers.measures.reading.chat_format import require_template
from storage.workspace import Workspace


def require_templates(settings: MeasureSettings) -> None:
    """Refuse models without a chat template where a block wants it, before anything is read.

    Raises:
        MissingTemplateError: if one has none.
    """
    tokens, losses = settings.tokens, settings.losses
    trajectories, gradients = settings.trajectories, settings.gradients
    read_with = [
        (tokens.template, tokens.model),
        *([(losses.template, losses.model)] if losses else []),
        *([(trajectories.template, trajectories.proxy)] if trajectories else []),
        *([(gradients.template, gradients.model)] if gradients else []),
    ]
    for template, model in read_with:
        if template == "chat":
            require_template(tokenizer_of(model))


def plan_measures(
    workspace: Workspace,
    settings: MeasureSettings,
    pool: Sequence[str],
    seed: int,
    targets: Sequence[str] = (),
    repairs: Repairs | None = None,
) -> dict[str, MeasureJob]:
    """Everything to measure, by name, in an order in which each finds what it reads.

    The arguments after the settings are those of MeasureScope.

    Raises:
        ValueError: if preferences are wanted, but nothing was repaired.
    """
    scope = MeasureScope(workspace, pool, seed, targets, repairs)
    jobs: dict[str, MeasureJob] = {}
    for entry in MEASURES.values():
        block = getattr(settings, entry.block)
        if block:
            jobs |= entry.plan(block, scope, jobs)
    return jobs
