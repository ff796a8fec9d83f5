"""Pairs of instruction and response with a grade, from what a workspace has: Cappy's training set.

    1               each reference: the response of a row that was read from a source
    0               each instruction again, with the response of another row of the same task
    ROUGE-L F       each answer that a model gave to the instruction, the best over its references

ROUGE-L is on stemmed words. A model's answer that is one of the references is left out, and so is
one whose words `rouge-score` cannot count, as of text in no Latin letters: a 0 there would be a
guess. Every draw depends on the seed and on ids alone, not on the order of the rows.

Prompts are dealt into folds, and a response is only ever swapped within its fold: so the model of a
fold has seen none of the fold's prompts and responses, with any grade (a response that stands in
several rows aside).
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from scorers.measures.training.graded_pair import GradedPair
from storage.conversations import content_hash

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer


@dataclass(frozen=True, slots=True)
class PairRow:
    """What of an example goes into pairs."""

    example_id: str
    prompt_id: str
    prompt: str
    response: str
    task: str
    """Rows with the same one may lend each other responses: the source."""
    generated: bool
    """A model's answer, edited since or not, to be graded; else a reference."""
    first_prompt_id: str
    """What the prompt was before it was edited, by a mark or a redaction; else `prompt_id`."""
    samples: Sequence[str] = ()


def deal_folds(rows: Sequence[PairRow], folds: int, seed: int) -> dict[str, int]:
    """prompt_id → fold, from 0; folds differ by one prompt at most, and candidates stay together.

    An edited prompt is dealt as what it was before, and that stands there too: so a row is never
    scored by a model that learnt from the same row without the edit, or with it.
    """
    first: dict[str, str] = {}  # prompt_id → the least of what its rows' prompts were at first
    for row in rows:
        known = first.get(row.prompt_id, row.first_prompt_id)
        first[row.prompt_id] = min(known, row.first_prompt_id)
    order = sorted(set(first.values()), key=lambda prompt: content_hash([seed, "fold", prompt]))
    dealt = {prompt: place % folds for place, prompt in enumerate(order)}
    # An edited prompt and the one before the edit, which may be no row's by now, in one fold.
    return dealt | {prompt: dealt[before] for prompt, before in first.items()}


def build_pairs(
    rows: Sequence[PairRow], folds: Mapping[str, int], seed: int
) -> dict[int, list[GradedPair]]:
    """The pairs of each fold, sorted; none twice. Every row has a response.

    Returns:
        Fold → its pairs; a prompt without a reference gives none.
    """
    ordered = sorted(rows, key=lambda row: row.example_id)
    references: dict[str, dict[str, None]] = defaultdict(dict)  # dicts as sets that keep order
    lenders: dict[tuple[int, str], list[PairRow]] = defaultdict(list)
    for row in ordered:
        if not row.generated:
            references[row.prompt_id][row.response] = None
            lenders[folds[row.prompt_id], row.task].append(row)
    pairs: dict[int, dict[tuple[str, str], float]] = defaultdict(dict)
    for row in ordered:
        own, fold = references.get(row.prompt_id, {}), folds[row.prompt_id]
        if not row.generated:
            pairs[fold][row.prompt, row.response] = 1.0
            # setdefault: a pair that has a grade already keeps it, a reference its 1.
            swapped = draw_other(row, lenders[fold, row.task], list(own), seed)
            if swapped is not None:
                pairs[fold].setdefault((row.prompt, swapped), 0.0)
        for answer, grade in graded_answers(row, list(own)):
            pairs[fold].setdefault((row.prompt, answer), grade)
    return {
        fold: [GradedPair(*texts, grade) for texts, grade in sorted(found.items())]
        for fold, found in pairs.items()
    }


def draw_other(
    row: PairRow, lenders: Sequence[PairRow], own: Sequence[str], seed: int
) -> str | None:
    """The response of a random row that is none of the prompt's own; None where there is no such.

    From a random place on the rows are tried in turn, so that one is found if there is one.
    """
    start = int(content_hash([seed, "swap", row.example_id])[:15], 16)  # 60 bits: no bias in %
    right = {plain(response) for response in own}
    for step in range(len(lenders)):
        response = lenders[(start + step) % len(lenders)].response
        if plain(response) not in right:
            return response
    return None


def graded_answers(row: PairRow, references: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Answers of models to a row's prompt, each with its ROUGE-L against the references."""
    same = {plain(reference) for reference in references}
    for answer in (*row.samples, *([row.response] if row.generated else [])):
        if not answer.strip() or plain(answer) in same:
            continue
        grades = [rouge_l(reference, answer) for reference in references]
        countable = [grade for grade in grades if grade is not None]
        if countable:
            yield answer, max(countable)


def plain(text: str) -> str:
    """A text without white space at its ends, and with single spaces within."""
    return " ".join(text.split())


def rouge_l(reference: str, answer: str) -> float | None:
    """ROUGE-L F on stemmed words, in [0, 1]; None where either has no word that is counted."""
    scorer = rouge_scorer()
    # The scorer gives 0 for a text without a token, and does not tell it from one that differs.
    if not all(scorer._tokenizer.tokenize(text) for text in (reference, answer)):
        return None
    return float(scorer.score(reference, answer)["rougeL"].fmeasure)


@cache
def rouge_scorer() -> "RougeScorer":
    """Imported late: its stemmer takes a second."""
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)
