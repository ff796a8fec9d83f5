"""Check stage: rows that hold something of an evaluation set are reported, flagged or removed.

The evaluation sets are read and never changed, and their items never become examples. Every hit is
stored with its evidence, and the recall on injected leaks beside it, so that "nothing found" can be
told from "nothing could be found".
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from pipeline.contamination.evaluations import read_evaluations
from pipeline.contamination.recall import EmbedRows, measure_recall
from pipeline.contamination.search import (
    BLOCK_ROWS,
    ItemSearch,
    all_items,
    summarise_sets,
    text_matchers,
)
from pipeline.contamination.semantic import SemanticMatcher, item_text
from pipeline.contamination.settings import CheckSettings, EvaluationSettings
from pipeline.contamination.texts import RowBlock, RowTurns, read_turn_texts
from pipeline.ingest.readers import source_fingerprint
from pipeline.ingest.stage import stored_path
from pipeline.measuring.measures.embeddings import Embeddings, embeddings_name
from pipeline.run_context import RunContext
from pipeline.selection.candidates import read_candidates
from pipeline.selection.decisions import count_step
from pipeline.selection.heavy_losses import heavy_losses
from scorers.arrays import Floats
from scorers.measures.models.devices import borrowed_device
from scorers.measures.models.loading import load_embedder, resolve_model
from storage.contamination import (
    HitRow,
    SetCounts,
    UncheckedRow,
    count_hits,
    read_contaminated,
    write_check,
)
from storage.conversations import Message, TextField, compared_text, content_hash
from storage.database import Connection, open_tables, open_workspace
from storage.decisions import Decisions
from storage.evaluation_vectors import read_evaluation_vectors, write_vectors
from storage.examples import stream_messages
from storage.measurements import read_measurements
from storage.runs import StageCount, write_step
from storage.workspace import Workspace

STAGE = "check"


def check_examples(
    run: RunContext,
    settings: CheckSettings,
    embeddings: Sequence[Embeddings],
    pool: Sequence[str],
) -> list[str]:
    """Compare the pool with the evaluation sets, store what was found, do what is to follow.

    `embeddings` are the blocks of the recipe that say which model embedded the rows.

    Returns:
        The ids that are left, sorted.

    Raises:
        UnreadableSourceError: if an evaluation set cannot be read.
    """
    search, embed = prepare_search(run.workspace, settings, embeddings)
    recall = measure_recall(search, settings.leaks, settings.short_words, run.seed, embed)
    ids = sorted(pool)
    summary = {
        "action": settings.action,
        "rows": len(ids),
        "rules": [matcher.rule for matcher in search.matchers],
        "evaluations": [
            asdict(each) | {"path": stored_path(run.workspace, each.path)}
            for each in summarise_sets(search)
        ],
        "recall": [asdict(line) for line in recall],
    }
    unchecked = [
        UncheckedRow(row.evaluation, row.item, row.reason, row.detail) for row in search.unchecked()
    ]
    # Rows are read through a connection of their own, while hits are written: each is read once.
    with open_workspace(run.workspace) as con, open_tables(run.workspace) as rows:
        hits = find_hits(con, rows, run, search, settings, ids)
        write_check(con, run.run_id, hits, unchecked, summary)
        decisions = decide_contamination(settings, ids, read_contaminated(con, run.run_id))
        notes = [*check_notes(con, run.run_id, search)]
        reasons = np.array(decisions.reasons, dtype=object)
        notes += heavy_losses("check", read_candidates(con, run, ids).sources, reasons)
        count = count_check(settings, search, decisions, notes)
        write_step(con, run.run_id, count, decisions)
    return [i for i, reason in zip(ids, decisions.reasons, strict=True) if not reason]


def prepare_search(
    workspace: Workspace, settings: CheckSettings, embeddings: Sequence[Embeddings]
) -> tuple[ItemSearch, EmbedRows | None]:
    """Read the sets, make the matchers, and say how leaks are embedded."""
    evaluations = read_evaluations(settings.against)
    items = all_items(evaluations)
    matchers = text_matchers(settings, items)
    if settings.semantic is None:
        return ItemSearch(evaluations, items, matchers), None
    of = settings.semantic.text
    (model,) = [block.model for block in embeddings if block.of == of]
    vectors = embed_texts(workspace, model, [item_text(item, of) for item in items])
    matchers.append(SemanticMatcher(items, vectors, of, settings.semantic.threshold))

    def embed_rows(rows: Sequence[RowTurns]) -> Floats:
        return embed_texts(workspace, model, [row_text(row, of) for row in rows])

    return ItemSearch(evaluations, items, matchers), embed_rows


def row_text(row: RowTurns, of: TextField) -> str:
    """The text of an injected row that is embedded; "" where it has none."""
    answer = next((turn.text for turn in row if turn.role == "assistant"), None)
    return compared_text(of, row[0].text, answer or None)


def embed_texts(workspace: Workspace, model: str, texts: Sequence[str]) -> Floats:
    """(n, d) embeddings, NaN for an empty text; each list of texts is embedded once and kept."""
    resolved = resolve_model(model)
    key = content_hash([resolved.fingerprint, list(texts)])
    stored = read_evaluation_vectors(workspace, key)
    if stored is not None:
        return stored
    filled = [place for place, text in enumerate(texts) if text.strip()]
    with borrowed_device():
        embedder = load_embedder(resolved)
        found = embedder.embed([texts[place] for place in filled])
    vectors = np.full((len(texts), embedder.dimensions), np.nan)  # no vector of an empty text
    vectors[filled] = found
    write_vectors(workspace, key, vectors)
    return vectors


def find_hits(
    con: Connection,
    rows: Connection,
    run: RunContext,
    search: ItemSearch,
    settings: CheckSettings,
    ids: Sequence[str],
) -> Iterator[list[HitRow]]:
    """The hits of the pool, a block of rows at a time; the rows come through a connection apart."""
    of = settings.semantic.text if settings.semantic else None
    for messages in stream_messages(rows, ids, BLOCK_ROWS):
        block = read_block(con, run, messages, of)
        yield [
            HitRow(h.row, h.evaluation, h.item, h.matched, h.rule, h.similarity, h.evidence)
            for h in search.find([block])
        ]


def read_block(
    con: Connection, run: RunContext, of_rows: Mapping[str, Sequence[Message]], of: TextField | None
) -> RowBlock:
    """Some rows of the pool as turns, with their embeddings where these are compared."""
    ids, rows = [*of_rows], [read_turn_texts(messages) for messages in of_rows.values()]
    if of is None:
        return RowBlock(ids, rows, None)
    key = run.measures[embeddings_name(of)]
    _, columns = read_measurements(con, key, ("embedding",), ids)
    return RowBlock(ids, rows, columns["embedding"])


def decide_contamination(
    settings: CheckSettings, ids: Sequence[str], contaminated: dict[str, float]
) -> Decisions:
    """What becomes of the rows; the value is the largest similarity of a row's hits."""
    removed = contaminated if settings.action == "remove" else {}
    shown = {} if settings.action == "report" else contaminated  # a report marks no row
    return Decisions(
        ids,
        ["contaminated" if i in removed else "" for i in ids],
        [None] * len(ids),
        [shown.get(i) for i in ids],
    )


def check_notes(con: Connection, run_id: str, search: ItemSearch) -> list[str]:
    """A line for each set: what was found, and what could not be checked."""
    counts, missed = count_hits(con, run_id), search.unchecked()
    lines = []
    for each in search.evaluations:
        hits, rows, items = counts.get(each.name, SetCounts(0, 0, 0))
        blind = sum(row.evaluation == each.name for row in missed)
        lines.append(
            f"check against {each.name}: {hits} hits, {rows} rows hold something of {items} of "
            f"its {each.rows} items, {blind} items could not be checked"
        )
    return lines


def count_check(
    settings: CheckSettings, search: ItemSearch, decisions: Decisions, notes: Sequence[str]
) -> StageCount:
    """Balance the books of the check."""
    rules = "; ".join(matcher.rule for matcher in search.matchers)
    label = f"{settings.action} contamination: {rules}"
    return count_step(STAGE, 1, label, decisions.reasons, tuple(notes))


def evaluation_fingerprints(settings: CheckSettings | None) -> list[str]:
    """Hashes of the sets' contents, in the order given: with other items a run is another."""
    blocks: Sequence[EvaluationSettings] = settings.against if settings else ()
    return [source_fingerprint(file) for block in blocks for file in block.source.files()]
