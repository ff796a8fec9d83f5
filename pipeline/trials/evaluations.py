"""The items of an evaluation, rendered before any work, and measured without generation.

    nll       nats of the gold answer, its end of turn included, and how many tokens it has
    margin    log p(right choice) / size - the largest log p(other choice) / size, in nats
    accuracy  1 where the margin is above 0, else 0

size is the characters of a choice, or its tokens, or 1. Tokens are those that a training takes its
loss on, in the same template. Each item is read once for each training, all its choices together.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contamination.evaluations import prompt_of
from pipeline.ingest.rows import UnreadableSourceError
from pipeline.trials.questions import TrialQuestion
from pipeline.trials.settings import TrialEvaluation
from scorers.measures.protocols import GenerationFailure, LanguageModel
from scorers.measures.reading.chat_format import RenderedExample, RenderingError, render
from storage.conversations import Message, content_hash, message_text
from storage.trial_items import ItemValues

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class TrialItem:
    """One item: a prompt and its answers, as the model reads them."""

    position: int
    """Line or row number in its file, from 1."""
    cluster: str | None
    prompt_text: str
    choices: Sequence[str]
    """Texts; of gold answers the one."""
    right: int
    """Place of the right one."""
    rendered: Sequence[RenderedExample]
    """Of each choice."""

    @property
    def gold_text(self) -> str:
        """The right answer."""
        return self.choices[self.right]

    @property
    def tokens(self) -> int:
        """That are read of it."""
        return sum(len(each.prompt) + len(each.response) for each in self.rendered)


@dataclass(frozen=True, slots=True)
class TrialItems:
    """An evaluation with its items."""

    name: str
    evaluation_id: str
    """Hash of the items and of all that can change their numbers, but for the model's weights."""
    settings: TrialEvaluation
    items: Sequence[TrialItem]
    left_out: Mapping[str, int]
    """Why rows give no item → how many."""

    @property
    def clusters(self) -> int:
        """How many of its items are independent."""
        alone = sum(item.cluster is None for item in self.items)
        return alone + len({item.cluster for item in self.items if item.cluster is not None})

    @property
    def chance(self) -> float | None:
        """Accuracy of guessing; None of gold answers."""
        if self.settings.metric != "choice":
            return None
        return float(np.mean([1 / len(item.choices) for item in self.items]))


def render_questions(
    name: str,
    settings: TrialEvaluation,
    read: tuple[Sequence[TrialQuestion], Counter[str]],
    tokenizer: "PreTrainedTokenizerBase",
    longest: int,
) -> TrialItems:
    """Make token ids of items.

    Args:
        name: of the evaluation.
        settings: of it.
        read: items, and why other rows are none.
        tokenizer: with the template of the training.
        longest: tokens of an item that the model reads; a longer one is left out, and counted.

    Raises:
        UnreadableSourceError: if none is left.
    """
    questions, left_out = read
    left_out = Counter(left_out)
    items = []
    for question in questions:
        try:
            item = render_question(question, tokenizer)
        except RenderingError:
            left_out["the chat template refuses it"] += 1
            continue
        if max(len(each.prompt) + len(each.response) for each in item.rendered) > longest:
            left_out[f"more than {longest} tokens"] += 1
        else:
            items.append(item)
    if len(items) < 2:
        why = ", ".join(f"{reason}: {count}" for reason, count in left_out.most_common(3))
        raise UnreadableSourceError(f"{name}: {len(items)} items give no interval; {why}")
    told = [
        [item.position, item.cluster, item.right, *map(token_ids_of, item.rendered)]
        for item in items
    ]
    # What came later is left out where it is not set: what was measured keeps its id.
    unset = {"samples", "value", "filter"} if settings.samples is None else {"samples"}
    identity = content_hash([settings.model_dump(exclude={"path", *unset}, mode="json"), told])[:16]
    return TrialItems(name, identity, settings, items, dict(left_out))


def token_ids_of(rendered: RenderedExample) -> list[list[int]]:
    """Prompt and response as token ids."""
    return [rendered.prompt, rendered.response]


def render_question(question: TrialQuestion, tokenizer: "PreTrainedTokenizerBase") -> TrialItem:
    """One item as token ids, each of its choices behind the same prompt."""
    conversation = question.conversation
    prompt: list[Message] = list(conversation.messages[:-1])
    gold = conversation.messages[-1]
    choices = question.choices or [message_text(gold)]
    answers: list[Message] = [{**gold, "content": each} for each in question.choices] or [gold]
    rendered = [
        render(tokenizer, [*prompt, answer], conversation.tools, len(prompt), "chat")
        for answer in answers
    ]
    text = prompt_of(conversation)
    return TrialItem(question.position, question.cluster, text, choices, question.right, rendered)


def measure_items(model: LanguageModel, evaluation: TrialItems) -> list[ItemValues]:
    """What a model makes of the items of an evaluation, all of them in one call.

    Raises:
        FloatingPointError: if a loss is not a number, as of a training that diverged.
    """
    rendered = [each for item in evaluation.items for each in item.rendered]
    losses = model.token_losses([r.prompt for r in rendered], [r.response for r in rendered])
    nats = []
    for each in losses:
        assert not isinstance(each, GenerationFailure)  # a model in process has no such
        nats.append(float(each.nll.astype(np.float64).sum()))
    if not np.isfinite(nats).all():
        raise FloatingPointError(
            f"{evaluation.name}: a loss is not a number; did the training diverge? A lower "
            "learning rate may help"
        )
    positions = [item.position for item in evaluation.items]
    clusters = [item.cluster for item in evaluation.items]
    if evaluation.settings.metric == "nll":
        tokens = [len(each.response) for each in rendered]
        return [ItemValues("nll", positions, clusters, nats, tokens)]
    margins, place = [], 0
    for item in evaluation.items:
        of_choices = nats[place : place + len(item.choices)]
        place += len(item.choices)
        margins.append(margin(item, of_choices, evaluation.settings))
    right = [float(each > 0) for each in margins]
    ones = [1] * len(positions)
    return [
        ItemValues("margin", positions, clusters, margins, ones),
        ItemValues("accuracy", positions, clusters, right, ones),
    ]


def margin(item: TrialItem, nats: Sequence[float], settings: TrialEvaluation) -> float:
    """By how much the right choice is likelier than the likeliest other one."""
    sizes = {
        "characters": [len(each) for each in item.choices],
        "tokens": [len(each.response) for each in item.rendered],
        "none": [1] * len(item.choices),
    }[settings.normalise]
    scores = [-each / size for each, size in zip(nats, sizes, strict=True)]
    others = [score for at, score in enumerate(scores) if at != item.right]
    return scores[item.right] - max(others)
