"""YAML of settings, as a person would write it."""

from collections.abc import Mapping

import yaml


def yaml_text(settings: Mapping[str, object]) -> str:
    """Settings in the order given, one a line."""
    return str(yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=100))
