"""Between Arrow columns and the plain rows that the measuring engine takes and gives."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
import pyarrow as pa

from pipeline.code_version import code_version
from scorers.measures.model_text import storable_message
from scorers.measures.models.loading import load_tokenizer, resolve_model
from scorers.measures.models.model_cache import default_cache, remember
from scorers.measures.reading.chat_format import (
    RenderedExample,
    RenderingError,
    Template,
    require_bounded,
    require_template,
    template_fingerprint,
)
from scorers.measures.reading.content_end import last_content_token, template_end
from scorers.measures.reading.dialogue import Dialogue, RenderedTurn, join_turns, render_dialogues
from scorers.measures.reading.reasoning import Span, find_reasoning
from scorers.measures.reading.turn_tokens import TurnTokens, find_turns
from storage.conversations import content_hash, message_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STATE_FIELDS = [
    pa.field("example_id", pa.string()),
    pa.field("state", pa.string()),
    pa.field("detail", pa.string()),
]
"""Columns that every measurement has."""

Asked = TypeVar("Asked")
Inspected = TypeVar("Inspected")

Unmeasured = dict[str, Any]
"""The state of an example that no model can be asked about, and why."""

RENDERED_TOGETHER = 1_000
"""Examples whose tokens are held at once: enough for the tokenizer's batches."""

RENDERED_CHARACTERS = 1 << 24
"""The same of their characters, to which long ones come before a thousand."""

_rendering = Lock()
"""A tokenizer may be asked by one thread at a time; shards are prepared by several."""


@lru_cache(maxsize=4)
def tokenizer_of(model: str) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model by reference, loaded once per process."""
    return load_tokenizer(resolve_model(model))


def template_of(model: str, template: Template) -> str:
    """Fingerprint of how a model's conversations are rendered.

    It is remembered: to load a tokenizer is most of what a run takes that has nothing to ask.

    Raises:
        MissingTemplateError: if the model has no chat template where that is the template.
    """
    fingerprint = resolve_model(model).fingerprint
    made_of = " ".join([fingerprint, template, code_version(), version("transformers")])

    def find() -> str:
        tokenizer = tokenizer_of(model)
        if template == "chat":
            require_template(tokenizer)
            require_bounded(tokenizer)
        return template_fingerprint(tokenizer, template)

    return remember(default_cache() / "templates", made_of, find)


def render_examples(
    model: str, template: Template, examples: pa.Table
) -> list[list[RenderedTurn] | Unmeasured]:
    """Token ids of each example's trained turns, or why there are none; a row fails alone."""
    return inspect_rows(model, template, examples, lambda _tokenizer, _dialogue, turns: turns)


def reasoning_spans(
    model: str,
    template: Template,
    examples: pa.Table,
    rendered: Sequence[list[RenderedTurn] | Unmeasured],
) -> list[list[Span | None]]:
    """Of each example the reasoning of each trained turn, as tokens of its response."""
    with _rendering:
        tokenizer, found = tokenizer_of(model), []
        read = examples.select(["messages", "tools"]).to_pylist()
        for row, turns in zip(read, rendered, strict=True):
            messages, tools = orjson.loads(row["messages"]), orjson.loads(row["tools"])
            found.append(
                []
                if isinstance(turns, dict)
                else [find_reasoning(tokenizer, messages, tools, turn, template) for turn in turns]
            )
        return found


def inspect_rows(
    model: str,
    template: Template,
    examples: pa.Table,
    inspect: Callable[["PreTrainedTokenizerBase", Dialogue, list[RenderedTurn]], Inspected],
    *,
    headers: bool = True,
) -> list[Inspected | Unmeasured]:
    """What is found out of each example by its tokenizer and its trained turns' token ids.

    Without `headers` those of the turns are not found out, which takes a third less rendering.
    """
    # Of few columns: to make Python's rows of a table costs as much as to render them.
    asked = examples.select(["messages", "tools", "response_at", "trained_at"])
    dialogues = rows_to_ask(asked, dialogue_of)
    with _rendering:
        tokenizer = tokenizer_of(model)

        def render(asked: list[Dialogue]) -> Iterator[Inspected | Unmeasured]:
            for some in cut_dialogues(asked):
                rendered = render_dialogues(tokenizer, some, template, headers=headers)
                for dialogue, turns in zip(some, rendered, strict=True):
                    if isinstance(turns, RenderingError):
                        yield {"state": "failed", "detail": str(turns)}
                    else:
                        yield inspect(tokenizer, dialogue, turns)

        return answer_rows(dialogues, render)


def cut_dialogues(dialogues: Iterable[Dialogue]) -> Iterator[list[Dialogue]]:
    """Conversations in their order, as many together as are rendered at once."""
    some: list[Dialogue] = []
    characters = 0
    for dialogue in dialogues:
        if some and characters + dialogue.characters > RENDERED_CHARACTERS:
            yield some
            some, characters = [], 0
        some.append(dialogue)
        characters += dialogue.characters
        if len(some) == RENDERED_TOGETHER:
            yield some
            some, characters = [], 0
    if some:
        yield some


