"""What is read of a source is what was hashed of it, or nothing of it is taken."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.ingest.readers import HUB_PREFIX, UnreadableSourceError, source_fingerprint
from pipeline.ingest.source_files import Signature, sign_source
from storage.database import Connection
from storage.sources import Source, forget_rows


@contextmanager
def proving_unchanged(con: Connection, source: Source, name: str) -> Iterator[None]:
    """Let a source be read, then prove that it was not changed; forget its rows where it was.

    It is hashed once more, and nothing may have written to it from before the first row to the end
    of that: a change that is taken back meanwhile leaves its time.

    Args:
        con: an open workspace.
        source: as it was identified.
        name: of the source, as seen from the working directory.

    Raises:
        UnreadableSourceError: if it was changed since it was identified.
    """
    signed = _sign(name)
    yield
    if source_fingerprint(name) != source.content_hash or _sign(name) != signed:
        forget_rows(con, source.source_id)
        raise UnreadableSourceError(
            f"{source.path} was changed while it was read: nothing of it is taken. Run again once "
            "nobody writes to it"
        )


def _sign(name: str) -> Signature:
    """What tells that a source was changed; of a hub its rows alone do."""
    return () if name.startswith(HUB_PREFIX) else sign_source(Path(name))
