"""docs/makers.md: what each maker of rows needs, costs and fails at, by its docstring and class."""

import re
from dataclasses import replace

from docs.docstrings import ROOT, docstring
from pipeline.generation.catalogue import MAKERS
from pipeline.generation.maker_block import GeneratorBlock, RowMakerBlock
from storage.conversations import Conversation
from storage.examples import Example

MAKERS_PAGE = ROOT / "docs" / "makers.md"

TABLE_START = "<!-- generated: makers -->\n"
"""Where in docs/makers.md the table begins; what stands before is written by hand."""

COLUMNS = ("maker", "what it is for", "needs", "model", "calls", "not for, and where it fails")

MODELS = {
    r"better than the one trained|larger (?:one|model)": "a better one than is trained",
    r"(?:the )?very model|model that will be trained|must be the one that is trained": (
        "the one that is trained"
    ),
}
"""What a docstring says of the model that writes; where it says nothing, any will do."""

QUESTION = {"role": "user", "content": "How many are two and five in all?"}

ANY = {"verify": (), "templates": ("{question}",)}
"""Field that must be given and says which rows are taken → what lets any pass."""

ANSWERS = {
    "answers": "It seems to me, as far as I can see, that they are quite a few.",
    "short answers": "seven",
    "gold answers": "They are seven in all, as one finds by counting.\n#### 7",
}
"""Answers of which a maker takes a row with one or not, from what most rows have on."""


def makers_page() -> str:
    """The text of docs/makers.md."""
    head = MAKERS_PAGE.read_text(encoding="utf-8").split(TABLE_START)[0]
    rows = [COLUMNS, ("---",) * len(COLUMNS), *(table_row(name) for name in MAKERS)]
    lines = [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join([head + TABLE_START, *lines]) + "\n"


def table_row(name: str) -> tuple[str, ...]:
    """The cells of one maker."""
    purpose, limits, cost = told_of(docstring(ROOT / "pipeline/generation/makers" / f"{name}.py"))
    model = model_of(purpose + limits) if MAKERS[name].asks else "none"
    linked = f"[`{name}`](recipes/generate.md#{name})"
    return linked, purpose, needs(name, MAKERS[name]), model, cost, limits


def told_of(text: str) -> tuple[str, str, str]:
    """The sentences of a docstring that say what for, what not for, and what it costs.

    Raises:
        ValueError: if one of the three is missing.
    """
    paragraphs = [" ".join(each.split()) for each in text.split("\n\n")]
    costing = next((each for each in paragraphs if "It costs" in each), "")
    found = re.search(
        r"(?:^|\s)(For .*?\.) (?=[A-Z])(.*Not .*?) (It costs .*?\.)(?: [A-Z].*)?$", costing
    )
    if found is None:
        raise ValueError(f"a maker says what it is for, what not for and what it costs: {text}")
    purpose, limits, cost = found.groups()
    return purpose, limits, cost


def needs(name: str, kind: type[GeneratorBlock]) -> str:
    """What it makes rows of; of rows by trying which it takes, with what they have by default."""
    if kind.needs != "rows" or not issubclass(kind, RowMakerBlock):
        return "documents" if kind.needs == "passages" else "nothing"
    fields = kind.model_fields
    given = {each: ANY[each] for each in ANY if each in fields and fields[each].is_required()}
    block = kind.model_construct(_fields_set=None, method=name, **given)
    if block.takes(example_of(None)):
        return "prompts"
    if block.takes(replace(example_of(None), tools=[{"name": "count"}])):
        return "prompts with tools"
    taken = (what for what, answer in ANSWERS.items() if block.takes(example_of(answer)))
    return f"prompts with {next(taken)}"


def example_of(answer: str | None) -> Example:
    """A question with an answer, or without."""
    said = [] if answer is None else [{"role": "assistant", "content": answer}]
    messages = [QUESTION, *said]
    given = Conversation(messages, [])
    return Example(
        given.example_id,
        given.prompt_id,
        messages,
        [],
        1 if said else None,
        QUESTION["content"],
        answer or "",
        [1] if said else [],
    )


def model_of(said: str) -> str:
    """Which model it shall ask."""
    return next((model for told, model in MODELS.items() if re.search(told, said)), "any")
