"""Chat templates that write today's date, made to write always the same one.

Llama 3.2 and gpt-oss begin a conversation with the day on which it is rendered, so the same row has
other tokens tomorrow: counts, stored losses and what is trained would not be of one text. The date
is the one that Llama's templates fall back to.
"""

import re
from datetime import date
from typing import ClassVar

FIXED = date(2024, 7, 26)

WRITTEN = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")
"""The function that transformers gives to templates, with a format that is written out."""


class UnfixedDateError(ValueError):
    """A template writes the date in a way that cannot be fixed."""

    exit_code: ClassVar[int] = 2


def fix_date(template: str) -> str:
    """The template with the fixed date in place of today's; most templates write none.

    Raises:
        UnfixedDateError: if it computes the format of a date.
    """
    fixed = WRITTEN.sub(lambda found: f'"{FIXED.strftime(found[2])}"', template)
    if "strftime_now(" in fixed:
        raise UnfixedDateError(
            "the chat template writes today's date in a format that it computes, so a row would "
            "have other tokens each day: give the model a template with a fixed date"
        )
    return fixed
