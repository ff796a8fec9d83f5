"""Measure stage: what a recipe wants asked of models, in which order, of which examples.

Asking is in measures/, one file for each measure; cutting the work and storing the answers is in
shards.py, the same for all.
"""

from collections.abc import Sequence

from jinja2 import TemplateSyntaxError

from pipeline.measuring.catalogue import MEASURES, MeasureSettings
from pipeline.measuring.measure import MeasureJob, MeasureScope, Repairs
from pipeline.measuring.rows import template_of, tokenizer_of
from scorers.measures.reading.chat_format import (
    RenderingError,
    render,
    render_text,
)
from storage.workspace import Workspace


def require_templates(settings: MeasureSettings) -> None:
    """Refuse models without a chat template where a block wants it, before anything is read.

    Raises:
        MissingTemplateError: if one has none, or one that does more than a template needs to.
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
        template_of(model, template)


def try_template(model: str) -> str:
    """What is wrong with the chat template of a model; empty where it writes what it should.

    Raises:
        MissingModelError: if the model is not on this disk.
        ValueError: if its tokenizer cannot be used with it.
    """
    tokenizer = tokenizer_of(model)
    question = {"role": "user", "content": "Why?"}
    answer = {"role": "assistant", "content": "So."}
    try:
        text = render_text(tokenizer, [question, answer], ())
        render(tokenizer, [question, answer], (), 1, "chat")
    except RenderingError as error:
        if isinstance(error.__cause__, TemplateSyntaxError):
            return f"it is no Jinja: line {error.__cause__.lineno}: {error.__cause__.message}"
        return f"a question and its answer cannot be written in it: {error}"
    if question["content"] not in text or answer["content"] not in text:
        return f"it leaves out what is said: the question Why? and the answer So. become {text!r}"
    return ""


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
