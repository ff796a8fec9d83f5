"""The form of a recipe: which blocks are valid by themselves, and what is wrong with the others.

What blocks say of each other and of what is on disk is looked at after that, in check.py.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from flows.recipe.schema import Recipe
from scorers.names import did_you_mean


def validate(value: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Validate a recipe; return the blocks that are right, and what is wrong with the others.

    An unknown key is looked past, so that the rest of its block is checked too.
    """
    problems: list[str] = []
    for _ in range(2):  # the second time without the unknown keys
        try:
            recipe = Recipe.model_validate(value)
            return {name: getattr(recipe, name) for name in Recipe.model_fields}, problems
        except ValidationError as error:
            details = error.errors()
        problems += [describe_error(detail) for detail in details if not follows(detail, details)]
        unknown = [detail["loc"] for detail in details if detail["type"] == "extra_forbidden"]
        for location in unknown:
            remove_key(value, location)
        if not unknown:  # nothing was taken out: a second look would see the same
            break
    wrong = {detail["loc"][0] for detail in details}
    given = {name: each for name, each in value.items() if name not in wrong}
    blocks = {name: block(name, each) for name, each in given.items()}
    defaults = {
        name: field.default
        for name, field in Recipe.model_fields.items()
        if name not in wrong and not field.is_required()
    }
    return defaults | blocks, list(dict.fromkeys(problems))  # each once, in the order found


def follows(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Whether an error only follows from others.

    A list lost its wrong items, which are named themselves; or what may be a name or a mapping is
    a wrong mapping, of which it says that it is no name.
    """
    place = detail["loc"]
    # "str" is not a key but the name pydantic gives to that half of a union.
    if place[-1] == "str" and isinstance(detail["input"], dict):
        others = (each["loc"] for each in details if each is not detail)
        return any(loc[: len(place) - 1] == place[:-1] for loc in others)
    inner = (each["loc"] for each in details if len(each["loc"]) > len(place))
    return detail["type"] == "too_short" and any(loc[: len(place)] == place for loc in inner)


def block(name: str, value: object) -> object:
    """One block of a recipe, validated by itself."""
    field = Recipe.model_fields[name]
    kind: Any = Annotated[(field.annotation, field)]  # with the field's bounds and validators
    return TypeAdapter(kind).validate_python(value)


def remove_key(value: object, location: tuple[int | str, ...]) -> None:
    """Delete the key at a location; a step that is a union's tag is no key and is passed over."""
    for step in location[:-1]:
        if isinstance(value, list) and isinstance(step, int):
            value = value[step]
        elif isinstance(value, dict):
            value = value.get(step, value)  # no key: a union's tag, which stays where it is
    if isinstance(value, dict):
        value.pop(location[-1], None)


def describe_error(detail: ErrorDetails) -> str:
    """One validation error in one line, with the nearest right name for a wrong one."""
    steps = [str(step) for step in detail["loc"]]
    where = ".".join(step for step in steps if not step.startswith("function-"))
    if detail["type"] == "extra_forbidden":
        known = keys_at(Recipe.model_json_schema(), detail["loc"][:-1])
        return f"{where}: unknown key. {did_you_mean(str(detail['loc'][-1]), known)}"
    if detail["type"] == "union_tag_invalid":
        context = detail["ctx"]
        known = re.findall(r"'([^']+)'", context["expected_tags"])
        told = did_you_mean(context["tag"], known)
        return f"{where}: no method named {context['tag']!r}. {told}"
    if detail["type"] == "missing":
        return f"{where}: missing; it must be given"
    return f"{where}: {detail['msg'].removeprefix('Value error, ')}"


def keys_at(schema: dict[str, Any], location: tuple[int | str, ...]) -> list[str]:
    """The keys that the block at a location can have, from the JSON schema."""
    indices = [schema]
    for step in location:
        indices = [each for place in indices for each in step_into(schema, place, step)]
    keys = [key for place in indices for key in expand(schema, place)]
    return sorted({name for place in keys for name in place.get("properties", {})})


def expand(schema: dict[str, Any], place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A part of the schema with references and alternatives followed."""
    if "$ref" in place:
        yield from expand(schema, schema["$defs"][place["$ref"].rsplit("/", 1)[-1]])
        return
    yield place
    for each in [*place.get("anyOf", ()), *place.get("oneOf", ())]:
        yield from expand(schema, each)


def step_into(
    schema: dict[str, Any], place: dict[str, Any], step: int | str
) -> Iterator[dict[str, Any]]:
    """The parts of the schema one step down; a union's tag picks the alternative of that tag."""
    for part in expand(schema, place):
        tags = part.get("discriminator", {}).get("mapping", {})  # tag → reference to its schema
        if step in tags:
            yield {"$ref": tags[step]}
        elif isinstance(step, int) and "items" in part:
            yield part["items"]
        elif step in part.get("properties", {}):
            yield part["properties"][step]
