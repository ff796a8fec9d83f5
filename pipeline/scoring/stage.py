"""Score stage: stored measurements or texts → scorer → one number each. No model is asked."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.scoring.targets import NO_TARGETS, Targets
from pipeline.settings import Settings
from scorers import EXAMPLE_ID, PROMPT, RESPONSE, SCORERS, TEXT, Scorer, scorer_settings
from scorers.arrays import Floats
from scorers.names import did_you_mean
from scorers.reductions import (
    OF_TURNS,
    Reduction,
    TurnPart,
    as_turns,
    reduce_turns,
    take_part,
)
from storage.conversations import TextField, canonical_json
from storage.database import Connection, open_workspace, read_workspace
from storage.measurements import (
    ExampleBlock,
    MeasureKey,
    read_measurement_blocks,
    read_measurements,
)
from storage.scores import ScoreKey, read_scores, write_scores
from storage.texts import read_text_blocks
from storage.workspace import Workspace

TEXTS_BY_NAME: Mapping[str, TextField] = {
    "": "response",
    "prompt": "prompt",
    "response": "response",
    "both": "both",
}
"""What a recipe may write into `of` → the text that it means."""

TURN_TOKENS = "turn_tokens"

LOSS = "mean_nll"
"""The column whose turns are told in parts."""

REASONING = ("turn_reasoning_tokens", "turn_reasoning_nll")
"""Of turn_tokens and turn_nll what is reasoning's."""

BY_SOURCE = "source"
"""What a scorer reads of targets that it takes apart by the source they stand in."""


class UnmeasuredTargetsError(ValueError):
    """A score compares with targets, and none of them could be measured."""

    exit_code: ClassVar[int] = 2


class ScoreSettings(Settings):
    """One score."""

    scorer: str = Field(description="A name from scorers/__init__.py.")
    of: str = Field(
        default="",
        description="Which block it reads, of measure.ratings (its name) or measure.embeddings "
        "(its text); which text, of a scorer of texts: response (if not given), prompt or both.",
    )
    settings: dict[str, Any] = Field(default={}, description="The scorer's own settings.")
    reduction: Reduction | None = Field(
        default=None,
        description="Of a scorer of losses: how the trained turns of a conversation become one "
        "number. token (if not given): the mean over all their tokens; turn: the mean over turns; "
        "last, first or worst: that turn alone.",
    )
    part: TurnPart | None = Field(
        default=None,
        description="Of perplexity and grape: only the reasoning of the trained turns, or only "
        "the answer: all but the reasoning.",
    )
    name: str = Field(
        default="",
        description="What other blocks call it; if not given the scorer's, with the part and the "
        "reduction that are given behind colons.",
    )

    @property
    def label(self) -> str:
        """The name other blocks use."""
        return self.name or ":".join(filter(None, (self.scorer, self.part, self.reduction)))


def find_scorer(name: str) -> Scorer:
    """Look up a scorer.

    Raises:
        ValueError: if there is none; the message has the nearest name and all of them.
    """
    if name not in SCORERS:
        raise ValueError(f"no scorer named {name!r}. {did_you_mean(name, SCORERS)}")
    return SCORERS[name]


def measure_name(settings: ScoreSettings) -> str:
    """What the measure that a score reads is called in a run; empty where it reads texts."""
    measure = find_scorer(settings.scorer).measure
    return f"{measure}_{settings.of}" if measure and settings.of else measure


def measure_names(settings: ScoreSettings) -> list[str]:
    """What the measures that a score reads are called in a run; none where it reads texts."""
    scorer = find_scorer(settings.scorer)
    if scorer.blocks:
        return [f"{scorer.measure}_{block}" for block in scorer.blocks]
    return [measure_name(settings)] if scorer.measure else []


def texts_read(settings: ScoreSettings) -> dict[str, TextField]:
    """Which text a score takes for each that its scorer reads; none where it reads a measure."""
    scorer = find_scorer(settings.scorer)
    if scorer.measure:
        return {}
    texts: dict[str, TextField] = {PROMPT: "prompt", RESPONSE: "response"}
    if TEXT in scorer.reads:
        texts[TEXT] = TEXTS_BY_NAME[settings.of]
    return {name: texts[name] for name in scorer.reads if name != EXAMPLE_ID}


