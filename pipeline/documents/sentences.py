"""Sentences of a text in any script, as spans that hold every character that is no white space.

An end of a sentence is what Unicode calls so (Sentence_Terminal), whatever the script: the marks
of Chinese, Arabic, Hindi and the rest. What is ASCII among it, and the ellipsis, is one only before
white space after which no small letter comes. A blank line ends one too. Thai marks no ends: of a
run without any, whoever makes passages takes pieces.
"""

from collections.abc import Iterator

import regex

from pipeline.documents.borders import last_border, strip_span

MOST_CHARACTERS = 20_000
"""Of a span: a text without any border is still taken in bounded pieces."""

CLOSERS = r"[\p{Pe}\p{Pf}]*"
ANY_CLOSERS = r"[\p{Pe}\p{Pf}\p{Pi}\"'*_]*"  # German closes with what opens in English

TERMINAL = r"[\p{Sentence_Terminal}\u0F0D\u0F0E]"  # Unicode leaves out the two of Tibetan

END = regex.compile(
    rf"""
    [.!?…]*[{TERMINAL}--[\x00-\x7f]][{TERMINAL}…]*{CLOSERS}
    | [.!?…]+{ANY_CLOSERS}(?=\s)(?!\s+\p{{Ll}})
    | \n[^\S\n]*\n
    """,
    regex.VERBOSE | regex.VERSION1,
)


def find_sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of the sentences between two offsets, in order; none blank, none beyond the bound."""
    begin = start
    for found in END.finditer(text, start, end):
        yield from _bounded(text, begin, found.end())
        begin = found.end()
    yield from _bounded(text, begin, end)


def _bounded(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The span without white space at its ends, in pieces where it is very long."""
    while end - start > MOST_CHARACTERS:
        half, most = start + MOST_CHARACTERS // 2, start + MOST_CHARACTERS
        cut = last_border(text, most, start, half)
        if span := strip_span(text, start, cut):
            yield span
        start = cut
    if span := strip_span(text, start, end):
        yield span
