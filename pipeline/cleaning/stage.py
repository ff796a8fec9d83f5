"""Clean stage: personal data in the pool is counted, flagged, removed or redacted.

It comes before any measuring, so that what is measured, chosen and exported is the redacted text. A
redacted example is an example of its own with its lineage, and takes the place of its parent in the
pool. The parent stays in the workspace as the source has it: a workspace is as confidential as its
sources. Neither the tables nor the reports have what was found.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from pipeline.cleaning.personal_data import (
    VERSION,
    PIIKind,
    check_kinds,
    find_personal_data,
    redact,
)
from pipeline.run_context import RunContext
from pipeline.selection.candidates import read_candidates
from pipeline.selection.heavy_losses import heavy_losses
from pipeline.settings import Settings
from storage.conversations import Conversation, canonical_json, content_hash
from storage.database import Connection, open_tables, open_workspace
from storage.decisions import Decisions
from storage.examples import Example, MadeBy, stream_examples, write_edited
from storage.personal_data import PersonalDataHits, write_hits
from storage.runs import StageCount, write_step

BATCH_ROWS = 10_000  # examples that are read and looked through together
STAGE, LABEL = "clean", "personal data"
# Another version of them may find other data.
LIBRARIES = ("phonenumbers", "python-stdnum", "detect-secrets")

Region = Annotated[str, Field(pattern="^[A-Z]{2}$")]

Cleaner = Callable[[str], str]  # gives a text without its personal data, and counts what it had


class PersonalDataSettings(Settings):
    """What is looked for in the pool, and what happens to the rows that have it."""

    kinds: tuple[PIIKind, ...] = Field(
        default=("email", "phone", "key", "card", "iban"),
        min_length=1,
        description="What is looked for; ip addresses only where they are named here.",
    )
    regions: tuple[Region, ...] = Field(
        default=(),
        description="Regions whose own way of writing phone numbers counts, as US; with none, only "
        "numbers with a country code are found.",
    )
    action: Literal["report", "flag", "remove", "redact"] = Field(
        default="report",
        description="report: count; flag: also name the rows in personal_data_hits; remove: also "
        "drop them; redact: also put [EMAIL] and the like in place of what was found.",
    )

    @field_validator("regions")
    @classmethod
    def known(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        """Check that there are such regions."""
        check_kinds((), regions)
        return regions

    def key(self) -> str:
        """Hash of all that can change what is found."""
        libraries = {name: version(name) for name in LIBRARIES}
        return content_hash([VERSION, sorted(self.kinds), sorted(self.regions), libraries])


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What became of the pool."""

    pool: Sequence[str]
    examples: int  # examples with personal data
    hits: Mapping[str, int]  # kind → how often it was found


def clean_pool(run: RunContext, settings: PersonalDataSettings, pool: Sequence[str]) -> Cleaned:
    """Look through the pool, act as the recipe says, and store the books."""
    ids = sorted(pool)
    found: list[PersonalDataHits] = []
    replaced: dict[str, str] = {}
    # Rows are read through a connection of their own, while edits are written: each is read once.
    with open_workspace(run.workspace) as con, open_tables(run.workspace) as rows:
        for examples in stream_examples(rows, ids, BATCH_ROWS):
            hits, versions = clean_batch(con, run, settings, examples)
            found += hits
            replaced |= versions
        found.sort()  # rows are read in any order
        write_hits(con, run.run_id, [] if settings.action == "report" else found)
        touched = {hit[0] for hit in found}
        removed = touched if settings.action == "remove" else set()
        cleaned = settle(ids, found, removed, replaced)
        write_books(con, run, settings, ids, (cleaned, replaced))
    return cleaned


def settle(
    ids: Sequence[str],
    found: Sequence[PersonalDataHits],
    removed: set[str],
    replaced: Mapping[str, str],
) -> Cleaned:
    """The pool without what is removed, and with the new versions of what is replaced."""
    # A redacted version may be in the pool already: then two rows become one.
    left = sorted((set(ids) | set(replaced.values())) - (removed | replaced.keys()))
    counts: Counter[str] = Counter()
    for _, kind, _, hits in found:
        counts[kind] += hits
    return Cleaned(left, len({hit[0] for hit in found}), dict(sorted(counts.items())))


