"""The small faults that a file can be given: each is one change of one place.

A flipped comparison, a bound moved by one, `and` for `or`, a dropped `not`, a sort turned round or
left out, a state or reason exchanged; in SQL also an order, an aggregate, a kind of join.
"""

import ast
import re
from collections.abc import Sequence

Fault = tuple[int, int, str]
"""First and last byte of what is replaced, and with what."""

COMPARISONS = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "is": ("is not",),
    "is not": ("is",),
    "in": ("not in",),
    "not in": ("in",),
}

WORDS = (
    ("ok", "failed", "truncated", "not_applicable", "not_measured"),
    ("kept", "dropped"),
    ("choice", "random", "random_tokens", "length_matched", "held_out"),
    ("added", "removed"),
    ("new", "gone"),
    ("report", "remove", "redact"),
)
"""Words of which one is put in the place of the other."""

CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}

SQL = (
    (r"\bdesc\b", "asc"),
    (r"order by [\w.]+\b(?! desc|\()", r"\g<0> desc"),
    (r"\bmin\(", "max("),
    (r"\bmax\(", "min("),
    (r"<>", "="),
    (r" = ", " <> "),
    (r">=", ">"),
    (r"<=", "<"),
    (r"\band\b", "or"),
    (r"\bor\b", "and"),
    (r"\banti join\b", "semi join"),
    (r"\bsemi join\b", "anti join"),
    (r"\bleft join\b", "join"),
    (r"\bunion all\b", "union"),
    (r"\bdistinct\b", ""),
    (r"\bnot in\b", "in"),
    (r"\bis not null\b", "is null"),
    (r"\bis null\b", "is not null"),
)


def find_faults(source: bytes) -> list[Fault]:
    """Every fault that a file can be given, in the order of its lines."""
    found = Faults(source)
    found.visit(ast.parse(source))
    return sorted(set(found.found))


class Faults(ast.NodeVisitor):
    """Finds what can be changed in a file."""

    def __init__(self, source: bytes) -> None:
        self.found: list[Fault] = []
        self._source = source
        self._lines = [0]
        for line in source.splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))
        self._depth = 0

    def start(self, node: ast.expr) -> int:
        """Where a node begins, in bytes."""
        return self._lines[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr) -> int:
        """Where it ends."""
        return self._lines[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0)

    def between(self, left: ast.expr, right: ast.expr, word: str, others: Sequence[str]) -> None:
        """Put something else in the place of the word between two nodes."""
        pattern = rb"(?<![\w<>=!])" + re.escape(word.encode()) + rb"(?![\w=])"
        at = re.compile(pattern).search(self._source, self.end(left), self.start(right))
        if at:
            self.found += [(at.start(), at.end(), other) for other in others]

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Look into the body alone; annotations and defaults say nothing of what is done."""
        self._depth += 1
        for statement in node.body:
            if not isinstance(statement, ast.Assert):
                self.visit(statement)
        self._depth -= 1

    def visit_Expr(self, node: ast.Expr) -> None:
        """Pass over docstrings."""
        if not isinstance(node.value, ast.Constant):
            self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Look at the value."""
        if node.value is not None:
            self.visit(node.value)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Flip a comparison, or move its border."""
        for left, op, right in zip(
            [node.left, *node.comparators], node.ops, node.comparators, strict=False
        ):
            word = ast.unparse(ast.Compare(ast.Name("a"), [op], [ast.Name("b")]))[2:-2]
            self.between(left, right, word, COMPARISONS[word])
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        """Leave the `strict` of a zip as it is: like an assertion, it says what holds anyway."""
        if node.arg != "strict":
            self.visit(node.value)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Exchange `and` and `or`."""
        word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        self.between(node.values[0], node.values[1], word, (other,))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Drop `not`, `~` and `-`."""
        self.found.append((self.start(node), self.start(node.operand), ""))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Exchange + and -."""
        if isinstance(node.op, ast.Add | ast.Sub):
            word, other = ("+", "-") if isinstance(node.op, ast.Add) else ("-", "+")
            self.between(node.left, node.right, word, (other,))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        """Exchange min and max, any and all, two arguments of where; turn or drop a sort."""
        name = ast.unparse(node.func)
        start, end = self.start(node.func), self.end(node.func)
        if name in CALLS:
            self.found.append((start, end, CALLS[name]))
        if name == "sorted":
            turned = [word for word in node.keywords if word.arg == "reverse"]
            if not turned:
                self.found.append((self.end(node) - 1, self.end(node) - 1, ", reverse=True"))
            if len(node.args) == 1 and not node.keywords:
                self.found.append((start, end, "list"))
        if name == "np.where" and len(node.args) == 3:
            one, other = (self._source[self.start(a) : self.end(a)] for a in node.args[1:])
            at = self.start(node.args[1]), self.end(node.args[2])
            self.found.append((*at, f"{other.decode()}, {one.decode()}"))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Move a whole number by one, exchange a state; in SQL, see there."""
        at, value = (self.start(node), self.end(node)), node.value
        if not self._depth or (isinstance(value, str) and "\n" in value):
            self.sql(node)
        elif isinstance(value, bool):
            self.found.append((*at, str(not value)))
        elif isinstance(value, int):
            self.found.append((*at, str(value + 1)))
        elif isinstance(value, str):
            for group in WORDS:
                if value in group:
                    self.found.append((*at, f'"{group[group.index(value) - 1]}"'))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Look for SQL; the rest is talk."""
        self.sql(node)

    def sql(self, node: ast.expr) -> None:
        """Change a statement."""
        text = self._source[self.start(node) : self.end(node)]
        if not re.search(rb"\b(select|update|insert|delete|from)\b[^.]*\b(from|set|where)\b", text):
            return
        for pattern, other in SQL:
            for match in re.finditer(pattern, text.decode()):
                start = self.start(node) + len(text.decode()[: match.start()].encode())
                end = start + len(match.group().encode())
                self.found.append((start, end, match.expand(other)))
