"""Which code this is: a run is stored with it, and a worker must have the same."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: where the packages are, and the files beside them."""

PACKAGES = ("pipeline", "flows", "scorers", "storage", "fine_tune")


class OtherWorkerError(RuntimeError):
    """A worker has other code or another model than the run that sent it work."""

    exit_code: ClassVar[int] = 2


@cache
def code_version() -> str:
    """The version of Sluice, with a hash of its own source files: an edit is another version."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):  # rglob's order is the disk's
            # Names too: a file that moves is another version.
            digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return f"{version('sluice-sft')}+{digest.hexdigest()[:12]}"


def check_code(code: str) -> None:
    """Refuse work that was sent by other code: the same name could mean other numbers there.

    Raises:
        OtherWorkerError: if it was.
    """
    if code != code_version():
        raise OtherWorkerError(
            f"this worker has Sluice {code_version()} in {ROOT}, and the "
            f"run was started with {code}: install the same version for both, restart the worker, "
            "and start the run again"
        )
