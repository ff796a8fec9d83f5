r"""entailed: all that the answer says follows from a text, and nothing of it is denied there.

The text is the passages that a question is to be answered from (`against: passage`, of makers that
work on passages), or the prompt. By default the model itself is the judge. It replies with one
word:

    supported, contradicted or missing      "not supported" is none of them, and counts as unread

A reply that is none of these is asked for again, `retries` times at temperature 1; then the answer
is dropped as `unparsed_verdict`. Where the server or the model tells with what probability it gave
each word, `supported` needs at least the share `at_least` of the three together, else the answer is
dropped as `unsure`; where nothing tells, the word alone counts.

With `entailment`, a model for natural language inference in a folder or on the Hub, that is asked
in place of a judge, sentence by sentence, with the text as the premise: each must be entailed with
a probability of `at_least`, or the answer is dropped as `missing`, or as `contradicted` if that is
likelier than neutral. Its labels must be named; pairs that are longer than its window are cut and
averaged. This is exact about short facts and blind to what several sentences of the text say
together.

For questions about documents, whose answers shall add nothing. Not for answers that calculate or
advise: they say more than the text. The verdict of a small model may be worth little: measure it
on answers that were judged by hand. It costs a judge's call for each answer and
`retries` more; with `entailment` no call, and a forward pass for each sentence.

Answers checked against their passages: Yang et al. 2024, "AugCon", arXiv:2405.16579, by the model;
by inference models: Honovich et al. 2022, "TRUE", arXiv:2204.04991.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from pipeline.documents.sentences import find_sentences
from pipeline.generation.judging import VERDICT_TOKENS, ask_until_read
from pipeline.generation.maker import CallKind, CallPlace, Unread, read_whole
from pipeline.generation.maker_block import CallBounds
from pipeline.generation.templates import fill_prompt
from pipeline.generation.verifier import GroundedQuestion, Verdict, VerifierBlock, Verifying
from pipeline.generation.verifiers.judged import judge_stage
from pipeline.measuring.measures.samples import Sampled
from pipeline.settings import Share
from scorers.measures.entailment import CrossEncoderEntailment, missing_labels
from scorers.measures.models.loading import MissingModelError, ResolvedModel, resolve_model
from scorers.measures.protocols import GeneratedAnswer, OneOf
from scorers.words import split_words
from storage.examples import Example

JUDGE = "entailed_judge"

SUPPORTED = "supported"

VERDICTS = OneOf((SUPPORTED, "contradicted", "missing"))
"""What a judge may say."""


class JudgedWord(NamedTuple):
    """A judge's word, and how sure it was."""

    word: str
    share: float | None
    """Of the probability of all three, that of `supported`; None where nothing tells."""


