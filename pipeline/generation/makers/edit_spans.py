"""EditSpan spans: of a rewritten text only the edits are the target, exactly reversible.

    target = [(start, end, new words), …],     apply(source, target) = the given answer, to the byte

A text is cut into tokens: a word or another sign, each with the white space behind it. An edit puts
new words in place of the tokens start … end - 1; an insertion has start = end. Edits with at most
one kept token between them are one. The prompt of a row is its request once more, its tokens
numbered; the answer has a line for each edit, `START END "NEW WORDS"` with the words as JSON, or
`no change`. Where those lines are longer than `longest` of the answer, the row stays as it is.

Predicting edit operations: Kaneko and Okazaki 2023, arXiv:2305.11862. Theirs are of one model's
tokens; the paper's other form, the words before a span in place of its number, is not here.

For requests whose answer is the request itself with changes: corrected, simplified, made formal.
Not where answers are new texts, for those stay as they are, and not where nothing applies the edits
afterwards (`apply_edits`). Loss tokens fall to a half or less, so as many rows are fewer tokens. It
costs no call: no model is asked.
"""

import json
import re
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import ClassVar, Literal, NamedTuple

from pydantic import Field

from pipeline.generation.maker import (
    Making,
    Settled,
    end_prompt_with,
    is_asked_once,
    last_prompt_text,
)
from pipeline.generation.maker_block import UnaskedMakerBlock
from storage.conversations import Conversation
from storage.examples import Example

TOKEN = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
"""Every character is in one token: it is part of a word, white space, or another sign."""

NO_CHANGE = "no change"

LINE = re.compile(r'(\d+) (\d+) (".*")')

REQUEST = (
    "{numbered}\n\nEach word of the text above stands behind its number. Write only what is to be "
    'changed: a line START END "NEW WORDS" for each place, or: no change'
)


class EditSpan(NamedTuple):
    """New words in place of the tokens start … end - 1 of a text."""

    start: int
    end: int
    words: str


class EditSpans(UnaskedMakerBlock):
    """The answer as edits of the request (arXiv:2305.11862)."""

    method: Literal["edit_spans"]
    longest: float = Field(
        default=0.5,
        gt=0,
        description="Most characters of the edits, as a share of the answer's; rows with longer "
        "ones stay as they are.",
    )

    takes_over: ClassVar[bool] = True

    def takes(self, example: Example) -> bool:
        """Rows with one response, of text alone."""
        answer = example.conversation.response or {}
        return is_asked_once(example) and {*answer} == {"role", "content"}

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return 1

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {source.example_id: make_by_edit_spans(self, source) for source in sources}


def make_by_edit_spans(settings: EditSpans, source: Example) -> Making:
    """The row with its edits as the answer, or as it is."""
    yield from ()  # a maker asks; this one nothing
    text, answer = last_prompt_text(source), source.response
    edits = find_edits(text, answer)
    written = write_edit_spans(edits)
    if len(written) > settings.longest * len(answer):
        return [Settled((), source.conversation, "full_text")]
    request = REQUEST.format(numbered=number_tokens(text))
    messages = end_prompt_with(source, request)
    row = Conversation([*messages, {"role": "assistant", "content": written}], source.tools)
    return [Settled((), row, "edits" if edits else "no_change")]


def cut_tokens(text: str) -> list[str]:
    """The tokens of a text; joined they are the text again."""
    return TOKEN.findall(text)


def number_tokens(text: str) -> str:
    """A text with the number of each token before it."""
    return "".join(f"[{at}]{token}" for at, token in enumerate(cut_tokens(text)))


def find_edits(source: str, target: str) -> list[EditSpan]:
    """The edits that make one text of another, ascending; none where they are equal."""
    ours, theirs = cut_tokens(source), cut_tokens(target)
    found: list[tuple[int, int, int, int]] = []
    for tag, i, j, k, m in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        if found and i - found[-1][1] <= 1:  # the kept token between them is written anew
            i, k = found[-1][0], found[-1][2]
            found.pop()
        found.append((i, j, k, m))
    return [EditSpan(i, j, "".join(theirs[k:m])) for i, j, k, m in found]


def write_edit_spans(edits: Sequence[EditSpan]) -> str:
    """Edits as lines."""
    lines = [f"{e.start} {e.end} {json.dumps(e.words, ensure_ascii=False)}" for e in edits]
    return "\n".join(lines) or NO_CHANGE


def read_edit_spans(text: str) -> list[EditSpan]:
    """Edits of their lines.

    Raises:
        ValueError: if a line is no edit.
    """
    if text.strip() == NO_CHANGE:
        return []
    # Not splitlines: JSON leaves other ends of a line than this one as they are.
    return [read_edit_span(line) for line in text.strip("\n").split("\n")]


def read_edit_span(line: str) -> EditSpan:
    """An edit of its line.

    Raises:
        ValueError: if it is none.
    """
    found = LINE.fullmatch(line)
    try:
        if found:
            return EditSpan(int(found[1]), int(found[2]), json.loads(found[3]))
    except json.JSONDecodeError:
        pass
    raise ValueError(f'not an edit: {line[:80]!r}; expected START END "NEW WORDS"')


def apply_edits(source: str, edits: Sequence[EditSpan]) -> str:
    """A text with its edits made.

    Raises:
        ValueError: if one is out of range, or begins before the end of the one before it.
    """
    tokens, at, parts = cut_tokens(source), 0, list[str]()
    for edit in edits:
        if not at <= edit.start <= edit.end <= len(tokens):
            raise ValueError(
                f"tokens {edit.start} to {edit.end} are not behind {at}, of {len(tokens)}"
            )
        parts += [*tokens[at : edit.start], edit.words]
        at = edit.end
    return "".join([*parts, *tokens[at:]])
