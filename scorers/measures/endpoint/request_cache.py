"""Replies that were had are kept, so that no server is asked, or paid, for the same twice.

    key = sha256 of base_url, path and the whole body, as JSON with sorted keys

The body has the model, the seed and the sampling. How hard the server is pressed (concurrency,
timeout, retries) and the API key change no reply and are not part of it. A reply is one file,
`ab/KEY.json` with the key's first two digits as folder, written under a temporary name as soon as
it is there and then renamed: a process that is killed loses what was under way and no more, and
several may share a folder. Only what the caller can use is kept; a failure is asked again, and so
is a reply that an older version kept and that nothing can be made of.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from uuid import uuid4

from scorers.measures.endpoint.batch_files import BatchJob, post_batched
from scorers.measures.endpoint.client import EndpointSettings, Read, post_all
from scorers.measures.endpoint.reply import JsonReply, Reply
from scorers.measures.protocols import GenerationFailure

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestCache:
    """A folder of replies; it need not be there yet."""

    directory: Path

    def read(self, key: str) -> JsonReply | None:
        """The reply that was kept; None where there is none, or its file is damaged."""
        try:
            reply = json.loads(self._path(key).read_bytes())
        except (FileNotFoundError, ValueError, RecursionError):
            return None  # damaged: asked again, and written over
        return reply if isinstance(reply, dict) else None

    def keep(self, key: str, reply: JsonReply) -> None:
        """Write a reply; its file is there whole or not at all.

        One of lists in lists, as deep as can be read, is not kept.
        """
        try:
            content = json.dumps(reply)
        except RecursionError:
            return
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another process may write the same reply, and not on this machine.
        partial = path.with_name(f".{uuid4().hex}.partial")
        partial.write_text(content, encoding="ascii")
        os.replace(partial, path)

    def keep_if(self, is_usable: Callable[[JsonReply], bool], key: str, reply: JsonReply) -> None:
        """Write a reply that is of use."""
        if is_usable(reply):
            self.keep(key, reply)

    def _path(self, key: str) -> Path:
        return self.directory / key[:2] / f"{key}.json"


def request_key(base_url: str, path: str, body: JsonReply) -> str:
    """64 hex digits of one request; the order of keys in the body is nothing."""
    asked = {"base_url": base_url.rstrip("/"), "path": path, "body": body}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


@lru_cache
def note_spoilt(directory: Path) -> None:
    """Say of a folder, once in a process, that it has replies which are of no use."""
    logger.warning(
        "replies in %s that an older version kept are of no use; they are asked for again",
        directory,
    )


def post_once(
    settings: EndpointSettings,
    path: str,
    bodies: Sequence[JsonReply],
    read: Callable[[int, Reply], Read],
    is_usable: Callable[[JsonReply], bool],
) -> list[Read]:
    """`post_all`, but for what is kept in `settings.cache`; without a cache nothing is kept.

    With one, equal bodies are asked once and have one reply: after a kill it could be no other way.

    Args:
        settings: the server, and the folder of replies.
        path: below the base.
        bodies: what is asked.
        read: is given the index of a body, the first of equal ones, and its reply, had or kept;
            only what it returns is held in memory.
        is_usable: whether a reply is worth keeping, or was. A server may answer with status 200
            and yet say nothing; that is asked again.

    Raises:
        ValueError, RuntimeError: as `post_all`.
    """
    if settings.cache is None:
        return post_all(settings, path, bodies, read)
    cache = RequestCache(settings.cache)
    keys = [request_key(settings.base_url, path, body) for body in bodies]
    found: dict[str, Read] = {}
    # A dict, so that equal bodies are one request.
    places: dict[str, int] = {}
    for at, key in enumerate(keys):
        places.setdefault(key, at)
    wanted: dict[str, JsonReply] = {}
    for key, at in places.items():
        kept = cache.read(key)
        if kept is not None and is_usable(kept):
            found[key] = read(at, kept)
            continue
        wanted[key] = bodies[at]
        if kept is not None:
            note_spoilt(settings.cache)

    def read_of(key: str, reply: Reply) -> Read:
        return read(places[key], reply)

    found |= _post_new(settings, BatchJob(path, wanted, partial(cache.keep_if, is_usable), read_of))
    return [found[key] for key in keys]


def _post_new(settings: EndpointSettings, job: BatchJob[Read]) -> dict[str, Read]:
    """Ask what is not kept, in batches or request by request; what was read, by the key."""
    if settings.batch is not None:
        return post_batched(settings, job)
    keys = list(job.bodies)

    def take(index: int, reply: Reply) -> Read:
        if not isinstance(reply, GenerationFailure):
            job.keep(keys[index], reply)
        return job.read(keys[index], reply)

    had = post_all(settings, job.path, list(job.bodies.values()), take)
    return dict(zip(keys, had, strict=True))
