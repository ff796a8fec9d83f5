r"""Pseudo-labels: prompts without an answer get the label that a teacher is sure of.

    y = label of x   if each view v has label(M(v, x)) = y  and  min over v of p(y | M, v, x) >= c
    of a label y:  rows of y / all rows made  <=  share of y among the labelled  +  drift

M is the teacher, which is shown a prompt with each of the `views`, a question about it, and the
labels. p is the label's part of the probability that the labels have together. Rows whose views
differ are `views_differ`, those below `confidence` are `unsure`, and of a label that would be too
frequent the least sure are `over_cap`: the most rows are kept with which no label is. A prompt that
stands among the labelled, whatever its label, gets none: `labelled_already`.

`audit` of the labelled prompts, by a seeded hash, are labelled as well, and nothing comes of them:
they are counted as `audited_right`, `audited_wrong` and `audited_out` (not labelled at all), and
the first two say how often such labels are right, in the report with an interval.

Labels by a teacher that was tuned on a few given ones are of LiST (Wang et al. 2021,
arXiv:2110.06274), several views of a prompt of mix prompt tuning. To train on such labels first and
on the given ones last is of predictions for pre-training (arXiv:2011.09031), and is done as
`train.stages` of two exports. LiST's soft labels, the weights that it learns for each row, and its
rounds are not here: a round is another recipe with `model: adapter:last`.

For classification, with a teacher that was tuned on the labelled rows, and a pool in which labels
are about as frequent as among them. Not where that is not so, for `drift` then takes right rows out
or keeps wrong ones; not with prompts of the test. It costs a call for each prompt and view, and as
many for each that is audited.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.generation.maker import (
    Ask,
    CallKind,
    CallPlace,
    Making,
    Settled,
    Unread,
    Wanted,
    answer_source,
    end_prompt_with,
    is_question,
    last_prompt_text,
    read_whole,
)
from pipeline.generation.maker_block import WHOLE_POOL, CallBounds, MakerBlock, draw_names
from pipeline.generation.short_answers import same_words
from pipeline.generation.templates import fill_prompt
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import GeneratedAnswer, OneOf
from storage.examples import Example

Label = Annotated[str, Field(min_length=1, max_length=80)]
View = Annotated[str, Field(min_length=1)]

LABEL_TOKENS = 32


class PseudoLabels(MakerBlock):
    """Labels that a teacher is sure of: LiST (arXiv:2110.06274)."""

    method: Literal["pseudo_labels"]
    labels: tuple[Label, ...] = Field(
        min_length=2, description="All labels; a row with one of them for an answer is labelled."
    )
    views: tuple[View, ...] = Field(
        default=("Which of these is it?",),
        min_length=1,
        description="Questions about a prompt, each asked by itself; all must have the same label.",
    )
    confidence: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="Least part of the label in the probability of all labels, in each view. 0: "
        "also where a server tells none.",
    )
    drift: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="By how much a label's share may be above that among the labelled rows; 1, or "
        "no labelled row: as it comes.",
    )
    audit: int = Field(
        default=100, ge=0, description="Labelled prompts that are labelled to compare, at most."
    )
    max_new_tokens: int = Field(default=LABEL_TOKENS, gt=0, description="Of a label at most.")

    prompts: ClassVar[Sequence[str]] = ("pseudo_labels",)

    @model_validator(mode="after")
    def labels_differ(self) -> Self:
        """Check that labels can be told apart, and so can views."""
        words = Counter(same_words(each) for each in self.labels)
        if same := [
            each for each in self.labels if words[same_words(each)] > 1 or not each.strip()
        ]:
            raise ValueError(f"labels must differ by their words; these do not: {', '.join(same)}")
        if len({*self.views}) < len(self.views):
            raise ValueError("two views are the same question: they could not differ")
        return self

    @property
    def makes_of_whole(self) -> bool:
        """How many rows a label may have depends on all of them."""
        return True

    def label_of(self, text: str) -> str | None:
        """The label that a text is, by its words."""
        said = same_words(text)
        return next((each for each in self.labels if same_words(each) == said), None)

    def takes(self, example: Example) -> bool:
        """Prompts without an answer, and those whose answer is a label."""
        if not is_question(example):
            return False
        return example.response_at is None or self.label_of(example.response) is not None

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return 1

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for all rows together, if there are any."""
        return {WHOLE_POOL: make_by_pseudo_labels(self, sources, seed)} if sources else {}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """One for each view of a prompt; of those with a label not all are asked about."""
        return {"generate": CallBounds(0, sources * len(self.views), self.max_new_tokens)}

    def notes_of(self, outcomes: Mapping[str, int]) -> Sequence[str]:
        """How often its labels are right, by those that were compared, with a 95 % interval."""
        right, wrong = (  # each was asked about in every view
            outcomes.get(f"dropped {reason}", 0) // len(self.views)
            for reason in ("audited_right", "audited_wrong")
        )
        if not right + wrong:
            return ["how often its labels are right is not known: no labelled row was labelled"]
        from scipy.stats import binomtest

        share = binomtest(right, right + wrong).proportion_ci(method="wilson")
        return [
            f"of {right + wrong} labelled rows that got a label, {right} got their own: "
            f"{right / (right + wrong):.0%} [{share.low:.0%}, {share.high:.0%}]"
        ]


