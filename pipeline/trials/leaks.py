"""Which items of the evaluations stand in the rows of an arm: by the matchers of the check.

A choice for being near to an evaluation is rich in leaks of it, so this is looked at after the
choice, for each arm, and every comparison is made again on the items that are in none.
"""

from collections.abc import Mapping, Sequence

from pipeline.contamination.evaluations import Evaluation
from pipeline.contamination.search import BLOCK_ROWS, ItemSearch, text_matchers
from pipeline.contamination.settings import (
    NEAR_COPIES,
    CheckSettings,
    EvaluationSettings,
    NGramSettings,
)
from pipeline.contamination.texts import Item, RowBlock, read_turn_texts
from pipeline.trials.evaluations import TrialItems
from storage.database import Connection
from storage.examples import stream_messages

RULES = (NGramSettings(), NEAR_COPIES)

Leaks = dict[str, dict[str, set[int]]]
"""Arm → evaluation → its items that a row of the arm holds something of."""


def find_leaks(
    con: Connection, evaluations: Sequence[TrialItems], arms: Mapping[str, set[str]]
) -> Leaks:
    """Compare the rows of all arms with the items of all evaluations.

    Args:
        con: an open workspace.
        evaluations: with their items.
        arms: name → ids of its examples.
    """
    items = [
        Item(number, each.position, each.prompt_text, each.gold_text)
        for number, evaluation in enumerate(evaluations)
        for each in evaluation.items
    ]
    sets = [Evaluation(each.name, each.name, each.evaluation_id, [], []) for each in evaluations]
    against = tuple(EvaluationSettings(path=each.name) for each in evaluations)
    matchers = text_matchers(CheckSettings(against=against, ngrams=RULES), items)
    search = ItemSearch(sets, items, matchers)
    leaks: Leaks = {arm: {each.name: set() for each in evaluations} for arm in arms}
    for messages in stream_messages(con, sorted(set().union(*arms.values())), BLOCK_ROWS):
        rows = [read_turn_texts(each) for each in messages.values()]
        for hit in search.find([RowBlock([*messages], rows, None)]):
            for arm, ids in arms.items():
                if hit.row in ids:
                    leaks[arm][hit.evaluation].add(hit.item)
    return leaks
