r"""Rejection: sample answers to a prompt and keep those that all verifiers find right.

    keep y_1 … y_n ~ M(x) with v(x, y_i) for each v of `verify`

Without another word that is `final_answer`: y_i ends on the answer that the source's own response
ends on. Of the right samples one stays for
each `distinct` key: the text, or the path, which is the numbers and operators it names in order.
Where more are left than `keep_at_most`, those are taken that are farthest from one another by
ROUGE-L F (pipeline/text/word_overlap.py), beginning with the lowest hash, so that the order of the
samples changes nothing. Where no sample is right, `hints` more are asked with the answer shown;
one that is right is stored under the prompt alone, and goes if it speaks of what it was shown.
`gold` says whether the source's own response stands among the rows: always, where nothing else
does, or never. The rows stand for the source.

    STaR (Zelikman et al. 2022, arXiv:2203.14465): samples: 1, temperature: 0, hints: 1, gold: never
    RFT (Yuan et al. 2023, arXiv:2308.01825):      samples: 100, temperature: 0.7, distinct: path,
                                                   gold: always
    TRICE, its warm start (Phan et al. 2023, arXiv:2312.02179): samples: 0, temperature: 1,
                                                   hints: 1, keep_at_most: 1, gold: never

For tasks whose answer can be compared, run or judged: what a verifier does not see passes. A prompt
without a response is taken where no verifier needs one. Not for questions that anything may answer.
Easy prompts give more rows than hard ones: `keep_at_most` bounds that. It costs `samples` calls for
each row, `hints` more where all of them fail, and what judges are asked. RFT's code keeps only
paths whose equations hold, by `eval`; here paths are compared only, and what a model wrote is run
by the verifier `code` alone, apart from everything. TRICE holds one rationale for each prompt, at
first of a guide that was told the answer; with `samples: 1` a right one of the model's own takes
its place, which is one step of its chain. Its training, in whose steps the model changes (batches
of 64 in its code), is not here.
"""

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

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
    ends_with_user,
    is_asked_once,
    last_prompt_text,
    read_whole,
)
from pipeline.generation.maker_block import CallBounds, MakerBlock
from pipeline.generation.shown_text import speaks_of_hint
from pipeline.generation.templates import fill_prompt
from pipeline.generation.verified_block import VerifiedBlock
from pipeline.generation.verifier import verify_all
from pipeline.generation.verifier_catalogue import Verifier
from pipeline.generation.verifiers.final_answer import FinalAnswer
from pipeline.measuring.measures.samples import Sampled
from pipeline.text.final_answer import read_number
from pipeline.text.word_overlap import overlap_of
from scorers.measures.protocols import Message
from scorers.words import split_words
from storage.conversations import content_hash
from storage.examples import Example

PATH = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?|[-+*/\u00d7\u00f7=]")


class Rejection(VerifiedBlock, MakerBlock):
    """Answers that end on the trusted one: STaR (2203.14465) and RFT (2308.01825)."""

    method: Literal["rejection"]
    samples: int = Field(default=8, ge=0, description="Answers asked for each prompt.")
    temperature: float = Field(default=0.7, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=256, gt=0, description="A longer answer is dropped.")
    distinct: Literal["text", "path"] = Field(
        default="text", description="text: no answer twice; path: no numbers and operators twice."
    )
    keep_at_most: int = Field(default=4, gt=0, description="Samples kept for each prompt.")
    hints: int = Field(
        default=0,
        ge=0,
        description="Answers asked with the trusted one shown, where none is right.",
    )
    gold: Literal["always", "fallback", "never"] = Field(
        default="fallback", description="When the given response is among the rows."
    )
    verify: tuple[Verifier, ...] = Field(
        default=(FinalAnswer(),),
        min_length=1,
        description="What a sample must be, in this order; one that fails goes no further.",
    )

    prompts: ClassVar[Sequence[str]] = ("rejection_hint",)
    takes_over: ClassVar[bool] = True

    @model_validator(mode="after")
    def something_to_keep(self) -> Self:
        """Check that a row can come of it, and that samples can differ."""
        if not self.samples and not self.hints and self.gold == "never":
            raise ValueError(
                "samples: 0, hints: 0 and gold: never leave no row; change one of them"
            )
        if self.temperature == 0 and max(self.samples, self.hints) > 1:
            raise ValueError(
                "at temperature 0 every sample is the same: set samples and hints to 1 at most, "
                "or a temperature above 0"
            )
        return self

    def takes(self, example: Example) -> bool:
        """Rows with at most one trained response, which verifiers can tell the samples by."""
        asked = is_asked_once(example)
        if example.response_at is None:
            asked = ends_with_user(example) and self.samples > 0  # there is nothing to hint at
        return asked and all(each.takes(example) for each in self.verify)

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return self.keep_at_most + 1

    def shown_answer(self, example: Example) -> str:
        """What a hint shows: the trusted final answer, or else the whole response."""
        for each in self.verify:
            if isinstance(each, FinalAnswer):
                return each.trusted(example) or ""
        return example.response

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {source.example_id: make_by_rejection(self, source) for source in sources}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """Samples, and hints where all of them fail or there are none; what judges are asked."""
        fewest, most = sources * (self.samples or self.hints), sources * (self.samples + self.hints)
        own: dict[CallKind, CallBounds] = {
            "generate": CallBounds(fewest, most, self.max_new_tokens)
        }
        return self.with_verifying(own, most)


