"""What a terminal shows of what is written to it: text, line ends, and the codes that rich uses."""

import io
import re

CODES = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n])")


class FakeTerminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def screen(written: str, width: int) -> list[str]:
    """The lines at the end, without those that are empty.

    Args:
        written: to a terminal of unlimited height.
        width: of the terminal; a character behind the last column begins another line.
    """
    lines: list[list[str]] = [[]]
    row = column = 0
    for code, kind, back, feed, letter in CODES.findall(written):
        if back:
            column = 0
        elif feed or (letter and column == width):
            row, column = row + 1, 0
        elif kind == "A":
            row -= int(code or 1)
        elif kind == "K":
            lines[row] = []
        lines += [[] for _ in range(row + 1 - len(lines))]
        if letter:
            lines[row] += " " * (column + 1 - len(lines[row]))
            lines[row][column] = letter
            column += 1
    return [text for line in lines if (text := "".join(line).rstrip())]