@dataclass(frozen=True, slots=True)
class Labelled:
    """What a teacher said of a prompt."""

    source: Example
    places: Sequence[CallPlace]
    label: str
    confidence: float
    fault: str
    """Why it is no label; "" where it is one."""


def make_by_pseudo_labels(settings: PseudoLabels, sources: Sequence[Example], seed: int) -> Making:
    """Ask about every prompt without a label, and about some with one; keep what may be kept."""
    given = {each.example_id: each for each in sources if each.response_at is not None}
    known = {each.prompt_id for each in given.values()}
    wanted = [each for each in sources if each.response_at is None and each.prompt_id not in known]
    audited = [given[name] for name in draw_names(given, seed, settings.audit)]
    asks = [
        ask_for_label(settings, each, view)
        for each in (*wanted, *audited)
        for view in range(len(settings.views))
    ]
    replies = iter((yield Wanted(asks)))
    told = []
    for each in (*wanted, *audited):
        places = [(stage_of(each, view), 0) for view in range(len(settings.views))]
        told.append(read_label(settings, each, places, [next(replies) for _ in places]))
    found, compared = told[: len(wanted)], told[len(wanted) :]
    priors = Counter(settings.label_of(each.response) or "" for each in given.values())
    kept = within_shares([each for each in found if not each.fault], priors, settings.drift)
    return [
        *(settle_label(each, each.source.example_id in kept) for each in found),
        *(
            Settled(each.places, None, audit_outcome(settings, each), [each.source.example_id])
            for each in compared
        ),
        *(
            Settled((), None, "labelled_already", [each.example_id])
            for each in sources
            if each.response_at is None and each.prompt_id in known
        ),
    ]


def stage_of(source: Example, view: int) -> str:
    """The place of a question about a prompt among all calls."""
    return f"view {view + 1} {source.example_id}"


def ask_for_label(settings: PseudoLabels, source: Example, view: int) -> Ask:
    """One view of a prompt."""
    shown = {
        "prompt": last_prompt_text(source),
        "question": settings.views[view],
        "labels": "\n".join(settings.labels),
    }
    messages = end_prompt_with(source, fill_prompt("pseudo_labels", shown))
    form = OneOf(settings.labels)
    return Ask(stage_of(source, view), 0, messages, 0, settings.max_new_tokens, form=form)


def read_label(
    settings: PseudoLabels,
    source: Example,
    places: Sequence[CallPlace],
    replies: Sequence[Sampled],
) -> Labelled:
    """The label that all views have, and how sure the least sure of them is."""
    labels, sure = [], []
    for reply in replies:
        text = read_whole(reply)
        if isinstance(text, Unread):
            return Labelled(source, places, "", 0, text.reason)
        label = settings.label_of(text)
        if label is None:
            return Labelled(source, places, "", 0, "no_label")
        assert isinstance(reply, GeneratedAnswer)  # or there were no text
        labels.append(label)
        sure.append(reply.share(label))
    if len({*labels}) > 1:
        return Labelled(source, places, "", 0, "views_differ")
    if settings.confidence and None in sure:
        return Labelled(source, places, "", 0, "no_confidence")
    least = min((each for each in sure if each is not None), default=0.0)
    fault = "unsure" if least < settings.confidence else ""
    return Labelled(source, places, labels[0], least, fault)


def within_shares(found: Sequence[Labelled], priors: Mapping[str, int], drift: float) -> set[str]:
    """Ids of the most rows of which no label has too many, the surest of each label.

    Args:
        found: rows that may be kept.
        priors: label → labelled rows that have it.
        drift: by how much a label's share may be above its share of those.
    """
    of_label: dict[str, list[Labelled]] = defaultdict(list)
    for each in sorted(found, key=lambda each: (-each.confidence, each.source.example_id)):
        of_label[each.label].append(each)
    total = sum(priors.values())
    if not total or drift >= 1:
        return {each.source.example_id for each in found}
    shares = {
        label: Fraction(priors.get(label, 0), total) + Fraction(str(drift)) for label in of_label
    }
    for size in range(len(found), -1, -1):
        room = {
            label: min(len(rows), floor(shares[label] * size)) for label, rows in of_label.items()
        }
        if sum(room.values()) >= size:  # so that no share is above what it may be of as many
            break
    return {
        each.source.example_id for label, rows in of_label.items() for each in rows[: room[label]]
    }


def settle_label(found: Labelled, kept: bool) -> Settled:
    """A prompt with its label, or why it has none."""
    parents = [found.source.example_id]
    if found.fault or not kept:
        return Settled(found.places, None, found.fault or "over_cap", parents)
    row = answer_source(found.source, found.label)
    return Settled(found.places, row, found.label, parents)


def audit_outcome(settings: PseudoLabels, found: Labelled) -> str:
    """How a labelled prompt was labelled."""
    if found.fault:
        return "audited_out"
    right = settings.label_of(found.source.response) == found.label
    return "audited_right" if right else "audited_wrong"
