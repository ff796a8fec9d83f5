"""Tags: what each prompt asks for, as a model names it, with one name for what is the same.

Two measures: `tag_replies` has what the model wrote, asked once for each prompt and stored for
good; `tags` names it over a pool, asks no language model, and is made anew when the pool changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.measuring.endpoint import AskedBlock, ServedMeasure, generator_of
from pipeline.measuring.measure import SAMPLING_SHARD_TOKENS, ExampleInputs, Jobs, MeasureScope
from pipeline.measuring.rows import (
    STATE_FIELDS,
    Unmeasured,
    answer_rows,
    answer_table,
    no_response,
    prompt_key,
    split_row,
)
from pipeline.ranking.greedy_diverse import keep_diverse
from pipeline.settings import Settings, Subset
from scorers.measures.models.devices import borrowed_device
from scorers.measures.models.loading import load_embedder, resolve_model
from scorers.measures.protocols import GenerationRequest
from scorers.measures.tags import (
    QUESTION,
    VERSION,
    by_frequency,
    check_question,
    name_tags,
    read_reply,
    stem_names,
    tag_request,
)
from storage.conversations import content_hash
from storage.database import Connection
from storage.measurements import MeasureKey, read_text_lists

REPLY_FIELDS = [pa.field("tags", pa.list_(pa.string()))]

FIELDS = [*REPLY_FIELDS, pa.field("tag_count", pa.int64())]


class TagNaming(Settings):
    """When two tags are one, and which are too rare to be one."""

    by: Literal["stem", "embedding", "none"] = Field(
        default="stem",
        description="stem: tags that differ in the plural are one; embedding: those too that mean "
        "nearly the same; none: each is its own.",
    )
    model: str = Field(
        default="wheel:all-minilm-l6-v2",
        description="A sentence-transformers model; for embedding only.",
    )
    similarity: float = Field(
        default=0.9,
        gt=0,
        le=1,
        description="Cosine above which a tag takes the name of a more frequent one.",
    )
    least_rows: int = Field(
        default=2, gt=0, description="A tag that fewer rows of the pool have is dropped."
    )

    def fingerprint(self) -> dict[str, Any]:
        """What can change a name."""
        if self.by != "embedding":
            return self.model_dump(include={"by", "least_rows"})
        model = resolve_model(self.model).fingerprint
        return {**self.model_dump(exclude={"model"}), "model": model}

    def names(self, rows: Sequence[Sequence[str]]) -> dict[str, str]:
        """Tag → its name, where that is another."""
        if self.by == "none":
            return {}
        names = stem_names(rows)
        ordered = by_frequency(rows, names)
        if self.by == "stem" or not ordered:
            return names
        with borrowed_device():
            vectors = load_embedder(resolve_model(self.model)).embed(ordered)
        n = len(ordered)  # each costs 1 and all may be kept: only likeness drops a tag
        order, costs = np.arange(n), np.ones(n, dtype=np.int64)
        nearest = keep_diverse(vectors, order, self.similarity, costs, n).because_of
        merged = {ordered[at]: ordered[to] for at, to in enumerate(nearest) if to >= 0}  # -1: kept
        return {tag: merged.get(name, name) for tag, name in names.items()}


class TagSettings(AskedBlock):
    """Tags that a model writes of each prompt: `tag_count` and `instag` need them."""

    template: str | None = Field(
        default=None,
        description="The question, with {prompt} where it belongs; the reply must be a list with "
        "commas or in lines. A built-in one if not given.",
    )
    max_new_tokens: int = Field(
        default=96, gt=0, description="Of a list; one that is cut off counts as failed."
    )
    names: TagNaming = Field(default=TagNaming(), description="Which tags are one.")
    part: Subset | None = Field(default=None, description="Ask about part of the pool only.")

    @model_validator(mode="after")
    def can_be_put(self) -> Self:
        """Refuse a question that cannot be put."""
        check_question(self.question)
        return self

    @property
    def question(self) -> str:
        """What is asked."""
        return QUESTION if self.template is None else self.template


class TagReplies(ServedMeasure):
    """What a model wrote of each prompt, with the server's model where one is asked."""

    shard_tokens: ClassVar[int] = SAMPLING_SHARD_TOKENS
    writes: ClassVar[bool] = True

    settings: TagSettings

    def key(self) -> MeasureKey:
        """Model, template, question and how long a list may be; not how tags are named."""
        settings = {
            "version": VERSION,
            "template": self.settings.question,
            "max_new_tokens": self.settings.max_new_tokens,
        }
        return self.chat_key("tag_replies", self.settings.model, settings)

    def measure(self, examples: pa.Table) -> pa.Table:
        """Have tags written of each prompt; candidates of one prompt share them."""
        rows = examples.to_pylist()
        requests = {
            prompt_key(row): self.request(row) for row in rows if row["response_at"] is not None
        }
        with borrowed_device():
            generator = generator_of(self.settings.model, self.served)
            written = generator.sample(list(requests.values()))
        replies = {
            prompt: asdict(read_reply(answer))
            for prompt, answer in zip(requests, written, strict=True)
        }
        answers = [replies.get(prompt_key(row), no_response()) for row in rows]
        return answer_table(examples, answers, REPLY_FIELDS)

    def request(self, row: Mapping[str, Any]) -> GenerationRequest:
        """The question about one row's prompt."""
        prompt, _ = split_row(row)
        return tag_request(self.settings.question, prompt, self.settings.max_new_tokens)


