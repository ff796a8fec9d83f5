r"""AugCon: a passage is split into a tree of smaller texts, and each gives a question.

    split(C)  = (q, C_1, C_2)        one reply: a question about all of C, and C in two parts
    tree(p)   = the nodes of split, from the whole passage p down
    N(p)      = floor(characters of p / `characters_each`), at most `questions_at_most`

So questions are about a passage as a whole and about its smallest parts. A text of fewer than
`shortest` characters is split no further, nor is a node of which a part is not shorter than the
whole, or says other words (ROUGE-L precision with the whole below `hallucinated_below`): its own
question stays. Trees are grown, at most `trees`, until there are 1.15 N questions. They are ordered
by the ranker, and one goes if it is like one that stays (ROUGE-L precision of 0.7 or more;
`similarity: f` as in the released code), or N are there. Then the model answers each from its text.

`ranker: contrastive` trains a small encoder to put these questions before ones that the same model
asks of the same texts when it is told less: in a weak prompt, with fewer examples, or both, up to
`worse_each` of each kind and a third of the questions. The training is a call in the ledger, whose
reply, what the encoder says of each question, is stored like any. `none` keeps the order of trees.

Yang et al. 2024, arXiv:2405.16579. There the ranker is the language model with an adapter, and the
examples of answers are found by a search; this has an encoder, and no examples of answers. Its 35
characters for a question are of Chinese; set more for scripts of letters. Its principles stand in
the prompt of the answer, and in no row.

For a corpus of manuals or reports of which the model that is tuned shall know as much as possible,
with no stronger model at hand. Not for passages below a few sentences, nor where splitting changes
what is said, as in tables and code. A small model adds facts when it words the parts: keep
`hallucinated_below`, and verify answers (`entailed` looks at the passage itself). It costs
about 1.2 calls a question, an answer for each that is kept, and 3 `worse_each` calls once.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.generation.json_replies import form_of, read_json_object
from pipeline.generation.maker import (
    Ask,
    CallKind,
    CallPlace,
    Making,
    Settled,
    Unread,
    Wanted,
    one_exchange,
    side_by_side,
)
from pipeline.generation.maker_block import WHOLE_POOL, CallBounds, PassageMakerBlock
from pipeline.generation.templates import fill_prompt, fill_turns
from pipeline.generation.verified_block import VerifiedBlock
from pipeline.generation.verifier import ground_question
from pipeline.generation.verifier_catalogue import Verifier
from pipeline.generation.written_text import fault_of_wording
from pipeline.measuring.measures.samples import Sampled
from pipeline.settings import Share
from pipeline.text.word_overlap import overlap_of
from scorers.measures.models.loading import resolve_model
from scorers.measures.protocols import GeneratedAnswer
from scorers.words import split_words
from storage.conversations import canonical_json, content_hash
from storage.documents import SourcePassage

SPLIT, WEAK, SHOTS, ANSWER = (f"augcon_{name}" for name in ("split", "weak", "shots", "answer"))

OVER = 1.15
"""Questions that are wanted for each that may stay."""

TOGETHER = 16
"""Passages whose questions are answered together where a ranker looks at all."""

FORM = form_of({name: {"type": "string"} for name in ("question", "first", "second")})

WORSE = (("weak", WEAK, 3), ("fewer", SPLIT, 1), ("both", WEAK, 1))
"""Kinds of worse questions: what asks for them, and with how many of the examples."""


class AugCon(VerifiedBlock, PassageMakerBlock):
    """Questions of a passage and of its parts: the context-split tree of arXiv:2405.16579."""

    method: Literal["augcon"]
    characters_each: int = Field(
        default=35, gt=0, description="Characters of a passage for a question that may stay."
    )
    questions_at_most: int = Field(default=20, gt=0, description="Questions of a passage.")
    shortest: int = Field(
        default=20, gt=0, description="Characters of a text that is asked about, at least."
    )
    hallucinated_below: float = Field(
        default=0.7,
        ge=0,
        le=1,
        description="ROUGE-L precision of a part with the whole; below it is split no further.",
    )
    trees: int = Field(default=2, gt=0, description="Trees of a passage, at most.")
    attempts: int = Field(
        default=4, gt=0, description="How often a text is asked about until its reply can be read."
    )
    ranker: Literal["none", "contrastive"] = Field(
        default="contrastive", description="What orders questions; none: the order of the trees."
    )
    encoder: str = Field(
        default="wheel:all-minilm-l6-v2", description="The model that is trained to rank."
    )
    loss: Literal["pairwise", "means"] = Field(
        default="pairwise", description="Of the ranker: the paper's, or the released code's."
    )
    worse_each: int = Field(
        default=500, gt=0, description="Worse questions of each of three kinds, at most."
    )
    similarity: Literal["precision", "f"] = Field(
        default="precision", description="Which ROUGE-L tells that questions are alike."
    )
    similarity_below: Share = Field(
        default=0.7, description="What a question has with each that stays, less than."
    )
    temperature: float = Field(default=0.85, ge=0, description="Of questions and parts.")
    answer_temperature: float = Field(default=0.2, ge=0, description="Of answers.")
    max_new_tokens: int = Field(default=1024, gt=0, description="Of each reply.")
    verify: tuple[Verifier, ...] = Field(
        default=(), description="What an answer must be, in this order."
    )

    prompts: ClassVar[Sequence[str]] = (SPLIT, WEAK, SHOTS, ANSWER)

    @property
    def makes_of_whole(self) -> bool:
        """A ranker learns from all passages."""
        return self.ranker == "contrastive"

    def keyed(self) -> dict[str, Any]:
        """See PromptingBlock; with the encoder that is trained."""
        trained = resolve_model(self.encoder).fingerprint if self.makes_of_whole else ""
        return super().keyed() | {"encoder": trained}

    def quota(self, text: str) -> int:
        """Questions of a passage that may stay."""
        return min(len(text) // self.characters_each, self.questions_at_most)

    def takes(self, passage: SourcePassage) -> bool:
        """Passages that are long enough for a question."""
        text = passage.text.strip()
        return self.quota(text) > 0 and len(text) >= self.shortest

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return self.questions_at_most

    def makings(self, passages: Sequence[SourcePassage], seed: int) -> Mapping[str, Making]:
        """One for each passage, or with a ranker one for all."""
        if not self.makes_of_whole:
            return {each.passage_id: make_by_augcon(self, each, seed) for each in passages}
        return {WHOLE_POOL: make_with_ranker(self, passages, seed)} if passages else {}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """Texts that are split and answers; worse questions and one training for a ranker."""
        wanted = most_wanted(self.questions_at_most)
        splits, answers = sources * wanted * self.trees, sources * self.questions_at_most
        most, own = splits + answers, dict[CallKind, CallBounds]()
        if self.makes_of_whole:
            most += len(WORSE) * min(self.worse_each, splits // 3)
            own["train"] = CallBounds(0, int(sources > 0), 0)
        own["generate"] = CallBounds(sources, most, self.max_new_tokens)
        own["retry"] = CallBounds(0, splits * (self.attempts - 1), self.max_new_tokens)
        return self.with_verifying(own, answers)

    def train(self, task: str) -> str:
        """Train the ranker and have it say of each question how good it is: JSON of the numbers."""
        from scorers.measures.training.question_ranker import (
            QuestionPair,
            QuestionRanker,
            RankerSettings,
        )

        given = json.loads(task)
        texts, settings = given["texts"], RankerSettings(loss=given["loss"], seed=given["seed"])
        folder = resolve_model(self.encoder).path
        ranker = QuestionRanker.from_directory(folder, settings.max_tokens, seed=settings.seed)
        pairs = [QuestionPair(texts[at], better, worse) for at, better, worse in given["pairs"]]
        ranker.learn(pairs, settings)
        said = ranker.rank([(texts[at], question) for at, question in given["questions"]])
        return json.dumps([float(f"{value:.6g}") for value in said])


def most_wanted(quota: int) -> int:
    """Questions that are wanted where so many may stay."""
    return int(-(-OVER * quota // 1))  # the next whole number above


@dataclass(frozen=True, slots=True)
class Node:
    """A text of a tree with its question."""

    path: str
    """The tree and the way down to it, each step 0 or 1."""
    text: str
    question: str
    replies: Sequence[CallPlace]


@dataclass(slots=True)
class Grown:
    """What a passage came to before its questions are ordered."""

    passage: SourcePassage
    nodes: list[Node] = field(default_factory=list)
    settled: list[Settled] = field(default_factory=list)


def make_by_augcon(settings: AugCon, passage: SourcePassage, seed: int) -> Making:
    """Grow, choose in the order of the trees, answer."""
    grown = yield from grow_trees(settings, passage)
    made = yield from answer_chosen(settings, grown, [0.0] * len(grown.nodes))
    return made


def make_with_ranker(settings: AugCon, passages: Sequence[SourcePassage], seed: int) -> Making:
    """Grow all, train a ranker on all, then choose and answer passage by passage."""
    grown = yield from side_by_side([grow_trees(settings, each) for each in passages])
    scores, spent = yield from rank_nodes(settings, grown, seed)
    settled = spent
    for start in range(0, len(grown), TOGETHER):
        some = zip(grown[start : start + TOGETHER], scores[start : start + TOGETHER], strict=True)
        made = yield from side_by_side([answer_chosen(settings, each, said) for each, said in some])
        yield Wanted([], [*settled, *chain.from_iterable(made)])  # a budget may end it here
        settled = []
    return settled


def grow_trees(
    settings: AugCon, passage: SourcePassage
) -> Generator[Wanted, Sequence[Sampled], Grown]:
    """Split a passage, and its parts, until there are questions enough."""
    text = passage.text.strip()
    grown = Grown(passage)
    wanted = most_wanted(settings.quota(text))
    for tree in range(settings.trees):
        asked = 0
        frontier = [(f"{tree}", text)]
        while frontier and len(grown.nodes) < wanted and asked < wanted:
            level = frontier[: min(wanted - len(grown.nodes), wanted - asked)]
            asked += len(level)
            found = yield from side_by_side(
                [split_text(settings, passage, path, part) for path, part in level]
            )
            frontier = []
            for (path, part), (places, split) in zip(level, found, strict=True):
                if isinstance(split, Unread):
                    grown.settled.append(dropped(passage, places, split.reason))
                    continue
                grown.nodes.append(Node(path, part, split["question"], places))
                frontier += parts_of(settings, path, part, split)
    return grown


def split_text(
    settings: AugCon, passage: SourcePassage, path: str, text: str
) -> Generator[Wanted, Sequence[Sampled], tuple[list[CallPlace], dict[str, str] | Unread]]:
    """Ask about a text until the reply can be read; what was asked, and the three fields."""
    places: list[CallPlace] = []
    fields: dict[str, str] | Unread = Unread("no_json")
    for attempt in range(settings.attempts):
        kind: CallKind = "retry" if attempt else "generate"
        stage = f"split {passage.passage_id} {path}"
        ask = ask_split(settings, (stage, attempt), (SPLIT, 3), text, kind)
        (reply,) = yield Wanted([ask])
        places.append(ask.place)
        fields = read_split(reply)
        if not isinstance(fields, Unread):
            break
    return places, fields


def read_split(reply: Sampled) -> dict[str, str] | Unread:
    """The question and the two parts of a reply, or why it has none that can be used."""
    found = read_json_object(reply, FORM)
    if isinstance(found, Unread):
        return found
    fields = {name: str(value).strip() for name, value in found.items()}
    fault = fault_of_wording(fields["question"], (SPLIT, WEAK, SHOTS))
    return Unread(fault) if fault else fields


def ask_split(
    settings: AugCon, place: CallPlace, told: tuple[str, int], text: str, kind: CallKind
) -> Ask:
    """Have a text split; `told` is the prompt and how many of the examples stand before it."""
    (stage, attempt), (prompt, shots) = place, told
    messages: list[Mapping[str, Any]] = [*fill_turns(SHOTS, {})[: 2 * shots]]
    messages = [
        {**each, "content": fill_prompt(prompt, {"text": each["content"]})}
        if each["role"] == "user"
        else each
        for each in [*messages, {"role": "user", "content": text}]
    ]
    return Ask(
        stage, attempt, messages, settings.temperature, settings.max_new_tokens, kind, form=FORM
    )


def parts_of(
    settings: AugCon, path: str, text: str, split: Mapping[str, str]
) -> list[tuple[str, str]]:
    """The parts of a text that are split further: both, or none."""
    parts = [split["first"], split["second"]]
    words = split_words(text)
    for part in parts:
        kept = overlap_of(split_words(part), words).precision
        if len(part) >= len(text) or kept < settings.hallucinated_below:
            return []
    return [
        (f"{path}{side}", part) for side, part in enumerate(parts) if len(part) >= settings.shortest
    ]


def dropped(passage: SourcePassage, replies: Sequence[CallPlace], reason: str) -> Settled:
    """What makes no row."""
    return Settled(replies, None, reason, [passage.passage_id])


def rank_nodes(
    settings: AugCon, grown: Sequence[Grown], seed: int
) -> Generator[Wanted, Sequence[Sampled], tuple[list[list[float]], list[Settled]]]:
    """What a ranker says of each question of each passage, and what it took to train it."""
    nodes = [(each.passage, node) for each in grown for node in each.nodes]
    even = [[0.0] * len(each.nodes) for each in grown]
    drawn = draw_worse(settings, nodes, seed)
    if not nodes:
        return even, []
    replies = yield Wanted([ask for ask, _ in drawn])
    spent, pairs = [], []
    for (ask, at), reply in zip(drawn, replies, strict=True):
        read = read_split(reply)
        reason = read.reason if isinstance(read, Unread) else "worse_question"
        spent.append(dropped(nodes[at][0], [ask.place], reason))
        if not isinstance(read, Unread):
            pairs.append((at, nodes[at][1].question, read["question"]))
    if not pairs:
        return even, spent
    task = {
        "encoder": resolve_model(settings.encoder).fingerprint,
        "loss": settings.loss,
        "seed": seed,
        "texts": [node.text for _, node in nodes],
        "pairs": pairs,
        "questions": [(at, node.question) for at, (_, node) in enumerate(nodes)],
    }
    content = canonical_json(task).decode()
    ask = Ask("train", 0, [{"role": "user", "content": content}], 0.0, 0, "train")
    (reply,) = yield Wanted([ask])
    spent.append(Settled([ask.place], None, "ranker", [nodes[0][0].passage_id]))
    if not isinstance(reply, GeneratedAnswer):
        return even, spent
    said = iter(json.loads(reply.text))
    return [[next(said) for _ in each.nodes] for each in grown], spent


def draw_worse(
    settings: AugCon, nodes: Sequence[tuple[SourcePassage, Node]], seed: int
) -> list[tuple[Ask, int]]:
    """What is asked for worse questions, and of which node; drawn by a seeded hash."""
    drawn = []
    for name, prompt, shots in WORSE:
        order = sorted(
            range(len(nodes)),
            key=lambda at: content_hash([seed, name, nodes[at][0].passage_id, nodes[at][1].path]),
        )
        for at in order[: min(settings.worse_each, len(nodes) // 3)]:
            passage, node = nodes[at]
            stage = f"worse {name} {passage.passage_id} {node.path}"
            drawn.append(
                (ask_split(settings, (stage, 0), (prompt, shots), node.text, "generate"), at)
            )
    return drawn


def answer_chosen(settings: AugCon, grown: Grown, scores: Sequence[float]) -> Making:
    """Choose among the questions of a passage by what is said of them, and answer those."""
    chosen, fell = choose_nodes(settings, grown, scores)
    passage = grown.passage
    settled = [*grown.settled, *(dropped(passage, node.replies, why) for node, why in fell)]
    if not chosen:
        return settled
    asks = [
        Ask(
            f"answer {passage.passage_id} {node.path}",
            0,
            [
                {
                    "role": "user",
                    "content": fill_prompt(ANSWER, {"text": node.text, "question": node.question}),
                }
            ],
            settings.answer_temperature,
            settings.max_new_tokens,
        )
        for node in chosen
    ]
    replies = yield Wanted(asks, settled)
    made = yield from side_by_side(
        [
            settle_node(settings, passage, node, ask, reply)
            for node, ask, reply in zip(chosen, asks, replies, strict=True)
        ]
    )
    return made


def choose_nodes(
    settings: AugCon, grown: Grown, scores: Sequence[float]
) -> tuple[list[Node], list[tuple[Node, str]]]:
    """The questions that stay, the best first, and why each of the others goes."""
    quota = settings.quota(grown.passage.text.strip())
    order = sorted(range(len(grown.nodes)), key=lambda at: -scores[at])  # of equal ones the first
    chosen: list[Node] = []
    kept: list[list[str]] = []
    fell: list[tuple[Node, str]] = []
    for node in (grown.nodes[at] for at in order):
        words = split_words(node.question)
        alike = [getattr(overlap_of(words, each), settings.similarity) for each in kept]
        if len(chosen) == quota:
            fell.append((node, "over_quota"))
        elif any(each >= settings.similarity_below for each in alike):
            fell.append((node, "similar"))
        else:
            chosen.append(node)
            kept.append(words)
    return chosen, fell


def settle_node(
    settings: AugCon, passage: SourcePassage, node: Node, ask: Ask, reply: Sampled
) -> Generator[Wanted, Sequence[Sampled], Settled]:
    """The row of a question and its answer, or why there is none."""
    source, shown = ground_question(node.question, passage.text), (SPLIT, SHOTS, ANSWER)
    answer, fault, asked = yield from settings.read_answer(ask, reply, source, shown)
    places = [*node.replies, *asked]
    if fault:
        return dropped(passage, places, fault)
    depth = f"depth {len(node.path) - 1}"
    return Settled(places, one_exchange(node.question, answer), depth, [passage.passage_id])
