"""Whether a text shows anything: white space and characters that no font draws say nothing."""

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


def is_blank(text: str) -> bool:
    """Whether a reader of the text sees nothing."""
    if "!" <= text[:1] <= "~":  # most texts begin with a letter of ASCII: no search
        return False
    return _VISIBLE.search(text) is None
