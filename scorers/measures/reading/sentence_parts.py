"""Cut a text that is too long for a model into parts that are not, at sentence ends."""

import re
from collections.abc import Callable

SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|\n+")  # noqa: RUF001 - the full-width marks are meant


def cut_text(text: str, room: int, length: Callable[[str], int]) -> list[str]:
    """Cut a text into parts of at most `room` tokens; their order is that of the text.

    It is halved until the halves fit: at the sentence end nearest the middle, failing that at the
    nearest blank, failing that in the middle. Blanks at a cut are dropped, nothing else.

    Args:
        text: what to cut.
        room: tokens, at least 1.
        length: tokens of a text.
    """
    if len(text) < 2 or length(text) <= room:  # one character cannot be halved, whatever its tokens
        return [text]
    left, right = _halve(text)
    return cut_text(left, room, length) + cut_text(right, room, length)


def _halve(text: str) -> tuple[str, str]:
    middle = len(text) // 2
    for boundary in (SENTENCE_END, re.compile(r"\s+")):
        cuts = [
            match.span()
            for match in boundary.finditer(text)
            # Blanks alone on one side would be a part with nothing in it.
            if text[: match.start()].strip() and text[match.end() :].strip()
        ]
        if cuts:
            start, end = min(cuts, key=lambda cut: abs(sum(cut) / 2 - middle))  # by their middles
            return text[:start], text[end:]
    return text[:middle], text[middle:]