def score_key(
    settings: ScoreSettings, measures: Mapping[str, MeasureKey], targets: Targets = NO_TARGETS
) -> ScoreKey:
    """The key under which a score is stored: it names what the number came from.

    Of a score that compares with targets it names those too: with others it is another number.
    """
    scorer = find_scorer(settings.scorer)
    identity: dict[str, Any] = {"settings": scorer_settings(scorer, settings.settings)}
    if settings.reduction not in (None, "token"):  # by token is what every stored score is
        identity["reduction"] = settings.reduction
    if settings.part:
        identity["part"] = settings.part
    if scorer.blocks:
        identity["measure_keys"] = [measures[n].measure_key for n in measure_names(settings)]
    elif scorer.measure:
        identity["measure_key"] = measures[measure_name(settings)].measure_key
    else:
        identity["texts"] = texts_read(settings)
    if scorer.targets:
        identity["targets"] = targets.key(by_source=BY_SOURCE in scorer.targets)
        identity["target_measure_key"] = target_measure(settings, measures).measure_key
    return ScoreKey(settings.scorer, scorer.version, canonical_json(identity).decode())


def target_measure(settings: ScoreSettings, measures: Mapping[str, MeasureKey]) -> MeasureKey:
    """What a score reads of the targets: a measure of their own, or else that of the pool."""
    name = measure_name(settings)
    return measures.get(f"target_{name}", measures[name])


def score_examples(
    workspace: Workspace,
    settings: ScoreSettings,
    measures: Mapping[str, MeasureKey],
    pool: Sequence[str],
    targets: Targets = NO_TARGETS,
) -> dict[str, int]:
    """Score the pool and store what is not stored so; return how many rows are in each state.

    Args:
        workspace: where measurements and texts are read and scores written.
        settings: the scorer and its settings.
        measures: measure name → the key this run measured under.
        pool: example ids, in any order.
        targets: the examples to be close to, for scorers that compare with them.

    Raises:
        UnmeasuredTargetsError: if the scorer compares with targets and none has been measured.
    """
    scorer = find_scorer(settings.scorer)
    key = score_key(settings, measures, targets)
    call = partial(scorer.function, **scorer_settings(scorer, settings.settings))
    with open_workspace(workspace) as con:
        others = read_target_columns(con, settings, measures, targets) if scorer.targets else []
        values = np.full(len(pool), np.nan)
        states = np.full(len(pool), "not_measured", dtype=object)
        for indices, found, columns in read_score_blocks(con, settings, measures, pool):
            measured = np.array([state == "ok" for state in found], dtype=bool)
            states[indices] = found
            if measured.any():  # a scorer need not know what to do with no row at all
                arguments = [columns[name][measured] for name in scorer.reads]
                values[indices[measured]] = call(*arguments, *others)
        final = [
            "not_applicable" if state == "ok" and np.isnan(value) else state
            for state, value in zip(states.tolist(), values.tolist(), strict=True)
        ]
        stored, known = read_scores(con, key, pool)
        # Written only where something is new, so that a second run leaves the file as it was.
        if known != final or not np.array_equal(stored, values, equal_nan=True):
            write_scores(con, key, pool, values, final)
    return {state: final.count(state) for state in sorted(set(final))}


def read_score_blocks(
    con: Connection,
    settings: ScoreSettings,
    measures: Mapping[str, MeasureKey],
    pool: Sequence[str],
) -> Iterator[ExampleBlock]:
    """What a scorer reads of the pool: all at once, or a block after the other.

    Texts and vectors of many checkpoints do not fit into memory together, and need not: a row's
    value then depends on its own and on the targets'.
    """
    scorer, ids = find_scorer(settings.scorer), np.array(pool, dtype=object)
    if not scorer.measure:
        for indices, texts in read_text_blocks(con, texts_read(settings), pool):
            states = [
                "not_applicable" if None in row else "ok"
                for row in zip(*texts.values(), strict=True)
            ]
            yield ExampleBlock(indices, states, {**texts, EXAMPLE_ID: ids[indices]})
        return
    if scorer.blocks:
        yield read_blocks_together(
            con, scorer, [measures[n] for n in measure_names(settings)], pool
        )
        return
    measure = measures[measure_name(settings)]
    if scorer.targets and not scorer.whole_pool:
        yield from read_measurement_blocks(con, measure, scorer.reads, pool)
        return
    stored = [name for name in scorer.reads if name != EXAMPLE_ID]
    if settings.part:
        states, tokens, sums = read_part(con, measure, settings.part, pool)
        reduced = reduce_turns({LOSS: sums}, tokens, settings.reduction or "token")
        yield ExampleBlock(np.arange(len(pool)), states, reduced)
        return
    turns: list[str] = []
    if settings.reduction not in (None, "token"):
        turns = [TURN_TOKENS, *(OF_TURNS[name] for name in stored)]
    states, columns = read_measurements(con, measure, [*stored, *turns], pool)
    if settings.reduction and turns:
        columns |= reduced_columns(columns, stored, settings.reduction)
    yield ExampleBlock(np.arange(len(pool)), states, {**columns, EXAMPLE_ID: ids})