def dialogue_of(row: Mapping[str, Any]) -> Dialogue:
    """An example's messages, tools and trained turns."""
    return Dialogue(orjson.loads(row["messages"]), orjson.loads(row["tools"]), row["trained_at"])


def render_rows(
    model: str, template: Template, examples: pa.Table
) -> list[RenderedExample | Unmeasured]:
    """Each example as the one row that a model can learn it from in one reading, or why not."""
    return [
        turns if isinstance(turns, dict) else join_row(turns)
        for turns in render_examples(model, template, examples)
    ]


def join_row(turns: Sequence[RenderedTurn]) -> RenderedExample | Unmeasured:
    """All trained turns of an example as one row, where the template writes them so."""
    rows = join_turns(turns)
    if len(rows) == 1:
        return rows[0]
    detail = f"the template writes its {len(turns)} trained turns otherwise when others follow"
    return {"state": "not_applicable", "detail": f"{detail}: {len(rows)} rows, and one is read"}


def content_ends(model: str, template: Template, rows: Sequence[RenderedExample]) -> list[int]:
    """Of each row's response the last token that is content, and not the template's."""
    with _rendering:
        tokenizer = tokenizer_of(model)
        end = template_end(tokenizer, template)
        return [last_content_token(tokenizer, end, row.response) for row in rows]


def readable_rows(
    model: str, template: Template, examples: pa.Table, longest: int
) -> list[RenderedExample]:
    """Those of the examples that a training of at most so many tokens a row would read."""
    return [
        row
        for row in render_rows(model, template, examples)
        if isinstance(row, RenderedExample)
        and row.loss_tokens  # a template may leave nothing of a reply, and no token to learn
        and len(row.prompt) + len(row.response) <= longest
    ]


def find_row_turns(model: str, examples: pa.Table) -> list[TurnTokens | Unmeasured]:
    """The turns of each example up to its response, or why they cannot be told."""
    with _rendering:
        tokenizer = tokenizer_of(model)
        return rows_to_ask(examples, lambda row: turns_of_row(tokenizer, row))


def turns_of_row(
    tokenizer: "PreTrainedTokenizerBase", row: Mapping[str, Any]
) -> TurnTokens | Unmeasured:
    """The turns of one example up to its response, or why they cannot be told."""
    messages, tools = orjson.loads(row["messages"]), orjson.loads(row["tools"])
    try:
        return find_turns(tokenizer, messages[: row["response_at"] + 1], tools)
    except RenderingError as error:
        return {"state": "failed", "detail": str(error)}


def rows_to_ask(
    examples: pa.Table, build: Callable[[dict[str, Any]], Asked | Unmeasured]
) -> list[Asked | Unmeasured]:
    """What the engine is asked about each example that has a response."""
    return [
        no_response() if row["response_at"] is None else build(row) for row in examples.to_pylist()
    ]


def answer_rows(
    rows: Sequence[Asked | Unmeasured],
    ask: Callable[[list[Asked]], Iterable[Inspected | Unmeasured]],
) -> list[Inspected | Unmeasured]:
    """Ask about the rows that can be, together, and put each answer where its row is.

    Args:
        rows: what the engine is asked about; in the place of a row that it is not, its state.
        ask: is given the others, and has an answer for each in their order.
    """
    answers = iter(ask([row for row in rows if not isinstance(row, dict)]))
    return [row if isinstance(row, dict) else next(answers) for row in rows]


def split_row(row: Mapping[str, Any]) -> tuple[list[dict[str, Any]], str]:
    """What stands before an example's last trained turn, and that turn as plain text.

    A model that is asked about an answer is asked about this one, in its place.
    """
    messages = orjson.loads(row["messages"])
    return messages[: row["response_at"]], message_text(messages[row["response_at"]])


def prompt_key(row: Mapping[str, Any]) -> str:
    """What examples share whose last trained turn answers the same messages."""
    if len(row["trained_at"]) <= 1:
        return str(row["prompt_id"])
    return content_hash([orjson.loads(row["messages"])[: row["response_at"]], row["tools"]])


def no_response() -> Unmeasured:
    """The state of an example that is a prompt only."""
    return {"state": "not_applicable", "detail": "the example has no response"}


def answer_table(
    examples: pa.Table, answers: Sequence[dict[str, Any]], fields: Sequence[pa.Field]
) -> pa.Table:
    """Answers as a table aligned with the examples; a number that is not there is null."""
    ids = examples["example_id"].to_pylist()
    rows = [  # from_pylist fills what an answer lacks, and what follows `**answer` overrides it
        {"example_id": example_id, **answer, "detail": storable_message(answer.get("detail") or "")}
        for example_id, answer in zip(ids, answers, strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=pa.schema([*STATE_FIELDS, *fields]))