def make_by_rejection(settings: Rejection, source: Example) -> Making:
    """Sample, verify, choose; then the hint and the gold, as the settings have them."""
    prompt, answered = source.conversation.prompt, source.response_at is not None
    settled: list[Settled] = []
    kept = 0
    for stage, n, messages in (
        ("sample", settings.samples, prompt),
        ("hint", settings.hints * answered, with_hint(source, settings.shown_answer(source))),
    ):
        if kept or not n:
            continue
        asks = [ask_sample(settings, source, (stage, at), messages) for at in range(n)]
        replies = yield Wanted(asks)
        settled += yield from choose_right(settings, source, stage, replies)
        kept = sum(each.row is not None for each in settled)
    wanted = settings.gold == "always" or (settings.gold == "fallback" and not kept)
    if answered and wanted:
        settled.append(Settled((), source.conversation, "gold"))
    return settled


def ask_sample(
    settings: Rejection, source: Example, place: CallPlace, messages: Sequence[Message]
) -> Ask:
    """One sample."""
    stage, attempt = place
    return Ask(
        stage,
        attempt,
        messages,
        settings.temperature,
        settings.max_new_tokens,
        tools=source.tools,
    )


def with_hint(source: Example, answer: str) -> list[Message]:
    """A prompt with its answer shown behind its last message."""
    fields = {"prompt": last_prompt_text(source), "answer": answer}
    return end_prompt_with(source, fill_prompt("rejection_hint", fields))


def choose_right(
    settings: Rejection, source: Example, stage: str, replies: Sequence[Sampled]
) -> Making:
    """Say of each sample whether it is a row, or why not."""
    texts = {at: read_whole(reply) for at, reply in enumerate(replies)}
    read = {at: text for at, text in texts.items() if isinstance(text, str)}
    reasons = {at: text.reason for at, text in texts.items() if isinstance(text, Unread)}
    for at, text in read.items():
        if stage == "hint" and speaks_of_hint(text, source.prompt):
            reasons[at] = "speaks_of_hint"
    told = yield from verify_all(
        settings.verify,
        source,
        {(stage, at): text for at, text in read.items() if at not in reasons},
    )
    reasons |= {at: verdict.fault for (_, at), verdict in told.items() if verdict.fault}
    firsts: dict[str, tuple[str, int]] = {}
    for at, text in read.items():
        if at not in reasons:
            key = path_key(text) if settings.distinct == "path" else " ".join(text.split())
            firsts[key] = min(firsts.get(key, (text, at)), (text, at))
    chosen = choose_far_apart([text for text, _ in firsts.values()], settings.keep_at_most)
    first_places = {at for _, at in firsts.values()}
    settled = []
    for at in texts:
        places = [(stage, at), *(told[stage, at].asked if (stage, at) in told else ())]
        if at in first_places and read[at] in chosen:
            settled.append(Settled(places, answer_source(source, read[at]), stage))
        else:
            beside = "over_cap" if at in first_places else "duplicate"
            settled.append(Settled(places, None, reasons.get(at, beside)))
    return settled


def path_key(text: str) -> str:
    """Numbers and operators of a derivation in order; its words where it has none."""
    steps = [str(read_number(each) or each) for each in PATH.findall(text)]
    return " ".join(steps or split_words(text))


def choose_far_apart(texts: Sequence[str], k: int) -> set[str]:
    """The k texts that are farthest from those chosen before; the first has the lowest hash."""
    left = sorted(set(texts), key=content_hash)
    chosen: list[str] = []
    nearest = dict.fromkeys(left, 0.0)  # the most that each has in common with one chosen
    while left and len(chosen) < k:
        best = min(left, key=lambda text: nearest[text])  # of equal ones the lowest hash
        chosen.append(best)
        left.remove(best)
        words = split_words(best)
        for text in left:
            nearest[text] = max(nearest[text], overlap_of(split_words(text), words).f)
    return set(chosen)