def read_blocks_together(
    con: Connection, scorer: Scorer, measures: Sequence[MeasureKey], ids: Sequence[str]
) -> ExampleBlock:
    """One column of each of several blocks; a row has the first state that is not ok."""
    states, columns = ["ok"] * len(ids), {}
    for name, block, measure in zip(scorer.reads, scorer.blocks, measures, strict=True):
        column = name.removeprefix(f"{block}_")
        found, read = read_measurements(con, measure, [column], ids)
        states = [own if own != "ok" else other for own, other in zip(states, found, strict=True)]
        columns[name] = read[column]
    return ExampleBlock(np.arange(len(ids)), states, columns)


class PartLosses(NamedTuple):
    """One part of the trained turns of n rows; NaN where a turn has none of it."""

    states: list[str]  # (n,)
    tokens: Floats  # (n, k)
    sums: Floats  # (n, k) losses, summed up


def read_part(
    con: Connection, measure: MeasureKey, part: TurnPart, ids: Sequence[str]
) -> PartLosses:
    """The losses of one part; NaN too where a row was measured before parts were told."""
    names = (TURN_TOKENS, OF_TURNS[LOSS], *REASONING)
    states, columns = read_measurements(con, measure, names, ids)
    tokens, sums, part_tokens, part_sums = (as_turns(columns[name]) for name in names)
    return PartLosses(states, *take_part(part, (tokens, sums), (part_tokens, part_sums)))


def reduced_columns(
    columns: Mapping[str, Floats], names: Sequence[str], reduction: Reduction
) -> dict[str, Floats]:
    """(n,) of each column, reduced from the turns of each row; as it is of a row without any.

    A row that was measured before turns were has one trained turn.
    """
    tokens = as_turns(columns[TURN_TOKENS])
    sums = {name: as_turns(columns[OF_TURNS[name]]) for name in names}
    without = np.isnan(tokens).all(axis=1)
    reduced = reduce_turns(sums, tokens, reduction)
    return {name: np.where(without, columns[name], reduced[name]) for name in names}


def read_target_columns(
    con: Connection,
    settings: ScoreSettings,
    measures: Mapping[str, MeasureKey],
    targets: Targets,
) -> list[NDArray[np.float64]]:
    """The columns that a scorer reads of the targets, of those that could be measured.

    Raises:
        UnmeasuredTargetsError: if there is none.
    """
    wanted = find_scorer(settings.scorer).targets
    stored = [name for name in wanted if name != BY_SOURCE]
    measure = target_measure(settings, measures)
    states, columns = read_measurements(con, measure, stored, targets.ids)
    rows = np.flatnonzero(np.array([state == "ok" for state in states], dtype=bool))
    if not len(rows):
        raise UnmeasuredTargetsError(
            f"{settings.label}: none of the {len(targets.ids)} targets has a measurement that it "
            "can be compared by; give the recipe other targets"
        )
    if BY_SOURCE not in wanted:
        return [columns[name][rows] for name in wanted]
    indices = {targets.ids[row]: row for row in rows.tolist()}
    pairs = [(indices[i], source) for i, source in targets.pairs if i in indices]
    # A target of two sources stands in two pairs, and so counts in each.
    sources = np.unique([source for _, source in pairs], return_inverse=True)[1]
    at = np.array([place for place, _ in pairs], dtype=np.int64)  # aligned with `sources`
    return [sources.astype(float) if n == BY_SOURCE else columns[n][at] for n in wanted]


def unmeasured_targets(
    workspace: Workspace,
    settings: ScoreSettings,
    measures: Mapping[str, MeasureKey],
    targets: Targets,
) -> str:
    """Say so if a score could not be compared with some of the targets; else nothing."""
    if not find_scorer(settings.scorer).targets:
        return ""
    with read_workspace(workspace) as con:
        states, _ = read_measurements(con, target_measure(settings, measures), (), targets.ids)
    without = len(states) - states.count("ok")
    return f"; {without} of the {len(states)} targets have no measurement" if without else ""
