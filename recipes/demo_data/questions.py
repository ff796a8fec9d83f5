"""Ask about entries of the documentation, and answer from the documentation itself.

Each `ask_*` turns one entry into one dialogue, or into None where the documentation does not hold
a good answer of that kind. Nothing is invented: an answer is a docstring, a part of one, the
signature, the source, or one word that Python itself says.
"""

import ast
import doctest
import re
from dataclasses import dataclass
from hashlib import sha256

from recipes.demo_data.documentation import Entry, read_source, sentences

SYSTEM_PROMPTS = (
    "You are a helpful assistant for Python programmers.",
    "Answer questions about the Python standard library. Be precise.",
    "You are a patient teacher of Python. Use the words of the documentation.",
)
SHORT_WORDS, LONG_WORDS = 36, 110
"""English words; what an answer has that says something and can be read at a glance."""
LONGEST_SOURCE = 22
"""Lines of code shown in one answer."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One conversation, before it is written in one of the shapes that data comes in."""

    kind: str
    subject: str
    """Full name of the object that is asked about."""
    turns: tuple[str, ...]
    """Text of user, assistant, user, assistant and so on."""
    system: str | None = None
    context: str | None = None
    """The part of the question that Alpaca rows keep apart as `input`."""


def draw(name: str, salt: str) -> int:
    """A number from a name: the same in every process, another for each salt."""
    return int.from_bytes(sha256(f"{salt} {name}".encode()).digest()[:6])


def words(text: str) -> int:
    """Words as a person counts them."""
    return len(text.split())


def is_answer(doc: str) -> bool:
    """Whether a docstring, alone, answers "What does it do?"."""
    opening = doc.split("\n", 1)[0]
    refers = re.match(r"(See|Same|Like|Ditto|Internal|Override|This (is|method|class)|XXX)\b", doc)
    is_notice = "Copyright" in doc or "deprecated" in doc.lower()
    is_signature = "->" in opening or re.match(r"[\w.]+\s*[(=]", opening)
    return doc[0].isupper() and words(doc) >= 5 and not (refers or is_notice or is_signature)


def _is_readable(doc: str) -> bool:
    return is_answer(doc) and words(doc) <= LONG_WORDS


def purpose_question(entry: Entry) -> str:
    """One of several ways to ask what an object is for."""
    name = f"`{entry.name}`"
    ways: tuple[str, ...]
    if entry.kind == "class":
        ways = (f"What is the class {name} for?", f"Describe the Python class {name}.")
    elif entry.kind == "module":
        ways = (f"What is the Python module {name} for?", f"Describe the module {name} briefly.")
    else:
        ways = (
            f"What does {name} do?",
            f"In Python, what does the {entry.kind} {name} do?",
            f"Explain the {entry.kind} {name} of the Python standard library.",
        )
    return ways[draw(entry.name, "way") % len(ways)]


def ask_purpose(entry: Entry) -> Dialogue | None:
    """What an object does: its whole docstring, where that is neither bare nor long."""
    if not _is_readable(entry.doc) or words(entry.doc) < SHORT_WORDS:
        return None
    return Dialogue("purpose", entry.name, (purpose_question(entry), entry.doc))


def ask_overview(entry: Entry) -> Dialogue | None:
    """What a module is for: the first paragraph of its docstring."""
    first = entry.doc.split("\n\n")[0]
    if entry.kind != "module" or "\n" in first or not is_answer(first):
        return None
    return Dialogue("overview", entry.name, (purpose_question(entry), first))


def ask_everything(entry: Entry) -> Dialogue | None:
    """The whole docstring of a module or class: a long answer, some 400 to 1,000 tokens."""
    if entry.kind not in ("module", "class") or not 1800 <= len(entry.doc) <= 3600:
        return None
    question = f"Give me the complete documentation of the {entry.kind} `{entry.name}`."
    return Dialogue("everything", entry.name, (question, entry.doc))


def ask_signature(entry: Entry) -> Dialogue | None:
    """How a function is called."""
    if entry.signature in (None, "()") or entry.kind == "class":
        return None
    question = f"How is `{entry.name}` called? Give its signature."
    return Dialogue("signature", entry.name, (question, f"`{entry.name}{entry.signature}`"))


def ask_module(entry: Entry) -> Dialogue | None:
    """The module of a function or class, in one word."""
    if entry.kind in ("module", "method") or "." in entry.module or len(entry.last_name) < 6:
        return None
    question = (
        f"In which module of the Python standard library is the {entry.kind} "
        f"`{entry.last_name}` found? Answer with one word."
    )
    return Dialogue("module", entry.name, (question, entry.module))


def ask_base(entry: Entry) -> Dialogue | None:
    """The base of a class, in one word."""
    if entry.base is None or entry.base.startswith("_"):
        return None
    question = f"Which class does `{entry.name}` inherit from? Answer with one word."
    return Dialogue("base", entry.name, (question, entry.base))


