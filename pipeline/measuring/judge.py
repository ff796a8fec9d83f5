"""The model that answers multiple-choice questions, here or on a server, and what it can read."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from pipeline.measuring.endpoint import ServedModel
from scorers.measures.endpoint.judge import EndpointJudge
from scorers.measures.models.loading import load_language_model, resolve_model
from scorers.measures.protocols import Message, OptionModel
from scorers.measures.reflection import fits_window

Fits: TypeAlias = Callable[[Sequence[Message]], bool]
"""Whether a question fits the model's window."""


def judge_of(model: str, served: ServedModel | None) -> tuple[OptionModel, Fits | None]:
    """The model to ask; without a check for a server, which says itself what it cannot read.

    Raises:
        MissingModelError: if the server cannot be asked, or serves another model by now.
    """
    if served:
        return EndpointJudge(served.connect()), None
    loaded = load_language_model(resolve_model(model))
    return loaded, fits_window(loaded.tokenizer, loaded.max_tokens)
