"""What a prompt asks for, as a few short tags in a model's own words, and which of them are one.

    tags_i = { name(w) : w in what the model wrote of prompt i, and name(w) stands in enough rows }

A model is shown the prompt and writes a list, the likeliest token each time; of the list, each
entry of at most four words is a tag, without case, marks and hyphens. A list that was cut off has
no tags, for its number would mean nothing. Tags are then named over the whole pool: those with the
same stem are one, and, where that is asked for, those whose embeddings are near; the name is what
most rows wrote. A name that fewer than `least_rows` rows have is dropped.

The stem takes off the plural of each word, by the three rules of Harman 1991, "How effective is
suffixing?", and no more: "summarise" and "summary" stay two. Lu et al. 2023, "#InsTag",
arXiv:2308.07074, drops rare tags first and merges then, and also merges tags that keep company with
each other, by association rules: not here. Their tags are ChatGPT's; a small model names things
badly. Look at what it wrote (`select tags from tags`) before rows are chosen by it.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scorers.measures.protocols import (
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
    Message,
)
from scorers.measures.reflection import ask_user, transcript

VERSION = 1  # raised when the same prompts, question and model may give other tags

QUESTION = """\
Below is a request that somebody made to an assistant.

Request:
{prompt}

What does it ask for? Name the tasks, topics and constraints in it as short tags of one to three
words each, and leave out nothing that must be done.
Reply with the tags only, in one line, with commas between them."""

LONGEST = 4  # words in a tag; what has more is a sentence

SEPARATORS = re.compile(r"[,;\n\t|]+")
LABEL = re.compile(r"^\s*tags?\s*:", re.IGNORECASE)
NUMBER = re.compile(r"^\s*\d+\s*[.)]\s+")
HYPHENS = re.compile(r"[-_\s]+")
OPENING = "\"'`*#[](){}<>:!?• \t"
CLOSING = "\"'`*[](){}<>.:!? \t"
"""Marks around a tag that are no part of it; the ones in "C#" and ".NET" are."""


@dataclass(frozen=True, slots=True)
class TagReply:
    """What was written of one prompt."""

    state: Literal["ok", "truncated", "failed"]
    detail: str | None = None
    tags: list[str] | None = None  # in the order written, each once; null unless the state is "ok"


def check_question(template: str) -> None:
    """Refuse a question without the prompt, or with a name that nothing is put in for.

    Raises:
        ValueError: if it cannot be put.
    """
    names = set(re.findall(r"\{(\w+)\}", template))
    if names != {"prompt"}:
        shown = ", ".join(sorted(f"{{{name}}}" for name in names)) or "none"
        raise ValueError(f"a question for tags has {{prompt}} in it and no other name, got {shown}")


def tag_request(template: str, prompt: Sequence[Message], max_new_tokens: int) -> GenerationRequest:
    """The question about one prompt; braces in its text are text."""
    return GenerationRequest(
        messages=ask_user(template, {"prompt": transcript(prompt)}),
        tools=(),
        temperature=0.0,  # so that the seed has no say
        max_new_tokens=max_new_tokens,
        seed=0,
    )


def read_reply(answer: GeneratedAnswer | GenerationFailure) -> TagReply:
    """The tags of an answer, or why there are none."""
    if isinstance(answer, GenerationFailure):
        return TagReply(answer.state, f"{answer.reason}: {answer.detail}")
    if not answer.finished:
        return TagReply("failed", "cut_off: the list of tags did not end")
    tags = read_tags(answer.text)
    return TagReply("ok", None, tags) if tags else TagReply("failed", "no_tags: the reply has none")


def read_tags(text: str) -> list[str]:
    """The tags of a list with commas or in lines, each once, in the order written."""
    pieces = [LABEL.sub("", piece) for piece in SEPARATORS.split(text)]
    plain = [NUMBER.sub("", piece).lstrip(OPENING).rstrip(CLOSING).casefold() for piece in pieces]
    tags = [HYPHENS.sub(" ", piece).strip() for piece in plain]
    return list(dict.fromkeys(tag for tag in tags if tag and len(tag.split()) <= LONGEST))


def stem(tag: str) -> str:
    """A tag with each word in the singular."""
    return " ".join(_singular(word) for word in tag.split())


def _singular(word: str) -> str:
    if len(word) < 4 or not word.endswith("s"):  # "gas", "bus", "as" are no plurals
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):  # queries, not eyries
        return word[:-3] + "y"
    if word.endswith("es") and not word.endswith(("aes", "ees", "oes")):
        return word[:-1]
    return word if word.endswith(("us", "ss")) else word[:-1]  # status, class


def count_rows(rows: Sequence[Sequence[str]], names: Mapping[str, str]) -> Counter[str]:
    """Name → how many rows have it; a tag that is not in `names` is its own name."""
    return Counter(name for tags in rows for name in {names.get(tag, tag) for tag in tags})


def by_frequency(rows: Sequence[Sequence[str]], names: Mapping[str, str]) -> list[str]:
    """All names, what most rows have first, then by the alphabet."""
    counts = count_rows(rows, names)
    return sorted(counts, key=lambda name: (-counts[name], name))


def stem_names(rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """Tag → the most frequent of all tags with its stem."""
    first: dict[str, str] = {}  # stem → the first tag that has it: the most frequent
    return {tag: first.setdefault(stem(tag), tag) for tag in by_frequency(rows, {})}


def name_tags(
    rows: Sequence[Sequence[str]], names: Mapping[str, str], least_rows: int
) -> list[list[str]]:
    """The tags of each row by their names, each once and sorted, without rare ones."""
    counts = count_rows(rows, names)
    named = ({names.get(tag, tag) for tag in tags} for tags in rows)
    return [sorted(name for name in each if counts[name] >= least_rows) for each in named]
