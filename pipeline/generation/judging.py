"""What judges of makers reply: yes, no, or a reply that says neither."""

import re

from pipeline.generation.maker import Unread, read_whole
from pipeline.measuring.measures.samples import Sampled

YES_OR_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)


def read_yes_or_no(reply: Sampled) -> bool | Unread:
    """The one of the two words that a reply has, as often as it likes; with both it says neither.

    "not really" and "I know it is not" have none of them: what they mean is not guessed at.
    """
    text = read_whole(reply)
    if isinstance(text, Unread):
        return text
    said = {found.casefold() for found in YES_OR_NO.findall(text)}
    return said == {"yes"} if len(said) == 1 else Unread("unparsed")
