"""YAML of settings, as a person would write it."""

from collections.abc import Mapping

import yaml


class _WithoutAliases(yaml.SafeDumper):
    """Writes a value out wherever it stands, as people do."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def yaml_text(settings: Mapping[str, object]) -> str:
    """Settings in the order given, one a line."""
    text = yaml.dump(
        dict(settings), Dumper=_WithoutAliases, sort_keys=False, allow_unicode=True, width=100
    )
    return str(text)
