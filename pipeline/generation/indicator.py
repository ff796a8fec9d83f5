"""Indicate stage: prompts whose answers are read off them get a mark at their end.

    indicated when the highest score among the answers to a prompt is above a bound

A model that is tuned on rows marked so can be asked, by the same mark, to keep to the text it is
given (Wang et al. 2024, arXiv:2411.02688; its released code marks above 0.6). An indicated row is a
new example with its lineage, in place of the one it was made from: so its tokens are counted, its
numbers measured and its text exported as it is trained. The answers to one prompt are indicated
together, or their prompts would be two, one of them perhaps held out.

The mark is text here. The authors add it to the vocabulary as a token whose embeddings begin at the
mean of all; a trainer that is to do so must be told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from pipeline.run_context import RunContext
from pipeline.settings import Settings
from storage.conversations import Conversation, canonical_json, content_hash
from storage.database import open_workspace
from storage.decisions import Decisions
from storage.examples import Example, MadeBy, read_examples, write_edited
from storage.runs import StageCount, write_step
from storage.scores import read_scores


class IndicatorSettings(Settings):
    """A mark for prompts whose answers depend on them."""

    score: str = Field(
        default="context_dependency", description="The score that decides, as the recipe calls it."
    )
    above: float = Field(default=0.6, description="Prompts with a higher score are indicated.")
    text: str = Field(
        default=" [IND]",
        min_length=1,
        description="Put behind the last user turn before the response, after a full stop where "
        "that ends in a letter or a digit.",
    )


def indicate_examples(
    run: RunContext, settings: IndicatorSettings, pool: Sequence[str]
) -> list[str]:
    """Put indicated examples in the place of those they are made from; return the new pool."""
    ids = sorted(pool)
    with open_workspace(run.workspace) as con:
        values, _ = read_scores(con, run.scores[settings.score], ids)
        examples = read_examples(con, ids)
        above = {
            example.prompt_id
            for example, value in zip(examples, values.tolist(), strict=True)
            if value > settings.above  # NaN is not
        }
        marked = [
            (example.example_id, indicated)
            for example in examples
            if example.prompt_id in above
            and (indicated := indicate(example, settings.text)) is not None
        ]
        made_by = MadeBy(
            content_hash(["indicate", settings.text])[:16],
            canonical_json(settings.model_dump(mode="json")).decode(),
            run.run_id,
        )
        parents = [parent for parent, _ in marked]
        children = write_edited(con, "indicated", marked, made_by)
        replaced = dict(zip(parents, children, strict=True))
        grown = sorted({*ids, *children} - set(parents))  # a child may be in the pool already
        added = sorted(set(grown).difference(ids))
        scores = dict(zip(ids, values.tolist(), strict=True))
        decided = decide_indicated(scores, replaced, added)
        write_step(con, run.run_id, count(ids, replaced, grown), decided)
    return grown


def indicate(example: Example, text: str) -> Conversation | None:
    """The conversation with the mark; None where there is no response, or it is marked already."""
    if example.response_at is None:
        return None
    messages: list[dict[str, Any]] = [*example.messages]
    users = [at for at in range(example.response_at) if messages[at]["role"] == "user"]
    if not users or messages[users[-1]]["content"].rstrip().endswith(text.strip()):
        return None
    said = messages[users[-1]]["content"].rstrip()
    stop = "." if said[-1:].isalnum() else ""
    messages[users[-1]] = {**messages[users[-1]], "content": f"{said}{stop}{text}"}
    return replace(example.conversation, messages=messages)


def count(ids: Sequence[str], replaced: Mapping[str, str], grown: Sequence[str]) -> StageCount:
    """The books: what was indicated left, and its indicated form was added."""
    return StageCount(
        stage="indicate",
        step=1,
        label="mark what depends on its prompt",
        rows_in=len(ids),
        added=len(set(grown) - set(ids)),
        kept=len(grown),
        dropped={"indicated": len(replaced)} if replaced else {},
    )


def decide_indicated(
    scores: Mapping[str, float], replaced: Mapping[str, str], added: Sequence[str]
) -> Decisions:
    """Of each example with a score whether it stays, or which indicated one stands for it."""
    values = [*scores.values(), *[np.nan] * len(added)]
    everything = [*scores, *added]
    return Decisions(
        everything,
        ["indicated" if each in replaced else "" for each in everything],
        [replaced.get(each) for each in everything],
        [None if value != value else value for value in values],  # NaN differs from itself
        added=frozenset(added),
    )
