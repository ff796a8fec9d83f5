"""YAML as recipes are written in it: what YAML itself would take another way is refused.

Of a key that stands twice YAML keeps the last one without a word, and a number that nothing can
hold ends a run somewhere else.
"""

import math
from collections.abc import Hashable
from typing import Any

import yaml

LARGEST = 2**63 - 1
"""Of a whole number: what databases and tensors can hold."""


MOST_CHARACTERS = 1 << 20
"""Of a text that is read: a recipe has some thousands, and a million take seconds."""

NO_SUCH_VALUE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What PyYAML raises for a plain value that is none of its kind: a 31st of June, !!int x."""


class StrictLoader(yaml.SafeLoader):
    """Reads plain values, each key once, and numbers that can be held."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401
        """Whatever a node is.

        Raises:
            yaml.YAMLError: also if a plain value is none of the kind that it looks like.
        """
        try:
            return super().construct_object(node, deep)
        except NO_SUCH_VALUE:
            if not isinstance(node, yaml.ScalarNode):
                raise
            kind = node.tag.rpartition(":")[2]
            raise yaml.YAMLError(
                f"{node.value[:30]!r} on line {node.start_mark.line + 1} is no {kind} that can be "
                "read; where it is a text, put it in quotes"
            ) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping.

        Raises:
            yaml.YAMLError: if a key stands in it twice.
        """
        seen: dict[Hashable, int] = {}
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                continue  # `<<` takes what the mapping does not say itself
            name, line = self.construct_object(key, deep=True), key.start_mark.line + 1
            if not isinstance(name, Hashable):
                continue  # a list, for one: refused below
            if name in seen:
                raise yaml.YAMLError(f"{name!r} stands twice, on lines {seen[name]} and {line}")
            seen[name] = line
        return super().construct_mapping(node, deep)


def whole_number(loader: StrictLoader, node: yaml.ScalarNode) -> int:
    """A whole number of at most 63 bits."""
    number: int = loader.construct_yaml_int(node)
    if abs(number) > LARGEST:
        raise yaml.YAMLError(
            f"{node.value[:30]} on line {node.start_mark.line + 1} is beyond {LARGEST}"
        )
    return number


def finite_number(loader: StrictLoader, node: yaml.ScalarNode) -> float:
    """A number that is one, and finite."""
    number: float = loader.construct_yaml_float(node)
    if not math.isfinite(number):
        raise yaml.YAMLError(
            f"{node.value} on line {node.start_mark.line + 1} is no number to go by; where there "
            "is no bound, leave it out"
        )
    return number


StrictLoader.add_constructor("tag:yaml.org,2002:int", whole_number)
StrictLoader.add_constructor("tag:yaml.org,2002:float", finite_number)


def read_yaml(text: str) -> Any:  # noqa: ANN401 - whatever stands there
    """The value that a YAML text is.

    Raises:
        yaml.YAMLError: if it is none, or not one of the kind described above.
    """
    if len(text) > MOST_CHARACTERS:
        raise yaml.YAMLError(f"it has more than {MOST_CHARACTERS:,} characters: no recipe has")
    try:
        return yaml.load(text, StrictLoader)
    except RecursionError:
        raise yaml.YAMLError("its blocks are nested too deeply to be read") from None