class Entailed(VerifierBlock):
    """All that it says follows from the passage."""

    method: Literal["entailed"]
    against: Literal["passage", "prompt"] = Field(
        default="passage",
        description="passage: what a question of documents is answered from; prompt: the prompt.",
    )
    entailment: str | None = Field(
        default=None,
        description="A model for natural language inference, with a label `entailment`. Without, "
        "the maker's model is asked in words.",
    )
    at_least: Share = Field(
        default=0.5, description="Probability that it is supported, where that is known."
    )
    retries: int = Field(
        default=1, ge=0, description="How often a judge is asked again that says something else."
    )

    def sent_prompts(self) -> tuple[str, ...]:
        """See VerifierBlock."""
        return () if self.entailment else (JUDGE,)

    def takes(self, example: Example) -> bool:
        """Any prompt; of a passage only questions that were made of some."""
        return self.against == "prompt" or isinstance(example, GroundedQuestion)

    def require(self) -> None:
        """See VerifierBlock; a model that is not on this disk is looked for by the run.

        Raises:
            MissingModelError: if its labels are not named.
        """
        if self.entailment and Path(self.entailment).is_dir():
            find_entailment(self.entailment)

    def key_part(self) -> dict[str, Any]:
        """See VerifierBlock; the model by what it is.

        Raises:
            MissingModelError: if there is no such model, or its labels are not named.
        """
        model = find_entailment(self.entailment).fingerprint if self.entailment else None
        return super().key_part() | {"entailment": model}

    def verify(
        self, source: Example, places: Sequence[CallPlace], texts: Sequence[str]
    ) -> Verifying:
        """See VerifierBlock."""
        ground = source.prompt if self.against == "prompt" else ground_of(source)
        if self.entailment:
            return [Verdict(fault) for fault in self._infer(ground, texts)]
        question = source.prompt if self.against == "passage" else "-"
        stages = [f"entailed {judge_stage(place)}" for place in places]
        questions = {
            stage: show(ground, question, text) for stage, text in zip(stages, texts, strict=True)
        }
        told = yield from ask_until_read(
            questions, self.retries, read_word_of_three, form=VERDICTS, tokens=VERDICT_TOKENS
        )
        return [
            Verdict(fault_of_entailment(verdict, self.at_least), tuple(asked))
            for asked, verdict in (told[stage] for stage in stages)
        ]

    def calls_for(self, answers: int) -> Mapping[CallKind, CallBounds]:
        """See VerifierBlock."""
        if self.entailment:
            return {}
        return {
            "judge": CallBounds(0, answers, VERDICT_TOKENS),
            "retry": CallBounds(0, answers * self.retries, VERDICT_TOKENS),
        }

    def _infer(self, ground: str, texts: Sequence[str]) -> list[str]:
        assert self.entailment is not None
        model = load_entailment(self.entailment)
        parts = [(at, each) for at, text in enumerate(texts) for each in sentences_of(text)]
        premises, sentences = [ground] * len(parts), [each for _, each in parts]
        told = model.relations(premises, sentences) if parts else []
        faults = ["no_content"] * len(texts)
        for at in {at for at, _ in parts}:
            faults[at] = ""
        for (at, _), (entailed, contradicted) in zip(parts, told, strict=True):
            if entailed < self.at_least and not faults[at]:
                neutral = 1 - entailed - contradicted
                faults[at] = "contradicted" if contradicted > neutral else "missing"
        return faults


def find_entailment(name: str) -> ResolvedModel:
    """A model for natural language inference, before it is loaded.

    Raises:
        MissingModelError: if there is none, or it does not say which of its classes is which.
    """
    found = resolve_model(name)
    if missing := missing_labels(found.path):
        raise MissingModelError(
            f"{name}: entailed needs a model with a label {' and one '.join(missing)}, which its "
            "config.json does not name: give one that was trained for natural language inference"
        )
    return found


@lru_cache(maxsize=1)
def load_entailment(name: str) -> CrossEncoderEntailment:
    """A model for natural language inference, kept from one call to the next."""
    return CrossEncoderEntailment.from_directory(resolve_model(name).path)


def ground_of(source: Example) -> str:
    """The text that a question is to be answered from.

    Raises:
        ValueError: if it was made of none.
    """
    if isinstance(source, GroundedQuestion):
        return source.ground
    raise ValueError("entailed: this row was not made of a passage; set `against: prompt`")


def show(ground: str, question: str, answer: str) -> str:
    """What a judge is asked."""
    return fill_prompt(
        JUDGE, {"ground": ground.strip(), "question": question.strip(), "answer": answer}
    )


def read_word_of_three(reply: Sampled) -> JudgedWord | Unread:
    """The one word of a reply, whatever its case and the signs around it."""
    text = read_whole(reply)
    if isinstance(text, Unread):
        return text
    words = split_words(text)
    if len(words) != 1 or words[0] not in VERDICTS.options:
        return Unread("unparsed")
    assert isinstance(reply, GeneratedAnswer)  # or there were no text
    return JudgedWord(words[0], reply.share(SUPPORTED))


def fault_of_entailment(verdict: JudgedWord | Unread, at_least: float) -> str:
    """Why an answer goes; "" where it is supported."""
    if isinstance(verdict, Unread):
        return "unparsed_verdict"
    if verdict.word != SUPPORTED:
        return verdict.word
    return "unsure" if verdict.share is not None and verdict.share < at_least else ""


def sentences_of(text: str) -> list[str]:
    """The sentences of a text that have words."""
    spans = [text[start:end].strip() for start, end in find_sentences(text, 0, len(text))]
    return [each for each in spans if split_words(each)]
