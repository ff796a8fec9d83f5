"""Real rows for benchmarks, rendered for a model; from the folder that SLUICE_REAL_DATA names."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scorers.measures.reading.chat_format import RenderedExample, render

if TYPE_CHECKING:  # torch would count in the peak memory of every process started from here
    from scorers.measures.models.language_model import HuggingFaceLanguageModel

DATA_VARIABLE = "SLUICE_REAL_DATA"

ALPACA = Path("instruct") / "alpaca_9k.json"
ANSWERS = Path("alpaca_eval")


def real_data(*files: Path) -> Path | None:
    """The folder, if it has these files; otherwise says what is missing and gives None."""
    directory = os.environ.get(DATA_VARIABLE)
    if directory and all((Path(directory) / file).exists() for file in files):
        return Path(directory)
    sys.stderr.write(
        f"skipped, nothing was measured: set {DATA_VARIABLE} to a directory that holds "
        f"{', '.join(map(str, files))}\n"
    )
    return None


def alpaca_rows(data: Path, count: int) -> list[dict[str, str]]:
    """The first rows: instruction, input, output."""
    rows: list[dict[str, str]] = json.loads((data / ALPACA).read_bytes())
    return rows[:count]


def alpaca_pairs(data: Path, count: int) -> list[tuple[str, str]]:
    """(prompt, response) of the first rows."""
    return [
        ("\n\n".join(filter(None, (row["instruction"], row["input"]))), row["output"])
        for row in alpaca_rows(data, count)
    ]


def candidate_pairs(data: Path, prompts: int) -> list[tuple[str, str]]:
    """(prompt, response) of eight models' answers to the same prompts, prompt after prompt."""
    files = sorted((data / ANSWERS).glob("*.json"))
    answers = [json.loads(file.read_bytes())[:prompts] for file in files]
    return [
        (row["instruction"], row["output"]) for rows in zip(*answers, strict=True) for row in rows
    ]


def render_pairs(
    model: "HuggingFaceLanguageModel", pairs: list[tuple[str, str]], max_tokens: int
) -> list[RenderedExample]:
    """The pairs as token ids, those of more than `max_tokens` left out."""
    rendered = []
    for prompt, response in pairs:
        turns = [
            {"role": "user", "content": prompt},
            {"role": "assistant", "content": response},
        ]
        rendered.append(render(model.tokenizer, turns, (), 1, "chat"))
    return [row for row in rendered if len(row.prompt) + len(row.response) <= max_tokens]
