r"""S3FT: train on the model's own answer where it is right, else on its wording of the given one.

    target = a   if judge(a),   a ~ M(x)                       "model"
             b   if judge(b),   b ~ M(paraphrase(x, y))        "paraphrase"
             y   otherwise                                     "gold"

x is the prompt and y the given response; a is asked with the very prompt that is trained, b with
one that shows y. Both are the likeliest tokens by default. The judge is the final answer, compared
as `correct_answer` does, or with `judge: model` the same model, asked whether the two answers
agree: a reply with "yes" or "no" and not both. One that cannot be read is asked again `retries`
times, and counts as a no then. A paraphrase that is y again, speaks of the reference or repeats
the prompt that showed it goes, and y stays. There is one target for each row, which stands for it.

Selective Self-to-Supervised Fine-Tuning: Gupta et al. 2025, arXiv:2502.08130. The paper's judges
are a numeric match for GSM8K, unit tests for MBPP and a model for NQ; code is not run here.

For a model that is to learn a task and keep what it knows, with responses that are trusted. The
model must be the one that is trained, and be able to solve a part. Not where the given wording is
what shall be learnt. It costs 1 call for each row, 1 more where the answer is wrong, and as many
of the judge where a model judges.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.generation.judging import VERDICT_TOKENS, ask_yes_or_no, fault_of_verdict
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
    is_asked_once,
    last_prompt_text,
    read_whole,
)
from pipeline.generation.maker_block import CallBounds, MakerBlock
from pipeline.generation.shown_text import repeats_shown, speaks_of_hint
from pipeline.generation.templates import fill_prompt, fixed_text
from pipeline.generation.verifiers.final_answer import FinalAnswer
from pipeline.measuring.measures.samples import Sampled
from pipeline.text.final_answer import final_answer
from scorers.words import split_words
from storage.examples import Example


class S3FT(MakerBlock):
    """The model's own right answers as targets: S3FT (arXiv:2502.08130)."""

    method: Literal["s3ft"]
    judge: Literal["final_answer", "model"] = Field(
        default="final_answer", description="What says whether an answer is right."
    )
    temperature: float = Field(default=0, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=512, gt=0, description="A longer answer is dropped.")
    retries: int = Field(
        default=1, ge=0, description="How often a judge is asked again that said neither."
    )

    prompts: ClassVar[Sequence[str]] = ("s3ft_paraphrase", "judged_response")
    takes_over: ClassVar[bool] = True

    def takes(self, example: Example) -> bool:
        """Rows with one response; if it is compared by its final answer, with such an answer."""
        judged = self.judge == "model" or final_answer(example.response) is not None
        return is_asked_once(example) and judged

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return 1

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {source.example_id: make_by_s3ft(self, source) for source in sources}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """An answer, and a paraphrase where it is wrong; each is judged, and may be again."""
        bounds: dict[CallKind, CallBounds] = {
            "generate": CallBounds(sources, 2 * sources, self.max_new_tokens)
        }
        if self.judge == "model":
            bounds["judge"] = CallBounds(0, 2 * sources, VERDICT_TOKENS)
            bounds["retry"] = CallBounds(0, 2 * sources * self.retries, VERDICT_TOKENS)
        return bounds


def make_by_s3ft(settings: S3FT, source: Example) -> Making:
    """The first of answer, paraphrase and given response that is right."""
    shown = {"prompt": last_prompt_text(source), "reference": source.response}
    paraphrase = end_prompt_with(source, fill_prompt("s3ft_paraphrase", shown))
    settled: list[Settled] = []
    for stage, messages in (("model", source.conversation.prompt), ("paraphrase", paraphrase)):
        ask = Ask(
            stage, 0, messages, settings.temperature, settings.max_new_tokens, tools=source.tools
        )
        (reply,) = yield Wanted([ask])
        text = read_whole(reply)
        places, fault = [ask.place], ""
        if stage == "paraphrase" and isinstance(text, str):
            fault = fault_of_paraphrase(source, text)
        if not fault:
            judged, fault = yield from judge_answer(settings, source, stage, text)
            places += judged
        if not fault and isinstance(text, str):
            return [*settled, Settled(places, answer_source(source, text), stage)]
        settled.append(Settled(places, None, fault))
    return [*settled, Settled((), source.conversation, "gold")]


def fault_of_paraphrase(source: Example, text: str) -> str:
    """Why a paraphrase is no target, whatever it answers; "" where it may be one."""
    if split_words(text) == split_words(source.response):
        return "copy_of_gold"
    if speaks_of_hint(text, source.prompt) and not speaks_of_hint(source.response):
        return "speaks_of_hint"
    return "repeats_prompt" if repeats_shown(text, fixed_text("s3ft_paraphrase")) else ""


def judge_answer(
    settings: S3FT, source: Example, stage: str, text: str | Unread
) -> Generator[Wanted, Sequence[Sampled], tuple[list[CallPlace], str]]:
    """Compare an answer with the given one; what the judge was asked, and why it is not right."""
    if isinstance(text, Unread):
        return [], text.reason
    if settings.judge == "final_answer":
        (fault,) = FinalAnswer().faults(source, [text])
        return [], fault
    fields = {"prompt": source.prompt, "answer": text, "reference": source.response}
    question = fill_prompt("judged_response", fields)
    asked, verdict = yield from ask_yes_or_no(f"judge {stage}", question, settings.retries)
    return asked, fault_of_verdict(verdict)
