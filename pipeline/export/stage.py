"""Export stage: a run's selection and its held-out rows → a folder that a trainer loads.

Everything in it is read from the workspace; the folder is written by pipeline/export/files.py.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from pipeline.evidence.trial_markdown import verdict_line
from pipeline.export.dataset_card import ControlFacts, ExportFacts
from pipeline.export.files import write_export
from pipeline.export.pretokenized import Pretokenize, pretokenize_rows
from pipeline.export.rejected import DroppedAnswer, dropped_answers, read_rejected
from pipeline.export.rows import ExportRow, row_id
from pipeline.export.settings import PLAIN, ExportSettings
from pipeline.measuring.faults import count_faults
from pipeline.measuring.measures.token_counts import TokenCounts
from pipeline.measuring.rows import template_of, tokenizer_of
from pipeline.run_context import RunContext
from scorers.measures.models.loading import named_template, resolve_model
from scorers.reductions import as_turns
from storage.conversations import content_hash
from storage.database import Connection, open_workspace
from storage.documents import OfDocument, read_documents_of
from storage.examples import (
    FirstSource,
    read_examples,
    read_first_sources,
    read_makers,
    read_pool,
)
from storage.exports_manifest import ExportManifest, ModelIdentity, Split
from storage.licenses import read_model_licenses
from storage.long_rows import cut_blocks
from storage.measurements import MeasureKey, read_measurements, read_texts
from storage.runs import StageCount, read_counts, write_step
from storage.scores import read_scores
from storage.selections import (
    CONTROLS,
    read_run_selections,
    read_selected_turns,
    read_selection,
    record_export,
)
from storage.trial_items import read_last_result

LIMITS = (
    "A conversation with several trained turns is a row for each of them, behind its own prompt.",
    "Loss tokens are counted with the tokenizer and template named here; others count otherwise.",
)


@dataclass(frozen=True, slots=True)
class Exported:
    """Where an export lies, and what it promises."""

    path: Path
    manifest: ExportManifest


def export_selection(
    run: RunContext,
    recipe: Mapping[str, Any],
    tokens: TokenCounts,
    steps: Sequence[str],
    settings: ExportSettings = PLAIN,
) -> Exported:
    """Write a run's selection for the trainer, its held-out rows as the validation split.

    Args:
        run: the run whose selection it is.
        recipe: resolved, for the folder and the card.
        tokens: how tokens were counted.
        steps: how the rows were chosen, one line each.
        settings: what is written beside the conversations.

    Raises:
        ExportExistsError: if the folder holds something else.
    """
    with open_workspace(run.workspace) as con:
        selections = read_run_selections(con, run.run_id)
        choice = selections["choice"]
        rows, aside_id = choice.rows, selections["held_out"].selection_id
        choice_ids, _ = read_selection(con, choice.selection_id)
        exported_ids = [*choice_ids, *read_selection(con, aside_id)[0]]
        pool = [*{*read_pool(con, run.source_ids), *exported_ids}]
        facts = ExportFacts(
            name=str(recipe["select"]["name"]),
            selection_id=choice.selection_id,
            run_id=run.run_id,
            recipe=recipe,
            recipe_hash=content_hash(recipe),
            seed=run.seed,
            model=identify_model(tokens, str(recipe["measure"]["tokens"]["model"])),
            max_length=tokens.max_tokens,
            chat_template=named_template(tokens.model),
            funnel=[count for count in read_counts(con, run.run_id) if count.stage != "export"],
            steps=steps,
            generators=read_generators(con, choice_ids),
            controls=[
                ControlFacts(kind, selections[kind].rows, selections[kind].loss_tokens)
                for kind in CONTROLS
            ],
            verdict=verdict_line(read_last_result(con, run.run_id)),
            limits=LIMITS,
            languages=count_languages(con, run, exported_ids),
            template_faults=count_faults(con, run.measures["token_counts"], pool, exported_ids),
            scores=settings.scores,
            rejected=settings.rejected,
        )
        worse = [
            dropped_answers(con, run.run_id, each, settings.rejected, run.seed)
            for each in (choice.selection_id, aside_id)
        ]
        path = run.workspace.exports / f"{facts.name}-{choice.selection_id}-{run.run_id}"
        rows_of = chain(
            export_rows(con, run, choice.selection_id, "train", settings.scores, worse[0]),
            export_rows(con, run, aside_id, "validation", settings.scores, worse[1]),
        )
        manifest = write_export(path, rows_of, facts, pretokenizer(settings, tokens))
        relative = str(path.relative_to(run.workspace.directory))
        record_export(
            con, manifest.export_id, choice.selection_id, relative, rows, choice.loss_tokens
        )
        kept = len(choice_ids)
        beside = [f"{len(worse[0])} of {rows} have a rejected answer beside them"]
        notes = tuple(beside if settings.rejected else ())
        count = StageCount(
            "export", 1, "written for the trainer", rows_in=rows, kept=kept, notes=notes
        )
        write_step(con, run.run_id, count)
    return Exported(path, manifest)


@dataclass(frozen=True, slots=True)
class ArmExport:
    """An arm of a trial that is to be written for the trainer."""

    name: str
    """Of the recipe and the arm."""
    selection_id: str
    parent: str
    """The choice that it is compared with, or is."""
    loss_tokens: int
    scores: Sequence[str] = ()
    """That the training reads."""


def export_arm(run: RunContext, tokens: TokenCounts, reference: str, arm: ArmExport) -> Exported:
    """Write the rows of an arm, none held out: what a trial trains on.

    Its recipe says what it is and no more, so that the same rows for the same model are the same
    export, and trained once, whichever recipe compares them.

    Args:
        run: whose rows they are.
        tokens: how tokens were counted.
        reference: the model as the recipe names it.
        arm: the stored rows.

    Raises:
        ExportExistsError: if the folder holds something else.
    """
    recipe = {"name": arm.name, "arm_of": arm.parent}
    facts = ExportFacts(
        name=arm.name,
        selection_id=arm.selection_id,
        run_id=run.run_id,
        recipe=recipe,
        recipe_hash=content_hash(recipe),
        seed=run.seed,
        model=identify_model(tokens, reference),
        max_length=tokens.max_tokens,
        chat_template=named_template(tokens.model),
        parent=arm.parent,
        steps=[f"an arm of a trial that compares selection {arm.parent}"],
        limits=LIMITS,
        scores=arm.scores,
    )
    path = run.workspace.exports / f"{arm.name}-{arm.selection_id}-trial"
    with open_workspace(run.workspace) as con:
        rows_of = export_rows(con, run, arm.selection_id, "train", arm.scores)
        manifest = write_export(path, rows_of, facts)
        relative = str(path.relative_to(run.workspace.directory))
        rows = manifest.counts("train").rows
        record_export(con, manifest.export_id, arm.selection_id, relative, rows, arm.loss_tokens)
    return Exported(path, manifest)


def pretokenizer(settings: ExportSettings, tokens: TokenCounts) -> Pretokenize | None:
    """What makes token ids of a conversation's rows; None where none are wanted."""
    if not settings.pretokenized:
        return None
    return partial(pretokenize_rows, tokenizer=tokenizer_of(tokens.model), template=tokens.template)


