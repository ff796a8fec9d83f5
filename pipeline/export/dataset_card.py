"""The dataset card: README.md of an export, for the Hub and for people.

Every number in it is counted from the rows written or taken from the books of the run; nothing is
estimated. The front matter follows the Hub: https://huggingface.co/docs/hub/datasets-cards.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.export.languages import language_line, main_languages
from pipeline.export.pretokenized import COLUMNS_TEXT as TOKEN_COLUMNS_TEXT
from pipeline.measuring.faults import fault_lines
from pipeline.text.markdown import bullets, code_span, escape_markdown, markdown_table, show_names
from storage.exports_manifest import (
    DATA_FOLDER,
    PREFERENCES,
    PREFERENCES_FOLDER,
    PRETOKENIZED,
    SCORE_PREFIX,
    TOKENS_FOLDER,
    ModelIdentity,
    RejectedCounts,
    SourceCounts,
    Split,
    SplitCounts,
    TemplateFaults,
)
from storage.runs import StageCount
from storage.visible import harmless

if TYPE_CHECKING:
    from huggingface_hub import DatasetCardData

_HUB_LICENSE_TEXT = """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bsd bsd-2-clause bsd-3-clause bsl-1.0 c-uda cc
    cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
    cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0
    cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
    ecl-2.0 epl-2.0 etalab-2.0 eupl-1.1 gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0 mit
    mpl-2.0 ms-pl ncsa odbl odc-by osl-3.0 pddl postgresql unlicense wtfpl zlib
"""
HUB_LICENSES = frozenset(_HUB_LICENSE_TEXT.split())
"""Identifiers the Hub knows, https://huggingface.co/docs/hub/repositories-licenses."""

UNKNOWN_LICENSE = "unknown"

SIZE_BUCKETS = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)

FEATURES = (
    {"name": "example_id", "dtype": "string"},
    *({"name": name, "list": "json"} for name in ("prompt", "completion", "tools")),
    *({"name": name, "dtype": "int64"} for name in ("prompt_tokens", "loss_tokens", "rank")),
    {"name": "weight", "dtype": "float64"},
    *({"name": name, "dtype": "string"} for name in ("source", "license")),
)
"""The columns of the Parquet files, as the front matter names their types."""

COLUMNS_TEXT = """\
| column | what it is |
|---|---|
| `prompt` | messages before the response; no loss is taken on them |
| `completion` | the response, one assistant message; the loss is taken on it |
| `tools` | JSON schemas of the tools the assistant could call, null where there were none |
| `prompt_tokens`, `loss_tokens` | counted with the tokenizer and template named below |
| `rank` | place in the selection, from 1 |
| `weight` | weight in the selection; a trainer that is not told counts every row alike |
| `source`, `license` | where the row was read, and the licence stated there |
| `example_id` | hash of the conversation's content |
"""

REJECTED_FEATURES = (
    {"name": "rejected_answer", "list": "json"},
    *({"name": name, "dtype": "string"} for name in ("rejected_id", "rejected_reason")),
    {"name": "rejected_tokens", "dtype": "int64"},
)

REJECTED_TEXT = """\
| `rejected_answer` | another answer to the prompt, which the selection dropped; null: none |
| `rejected_id`, `rejected_reason` | the example it is the answer of, and why that was dropped |
| `rejected_tokens` | tokens of that answer |
"""

PREFERENCES_TEXT = f"""
`load_dataset(folder, "{PREFERENCES}")` has those rows once more, in TRL's preference format:
`prompt`, `chosen`, `rejected` and `tools`, with `example_id`, `rejected_id` and `rejected_reason`.
"""


@dataclass(frozen=True, slots=True)
class ControlFacts:
    """A selection made to compare this one with."""

    name: str
    rows: int
    loss_tokens: int


