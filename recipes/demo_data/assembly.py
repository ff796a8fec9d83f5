"""Choose which entries are asked what, so that the rows have what real data has.

Short answers mostly, single words, code, a few very long answers; questions of several turns; pairs
that differ in a name alone; several answers to one question; and some answers that are wrong.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from recipes.demo_data import questions
from recipes.demo_data.documentation import Entry, find_entry, read_documentation
from recipes.demo_data.questions import SYSTEM_PROMPTS, Dialogue, draw

Ask = Callable[[Entry], Dialogue | None]

PLAN: tuple[tuple[Ask, int], ...] = (
    (questions.ask_everything, 6),
    (questions.ask_class_then_method, 14),
    (questions.ask_overview, 8),
    (questions.ask_signature, 12),
    (questions.ask_module, 7),
    (questions.ask_base, 5),
    (questions.ask_kind, 6),
    (questions.ask_exceptions, 10),
    (questions.ask_source, 14),
    (questions.ask_example, 12),
    (questions.ask_methods, 8),
    (questions.ask_summary, 8),
)
"""What is asked, and of how many entries; ask_purpose fills up to the number of rows wanted."""

TWINS = (
    ("configparser.RawConfigParser.read", "configparser.ConfigParser.read"),
    ("http.client.HTTPConnection.putrequest", "http.client.HTTPSConnection.putrequest"),
    ("ipaddress.IPv4Network.supernet", "ipaddress.IPv6Network.supernet"),
    ("logging.Logger.critical", "logging.Logger.error"),
    ("logging.handlers.SocketHandler.emit", "logging.handlers.DatagramHandler.emit"),
    ("posixpath.commonprefix", "ntpath.commonprefix"),
    ("posixpath.samefile", "ntpath.samefile"),
    ("posixpath.splitext", "ntpath.splitext"),
    ("queue.LifoQueue.join", "queue.PriorityQueue.join"),
    ("queue.LifoQueue.task_done", "queue.PriorityQueue.task_done"),
    ("smtplib.SMTP.getreply", "smtplib.SMTP_SSL.getreply"),
    ("unittest.case.TestCase.assertAlmostEqual", "unittest.case.TestCase.assertNotAlmostEqual"),
)
"""Pairs whose documentation is the same, or nearly: what a search for near-duplicates must find."""

CANDIDATE_PROMPTS = 12
"""Questions with three answers each."""
WRONG_ANSWERS = 8
"""Rows whose answer is that of another object."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Everything that the files are written from."""

    stdlib: list[Dialogue]
    spare: list[Dialogue]
    """One question and one answer each; asked nowhere in `stdlib`."""
    spare_conversations: list[Dialogue]
    """Two or three turns each."""
    answer_of: dict[str, str]
    """Of each object that is answered wrongly: the object whose documentation the answer is."""


class Asker:
    """Asks entries in an order drawn from their names, and no question twice."""

    def __init__(self) -> None:
        documented = read_documentation()
        methods = (method for entry in documented for method in entry.methods)
        self.entries = (*documented, *methods)
        self.asked: set[tuple[str, str | None]] = set()

    def is_new(self, dialogue: Dialogue) -> bool:
        """Whether the question was not asked before; from now on it was."""
        question = (dialogue.turns[0], dialogue.context)
        new = question not in self.asked
        self.asked.add(question)
        return new

    def ask(self, ask: Ask, count: int) -> list[Dialogue]:
        """Ask until `count` entries have answered; no module gives much more than its share.

        Raises:
            ValueError: if fewer entries than `count` have an answer.
        """
        found: list[Dialogue] = []
        modules: Counter[str] = Counter()
        at_most = max(3, count // 10)
        for entry in sorted(self.entries, key=lambda entry: draw(entry.name, ask.__name__)):
            if len(found) == count:
                break
            dialogue = ask(entry) if modules[entry.module] < at_most else None
            if dialogue is not None and self.is_new(dialogue):
                modules[entry.module] += 1
                found.append(dialogue)
        if len(found) < count:
            raise ValueError(f"{ask.__name__}: this Python answers {len(found)}, not {count}")
        return found

    def ask_twins(self) -> Iterator[Dialogue]:
        """Pairs of TWINS that this Python has, asked in the same words."""
        for names in TWINS:
            pair = [entry for name in names if (entry := find_entry(name))]
            if len(pair) == len(names):
                for entry in pair:
                    question = f"What does `{entry.name}` do?"
                    self.asked.add((question, None))
                    yield Dialogue("twins", entry.name, (question, entry.doc))

    def ask_for_candidates(self) -> Iterator[Dialogue]:
        """Three answers to each of CANDIDATE_PROMPTS questions."""
        whole = self.ask(_with_candidates, CANDIDATE_PROMPTS)
        entries = {entry.name: entry for entry in self.entries}
        for dialogue in whole:
            yield from questions.ask_candidates(entries[dialogue.subject])


def _with_candidates(entry: Entry) -> Dialogue | None:
    """The middle one of the candidates of an entry, where it has any."""
    candidates = questions.ask_candidates(entry)
    return candidates[1] if candidates else None


def _add_system_prompt(dialogue: Dialogue) -> Dialogue:
    """Give a fifth of the rows a system prompt; not where one prompt must have several answers."""
    number = draw(dialogue.subject, "system")
    if dialogue.kind in ("candidates", "twins", "summary") or number % 5:
        return dialogue
    return replace(dialogue, system=SYSTEM_PROMPTS[number // 5 % len(SYSTEM_PROMPTS)])


def _swap_answers(dialogues: Sequence[Dialogue]) -> dict[str, Dialogue]:
    """Give each dialogue the answer of the next, the last that of the first.

    Returns:
        Of each object that is answered wrongly: the dialogue whose answer it has.
    """
    following = (*dialogues[1:], dialogues[0])
    return {one.subject: other for one, other in zip(dialogues, following, strict=True)}


def _of_different_modules(dialogues: Sequence[Dialogue], count: int) -> list[Dialogue]:
    """The first `count` dialogues whose objects have nothing to do with each other."""
    by_package: dict[str, Dialogue] = {}
    for dialogue in dialogues:
        by_package.setdefault(dialogue.subject.partition(".")[0], dialogue)
    return list(by_package.values())[:count]


def collect(rows: int, spare: int, spare_conversations: int) -> Collection:
    """Ask for `rows` dialogues of all kinds, and some more that stand in no row of them.

    Raises:
        ValueError: if this Python's documentation answers fewer questions than that.
    """
    asker = Asker()
    found = [*asker.ask_twins(), *asker.ask_for_candidates()]
    for ask, count in PLAN:
        found += asker.ask(ask, count)
    purposes = asker.ask(questions.ask_purpose, rows - len(found) + spare)
    own, left = purposes[spare:], purposes[:spare]
    wrong = _swap_answers(_of_different_modules(own, WRONG_ANSWERS))
    own = [
        replace(one, kind="wrong answer", turns=(one.turns[0], wrong[one.subject].turns[1]))
        if one.subject in wrong
        else one
        for one in own
    ]
    ordered = sorted((*found, *own), key=lambda one: draw(one.turns[0] + one.turns[1], "order"))
    return Collection(
        stdlib=[_add_system_prompt(dialogue) for dialogue in ordered],
        spare=left,
        spare_conversations=asker.ask(questions.ask_class_then_method, spare_conversations),
        answer_of={subject: other.subject for subject, other in wrong.items()},
    )