def identify_model(tokens: TokenCounts, reference: str) -> ModelIdentity:
    """Whose tokens were counted.

    Args:
        tokens: how they were counted; a directory is named as seen from the working directory.
        reference: the model as the recipe names it: the same wherever the recipe is run from, so
            that the export is the same one.
    """
    key = tokens.key()
    return ModelIdentity(
        reference=reference,
        fingerprint=resolve_model(tokens.model).fingerprint,
        tokenizer_fingerprint=key.model_fingerprint,
        template=tokens.template,
        template_fingerprint=template_of(tokens.model, tokens.template),
    )


def read_generators(con: Connection, ids: Sequence[str]) -> list[str]:
    """The models that wrote rows of a selection, with the licence that a recipe stated of that."""
    licenses = read_model_licenses(con, ids)
    return [
        f"{model}, licence {', '.join(licenses[model])}" if model in licenses else model
        for model in sorted(set(read_makers(con, ids).values()) - {""})  # no model wrote it
    ]


def read_turn_counts(
    con: Connection, key: MeasureKey, ids: Sequence[str]
) -> list[list[tuple[int, int]]]:
    """Of each trained turn of each example the tokens of a row of its own, and the trained ones."""
    whole = ("prompt_tokens", "response_tokens")
    lists = ("turn_reads", "turn_tokens")
    _, columns = read_measurements(con, key, [*whole, *lists], ids)
    prompt, response = (columns[name] for name in whole)
    reads, trained = (as_turns(columns[name]) for name in lists)
    return [
        [(int(prompt[row] + response[row]), int(response[row]))]
        if np.count_nonzero(~np.isnan(trained[row])) <= 1  # one turn is all of the row
        else [
            (int(read), int(loss))
            for read, loss in zip(reads[row], trained[row], strict=True)
            if not np.isnan(loss)  # behind the last turn of a row that has fewer than another
        ]
        for row in range(len(ids))
    ]


