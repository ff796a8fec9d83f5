"""What a text shows: whether it is anything, and what of it would do something to who shows it."""

import re

# Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt, 16.0): zero-width spaces and
# joiners, soft hyphens, bidi marks, variation selectors, Hangul fillers, tags.
IGNORABLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
CONTROLS = r"\x00-\x1f\x7f-\x9f\ufff9-\ufffb"  # and the anchors of annotations
BLANK_BRAILLE = r"\u2800"

_VISIBLE = re.compile(rf"[^\s{IGNORABLE}{CONTROLS}{BLANK_BRAILLE}]")


# Controls but for tab and line feed, what turns or parts lines, marks and tags without a shape,
# halves of characters. Joiners and variation selectors stay: emoji and scripts are made with them.
_ACTIVE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def harmless(text: str) -> str:
    r"""A text for a terminal, or a page: what a reader would not see but obey is written out.

    As in \u001b, which JSON reads as the character that it was.
    """
    return _ACTIVE.sub(lambda found: _written_out(found[0]), text)


def _written_out(character: str) -> str:
    """A character as JSON escapes it; two escapes, beyond the first 65,536."""
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def is_blank(text: str) -> bool:
    """Whether a reader of the text sees nothing."""
    if "!" <= text[:1] <= "~":  # most texts begin with a letter of ASCII: no search
        return False
    return _VISIBLE.search(text) is None
