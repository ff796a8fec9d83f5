"""judged: the model itself says that the answer is right, or follows from its prompt.

    yes or no to: does the answer say what the given response says      `against`: response
                  does all that it says follow from the prompt          `against`: prompt

A reply that says neither is asked for again, `retries` times at temperature 1, and then the answer
is dropped as `unparsed_verdict`. For open questions, where nothing can be compared; and for
questions about a text that stands in the prompt. A small model's yes is worth little: measure it on
rows that were judged by hand. Costs one call for each answer, and `retries` more.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from pipeline.generation.judging import VERDICT_TOKENS, ask_together, fault_of_verdict
from pipeline.generation.maker import CallKind, CallPlace
from pipeline.generation.maker_block import CallBounds
from pipeline.generation.templates import fill_prompt
from pipeline.generation.verifier import Verdict, VerifierBlock, Verifying
from storage.examples import Example


class Judged(VerifierBlock):
    """A judge says that it is right."""

    method: Literal["judged"]
    against: Literal["response", "prompt"] = Field(
        default="response",
        description="response: it says what the given one does; prompt: it follows from it.",
    )
    retries: int = Field(
        default=1, ge=0, description="How often a judge is asked again that said neither."
    )

    def sent_prompts(self) -> tuple[str]:
        """See VerifierBlock."""
        return ("judged_response" if self.against == "response" else "judged_prompt",)

    def takes(self, example: Example) -> bool:
        """Rows that have what is compared with."""
        return self.against == "prompt" or example.response_at is not None

    def verify(
        self, source: Example, places: Sequence[CallPlace], texts: Sequence[str]
    ) -> Verifying:
        """See VerifierBlock."""
        questions = {
            judge_stage(place): self._question(source, text)
            for place, text in zip(places, texts, strict=True)
        }
        told = yield from ask_together(questions, self.retries)
        found = [told[judge_stage(place)] for place in places]
        return [Verdict(fault_of_verdict(verdict), tuple(asked)) for asked, verdict in found]

    def _question(self, source: Example, text: str) -> str:
        fields = {"prompt": source.prompt, "answer": text}
        if self.against == "response":
            fields["reference"] = source.response
        return fill_prompt(*self.sent_prompts(), fields)

    def calls_for(self, answers: int) -> Mapping[CallKind, CallBounds]:
        """See VerifierBlock."""
        return {
            "judge": CallBounds(0, answers, VERDICT_TOKENS),
            "retry": CallBounds(0, answers * self.retries, VERDICT_TOKENS),
        }


def judge_stage(place: CallPlace) -> str:
    """The stage in which a judge is asked about the answer of a call."""
    stage, attempt = place
    return f"judge {stage} {attempt}"
