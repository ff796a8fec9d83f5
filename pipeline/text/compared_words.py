"""What two texts are compared by: their words, and the signs that mean something.

Deduplication and the check against evaluation sets read texts alike. Looked past are case, how
Unicode composes a letter (NFC), full width and half width, which digits a script has, characters
that nobody sees, and one sign for another that looks the same, as the minus for the hyphen. Then:

- A word is a run of letters, digits and their combining marks; vowel signs are such marks.
- In scripts written without spaces each character is one (scorers/words.py).
- A sign is any symbol, anywhere: + = < > ^ | ~ % &, those of multiplication, division, order, sets
  and roots, and a smiley; - * / and a raised dot before a digit, or between two single letters; !
  behind a whole number of three digits at most, or a single letter, and as a sign of programs; #
  behind a letter.
- Other punctuation does not matter: neither "well-known" nor "- item" has a sign.

How long a text is, is counted in words of English: signs are none, and of a script without spaces
several characters are one word (`word_weights`).
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import islice
from unicodedata import category, decimal, normalize

import numpy as np

from scorers.arrays import Ints
from scorers.words import space_out, word_characters, word_weight

VERSION = 2  # of the words of a text; what was made from them under another is not read

WIDTHS = re.compile("[\ufe50-\ufe6f\uff00-\uffef]+")  # full and half width, and small forms
UNSEEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe0e\ufe0f\ufeff]+")
LOOK_ALIKE = dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-") | {
    "\u2044": "/",
    "\u2215": "/",
    "\u2217": "*",
    "\u22c5": "\u00b7",
    "\u2219": "\u00b7",
}
LOOKS_ALIKE = re.compile("[\u2010-\u2013\u2212\u2044\u2215\u2217\u22c5\u2219]")
DIGIT = re.compile(r"[^\D0-9]")  # of any other script

RARE = re.compile(rf"{DIGIT.pattern}|[{WIDTHS.pattern[1:-2]}{UNSEEN.pattern[1:-2]}]")

ALWAYS = "+=<>^|~%&"  # of ASCII; $ is a mark of LaTeX more often than a sign
OPERATOR = r"[-*/\u00b7]"
IN_CONTEXT = re.compile(  # it begins with the sign itself, or each place of a text would be tried
    r"[-*/\u00b7!#](?:"
    rf"(?<={OPERATOR})(?=\s?\d)"
    rf"|(?:(?<=\b[^\W\d_]{OPERATOR})|(?<=\b[^\W\d_]\s{OPERATOR})|(?<=[)\]]{OPERATOR})"
    rf"|(?<=[)\]]\s{OPERATOR}))(?=\s?\(?[^\W\d_]\b)"
    r"|(?<=\d!)(?<![^\W\d]\d!)(?<![^\W\d]\d\d!)(?<![.,]\d!)(?<![.,]\d\d!)(?<!\d{4}!)"
    r"|(?<=\d\)!)|(?<=\b[^\W\d_]!)|(?<=\b[^\W\d_]\)!)"
    r"|(?<=!)(?==)|(?<![\w!].)(?<=!)(?=[\w(])"
    r"|(?<=[^\W\d_]#)(?!\w))"
)
ASCII_WORDS = re.compile(rf"\w+|[{re.escape(ALWAYS)}]|{IN_CONTEXT.pattern}")
"""The words and signs of a text of ASCII, in lower case."""

# The same, several times as fast, by cutting at spaces: letters stay, signs are set apart, and all
# else becomes a space. Signs in context are put first as characters that stand for them.
STAND_INS = {sign: f" {chr(1 + place)} " for place, sign in enumerate("-*/!#")}
PLAIN = {code: chr(code).lower() if re.match(r"\w", chr(code)) else " " for code in range(128)}
PLAIN |= {ord(sign): sign for sign in ALWAYS}  # only one for one is translated fast
SPACED = PLAIN | {ord(stand_in.strip(" ")): sign for sign, stand_in in STAND_INS.items()}
CONTROLS = re.compile("[\x01-\x05]")

# A text of Latin letters has no combining marks once it is composed, and few other signs.
BEYOND_LATIN = re.compile("[^\x00-\u02ff\u2000-\u206f]")
LATIN_SIGNS = "\u00a2-\u00a6\u00a9\u00ac\u00ae\u00b0\u00b1\u00d7\u00f7\u2030\u2032\u2033\u2052"
LATIN_WORDS = re.compile(rf"\w+|[{re.escape(ALWAYS)}{LATIN_SIGNS}]|{IN_CONTEXT.pattern}")
TYPOGRAPHY = re.compile("[\u00a0\u00ab\u00bb\u2014\u2015\u2018-\u201f\u2022\u2026\u2039\u203a]")


@cache  # not a constant: an import should not walk through 65,000 characters
def _words() -> re.Pattern[str]:
    """The pattern of a word or sign of any text; what is no punctuation, and not unseen, is one."""
    kinds = ("P", "Sk", "Cc", "Cf", "Z")
    means = set(ALWAYS) | set("\u2030\u2032\u2033")  # per mille, and the primes of mathematics
    dropped = "".join(
        re.escape(each)
        for each in map(chr, range(0x10000))
        if category(each).startswith(kinds) and each not in means
    )
    return re.compile(rf"{word_characters()}|{IN_CONTEXT.pattern}|[^\w\s$`{dropped}]")


def fold_text(text: str) -> str:
    """A text without the differences that are looked past, but for white space and punctuation."""
    if text.isascii():
        return text.lower()
    text = LOOKS_ALIKE.sub(lambda found: LOOK_ALIKE[found[0]], text)
    if text.isascii():
        return text.lower()
    if RARE.search(text):
        text = WIDTHS.sub(lambda found: normalize("NFKC", found[0]), text)
        text = UNSEEN.sub("", text)
        text = DIGIT.sub(lambda found: str(decimal(found[0])), text)
    return normalize("NFC", text.casefold())


def compared_words(text: str) -> list[str]:
    """The words and signs of a text in order."""
    if not text.isascii():
        text = TYPOGRAPHY.sub(" ", text)  # mostly nothing else keeps a text from being ASCII
    text = fold_text(text)
    if not text.isascii():
        if BEYOND_LATIN.search(text):
            return _words().findall(space_out(text))
        return LATIN_WORDS.findall(text)
    marked, signs = IN_CONTEXT.subn(lambda found: STAND_INS[found[0]], text)
    if not signs:
        return _cut(text, PLAIN)
    if CONTROLS.search(text):  # the characters that stand for signs
        return ASCII_WORDS.findall(text)
    return _cut(marked, SPACED)


def _cut(text: str, table: Mapping[int, str]) -> list[str]:
    """The words and signs of a text of ASCII; the table says what becomes of a character."""
    for sign in ALWAYS:
        if sign in text:
            text = text.replace(sign, f" {sign} ")
    return text.translate(table).split()


def first_words(text: str, most: int) -> list[str]:
    """The first words and signs of a text, `most` of them at most."""
    if not text.isascii():
        return compared_words(text)[:most]
    return [found[0] for found in islice(ASCII_WORDS.finditer(text.lower()), most)]


def word_weights(words: Iterable[str]) -> Ints:
    """(m,) how much of an English word each word or sign is, in parts of WORD; 0 for a sign."""
    return np.array([word_weight(word) for word in words], dtype=np.int64)
