"""The steps a recipe can choose from. What each does, and can be told, is in its own file."""

from typing import Annotated

from pydantic import Field

from pipeline.dedupe.exact import Exact
from pipeline.dedupe.minhash import MinHash
from pipeline.dedupe.semantic import Semantic
from pipeline.dedupe.substring import Substring

Dedupe = Annotated[
    Exact | MinHash | Semantic | Substring,
    Field(discriminator="method"),
]
"""In a recipe: one of these, by its method."""
