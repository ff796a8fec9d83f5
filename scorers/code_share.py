"""Code share: how much of a text is program code or markup.

    code_share_i = c(lines of code) / c(all lines)

c is the number of characters that are not white space. A line is code inside a fence of three or
more backticks or tildes (CommonMark; one that is not closed goes on to the end), and elsewhere if
it looks like it: it ends in a curly bracket or in ");", "};" or "];", assigns and ends in ";", is
nothing but a call or a tag, or starts like a definition, an import or a block of Python, C or
JavaScript. Lines of fences count as neither. 0: none; 1: nothing else. Higher is kept first.

For holding code back, or looking for it: a bound from below or above. Not for a ranking by quality.
The rules are few and miss code without a fence in languages they do not know; a formula such as
"x = 2" is no code to them. Costs no model. An empty text has no score.

C4 dropped every page with a curly bracket: Raffel et al. 2019, arXiv:1910.10683. What code does
among instructions: Ma et al. 2023, "At Which Training Stage Does Code Data Help LLMs Reasoning?",
arXiv:2309.16298.
"""

import re

import numpy as np

from scorers.arrays import Floats, Strings
from scorers.words import count_visible

FENCE = re.compile(r"`{3,}(?=[^`]*$)|~{3,}")  # a backtick further on: code within a line
CODE_ENDS = ("{", "}", ");", "};", "];")

CODE_LINE = re.compile(
    r"""[A-Za-z_][\w.]*\(.*\)$                        # a call
    | </?\w[^<>]*>$ | <\w[^<>]*>.*</\w+>$            # a tag, or an element
    | (?:async\ )?(?:def|class)\ \w.*:$              # Python
    | (?:if|elif|for|while|with|try|except|else)\b[^.?!]*:$
    | (?:import\ [\w.]+(?:\ as\ \w+)?|from\ [\w.]+\ import\ .+)$
    | \#(?:include|define|!/)                        # C, and scripts
    | (?:const|let|var)\ \w+\ = | function\ \w+\(   # JavaScript
    """,
    re.VERBOSE,
)
"""How a line of code begins, and what may end it; without the white space around it."""


def _is_code(line: str) -> bool:
    """Whether a line outside a fence looks like code."""
    assigns = line.endswith(";") and "=" in line
    return assigns or line.endswith(CODE_ENDS) or CODE_LINE.match(line) is not None


def _share(text: str) -> float:
    """Share of a text that is code; NaN where there is nothing."""
    code, visible, fence = 0, 0, ""
    for line in map(str.strip, text.splitlines()):
        found = FENCE.match(line)
        if found and not fence:  # what follows is code, until a fence of this kind closes it
            fence = found[0]
        elif found and line == found[0] and line.startswith(fence):  # bare, not shorter
            fence = ""
        else:
            length = count_visible(line)
            visible += length
            code += length * bool(fence or _is_code(line))
    return code / visible if visible else np.nan


def score_code_share(text: Strings) -> Floats:
    """Score each text by the share of it that is code.

    Args:
        text: (n,) texts.

    Returns:
        (n,) from 0 to 1. NaN where there is no line but those of fences.
    """
    return np.array([_share(each) for each in text], dtype=np.float64)