def count_languages(con: Connection, run: RunContext, ids: Sequence[str]) -> dict[str, int]:
    """Rows of each language, "" of none that could be told; nothing where it was not measured."""
    if "language" not in run.measures:
        return {}
    return Counter(
        code or "" for code in read_texts(con, run.measures["language"], "language", ids)
    )


def path_in_exports(run: RunContext, source: FirstSource) -> str:
    """The path of a source as an export says it."""
    return run.source_paths.get(source.source_id, source.path)


def origin_of_row(
    run: RunContext,
    source: FirstSource | None,
    maker: str | None,
    documents: Sequence[OfDocument],
) -> tuple[str, str | None]:
    """What an export says of where a row is from, and under which licence.

    Args:
        run: which knows what paths are called.
        source: where the row stands; None of a generated one.
        maker: the model that wrote it, "" where none did; None of one that was read.
        documents: that it was made of.
    """
    if source:
        return path_in_exports(run, source), source.license
    made = f"generated by {maker}" if maker else "made of a row, by no model"
    if not documents:
        return made, None
    paths = sorted({run.document_paths.get(each.path, each.path) for each in documents})
    of = paths[0] if len(paths) == 1 else f"{len(paths)} documents"
    return f"{made} from {of}", " AND ".join(sorted({each.license for each in documents}))


def export_rows(
    con: Connection,
    run: RunContext,
    selection_id: str,
    split: Split,
    scores: Sequence[str] = (),
    dropped: Mapping[str, DroppedAnswer] = MappingProxyType({}),
) -> Iterator[ExportRow]:
    """The rows of a selection in their order; texts are read a block at a time.

    `dropped` has the rejected answer of each example that has one.
    """
    ids, weights = read_selection(con, selection_id)
    blocks = (read_examples(con, block) for block in cut_blocks(con, ids))
    examples = chain.from_iterable(blocks)
    sources = read_first_sources(con, ids, run.source_ids)
    makers, documents = read_makers(con, ids), read_documents_of(con, ids, run.run_id)
    counts = read_turn_counts(con, run.measures["token_counts"], ids)
    scored = {name: read_scores(con, run.scores[name], ids)[0] for name in scores}
    selected = read_selected_turns(con, selection_id)  # others are context, and make no row
    rejected = read_rejected(con, run.measures["token_counts"], ids, dropped)
    # All that was read is aligned with the ids, which are in the order of the ranks.
    for place, (example_id, weight, worse) in enumerate(zip(ids, weights, rejected, strict=True)):
        conversation = next(examples).conversation
        named, license = origin_of_row(
            run, sources.get(example_id), makers.get(example_id), documents.get(example_id, ())
        )
        for at, (read, trained) in zip(conversation.trained_at, counts[place], strict=True):
            if at not in selected.get(example_id, conversation.trained_at):
                continue
            yield ExportRow(
                example_id=row_id(example_id, at, len(conversation.trained_at)),
                prompt=conversation.messages[:at],
                completion=[conversation.messages[at]],
                tools=conversation.tools,
                prompt_tokens=read - trained,
                loss_tokens=trained,
                split=split,
                rank=place + 1,
                weight=weight * conversation.messages[at].get("weight", 1),
                source=named,
                license=license,
                scores={
                    name: None if np.isnan(values[place]) else float(values[place])
                    for name, values in scored.items()
                },
                rejected=worse,
            )
