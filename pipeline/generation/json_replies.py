"""Replies that are JSON of a schema: read as such, or a named reason why not.

A model in process is held to the schema by a grammar, most servers as well. A reply can still be
cut off, or be of a server that does not know how: it is read strictly then, and nothing is guessed.
"""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema

from pipeline.generation.maker import Unread, read_whole
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import JsonForm


def form_of(fields: Mapping[str, Mapping[str, Any]]) -> JsonForm:
    """The form of an object that has these fields, each with its schema, and no others."""
    return JsonForm(
        {
            "type": "object",
            "properties": {name: dict(schema) for name, schema in fields.items()},
            "required": [*fields],
            "additionalProperties": False,
        }
    )


def read_json_object(reply: Sampled, form: JsonForm) -> dict[str, Any] | Unread:
    """The object that a reply is: "no_json" where it is none, "other_json" of another schema."""
    text = read_whole(reply)
    if isinstance(text, Unread):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # numbers of thousands of digits as well
        return Unread("no_json")
    try:
        jsonschema.validate(found, form.schema)
    except jsonschema.ValidationError:
        return Unread("other_json")
    read: dict[str, Any] = found
    return read
