r"""MCTS-DPO: answers that part at a step, of which a tree search says which way is better.

    v = P(yes) of the judge on the answer up to the step  +  o
    pair at a depth: the sibling that was visited most, and the one with the lowest Q

A step is a sentence or a line; with `steps: piece` it ends behind ".", ",", "=", "(" or ":", where
the parts of a call do. From a node of the tree `actions` answers are asked that go on from what it
has, and the first step of each is a child; of two with the same step the first stays. The model
itself is the judge; with `reference` it is shown the given answer. o is 1 where all of `verify`
find the answer that the step is of right, -1 where not, and 0 without `verify`. The given answer's
own steps are among the children (`given`). How a tree is searched, and where a pair is taken,
stands in pipeline/generation/step_tree.py: there is one at each step of the way that was taken
most, if Q of the two differs by `margin`.

The rows of a pair are whole answers: the best that was found behind the one step, which must be
right by `verify`, and the worst behind the other. What they have in common counts nothing in DPO.
The worse one is no row to train on: the selection drops it as `rejected_answer`, and with `export:
{rejected: [rejected_answer]}` it stands beside the better one, as SPIN's does. A training with
`dpo` is an iteration; the next one has its adapter as target.

Xie et al. 2024, arXiv:2405.00451. There the texts of a pair end with their step, and their loss is
smoothed by visits, which `dpo` does not do; children have their likelihood as prior, here all the
same; and the model changes after every 64 prompts. Theirs has `reference`; 64 iterations, four
times as many from the root; a depth of 3; 2 actions, 4 of them at the root.

Pieces of calls, and the judge that sees the given one, are those of iTool (arXiv:2501.09766), which
looks for the parts of calls that a model gets wrong, in the 30 % of rows that it finds least
likely: recipes/itool.yaml. There a judge gives one of four grades, which count by their
probabilities, pieces go two a step, and training begins with easy rows. That order is not here, and
which rows are hard has to be measured by another recipe.

For tasks that are answered in steps, on a model that finds the right way sometimes. Not where it
never does or always, for then no sibling is better; nor for answers of one sentence. The judge of a
small model says little: there `verify` decides. It costs `actions` calls for each node that is
grown, at most one in an iteration, and one of a judge for each child.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.generation.judging import (
    ONE_WORD,
    VERDICT_TOKENS,
    ask_until_read,
    read_yes_or_no,
)
from pipeline.generation.maker import (
    Ask,
    CallKind,
    CallPlace,
    Making,
    Settled,
    Unread,
    Wanted,
    answer_source,
    ends_with_user,
    is_asked_once,
    read_whole,
)
from pipeline.generation.maker_block import CallBounds, MakerBlock
from pipeline.generation.step_tree import Expanding, StepNode, find_pairs, search_steps
from pipeline.generation.templates import fill_prompt
from pipeline.generation.verified_block import VerifiedBlock
from pipeline.generation.verifier import verify_all
from pipeline.generation.verifier_catalogue import Verifier
from pipeline.generation.verifiers.final_answer import FinalAnswer
from pipeline.measuring.measures.samples import Sampled
from pipeline.measuring.rows import template_of, tokenizer_of
from scorers.measures.protocols import GeneratedAnswer, Opening
from scorers.measures.reading.opening import begun_with, find_opening, special_texts
from scorers.words import split_words
from storage.conversations import content_hash
from storage.examples import Example

JUDGE, WITH_REFERENCE = "mcts_dpo_judge", "mcts_dpo_reference"

STEP_ENDS: Mapping[str, re.Pattern[str]] = {
    "sentence": re.compile(r"(?<=[.!?])\s+|\n"),  # not within a number
    "piece": re.compile(r"(?<=[=(:])|(?<=[.,])\s+|\n"),
}
"""Where a step may end. What is matched is a part of the next."""

LEAST_WORDS = 2
"""Of a step: what is less, such as the number of a line, is a part of the next."""


class MCTSDPO(VerifiedBlock, MakerBlock):
    """Answers that part at a step, the better of two ways: MCTS-DPO (arXiv:2405.00451)."""

    method: Literal["mcts_dpo"]
    iterations: int = Field(default=8, gt=0, description="How often one goes down the tree.")
    actions: int = Field(default=2, gt=0, description="Answers asked from a node; see `given`.")
    depth: int = Field(default=3, gt=0, description="Steps that are searched.")
    exploration: float = Field(default=1.0, ge=0, description="What a rare visit counts.")
    discount: float = Field(default=1.0, ge=0, le=1, description="What the next step counts.")
    margin: float = Field(default=0.1, ge=0, description="How far two siblings are apart at least.")
    given: bool = Field(
        default=True, description="Whether the steps of the given answer are among the children."
    )
    steps: Literal["sentence", "piece"] = Field(
        default="sentence",
        description="sentence: or a line; piece: a part of a call, as iTool (2501.09766) has it.",
    )
    reference: bool = Field(
        default=False, description="Whether the judge is shown the given answer."
    )
    temperature: float = Field(default=1.0, gt=0, description="Of answers.")
    max_new_tokens: int = Field(default=256, gt=0, description="A longer answer is dropped.")
    retries: int = Field(
        default=1, ge=0, description="How often a judge is asked again that said neither."
    )
    template_model: str | None = Field(
        default=None,
        description="A model here that has the chat template, which a server does not tell.",
    )
    verify: tuple[Verifier, ...] = Field(
        default=(FinalAnswer(),),
        description="What a right answer is, in this order; none: the judge alone is asked.",
    )

    prompts: ClassVar[Sequence[str]] = (JUDGE, WITH_REFERENCE)

    @model_validator(mode="after")
    def siblings_can_differ(self) -> Self:
        """Check that a node has several children, and that an answer can be gone on with."""
        if self.actions == 1 and not self.given:
            raise ValueError("actions: 1 and given: false leave no siblings; change one of them")
        if self.few_shot or any(each.few_shot for each in self.teachers):
            raise ValueError(
                "mcts_dpo goes on from the chat template, which few_shot does without: leave it out"
            )
        served = self.endpoint or any(each.endpoint for each in self.teachers)
        if served and self.depth > 1 and self.template_model is None:
            raise ValueError(
                "a server does not tell its chat template: name as template_model a model here "
                "that has it, or set depth: 1"
            )
        return self

    def takes(self, example: Example) -> bool:
        """Rows with at most one trained response, whose answers each verifier can tell apart."""
        answered = bool(example.trained_at)
        asked = is_asked_once(example) if answered else ends_with_user(example)
        return (
            asked
            and (answered or not self.reference)
            and all(each.takes(example) for each in self.verify)
        )

    def rows_each(self) -> int:
        """Two of each pair, of which there is one at each depth."""
        return 2 * self.depth

    def key(self, seed: int, pool: Sequence[str] | None = None) -> str:
        """As MakerBlock's, and with the template that is taken for the model's."""
        key = super().key(seed, pool)
        if self.template_model is None:
            return key
        return content_hash([key, template_of(self.template_model, "chat")])[:16]

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {
            source.example_id: StepSearch(self, source, self.template_model or self.model).make()
            for source in sources
        }

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """Answers from each node that is grown, and a verdict on each child."""
        grown = self.iterations if self.depth > 1 else 1
        fewest, most = sources * self.actions, sources * self.actions * grown
        children = most + sources * self.given * min(grown, self.depth)
        own: dict[CallKind, CallBounds] = {
            "generate": CallBounds(fewest, most, self.max_new_tokens),
            "judge": CallBounds(0, children, VERDICT_TOKENS),
            "retry": CallBounds(0, children * self.retries, VERDICT_TOKENS),
        }
        return self.with_verifying(own, most)


class StepSearch:
    """The search of one row: what it asks, and what became of that."""

    def __init__(self, settings: MCTSDPO, source: Example, model: str) -> None:
        self.settings = settings
        self.source = source
        self.model = model
        """That has the chat template."""
        self.numbers = count()
        """Of the answers that are asked."""
        self.dropped: list[Settled] = []

    def make(self) -> Making:
        """Search, and take the pairs."""
        settings, source = self.settings, self.source
        given = settings.given and source.response_at is not None
        # The answer of a root is nothing that it could have ended with.
        root = StepNode("", source.response if given else "\n", 0.0, given=given)
        yield from search_steps(
            root,
            self.expand,
            iterations=settings.iterations,
            depth=settings.depth,
            exploration=settings.exploration,
            discount=settings.discount,
        )
        settled, paired = [*self.dropped], set[StepNode]()
        # What is right is worth 1 and more; what is better than a poor step may be wrong too.
        for pair in find_pairs(root, settings.margin, 1.0 if settings.verify else 0.0):
            if pair.worse.given:
                continue  # it is trusted, whatever a judge says
            better, worse = (
                answer_source(source, each.whole.strip()) for each in (pair.better, pair.worse)
            )
            if pair.better.given:
                better = source.conversation
            settled.append(Settled(pair.better.calls, better, "better"))
            of = better.example_id
            settled.append(Settled(pair.worse.calls, worse, "worse", rejected_for=of))
            paired |= {pair.better, pair.worse}
        left = [each for each in root.below() if each.calls and each not in paired]
        return settled + [Settled(each.calls, None, "no_pair") for each in left]

    def expand(self, node: StepNode) -> Expanding:
        """The steps that may follow a node, with what they are worth."""
        asks = self.ask(node)
        replies = yield Wanted(asks)
        found: dict[CallPlace | None, StepNode] = {}
        if node.given:
            whole = self.source.response
            found[None] = StepNode(self.step(whole, node), whole, 0.0, given=True)
        for ask, reply in zip(asks, replies, strict=True):
            whole, fault = self.read(node, reply)
            begun = self.step(whole, node)
            if not fault and begun.split() in [each.begun.split() for each in found.values()]:
                fault = "same_step"
            if fault:
                self.dropped.append(Settled([ask.place], None, fault))
            else:
                found[ask.place] = StepNode(begun, whole, 0.0, [ask.place])
        children = yield from self.evaluate(found)
        return children

    def ask(self, node: StepNode) -> list[Ask]:
        """Answers that go on from a node."""
        settings, source = self.settings, self.source
        opening = None if not node.begun else self.opening(node.begun)
        return [
            Ask(
                "step",
                next(self.numbers),
                [] if opening else source.conversation.prompt,
                settings.temperature,
                settings.max_new_tokens,
                tools=() if opening else source.tools,
                opening=opening,
            )
            for _ in range(settings.actions)
        ]

    def opening(self, begun: str) -> Opening:
        """The prompt, and the answer up to a step."""
        prompt = self.source.conversation.prompt
        tokenizer = tokenizer_of(self.model)
        return begun_with(
            tokenizer,
            find_opening(tokenizer, prompt, "assistant", self.source.tools),
            begun,
        )

    def question(self, steps: str) -> str:
        """What the judge is asked of an answer so far."""
        shown = {"prompt": self.source.prompt, "steps": steps}
        if not self.settings.reference:
            return fill_prompt(JUDGE, shown)
        return fill_prompt(WITH_REFERENCE, {**shown, "reference": self.source.response})

    def step(self, whole: str, node: StepNode) -> str:
        """An answer up to the end of the step that follows a node."""
        return step_of(whole, len(node.begun), STEP_ENDS[self.settings.steps])

    def read(self, node: StepNode, reply: Sampled) -> tuple[str, str]:
        """The whole answer that a reply makes of a node's, and why it goes."""
        text = read_whole(reply)
        if isinstance(text, Unread):
            return node.begun, text.reason
        marks = special_texts_of(self.model) if node.begun else ()
        return node.begun + text, "template_token" if any(e in text for e in marks) else ""

    def evaluate(self, found: Mapping[CallPlace | None, StepNode]) -> Expanding:
        """Those of new nodes that a judge says something of, with their values."""
        source, settings = self.source, self.settings
        asked = {place: each.whole.strip() for place, each in found.items() if place is not None}
        verdicts = yield from verify_all(settings.verify, source, asked)
        number = next(self.numbers)
        stages = {place: f"judge {number} {place and place[1]}" for place in found}
        told = yield from ask_until_read(
            {stages[place]: self.question(each.begun.strip()) for place, each in found.items()},
            settings.retries,
            read_share,
            form=ONE_WORD,
            tokens=VERDICT_TOKENS,
        )
        children = []
        for place, node in found.items():
            calls, share = told[stages[place]]
            verdict = verdicts[place] if place is not None else None
            node.calls = [*node.calls, *(verdict.asked if verdict else ()), *calls]
            if isinstance(share, Unread):
                self.dropped.append(Settled(node.calls, None, "unparsed_verdict"))
                continue
            outcome = 1 if verdict is None or not verdict.fault else -1
            node.value = share + (outcome if settings.verify else 0)
            children.append(node)
        return children


def step_of(whole: str, start: int, ends: re.Pattern[str]) -> str:
    """An answer up to the end of the step that begins somewhere."""
    for end in ends.finditer(whole, start):
        if len(split_words(whole[start : end.start()])) >= LEAST_WORDS:
            # A blank at its end would be a token of its own; the next step begins with it.
            return whole[: end.start()] if whole[end.start() :].strip() else whole
    return whole


def read_share(reply: Sampled) -> float | Unread:
    """How far a judge says yes, by its probabilities where these are told."""
    said = read_yes_or_no(reply)
    if isinstance(said, Unread) or not isinstance(reply, GeneratedAnswer):
        return Unread("unparsed")
    share = reply.share("yes")
    return float(said) if share is None else share


@lru_cache(maxsize=4)
def special_texts_of(model: str) -> tuple[str, ...]:
    """What of an answer would be read as the template's."""
    return tuple(special_texts(tokenizer_of(model)))
