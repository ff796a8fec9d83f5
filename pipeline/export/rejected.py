"""Rejected answers: beside a kept row, an answer to the same prompt that the selection dropped.

    prompt + completion           the row, as it is trained
    prompt + rejected answer      the same prompt, answered worse

The word is TRL's, whose preference data have `prompt`, `chosen` and `rejected`. Which answers are
worse is said by the steps that dropped them, or by a pair of a source, of which the chosen answer
is kept; the rejected one may be chosen in another pair. A recipe names the reasons; of several the
one whose reason is named first is taken, and among those the one that a lot by seed and example_id
draws. So it does not depend on the order of rows. Rows of one trained turn alone have one; kept
rows of one prompt have the same.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from pipeline.export.rows import RejectedAnswer
from pipeline.export.settings import REJECTED
from pipeline.selection.run_steps import CHOSEN_OF_PAIRS
from storage.conversations import content_hash
from storage.database import Connection
from storage.examples import read_examples
from storage.long_rows import cut_blocks
from storage.measurements import MeasureKey, read_measurements
from storage.rejected import read_dropped_answers, read_paired_answers
from storage.runs import read_counts
from storage.what_if import read_given


@dataclass(frozen=True, slots=True)
class DroppedAnswer:
    """An answer that a selection dropped."""

    example_id: str
    reason: str


def choose_rejected(
    dropped: Iterable[tuple[str, str, str]], reasons: Sequence[str], seed: int
) -> dict[str, DroppedAnswer]:
    """Choose one dropped answer for each kept example that has some.

    Args:
        dropped: a kept example, one that was dropped, and why.
        reasons: the ones wanted, the best first.
        seed: of the lot among answers of the same reason.
    """
    found: dict[str, tuple[tuple[int, str, str], DroppedAnswer]] = {}
    for kept, other, reason in dropped:
        place = (reasons.index(reason), content_hash([seed, other]), other)
        if kept not in found or place < found[kept][0]:
            found[kept] = place, DroppedAnswer(other, reason)
    return {kept: answer for kept, (_, answer) in found.items()}


def dropped_answers(
    con: Connection, run_id: str, selection_id: str, reasons: Sequence[str], seed: int
) -> dict[str, DroppedAnswer]:
    """The rejected answer of each example of a selection that has one; none without reasons."""
    if not reasons:
        return {}
    others = [each for each in reasons if each != REJECTED]
    found = read_dropped_answers(con, run_id, selection_id, others)
    if REJECTED in reasons:
        found += paired_answers(con, run_id, selection_id)
    return choose_rejected(found, reasons, seed)


def paired_answers(con: Connection, run_id: str, selection_id: str) -> list[tuple[str, str, str]]:
    """A kept example, one that a pair rejects for it, and that as the reason.

    The rejected ones are those that could be trained: copies of others, leaked tests and the like
    are out by then.
    """
    steps = [each for each in read_counts(con, run_id) if each.stage == "select"]
    number = next((each.step for each in steps if each.label == CHOSEN_OF_PAIRS), None)
    if number is None:
        return []
    given = set(read_given(con, run_id, number))
    pairs = read_paired_answers(con, run_id, selection_id)
    return [(kept, other, REJECTED) for kept, other in pairs if other in given]


def read_rejected(
    con: Connection, tokens: MeasureKey, ids: Sequence[str], chosen: Mapping[str, DroppedAnswer]
) -> Iterator[RejectedAnswer | None]:
    """The rejected answer of each example, in the order of the ids; None where it has none.

    Args:
        con: an open workspace.
        tokens: how tokens were counted.
        ids: of the kept examples.
        chosen: of those that have one, which.
    """
    others = [chosen[each].example_id for each in ids if each in chosen]
    _, columns = read_measurements(con, tokens, ["response_tokens"], others)
    blocks = (read_examples(con, block) for block in cut_blocks(con, others))
    answers = zip(chain.from_iterable(blocks), columns["response_tokens"], strict=True)
    for example_id in ids:
        if example_id not in chosen:
            yield None
            continue
        example, trained = next(answers)
        response = example.conversation.response
        assert response is not None  # those without an answer are not asked for
        yield RejectedAnswer(example.example_id, response, int(trained), chosen[example_id].reason)
