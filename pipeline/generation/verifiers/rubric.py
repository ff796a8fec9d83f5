r"""rubric: a judge says of each of several criteria whether a row meets it, and it must meet all.

    keep (x, y)  <=>  the judge says yes to every one of `criteria`

The judge is shown the prompt and the answer, and replies once, with JSON that has yes or no for
each criterion: the model is held to that form where it can be, and a reply of another is asked for
again, `retries` times at temperature 1. Then the answer is dropped as `unparsed_verdict`; else as
`not_` and the first criterion that it does not meet. By default:

    self_contained  the prompt can be understood without anything that is not shown
    feasible        it can be answered by text, without tools or other files
    complete        the answer gives all that the prompt asks for
    correct         as far as the judge knows, all that it says is true
    honest          it neither declines nor speaks of an input that is not there
    format          it has the form that the prompt asks for
    consistent      (not by default) its explanation leads to what it says in the end

For what nothing is compared with: prompts and answers that a model made up. Not where there is a
trusted answer (`final_answer`) or a text to follow from (`entailed`). A small model says yes to
nearly all; measure a judge on rows that were judged by hand, and see how often it says no. It costs
one call for each answer, and `retries` more.

A judge in place of a person: OpenBezoar, Dissanayake et al. 2024, arXiv:2404.12195, whose criteria
are not published.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from pipeline.generation.json_replies import form_of, read_json_object
from pipeline.generation.judging import ask_until_read
from pipeline.generation.maker import CallKind, CallPlace, Unread
from pipeline.generation.maker_block import CallBounds
from pipeline.generation.templates import fill_prompt, named_lines, read_prompt_text
from pipeline.generation.verifier import Verdict, VerifierBlock, Verifying
from pipeline.generation.verifiers.judged import judge_stage
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import JsonForm
from storage.examples import Example

JUDGE, CRITERIA = "rubric_judge", "rubric_criteria"

Criterion = Literal[
    "self_contained", "feasible", "complete", "correct", "honest", "format", "consistent"
]

CRITERION_TOKENS = 16
"""New tokens of a verdict on one criterion: its name, a word and signs."""

DEFAULT: tuple[Criterion, ...] = (
    "self_contained",
    "feasible",
    "complete",
    "correct",
    "honest",
    "format",
)


class Rubric(VerifierBlock):
    """A judge says that a row meets several criteria."""

    method: Literal["rubric"]
    criteria: tuple[Criterion, ...] = Field(
        default=DEFAULT, min_length=1, description="What a row must meet, all of it."
    )
    retries: int = Field(
        default=1, ge=0, description="How often a judge is asked again that cannot be read."
    )

    def sent_prompts(self) -> tuple[str, ...]:
        """See VerifierBlock."""
        return JUDGE, CRITERIA

    def form(self) -> JsonForm:
        """The form of a judge's reply."""
        return form_of({name: {"enum": ["yes", "no"]} for name in self.criteria})

    def tokens(self) -> int:
        """New tokens of a judge's reply at most."""
        return CRITERION_TOKENS * (1 + len(self.criteria))

    def verify(
        self, source: Example, places: Sequence[CallPlace], texts: Sequence[str]
    ) -> Verifying:
        """See VerifierBlock."""
        form = self.form()
        stages = [f"rubric {judge_stage(place)}" for place in places]
        questions = {
            stage: self._question(source, text) for stage, text in zip(stages, texts, strict=True)
        }
        told = yield from ask_until_read(
            questions,
            self.retries,
            lambda reply: read_fault(reply, form),
            form=form,
            tokens=self.tokens(),
        )
        return [
            Verdict("unparsed_verdict" if isinstance(fault, Unread) else fault, tuple(asked))
            for asked, fault in (told[stage] for stage in stages)
        ]

    def _question(self, source: Example, text: str) -> str:
        criteria = named_lines(read_prompt_text(CRITERIA))
        listed = "\n".join(f"{name}: {criteria[name]}" for name in self.criteria)
        shown = {"prompt": source.prompt, "answer": text, "criteria": listed}
        return fill_prompt(JUDGE, shown)

    def calls_for(self, answers: int) -> Mapping[CallKind, CallBounds]:
        """See VerifierBlock."""
        return {
            "judge": CallBounds(0, answers, self.tokens()),
            "retry": CallBounds(0, answers * self.retries, self.tokens()),
        }


def read_fault(reply: Sampled, form: JsonForm) -> str | Unread:
    """The first criterion that a row does not meet; "" where it meets all."""
    read = read_json_object(reply, form)
    if isinstance(read, Unread):
        return read
    unmet = [name for name in form.schema["required"] if read[name] == "no"]
    return f"not_{unmet[0]}" if unmet else ""