def write_books(
    con: Connection,
    run: RunContext,
    settings: PersonalDataSettings,
    ids: Sequence[str],
    outcome: tuple[Cleaned, Mapping[str, str]],
) -> None:
    """Store what was decided of each example, and balance the books."""
    cleaned, replaced = outcome
    kept = set(cleaned.pool)
    everything = sorted(kept.union(ids))  # what was in the pool, and the redacted versions
    reason = "redacted" if settings.action == "redact" else "personal_data"
    reasons = ["" if example_id in kept else reason for example_id in everything]
    causes = [replaced.get(example_id) for example_id in everything]
    dropped = len(everything) - len(kept)
    heavy: tuple[str, ...] = ()
    if settings.action == "remove":  # a redacted row has another in its place
        lost = np.where(np.isin(ids, cleaned.pool), "", reason).astype(object)
        heavy = heavy_losses(LABEL, read_candidates(con, run, ids).sources, lost)
    shown = ", ".join(f"{kind} {hits}" for kind, hits in cleaned.hits.items()) or "none"
    count = StageCount(
        stage=STAGE,
        step=1,
        label=f"{LABEL}: {settings.action}",
        rows_in=len(ids),
        added=len(everything) - len(ids),
        kept=len(kept),
        dropped={reason: dropped} if dropped else {},
        notes=[f"personal data in {cleaned.examples} examples, by kind: {shown}", *heavy],
    )
    added = frozenset(everything).difference(ids)
    decided = Decisions(everything, reasons, causes, [None] * len(everything), added=added)
    write_step(con, run.run_id, count, decided)


def clean_batch(
    con: Connection, run: RunContext, settings: PersonalDataSettings, examples: Sequence[Example]
) -> tuple[list[PersonalDataHits], dict[str, str]]:
    """What is found in some examples, and the redacted version of each where that is wanted."""
    found: list[PersonalDataHits] = []
    redacted: list[tuple[str, Conversation]] = []
    for example in examples:
        counts, clean = clean_example(example, settings)
        found += [
            PersonalDataHits(example.example_id, kind, place, n)
            for (kind, place), n in counts.items()
        ]
        if counts and settings.action == "redact":
            redacted.append((example.example_id, clean))
    described = canonical_json(settings.model_dump(mode="json")).decode()
    made_by = MadeBy(settings.key(), described, run.run_id)
    new = write_edited(con, "redacted", redacted, made_by) if redacted else []
    return found, {parent: made for (parent, _), made in zip(redacted, new, strict=True)}


def clean_example(
    example: Example, settings: PersonalDataSettings
) -> tuple[dict[tuple[str, str], int], Conversation]:
    """How often each kind stands in each place of an example, and the example without it."""
    counts: Counter[tuple[str, str]] = Counter()
    messages = []
    for index, message in enumerate(example.messages):
        place = place_of(index, example.trained_at)

        def clean(text: str, place: str = place) -> str:  # bound now: the loop goes on
            hits = find_personal_data(text, settings.kinds, settings.regions)
            counts.update((hit.kind, place) for hit in hits)
            return redact(text, hits)

        messages.append(clean_message(message, clean))
    return dict(sorted(counts.items())), replace(example.conversation, messages=messages)


def place_of(index: int, trained_at: Sequence[int]) -> str:
    """Whether a message is trained, or read before a trained one, or stands behind all of them."""
    if index in trained_at:
        return "response"
    return "later" if trained_at and index > trained_at[-1] else "prompt"


def clean_message(message: Mapping[str, Any], clean: Cleaner) -> dict[str, Any]:
    """A message with every text of it cleaned: content, reasoning, arguments of tool calls."""
    texts = [name for name in ("content", "reasoning_content") if name in message]
    cleaned = {**message, **{name: clean(message[name]) for name in texts}}
    if "tool_calls" in message:
        cleaned["tool_calls"] = [clean_call(call, clean) for call in message["tool_calls"]]
    return cleaned


def clean_call(call: Mapping[str, Any], clean: Cleaner) -> dict[str, Any]:
    """A tool call with its arguments cleaned; the name of the function stays."""
    arguments = clean_value(call["function"]["arguments"], clean)
    return {**call, "function": {**call["function"], "arguments": arguments}}


def clean_value(value: object, clean: Cleaner) -> object:
    """A JSON value with every text in it cleaned; keys stay."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {name: clean_value(each, clean) for name, each in value.items()}
    if isinstance(value, list):
        return [clean_value(each, clean) for each in value]
    return value