@dataclass(frozen=True, slots=True)
class ExportFacts:
    """What the caller knows of an export that its rows do not say."""

    name: str
    selection_id: str
    run_id: str
    recipe: Mapping[str, object]
    """Resolved, as stored with the run; becomes recipe.json."""
    recipe_hash: str
    seed: int
    model: ModelIdentity
    max_length: int | None
    """Tokens; rows longer than this are refused."""
    chat_template: str | None = None
    """Text of the template that the recipe names in place of the model's own; becomes a file."""
    parent: str | None = None
    libraries: Mapping[str, str] | None = None
    """None: the versions installed."""
    languages: Mapping[str, int] = field(default_factory=dict)
    """ISO 639 code → rows, "" for rows whose language could not be told; empty if not measured."""
    funnel: Sequence[StageCount] = ()
    steps: Sequence[str] = ()
    """How the rows were chosen, one sentence each."""
    template_faults: TemplateFaults = field(default_factory=TemplateFaults)
    generators: Sequence[str] = ()
    """Models that wrote or rewrote rows."""
    controls: Sequence[ControlFacts] = ()
    verdict: str = ""
    """Whether the choice beats its controls, in a line; "" for rows that claim nothing."""
    limits: Sequence[str] = ()
    """What a user should know and might not expect, one sentence each."""
    scores: Sequence[str] = ()
    """Scores that each row has beside it."""
    rejected: Sequence[str] = ()
    """Reasons for which the answers were dropped that rows have beside them."""


@dataclass(frozen=True, slots=True)
class WrittenCounts:
    """What was counted while the rows were written."""

    splits: Mapping[Split, SplitCounts]
    sources: Sequence[SourceCounts]
    arrow_bytes: Mapping[Split, int]
    """Bytes of the rows in memory, for each split."""
    parquet_bytes: int
    pretokenized: Mapping[Split, SplitCounts] = field(default_factory=dict)
    """Of the rows as token ids; empty where there are none."""
    rejected: Mapping[Split, RejectedCounts] = field(default_factory=dict)


def write_card(facts: ExportFacts, counts: WrittenCounts) -> str:
    """The card as Markdown with YAML front matter."""
    sections = [
        f"# {escape_markdown(facts.name)}",
        _summary(facts, counts),
        language_line(facts.languages),
        _column_section(facts, counts),
        _token_section(counts),
        "## Sources and licences\n\n" + source_table(counts.sources),
        "## What became of the rows\n\n" + _funnel_table(facts.funnel),
        _list_section("How the rows were chosen", facts.steps),
        _list_section(
            "What the template does not write as it is", fault_lines(facts.template_faults)
        ),
        _list_section("Models that wrote rows", facts.generators),
        _control_section(facts.controls, facts.verdict),
        _list_section("Known limits", facts.limits),
    ]
    body = "\n\n".join(filter(None, sections))  # a section without content is ""
    return f"---\n{_card_data(facts, counts).to_yaml()}\n---\n\n{body}\n"


def size_bucket(rows: int) -> str:
    """The Hub's size category for a number of rows."""
    return next((name for limit, name in SIZE_BUCKETS if rows < limit), "n>1T")


def license_matter(sources: Sequence[SourceCounts]) -> dict[str, Any]:
    """The front matter's licence keys: one Hub identifier, or `other` with every name.

    A source that states no licence makes the whole `unknown` or, among others, one of the names:
    a card must not promise what one of its sources did not give.
    """
    names = sorted({_hub_license(item.license) for item in sources})
    if len(names) == 1 and names[0] in {*HUB_LICENSES, UNKNOWN_LICENSE}:  # else the Hub refuses it
        return {"license": names[0]}
    link = "README.md#sources-and-licences"
    return {"license": "other", "license_name": ", ".join(names), "license_link": link}


def _hub_license(stated: str | None) -> str:
    if stated is None or not stated.strip():
        return UNKNOWN_LICENSE
    shown = " ".join(harmless(stated).split())
    name = re.sub(r"[\s_]+", "-", shown.lower())  # "Apache 2.0" is apache-2.0
    return name if name in HUB_LICENSES else shown


def _card_data(facts: ExportFacts, counts: WrittenCounts) -> "DatasetCardData":
    from huggingface_hub import DatasetCardData

    splits = [
        {"name": name, "num_bytes": counts.arrow_bytes[name], "num_examples": split.rows}
        for name, split in counts.splits.items()
    ]
    return DatasetCardData(
        pretty_name=" ".join(harmless(facts.name).split()),
        language=main_languages(facts.languages) or None,  # None leaves the key out
        task_categories=["text-generation"],
        size_categories=[size_bucket(sum(split.rows for split in counts.splits.values()))],
        tags=["sft", "trl", "sluice"],
        configs=[
            {"config_name": name, "data_files": _data_files(folder, splits_there)}
            for name, folder, splits_there in (
                ("default", DATA_FOLDER, counts.splits),
                (PRETOKENIZED, TOKENS_FOLDER, counts.pretokenized),
                (PREFERENCES, PREFERENCES_FOLDER, counts.rejected),
            )
            if splits_there
        ],
        dataset_info={
            "features": [
                *map(dict, FEATURES),
                *({"name": f"{SCORE_PREFIX}{name}", "dtype": "float64"} for name in facts.scores),
                *(map(dict, REJECTED_FEATURES) if facts.rejected else ()),
            ],
            "splits": splits,
            "download_size": counts.parquet_bytes,  # on disk, compressed
            "dataset_size": sum(counts.arrow_bytes.values()),  # in memory
        },
        **license_matter(counts.sources),
    )


