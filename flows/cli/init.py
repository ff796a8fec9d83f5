"""`sluice init`: a starter recipe for a data file."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.output import print_text
from flows.progress import say

STARTER = """\
# A starter recipe. `sluice run {name}.yaml` runs it; docs/recipes.md explains every block.
name: {name}
workspace: {name}-workspace             # a directory; everything a run makes
seed: 0
target: wheel:smollm2-135m-instruct     # the model to be fine-tuned: a directory or hub id as well

sources:
  - {{path: {path}, license: unknown}}

measure:
  losses: {{max_tokens: 1024}}
  embeddings:
    - {{of: both}}

scores: [perplexity, ifd, grape, response_length]

dedupe:
  - {{method: minhash, text: both, threshold: 0.7, keep: grape}}

select:
  name: choice
  held_out: 0.05
  steps:
    - {{method: threshold, score: ifd, at_most: 1.0}}
    - {{method: diverse, score: ifd, max_similarity: 0.9, budget: {{fraction: 0.2}}}}

train: {{epochs: 1}}
"""


def init(
    path: Annotated[str, typer.Argument(help="The data the recipe should read.")],
    name: Annotated[str, typer.Option(help="What to call the recipe.")] = "my-recipe",
) -> None:
    """Write a starter recipe for a data file; it refuses to overwrite one."""
    file = Path(f"{name}.yaml")
    try:
        with file.open("x", encoding="utf-8") as out:  # x: fails where there is one, in one step
            out.write(STARTER.format(name=name, path=path))
    except FileExistsError:
        say(f"sluice: error: {file} exists; choose another --name")
        raise typer.Exit(2) from None
    print_text(f"{file}\n")
    say(f"next: sluice run {file}")
