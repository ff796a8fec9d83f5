r"""Questions of documents: passages become questions, and these are answered from what is found.

    T        = what the passage p is about, in its own words               with `tags`
    q_1 … q_m ~ M(q | p, headings of p, T)                                 `questions` of them
    R(q)     = the `retrieved` passages nearest to q                       nearest_passages.py
    a        ~ M(a | R(q), q)      where p is one of R(q)
    row      = q -> a                                                      `context: none`
             = R(q) in a drawn order, q -> a                               `context: passages`

With passages in the prompt a row has one that supports its answer and others that distract from it,
as a model is given them where documents are searched. A question whose own passage is not among the
nearest is dropped before it is answered (`not_retrieved`), for its answer would be of something
else. So is one that speaks of "the passage", asks what another of its passage asks (ROUGE-L F above
`similarity_at_most`), declines or has no content; and an answer that does. Questions and answers
are asked for apart: that gives more kinds of them, and answers can have judges (`verify`).

Nearest are those of the passages that it works on: with a `limit` no others are found.

The pipeline of Balaguer et al. 2024, "RAG vs Fine-tuning", arXiv:2401.08406, of which the abstract
and two readings were at hand. There the passages are found by embeddings; here by the words they
share with the question, which is blind to paraphrase. Its models are tuned on questions alone: the
default.

For manuals, reports and papers whose content is to be known or used. Not for texts whose facts
change, which should be searched and not learnt; nor for passages that say little without those
around them. A small model asks what is not answered: use `verify: [{method: entailed}]`. It costs 2
calls a passage (1 without `tags`) and 1 for each question that is left.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.generation.json_replies import form_of, read_json_object
from pipeline.generation.maker import (
    Ask,
    CallKind,
    Making,
    Settled,
    Unread,
    Wanted,
    ask_text,
    one_exchange,
    side_by_side,
)
from pipeline.generation.maker_block import CallBounds, PassageMakerBlock
from pipeline.generation.nearest_passages import PassageIndex
from pipeline.generation.templates import fill_prompt, passage_fields
from pipeline.generation.verified_block import VerifiedBlock
from pipeline.generation.verifier import ground_question
from pipeline.generation.verifier_catalogue import Verifier
from pipeline.generation.written_text import fault_of_wording, has_no_content
from pipeline.measuring.measures.samples import Sampled
from pipeline.text.word_overlap import is_near_any
from scorers.measures.protocols import JsonForm
from scorers.words import split_words
from storage.conversations import content_hash
from storage.documents import SourcePassage

TAGS, QUESTIONS, ANSWER, ROW = (
    f"document_questions_{name}" for name in ("tags", "questions", "answer", "row")
)


class DocumentQuestions(VerifiedBlock, PassageMakerBlock):
    """Questions of passages, answered from what is found: arXiv:2401.08406."""

    method: Literal["document_questions"]
    questions: int = Field(default=5, gt=0, description="Questions asked of each passage.")
    tags: bool = Field(
        default=True, description="Whether the model first says what a passage is about."
    )
    retrieved: int = Field(
        default=3, gt=0, description="Passages that a question is answered from, the nearest."
    )
    context: Literal["none", "passages"] = Field(
        default="none",
        description="none: the prompt is the question; passages: with those it is answered from.",
    )
    similarity_at_most: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="ROUGE-L F with another question of the passage; more is a copy.",
    )
    temperature: float = Field(default=0.7, ge=0, description="Of questions; others have 0.")
    max_new_tokens: int = Field(default=512, gt=0, description="Of each reply.")
    verify: tuple[Verifier, ...] = Field(
        default=(), description="What an answer must be, in this order."
    )

    prompts: ClassVar[Sequence[str]] = (TAGS, QUESTIONS, ANSWER, ROW)

    @property
    def compares_all(self) -> bool:
        """What is nearest to a question depends on all passages."""
        return True

    def takes(self, passage: SourcePassage) -> bool:
        """Passages that say something."""
        return not has_no_content(passage.text)

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return self.questions

    def makings(self, passages: Sequence[SourcePassage], seed: int) -> Mapping[str, Making]:
        """One for each passage, which looks for answers in all."""
        corpus = SearchedPassages(passages, PassageIndex([each.text for each in passages]))
        return {
            each.passage_id: make_by_document_questions(self, each, corpus, seed)
            for each in passages
        }

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """Tags and questions of each passage, and at most an answer to each question."""
        fewest = sources * (1 + self.tags)
        answers = sources * self.questions
        own: dict[CallKind, CallBounds] = {
            "generate": CallBounds(fewest, fewest + answers, self.max_new_tokens)
        }
        return self.with_verifying(own, answers)

    def question_form(self) -> JsonForm:
        """The form of a reply with questions."""
        texts = {"type": "array", "items": {"type": "string"}, "minItems": 1}
        return form_of({"questions": {**texts, "maxItems": self.questions}})


@dataclass(frozen=True, slots=True)
class SearchedPassages:
    """The passages that questions are answered from."""

    passages: Sequence[SourcePassage]
    index: PassageIndex

    def nearest(self, question: str, count: int) -> list[SourcePassage]:
        """The passages nearest to a question, the nearest first."""
        return [self.passages[at] for at in self.index.nearest(question, count)]


def make_by_document_questions(
    settings: DocumentQuestions, passage: SourcePassage, corpus: SearchedPassages, seed: int
) -> Making:
    """Say what a passage is about, ask questions of it, and answer those that lead back to it."""
    tagged, about = yield from tag_passage(settings, passage)
    fields = {
        "count": str(settings.questions),
        "about": f"\nIt is about: {about}\n" if about else "",
    }
    ask = ask_of(settings, "questions", QUESTIONS, passage, fields)
    ask = replace(ask, temperature=settings.temperature, form=settings.question_form())
    (reply,) = yield Wanted([ask], tagged if not about else ())
    places = [ask.place, *(place for each in tagged if about for place in each.replies)]
    read = read_json_object(reply, settings.question_form())
    if isinstance(read, Unread):
        return [Settled(places, None, read.reason)]
    told = find_questions(settings, passage, corpus, read["questions"])
    dropped = [Settled(places, None, fault) for _, fault in told if fault]
    questions = [question for question, fault in told if not fault]
    asks = [ask_answer(settings, number, question) for number, question in enumerate(questions)]
    if not asks:
        return dropped
    replies = yield Wanted(asks, dropped)
    made = yield from side_by_side(
        [
            settle_question(settings, question, ask, reply, seed)
            for question, ask, reply in zip(questions, asks, replies, strict=True)
        ]
    )
    return [replace(each, replies=[*places, *each.replies]) for each in made]


def tag_passage(
    settings: DocumentQuestions, passage: SourcePassage
) -> Generator[Wanted, Sequence[Sampled], tuple[list[Settled], str]]:
    """What a passage is about, or why that is not known, which ends nothing; what was asked."""
    if not settings.tags:
        return [], ""
    ask = ask_of(settings, "tags", TAGS, passage, {})
    about = yield from ask_text(ask, lambda text: fault_of_wording(text, (TAGS,), alone=False))
    if isinstance(about, Unread):
        return [Settled([ask.place], None, about.reason)], ""
    return [Settled([ask.place], None, "tags")], about


def ask_of(
    settings: DocumentQuestions,
    stage: str,
    prompt: str,
    passage: SourcePassage,
    fields: Mapping[str, str],
) -> Ask:
    """Something that is asked with a passage shown."""
    shown = fill_prompt(prompt, {**passage_fields(passage), **fields})
    messages = [{"role": "user", "content": shown}]
    return Ask(stage, 0, messages, 0.0, settings.max_new_tokens)


@dataclass(frozen=True, slots=True)
class FoundQuestion:
    """A question that leads back to its passage."""

    text: str
    passage: SourcePassage
    found: Sequence[SourcePassage]
    """What it is answered from, the nearest first; its passage is one of them."""

    @property
    def shown(self) -> str:
        """What it is answered from, as it is shown."""
        return show_passages(self.found)


def find_questions(
    settings: DocumentQuestions,
    passage: SourcePassage,
    corpus: SearchedPassages,
    texts: Sequence[str],
) -> list[tuple[FoundQuestion, str]]:
    """Each question with what is found for it, and why it goes; "" where it stays."""
    told = []
    before: list[list[str]] = []
    for text in map(str.strip, texts):
        found = corpus.nearest(text, settings.retrieved)
        fault = fault_of_wording(text, (QUESTIONS,))
        if not fault and is_near_any(split_words(text), before, settings.similarity_at_most):
            fault = "copy"
        if not fault and passage not in found:
            fault = "not_retrieved"
        if not fault:
            before.append(split_words(text))
        told.append((FoundQuestion(text, passage, found), fault))
    return told


def show_passages(passages: Sequence[SourcePassage]) -> str:
    """Passages as they stand in a prompt."""
    return "\n\n".join(f"[{n}] {each.text.strip()}" for n, each in enumerate(passages, start=1))


def ask_answer(settings: DocumentQuestions, number: int, question: FoundQuestion) -> Ask:
    """The answer to a question, with what was found shown."""
    fields = {"passages": question.shown, "question": question.text}
    messages = [{"role": "user", "content": fill_prompt(ANSWER, fields)}]
    return Ask("answer", number, messages, 0.0, settings.max_new_tokens)


def settle_question(
    settings: DocumentQuestions, question: FoundQuestion, ask: Ask, reply: Sampled, seed: int
) -> Generator[Wanted, Sequence[Sampled], Settled]:
    """The row of a question and its answer, or why there is none."""
    source = ground_question(question.text, question.shown)
    answer, fault, places = yield from settings.read_answer(ask, reply, source, (ANSWER,))
    if fault:
        return Settled(places, None, fault)
    parents = [question.passage.passage_id]
    prompt = question.text
    if settings.context == "passages":
        drawn = sorted(
            question.found, key=lambda each: content_hash([seed, prompt, each.passage_id])
        )
        parents += [each.passage_id for each in question.found if each != question.passage]
        prompt = fill_prompt(ROW, {"passages": show_passages(drawn), "question": prompt})
    return Settled(places, one_exchange(prompt, answer), settings.context, parents)
