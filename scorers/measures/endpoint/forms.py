"""How a server is told the form of an answer, and how the answer is read out of it."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from scorers.measures.endpoint.logprobs import MOST_LOGPROBS, answer_places, listed_tokens
from scorers.measures.endpoint.reply import Reply
from scorers.measures.protocols import AnswerForm, GeneratedAnswer, JsonForm, OneOf

FormsOf = Literal["json_schema", "structured_outputs", "none"]
"""Which field a server reads the form in."""

ONE_OF_OPENS = re.compile(r'\{\s*"answer"\s*:\s*"')
"""What stands before one of some texts where a server takes nothing but JSON."""


def form_fields(
    forms: FormsOf, form: AnswerForm | None, *, tell_options: bool = True
) -> dict[str, Any]:
    """The fields of a request that tell the form.

    Args:
        forms: which field the server reads.
        form: of the answer; None: any.
        tell_options: whether the options' probabilities are asked for, as a chat knows how.
    """
    if form is None or forms == "none":
        return {}
    fields: dict[str, Any] = {}
    if isinstance(form, OneOf) and tell_options:
        fields = {"logprobs": True, "top_logprobs": MOST_LOGPROBS}
    if forms == "structured_outputs":
        told = {"json": form.schema} if isinstance(form, JsonForm) else {"choice": [*form.options]}
        return {**fields, "structured_outputs": told}
    schema = form.schema if isinstance(form, JsonForm) else _schema_of(form)
    named = {"name": "answer", "strict": True, "schema": schema}
    return {**fields, "response_format": {"type": "json_schema", "json_schema": named}}


def _schema_of(form: OneOf) -> Mapping[str, Any]:
    """One of some texts as an object, for a server may take no other schema."""
    return {
        "type": "object",
        "properties": {"answer": {"type": "string", "enum": [*form.options]}},
        "required": ["answer"],
        "additionalProperties": False,
    }


def read_form(answer: GeneratedAnswer, reply: Reply, form: AnswerForm | None) -> GeneratedAnswer:
    """One of some texts as itself, with the options' probabilities; anything else as it is.

    A server that does not know the field may answer in any form: that is left to who reads it.
    """
    if not isinstance(form, OneOf):
        return answer
    text = answer.text
    if ONE_OF_OPENS.match(text):
        try:
            text = str(json.loads(text)["answer"])
        except (ValueError, KeyError):  # cut off
            text = answer.text
    return replace(answer, text=text, options=_read_options(reply, form))


def _read_options(reply: Reply, form: OneOf) -> dict[str, float] | None:
    """Option → probability, at the place where the answer begins; None where none is listed."""
    before, places = "", answer_places(reply)
    for at, place in enumerate(places):
        # Of JSON the text begins behind its opening quote; a token across that tells nothing.
        opened = ONE_OF_OPENS.fullmatch(before) if before.startswith("{") else before == ""
        if opened and not str(place.get("token", "")).startswith("{"):
            listed = listed_tokens(reply, at)
            likely = ((token, math.exp(min(logprob, 0.0))) for token, logprob in listed)
            return form.probabilities(likely) if listed else None
        before += str(place.get("token", ""))
    return None