def ask_kind(entry: Entry) -> Dialogue | None:
    """Function or class, in one word."""
    if entry.kind not in ("function", "class") or len(entry.last_name) < 5:
        return None
    question = f"Is `{entry.name}` a function or a class? Answer with one word."
    return Dialogue("kind", entry.name, (question, entry.kind.capitalize()))


def ask_exceptions(entry: Entry) -> Dialogue | None:
    """When something raises an exception: the sentences of its documentation that say so."""
    names = r"\b[A-Z]\w+(Error|Exception|Expired)\b"
    found = [s for s in sentences(entry.doc) if re.search(names, s) and re.search(r"\braise", s)]
    answer = " ".join(found)
    opens_well = re.match(r"(If (?!it|they|this|so|not)|When|Raise|Raises|A|An|The)\b|`", answer)
    if not opens_well or words(answer) > 60 or ":" in answer:
        return None
    question = f"When does `{entry.name}` raise an exception, and which one?"
    return Dialogue("exceptions", entry.name, (question, answer))


def ask_source(entry: Entry) -> Dialogue | None:
    """The code of a function."""
    source = read_source(entry) if entry.kind == "function" else None
    if source is None or not 4 <= source.count("\n") < LONGEST_SOURCE:
        return None
    question = f"Show the source of `{entry.name}`."
    return Dialogue("source", entry.name, (question, f"```python\n{source}\n```"))


def ask_example(entry: Entry) -> Dialogue | None:
    """A session at the prompt, as the documentation shows it."""
    try:
        examples = doctest.DocTestParser().get_examples(entry.doc)
    except ValueError:  # a docstring that only looks like a session
        return None
    lines = [_session(example) for example in examples[:6]]
    if entry.kind == "module" or len(lines) < 2 or sum(map(words, lines)) > LONG_WORDS:
        return None
    question = f"Show me a short example of `{entry.name}` at the Python prompt."
    return Dialogue("example", entry.name, (question, "```pycon\n" + "".join(lines) + "```"))


def _session(example: doctest.Example) -> str:
    first, *rest = example.source.splitlines()
    return "\n".join((f">>> {first}", *(f"... {line}" for line in rest), example.want))


def ask_methods(entry: Entry) -> Dialogue | None:
    """What a class offers: a list with the first sentence on each method."""
    lines = [
        f"- `{method.last_name}`: {sentences(method.doc)[0]}"
        for method in entry.methods
        if sentences(method.doc) and is_answer(method.doc)
    ]
    if len(lines) != len(entry.methods) or not 3 <= len(lines) <= 8:
        return None
    question = f"List the documented methods of the class `{entry.name}`, with a sentence on each."
    return Dialogue("methods", entry.name, (question, "\n".join(lines)))


def ask_class_then_method(entry: Entry) -> Dialogue | None:
    """Two or three turns: the class, one of its methods, and at times how that is called."""
    methods = [method for method in entry.methods if _is_readable(method.doc)]
    if not _is_readable(entry.doc) or entry.kind != "class" or not methods:
        return None
    method = methods[draw(entry.name, "method") % len(methods)]
    first = (purpose_question(entry), entry.doc)
    turns: tuple[str, ...] = (
        *first,
        f"And what does its method `{method.last_name}` do?",
        method.doc,
    )
    if method.signature not in (None, "()") and draw(entry.name, "third turn") % 2:
        call = f"`{method.last_name}{method.signature}`"
        turns = (*turns, "How do I call it?", call)
    return Dialogue("class then method", entry.name, turns)


def ask_summary(entry: Entry) -> Dialogue | None:
    """What a piece of code does, in one sentence; the docstring is taken out of the code."""
    source = read_source(entry) if entry.kind == "function" else None
    first = sentences(entry.doc)[:1]
    if source is None or source.count("\n") >= LONGEST_SOURCE or not first:
        return None
    code = _without_docstring(source)
    if code is None or code.count("\n") < 3 or not is_answer(first[0]):
        return None
    instruction = "Say in one sentence what this Python function does."
    return Dialogue("summary", entry.name, (instruction, first[0]), context=code)


def _without_docstring(source: str) -> str | None:
    function = ast.parse(source).body[0]
    if not isinstance(function, ast.FunctionDef) or ast.get_docstring(function) is None:
        return None
    docstring, lines = function.body[0], source.splitlines()
    return "\n".join(lines[: docstring.lineno - 1] + lines[docstring.end_lineno :])


def ask_candidates(entry: Entry) -> tuple[Dialogue, ...]:
    """Three answers to one question: one sentence, the docstring, the docstring and signature."""
    first = sentences(entry.doc)[:1]
    whole = ask_purpose(entry)
    if whole is None or not entry.signature or not first or words(entry.doc) < words(first[0]) + 8:
        return ()
    question, doc = whole.turns
    signature = f"{doc}\n\nIt is called as `{entry.name}{entry.signature}`."
    answers = (first[0], doc, signature)
    return tuple(Dialogue("candidates", entry.name, (question, answer)) for answer in answers)
