"""Scores of single turns: what a score is made of, of each trained turn by itself.

A turn's value is the scorer's, given the turn as a row of its own: its mean loss, the ratio of its
two losses, its tokens, the marks of the turn it was rated in. Nothing is stored, since it is
arithmetic on what is: no model is asked.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import orjson

from pipeline.measuring.measures.turn_ratings import place_rated
from pipeline.scoring.stage import TURN_TOKENS, read_part
from scorers import SCORERS, Scorer
from scorers.arrays import Floats
from scorers.reductions import OF_TURNS, as_turns
from storage.database import Connection
from storage.examples import read_trained_at, stream_examples
from storage.measurements import MeasureKey, read_measurements
from storage.scores import ScoreKey

RESPONSE_TOKENS = "response_tokens"

RATINGS = "turn_ratings"

BLOCK_ROWS = 4096
"""Conversations that are in memory together."""


def tells_turns(scorer: Scorer) -> bool:
    """Whether a score has a value for each trained turn."""
    return scorer.measure == RATINGS or (
        bool(scorer.measure) and all(name in (*OF_TURNS, RESPONSE_TOKENS) for name in scorer.reads)
    )


def turn_scorers() -> list[str]:
    """Names of the scorers that have a value for each trained turn."""
    return [name for name, scorer in SCORERS.items() if tells_turns(scorer)]


def read_turn_scores(
    con: Connection, key: ScoreKey, measures: Mapping[str, MeasureKey], ids: Sequence[str]
) -> Floats:
    """A score for each trained turn of each example.

    Args:
        con: an open workspace.
        key: of the score; one that tells turns.
        measures: name of a measure in the run → the key its numbers are stored under.
        ids: n examples.

    Returns:
        (n, k) values in the order of the turns; NaN where a turn has none, and behind the last.
    """
    scorer = SCORERS[key.scorer]
    identity = orjson.loads(key.settings)
    call = partial(scorer.function, **identity["settings"])
    if scorer.measure == RATINGS:
        return score_rated(con, scorer, measures[RATINGS], ids, call)
    measure = measures[scorer.measure]
    if "part" in identity:
        _, tokens, sums = read_part(con, measure, identity["part"], ids)
        columns = {name: sums / tokens for name in scorer.reads}
    else:
        columns = read_turn_columns(con, measure, scorer.reads, ids)
    arrays = [columns[name] for name in scorer.reads]
    there = ~np.isnan(arrays).any(axis=0)
    values = np.full(there.shape, np.nan)
    values[there] = call(*(array[there] for array in arrays))
    return values


def read_turn_columns(
    con: Connection, key: MeasureKey, names: Sequence[str], ids: Sequence[str]
) -> dict[str, Floats]:
    """(n, k) of each column what it is of a turn by itself; NaN of a row that is not measured."""
    sums = {name: OF_TURNS[name] for name in names if name in OF_TURNS}
    states, columns = read_measurements(con, key, [*names, TURN_TOKENS, *sums.values()], ids)
    tokens, measured = as_turns(columns[TURN_TOKENS]), np.array(states) == "ok"
    found = {}
    for name in names:
        values = as_turns(columns[sums[name]]) / tokens if name in sums else tokens.copy()
        if not values.shape[1]:
            values = np.full((len(ids), 1), np.nan)
        # A row that was measured before turns were has one trained turn: all of it.
        whole = np.isnan(tokens).all(axis=1) & measured
        values[whole, 0] = columns[name][whole]
        values[~measured] = np.nan
        found[name] = values
    return found


def read_turn_tokens(con: Connection, key: MeasureKey, ids: Sequence[str]) -> Floats:
    """(n, k) loss tokens of each trained turn, in their order; NaN behind a row's last one."""
    return read_turn_columns(con, key, [RESPONSE_TOKENS], ids)[RESPONSE_TOKENS]


def score_rated(
    con: Connection,
    scorer: Scorer,
    key: MeasureKey,
    ids: Sequence[str],
    call: Callable[..., Floats],
) -> Floats:
    """(n, k) the score of the rated turn that each trained turn stands in."""
    _, columns = read_measurements(con, key, scorer.reads, ids)  # in the order of `reads`
    _, *deep = np.shape(columns[scorer.reads[0]])
    if not deep:  # no row has any
        return place_turns(con, ids, np.full((len(ids), 0), np.nan))
    # Each turn as a row of one turn.
    turns = [column.reshape(-1, 1, *column.shape[2:]) for column in columns.values()]
    return place_turns(con, ids, call(*turns).reshape(len(ids), deep[0]))


def place_turns(con: Connection, ids: Sequence[str], rated: Floats) -> Floats:
    """(n, k) the values (n, t) of rated turns at the trained turns that stand in them."""
    trained_at = read_trained_at(con, ids)
    placed = np.full((len(ids), max(map(len, trained_at), default=0)), np.nan)
    rows = {example_id: row for row, example_id in enumerate(ids)}  # they are read in any order
    for examples in stream_examples(con, ids, BLOCK_ROWS):
        for example in examples:
            row = rows[example.example_id]
            for turn, place in enumerate(place_rated(example.messages, example.trained_at)):
                if 0 <= place < rated.shape[1]:
                    placed[row, turn] = rated[row, place]
    return placed