def _data_files(folder: str, splits: Iterable[str]) -> list[dict[str, str]]:
    """Where the Hub finds the shards of each split."""
    return [{"split": name, "path": f"{folder}/{name}-*"} for name in splits]


def split_table(splits: Mapping[Split, SplitCounts]) -> str:
    """Rows and tokens of each split, as a Markdown table."""
    rows = [
        (name, f"{split.rows:,}", f"{split.prompt_tokens:,}", f"{split.loss_tokens:,}")
        for name, split in splits.items()
    ]
    return markdown_table("lrrr", ("split", "rows", "prompt tokens", "loss tokens"), rows)


def source_table(sources: Sequence[SourceCounts]) -> str:
    """Licence and rows of each source, as a Markdown table."""
    rows = [(item.source, item.license or "not stated", f"{item.rows:,}") for item in sources]
    return markdown_table("llr", ("source", "licence", "rows"), rows)


def _summary(facts: ExportFacts, counts: WrittenCounts) -> str:
    limit = "no limit" if facts.max_length is None else f"{facts.max_length:,} tokens"
    return (
        f"Chosen by selection `{facts.selection_id}` of run `{facts.run_id}`, seed {facts.seed}; "
        "the recipe is in `recipe.json`, the promises in `manifest.json`.\n\n"
        f"{split_table(counts.splits)}\n\n"
        f"Tokens are those of {code_span(facts.model.reference)}, "
        f"template `{facts.model.template}`; longest row allowed: {limit}."
    )


def _score_line(name: str) -> str:
    """A score among the columns."""
    return f"| `{SCORE_PREFIX}{name}` | the score `{name}` of the example, null where it has none |"


def _column_section(facts: ExportFacts, counts: WrittenCounts) -> str:
    lines = ["## Columns\n", COLUMNS_TEXT.rstrip(), *map(_score_line, facts.scores)]
    if facts.rejected:
        found = sum(split.rows for split in counts.rejected.values())
        lines += [REJECTED_TEXT.rstrip(), f"\n{found:,} rows have a rejected answer."]
        if found:
            lines += [PREFERENCES_TEXT.rstrip()]
    return "\n".join(lines)


def _token_section(counts: WrittenCounts) -> str:
    if not counts.pretokenized:
        return ""
    return (
        f'## Token ids\n\n`load_dataset(folder, "{PRETOKENIZED}")` has the same turns as token ids '
        "and labels, for a trainer to take as they are. A dialogue is one row where the template "
        "writes its turns alike whatever follows them.\n\n"
        f"{split_table(counts.pretokenized)}\n\n{TOKEN_COLUMNS_TEXT.rstrip()}"
    )


def _funnel_table(funnel: Sequence[StageCount]) -> str:
    if not funnel:
        return "Not recorded."
    lines = [
        (
            step.stage if step.stage == step.label else f"{step.stage}: {step.label}",
            *(f"{count:,}" for count in (step.rows_in, step.added, step.kept)),
            *map(_reasons, (step.dropped, step.quarantined)),
        )
        for step in funnel
    ]
    headings = ("step", "in", "added", "kept", "dropped", "quarantined")
    notes = bullets(note for step in funnel for note in step.notes)
    # An empty line ends the table; without it Markdown would take the notes for rows.
    return "\n".join([markdown_table("lrrrll", headings, lines), *([""] if notes else []), *notes])


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items())) or "0"


def _control_section(controls: Sequence[ControlFacts], verdict: str) -> str:
    lines = [(item.name, f"{item.rows:,}", f"{item.loss_tokens:,}") for item in controls]
    table = markdown_table("lrr", ("selection", "rows", "loss tokens"), lines)
    told = f"\n\nWhether the choice trains better: {show_names(verdict)}." if verdict else ""
    return f"## Controls\n\n{table}{told}" if controls else ""


def _list_section(title: str, items: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(bullets(items)) if items else ""
