"""Build the demo's input: questions about Python, answered by the documentation of this Python.

    python recipes/build_demo_data.py OUTDIR [--rows 310]

writes five files into OUTDIR:

    stdlib.jsonl     OpenAI messages and Alpaca rows about modules, classes and functions
    sharegpt.jsonl   ShareGPT rows; 20 are conversations of stdlib.jsonl over again, 8 nearly so
    odd_lines.jsonl  broken lines, unusual lines, and prompts without an answer
    evaluation.jsonl no source: an evaluation set, of which half stands in stdlib.jsonl
    noise.json       no source: which answers are wrong on purpose, and which odd lines are sound

It asks no network and imports the standard library alone. The same Python on the same kind of
system gives the same bytes, every time. The text is that of Python's documentation: PSF-2.0.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

# Run as a script, Python looks beside this file, not in the folder that `recipes` stands in.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from recipes.demo_data.assembly import Collection, collect
from recipes.demo_data.odd_lines import ODD_DIALOGUES, ODD_ROWS, OddLine, odd_lines
from recipes.demo_data.questions import Dialogue, draw, words
from recipes.demo_data.shapes import (
    TOOL_USES,
    as_alpaca,
    as_messages,
    as_sharegpt,
    json_line,
    tool_use_as_sharegpt,
)

DEFAULT_ROWS = 310
FEWEST_ROWS, MOST_ROWS = 300, 600
COPIES, EDITED_COPIES = 20, 8
"""Rows of sharegpt.jsonl that repeat a row of stdlib.jsonl exactly, and nearly."""
NEW_ROWS, NEW_CONVERSATIONS = 10, 5
"""Rows of sharegpt.jsonl that are nowhere else: of one question, and of several."""
TOOL_ROWS = TOOL_USES[:3]
SHAREGPT_ROWS = COPIES + EDITED_COPIES + NEW_ROWS + NEW_CONVERSATIONS + len(TOOL_ROWS)
ALPACA_KINDS = frozenset({"overview", "purpose", "signature", "exceptions", "wrong answer"})
"""Kinds of which a third is written as Alpaca. Summaries all are: their code is the `input`."""
COPIED_KINDS = frozenset({"purpose", "class then method", "source", "example", "methods", "base"})

EDITS: tuple[Callable[[str, str], tuple[str, str]], ...] = (
    lambda question, answer: (question.replace("`", "").rstrip("?.").lower(), answer),
    lambda question, answer: (question, f"Sure! {answer}"),
    lambda question, answer: (question, f"{answer}\n\nLet me know if you would like an example."),
    lambda question, answer: (f"{question} Thanks!", answer.replace("\n\n", "\n").replace("*", "")),
)
"""What people do to a row when they copy it: all leave nine words in ten as they are."""


LEAKED_ITEMS = 6
CLEAN_ITEMS = (
    ("Which planet is closest to the sun?", "Mercury."),
    ("How many sides does a hexagon have?", "Six."),
    ("Translate 'good morning' into French.", "Bonjour."),
    ("Who wrote the play Hamlet?", "William Shakespeare."),
    ("A train leaves at 14:05 and arrives at 16:50. How long does it travel?", "2 h 45 min."),
    ("Name a metal that is liquid at room temperature.", "Mercury."),
)


def is_alpaca(dialogue: Dialogue) -> bool:
    """Whether a dialogue of stdlib.jsonl is written as Alpaca, not as OpenAI messages."""
    third = draw(dialogue.subject, "shape") % 3 == 0
    in_kind = dialogue.kind in ALPACA_KINDS and dialogue.system is None and third
    return in_kind or dialogue.context is not None


def stdlib_lines(dialogues: Iterable[Dialogue]) -> list[bytes]:
    """The lines of stdlib.jsonl, in the order of the dialogues."""
    rows = (as_alpaca(one) if is_alpaca(one) else as_messages(one) for one in dialogues)
    return [json_line(row) for row in rows]


def sharegpt_lines(collection: Collection) -> list[bytes]:
    """The lines of sharegpt.jsonl: copies, edited copies, new rows and rows with tools, mixed."""
    kept = [one for one in collection.stdlib if one.kind in COPIED_KINDS and not is_alpaca(one)]
    kept.sort(key=lambda one: draw(one.subject, "copy"))
    copies, others = kept[:COPIES], kept[COPIES:]
    long = [one for one in others if one.kind == "purpose" and words(one.turns[1]) >= 40]
    edited = [edit(one, number) for number, one in enumerate(long[:EDITED_COPIES])]
    new = (*collection.spare[:NEW_ROWS], *collection.spare_conversations)
    rows = [as_sharegpt(one) for one in (*copies, *edited, *new)]
    lines = [json_line(row) for row in (*rows, *map(tool_use_as_sharegpt, TOOL_ROWS))]
    return sorted(lines, key=lambda line: draw(line.decode(), "order"))


def edit(dialogue: Dialogue, number: int) -> Dialogue:
    """A copy with a small change to the question or the answer."""
    question, answer = dialogue.turns
    return replace(dialogue, turns=EDITS[number % len(EDITS)](question, answer))


def evaluation_lines(collection: Collection) -> list[bytes]:
    """An evaluation set: questions that stdlib.jsonl holds word for word, and some it does not."""
    asked = [one for one in collection.stdlib if one.kind == "purpose" and len(one.turns) == 2]
    asked.sort(key=lambda one: draw(one.subject, "evaluation"))
    leaked = [(one.turns[0], one.turns[1]) for one in asked[:LEAKED_ITEMS]]
    return [json_line({"prompt": q, "completion": a}) for q, a in (*leaked, *CLEAN_ITEMS)]


def truth(collection: Collection, odd: Sequence[OddLine]) -> dict[str, object]:
    """What a reader of the files should find out, by line number from 1."""
    wrong = [
        {
            "line": number,
            "question": one.turns[0],
            "subject": one.subject,
            "answer_of": collection.answer_of[one.subject],
        }
        for number, one in enumerate(collection.stdlib, start=1)
        if one.kind == "wrong answer"
    ]
    lines = [
        {"line": number, "kind": line.kind, "survives": line.survives}
        for number, line in enumerate(odd, start=1)
        if line.kind != "blank"
    ]
    return {"stdlib.jsonl": {"wrong_answers": wrong}, "odd_lines.jsonl": {"lines": lines}}


def build(directory: Path, rows: int = DEFAULT_ROWS) -> dict[str, int]:
    """Write the demo's files into a directory, which is made if need be.

    Args:
        directory: where to; files of the same names are replaced.
        rows: how many rows all three files hold together; 300 to 600.

    Returns:
        Rows of each source, blank lines not counted.

    Raises:
        ValueError: if `rows` is out of range.
    """
    if not FEWEST_ROWS <= rows <= MOST_ROWS:
        raise ValueError(f"rows must be from {FEWEST_ROWS} to {MOST_ROWS}, got {rows}")
    collection = collect(
        rows=rows - SHAREGPT_ROWS - ODD_ROWS,
        spare=NEW_ROWS + ODD_DIALOGUES,
        spare_conversations=NEW_CONVERSATIONS,
    )
    odd = odd_lines(collection.spare[NEW_ROWS:])
    files = {
        "stdlib.jsonl": stdlib_lines(collection.stdlib),
        "sharegpt.jsonl": sharegpt_lines(collection),
        "odd_lines.jsonl": [line.content for line in odd],
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, lines in files.items():
        (directory / name).write_bytes(b"".join(lines))
    (directory / "evaluation.jsonl").write_bytes(b"".join(evaluation_lines(collection)))
    noise = json.dumps(truth(collection, odd), indent=1, ensure_ascii=False)
    (directory / "noise.json").write_bytes(noise.encode() + b"\n")
    return {name: sum(1 for line in lines if line.strip()) for name, lines in files.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        description="Build the demo's input from the documentation of this Python (PSF-2.0)."
    )
    parser.add_argument("directory", metavar="OUTDIR", type=Path, help="where the files go")
    parser.add_argument(
        "--rows",
        type=int,
        default=DEFAULT_ROWS,
        help=f"rows of all files together, {FEWEST_ROWS} to {MOST_ROWS}; default %(default)s",
    )
    options = parser.parse_args(arguments)
    try:
        counts = build(options.directory, options.rows)
    except (RuntimeError, ValueError) as error:
        parser.error(str(error))
    for name, rows in counts.items():
        sys.stderr.write(f"{options.directory / name}: {rows} rows\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
