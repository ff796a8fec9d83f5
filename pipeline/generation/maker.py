"""What a maker of rows is to the engine: what it asks, what it is answered, what became of that.

A maker is a generator function. It yields `Wanted`, what it asks next, is sent the replies in the
same order, and returns what became of them. All that it decides follows from its settings, its
source and the replies, so it can be run again from replies that are stored and does the same: that
is how a run goes on after a kill.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import AnswerForm, GeneratedAnswer, Message, Opening
from storage.conversations import Conversation, content_hash
from storage.examples import Example
from storage.visible import is_blank

CallKind = Literal["generate", "judge", "retry", "embed", "train"]
"""What a call was for, in the ledger."""

CallPlace: TypeAlias = tuple[str, int]
"""Which call of a source is meant: the stage of the maker, and the number of the attempt."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One reply that a maker wants."""

    stage: str
    attempt: int
    messages: Sequence[Message]
    temperature: float
    max_new_tokens: int
    kind: CallKind = "generate"
    tools: Sequence[Mapping[str, Any]] = ()
    seed: int | None = None
    """What is drawn with; None: by run, method, source, stage and attempt."""
    form: AnswerForm | None = None
    """What the reply has to look like; one that was cut off, or of a server that does not know
    how, may look otherwise."""
    opening: Opening | None = None
    """What the model goes on from, where there are no messages."""

    @property
    def place(self) -> CallPlace:
        """Which call of its source it is."""
        return self.stage, self.attempt


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of replies: a row, or the reason why there is none."""

    replies: Sequence[CallPlace]
    """All that it was made of; none for a row that is the source itself."""
    row: Conversation | None
    reason: str
    """Of a row how it was made, else why it was dropped; a word or two, for counting."""
    parents: Sequence[str] = ()
    """Examples that it was made from; the source alone where none are named."""
    rejected_for: str = ""
    """Of a rejected answer the example that is the better one: the only one that it is made of."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a maker asks next, and what is settled by now."""

    asks: Sequence[Ask]
    settled: Sequence[Settled] = ()
    """Kept even if the maker gets no further: a budget may end it here."""


T = TypeVar("T")

Making: TypeAlias = Generator[Wanted, Sequence[Sampled], Sequence[Settled]]
"""A maker at work on one source."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A reply that nothing could be made of, and why."""

    reason: str


def read_whole(reply: Sampled) -> str | Unread:
    """The text of a reply that is there, ended by itself and can be seen."""
    if not isinstance(reply, GeneratedAnswer):
        return Unread(reply.reason)
    if not reply.finished:
        return Unread("cut_off")
    return Unread("empty_answer") if is_blank(reply.text) else reply.text


def side_by_side(
    works: Sequence[Generator[Wanted, Sequence[Sampled], T]],
) -> Generator[Wanted, Sequence[Sampled], list[T]]:
    """Parts of a maker that go on together: what they want is asked at once.

    Args:
        works: (n,) none of which asks for a place that another asks for.

    Returns:
        (n,) what each came to.
    """
    results: dict[int, T] = {}
    waiting: dict[int, Wanted] = {}

    def go_on(at: int, replies: Sequence[Sampled] | None) -> None:
        waiting.pop(at, None)
        try:
            waiting[at] = next(works[at]) if replies is None else works[at].send(replies)
        except StopIteration as ended:
            results[at] = ended.value

    for at in range(len(works)):
        go_on(at, None)
    while waiting:
        now = sorted(waiting.items())
        asks = [ask for _, wanted in now for ask in wanted.asks]
        replies = yield Wanted(asks, [each for _, wanted in now for each in wanted.settled])
        given = iter(replies)
        for at, wanted in now:
            go_on(at, [next(given) for _ in wanted.asks])
    return [results[at] for at in range(len(works))]


def ask_text(
    ask: Ask, fault_of: Callable[[str], str]
) -> Generator[Wanted, Sequence[Sampled], str | Unread]:
    """Ask for one text, without the white space around it.

    Args:
        ask: what is asked.
        fault_of: text → why nothing is to be made of it; "" where something is.
    """
    (reply,) = yield Wanted([ask])
    read = read_whole(reply)
    if isinstance(read, Unread):
        return read
    text = read.strip()
    fault = fault_of(text)
    return Unread(fault) if fault else text


def answer_source(source: Example, text: str) -> Conversation:
    """The prompt of a source with another answer."""
    reply = {"role": "assistant", "content": text}
    return Conversation([*source.conversation.prompt, reply], source.tools)


def one_exchange(asked: str, answer: str, tools: Sequence[Mapping[str, Any]] = ()) -> Conversation:
    """A question and its answer."""
    turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
    return Conversation(turns, tools)


def end_prompt_with(source: Example, text: str) -> list[Message]:
    """The prompt of a source whose last message says something else."""
    *before, last = source.conversation.prompt
    return [*before, {**last, "content": text}]


def ask_otherwise(source: Example, text: str) -> Conversation:
    """A row that is asked once, with another last message of its prompt, and its answer."""
    answer = source.conversation.messages[source.trained_at[0]]
    return Conversation([*end_prompt_with(source, text), answer], source.tools)


def is_asked_once(source: Example) -> bool:
    """Whether a row has one trained response, and a user's message is what it answers."""
    return len(source.trained_at) == 1 and ends_with_user(source)


def ends_with_user(source: Example) -> bool:
    """Whether a row is a prompt, which a user's message ends."""
    prompt = source.conversation.prompt
    return bool(prompt) and prompt[-1]["role"] == "user"


def is_question(source: Example) -> bool:
    """Whether a row is one message of a user, with its answer or without: no more is to know."""
    return len(source.messages) <= 2 and source.messages[0]["role"] == "user" and not source.tools


def last_prompt_text(source: Example) -> str:
    """What the last message of a source's prompt says."""
    return str(source.conversation.prompt[-1]["content"])


def draw_option(options: Sequence[T], lot: Sequence[object]) -> T:
    """One of the options, by a hash.

    Args:
        options: at least one.
        lot: JSON values that the draw depends on, a seed among them.
    """
    return options[int(content_hash([*lot]), 16) % len(options)]
