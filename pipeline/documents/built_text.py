"""Text put together from pieces of a tree: lines and paragraphs, and where headings begin."""

from pipeline.documents.extracted import ExtractedText, Heading

LINE, PARAGRAPH = 1, 2


class BuiltText:
    """A text that grows; breaks between its pieces are written once something follows them."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._length = 0
        self._break = 0
        self._space = False
        self._headings: list[Heading] = []
        self._opened: tuple[int, int, int] | None = None

    def add(self, text: str, keep_white_space: bool = False) -> None:
        """Go on with a text; white space in it is one space, unless it is kept."""
        if not keep_white_space:
            words = text.split()
            self._space = self._space or text[:1].isspace()
            if words:
                self._write(" ".join(words))
                self._space = text[-1:].isspace()
        elif text:
            self._write(text)

    def separate(self, lines: int) -> None:
        """Break before what follows: LINE or PARAGRAPH."""
        self._break = max(self._break, lines)
        self._space = False

    def tab(self) -> None:
        """Go on in the next cell of a row."""
        if not self._break:
            self._write("\t")
            self._space = False

    def open_heading(self, level: int) -> None:
        """What follows is a heading, until it is closed."""
        self.separate(PARAGRAPH)
        self._opened = (level, len(self._pieces), self._length)

    def close_heading(self) -> None:
        """The heading ends; one without a word is none."""
        if self._opened is None:
            return
        level, first, length = self._opened
        written = "".join(self._pieces[first:])
        if title := " ".join(written.split()):
            at = length + len(written) - len(written.lstrip())
            self._headings.append(Heading(at, level, title))
        self._opened = None
        self.separate(PARAGRAPH)

    def built(self, remark: str = "") -> ExtractedText:
        """All of it."""
        return ExtractedText("".join(self._pieces), tuple(self._headings), remark=remark)

    def _write(self, text: str) -> None:
        if self._break and self._length:
            text = "\n" * self._break + text
        elif self._space and self._length:
            text = " " + text
        self._break, self._space = 0, False
        self._pieces.append(text)
        self._length += len(text)