class Tags(Settings, ExampleInputs):
    """The tags of a pool by their names."""

    whole_pool: ClassVar[bool] = True

    replies: TagReplies
    pool: str = Field(description="Hash of the ids of the examples among which tags are named.")

    def key(self) -> MeasureKey:
        """The key of what was written, how it is named, and among which rows."""
        replies = self.replies.key()
        return MeasureKey(
            measure="tags",
            model=replies.model,
            model_fingerprint=replies.model_fingerprint,
            template_fingerprint=replies.template_fingerprint,
            settings={
                "version": VERSION,
                "replies": replies.measure_key,
                "pool": self.pool,
                **self.replies.settings.names.fingerprint(),
            },
        )

    def inputs(self, con: Connection, ids: Sequence[str]) -> pa.Table:
        """What was written of each example's prompt."""
        said = read_text_lists(con, self.replies.key(), "tags", ids)
        columns = {"example_id": ids, "state": said.states, "detail": said.details}
        schema = pa.schema([*STATE_FIELDS, *REPLY_FIELDS])
        return pa.table({**columns, "tags": said.lists}, schema=schema)

    def measure(self, examples: pa.Table) -> pa.Table:
        """Name the tags; a row without keeps its reason."""
        rows: list[list[str] | Unmeasured] = [
            row["tags"]
            if row["state"] == "ok"
            else {"state": row["state"], "detail": row["detail"]}
            for row in examples.to_pylist()
        ]
        return answer_table(examples, answer_rows(rows, self.name), FIELDS)

    def name(self, written: list[list[str]]) -> list[Unmeasured]:
        """The tags of each row by their names."""
        naming = self.replies.settings.names
        named = name_tags(written, naming.names(written), naming.least_rows)
        return [{"state": "ok", "tags": tags, "tag_count": len(tags)} for tags in named]


def plan_tag_replies(block: TagSettings, scope: MeasureScope, planned: Jobs) -> Jobs:
    """What is written of the prompts, of a subset or of all."""
    served = block.find_served(scope.workspace.requests)
    return {"tag_replies": scope.job(TagReplies(settings=block, served=served), block.part)}


def plan_tags(block: TagSettings, scope: MeasureScope, planned: Jobs) -> Jobs:
    """How it is named, among the same rows."""
    written = planned["tag_replies"]
    assert isinstance(written.measure, TagReplies)
    tags = Tags(replies=written.measure, pool=content_hash(sorted(written.ids)))
    return {"tags": replace(written, measure=tags)}
