r"""The final answer that a response ends on, and whether two of them are the same.

It is looked for after "####", inside \boxed{}, after "the answer is" or "answer:", and as a letter
that stands alone on the last line; the last of each that there is. Where there is none of them, it
is the last number of the text. What stands there is read as a number where it is one, so that
1,200 is 1200.0, 3/4 is 0.75 and 50% is 0.5. A unit counts, unless the caller names it. LaTeX is
left to math-verify.
"""

import logging
import re
from collections.abc import Sequence
from fractions import Fraction

from scorers.measures.confidence import normalise_answer

HASHES = re.compile(r"####[ \t]*([^\n]+)")
BOXED = re.compile(r"\\boxed\s*\{")
PHRASE = re.compile(r"\b(?:the )?(?:final )?answer(?: is|:)[ \t]*:?[ \t]*([^\n]+)", re.IGNORECASE)
LONE_LETTER = re.compile(r"[(\[]?([A-Ja-j])[)\].:]{0,2}")  # up to ten options
OPTION = re.compile(r"\(?([A-J])[).:](?:\s.*)?")  # the text of the option may follow: "B) 12"
NUMBER = re.compile(
    r"(?<![\w.])-?\d{1,3}(?:,\d{3})+(?:\.\d+)?%?(?![\w])"  # 1,200.50
    r"|(?<![\w.])-?\d+\s*/\s*\d+(?![\w/])"  # 3/4, but no date such as 3/4/2024
    r"|(?<![\w.])-?(?:\d+(?:\.\d+)?|\.\d+)%?"  # last, or it would take the 1 of 1,200
)
PLAIN = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)")
WITH_COMMAS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d*)?")
MIXED = re.compile(r"([-+]?)(?:(\d+)\s+)?(\d+)\s*/\s*(\d+)")
SENTENCE_END = re.compile(r"(?<=[^\s.])\.(?:\s+[A-Z]|\Z)")  # not of "..."

LONGEST_NUMBER = 100  # characters; more digits than that are a model that does not stop
LONGEST_FORMULA = 200  # characters; math-verify may think about more of them for hours
# Towers of powers and the like, which a computer algebra system would write out.
RUNAWAY = re.compile(r"\^\{?\s*\d{4,}|\^[^\s]*\^|\d{4,}\s*!")


def final_answer(text: str, marker: str | None = None) -> str | None:
    """The answer a text ends on, as it is written there; None where there is none.

    Args:
        text: A response.
        marker: What stands before the answer, to look after nothing else.
    """
    if marker is not None:
        _, found, rest = text.rpartition(marker)
        line = rest.strip().partition("\n")[0]
        return _tidy(line) or None if found else None
    for given in (_last(HASHES, text), _last_boxed(text), _last(PHRASE, text)):
        if given is not None and _tidy(given):
            return _tidy(given)
    lines = text.strip().splitlines()
    if lines and (letter := LONE_LETTER.fullmatch(lines[-1].strip())):
        return letter[1].upper()
    numbers = NUMBER.findall(text)
    return numbers[-1] if numbers else None


def same_answer(given: str, trusted: str, units: Sequence[str] = ()) -> bool:
    """Whether two final answers say the same.

    Args:
        given: As `final_answer` gives it.
        trusted: What it is compared with.
        units: Texts that do not count when they stand before or after a number.
    """
    numbers = read_number(given, units), read_number(trusted, units)
    if None not in numbers:
        return numbers[0] == numbers[1]
    choices = read_choice(given), read_choice(trusted)
    if None not in choices:
        return choices[0] == choices[1]
    if normalise_answer(given) == normalise_answer(trusted):
        return True
    return _is_formula(given, trusted) and _same_formula(given, trusted)


def read_number(text: str, units: Sequence[str] = ()) -> Fraction | None:
    """The number that a text is, exactly; None where it is none."""
    bare = _without_units(text.strip().strip("$").strip(), units)
    percent = bare.endswith("%") or bare.endswith("\\%")
    bare = bare.rstrip("%\\").strip()
    if len(bare) > LONGEST_NUMBER:
        return None
    if PLAIN.fullmatch(bare) or WITH_COMMAS.fullmatch(bare):
        value = Fraction(bare.replace(",", "").rstrip("."))
    elif (parts := MIXED.fullmatch(bare)) and int(parts[4]):  # x/0 is no number
        value = int(parts[2] or 0) + Fraction(int(parts[3]), int(parts[4]))
        value = -value if parts[1] == "-" else value
    else:
        return None
    return value / 100 if percent else value


def read_choice(text: str) -> str | None:
    """The letter of a multiple choice that a text is, alone or before its option; else None."""
    bare = text.strip().strip("$*").strip()
    found = LONE_LETTER.fullmatch(bare) or OPTION.fullmatch(bare)
    return found[1].upper() if found else None


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.findall(text)
    return str(found[-1]) if found else None


def _last_boxed(text: str) -> str | None:
    r"""What stands between the braces of the last \boxed, braces within them included."""
    starts = [found.end() for found in BOXED.finditer(text)]
    if not starts:
        return None
    depth = 1  # the brace that opens \boxed is behind us
    for place in range(starts[-1], len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[starts[-1] : place]
    return None


def _tidy(text: str) -> str:
    """Without the full stop that ends the sentence, a sentence behind it, and emphasis."""
    bare = text.strip()
    last_line = bare.rfind("\n")
    for found in SENTENCE_END.finditer(bare):
        if found.end() == len(bare) or found.end() - 1 > last_line:  # what follows is one sentence
            bare = bare[: found.start()]
            break
    return bare.strip().strip("*").strip()


def _without_units(text: str, units: Sequence[str]) -> str:
    for unit in sorted(units, key=len, reverse=True):  # "km/h" before "km"
        folded, name = text.casefold(), unit.casefold()
        sign = "-" if folded.startswith("-") else ""  # -$5 is -5
        if folded.removeprefix(sign).startswith(name) and len(text) > len(name):
            text = sign + text[len(sign) + len(unit) :].strip()
        elif folded.endswith(name):
            text = text[: len(text) - len(unit)].strip()
    return text


def _is_formula(*texts: str) -> bool:
    """Whether one of the texts is mathematics and both are short and tame enough to work out."""
    if any(len(text) > LONGEST_FORMULA or RUNAWAY.search(text) for text in texts):
        return False
    return any(re.search(r"[\\^_=√π]", text) for text in texts)


def _same_formula(given: str, trusted: str) -> bool:
    from math_verify import parse, verify

    # Without time limits, which need the process's main thread: _is_formula bounds the work.
    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it would warn of that
    # math-verify wants the trusted side first: it does not compare the two alike.
    sides = [parse(f"${text.strip('$')}$", parsing_timeout=None) for text in (trusted, given)]
    return all(sides) and bool(verify(*sides, timeout_seconds=None))
