"""Optional packages: what is said where one is asked for that is not installed."""

from typing import ClassVar


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message names the extra."""

    exit_code: ClassVar[int] = 5


def install_extra(extra: str) -> str:
    """The command that installs an extra, and where it is given."""
    return f"pip install -e '.[{extra}]' in Sluice's folder"
