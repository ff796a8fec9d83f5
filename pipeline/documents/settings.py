"""The documents block of a recipe: which files are read, and how large their passages are."""

import glob
import os
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from pipeline.documents.passages import PassageSize
from pipeline.ingest.stage import is_visible_file
from pipeline.settings import Settings


class PassageSettings(Settings):
    """How large passages are, in tokens of the target."""

    tokens: int = Field(
        default=512, ge=16, le=1_000_000, description="Tokens of a passage, at most."
    )
    overlap: int = Field(
        default=64,
        ge=0,
        description="Tokens that a passage has in common with the one before, at most; whole "
        "sentences where these are short enough, and nothing across a heading.",
    )
    least: int = Field(
        default=64,
        ge=0,
        description="Tokens below which a passage goes on past a heading. Where the text lets it: "
        "nothing is left out for being short.",
    )

    @model_validator(mode="after")
    def fits(self) -> Self:
        """Refuse sizes that contradict each other."""
        if 2 * self.overlap > self.tokens:
            raise ValueError(
                f"overlap {self.overlap} is more than half of tokens {self.tokens}; lower it"
            )
        if self.least > self.tokens:
            raise ValueError(f"least {self.least} is more than tokens {self.tokens}; lower it")
        return self

    @property
    def size(self) -> PassageSize:
        """The same for the function that cuts."""
        return PassageSize(self.tokens, self.overlap, self.least)


class DocumentSettings(Settings):
    """Documents: a file, a folder of them, or a pattern, and how they are cut into passages."""

    path: str = Field(
        description="A file, a folder whose files are all read, or a glob pattern. Relative to the "
        "recipe."
    )
    license: str = Field(default="unknown", description="Licence of the texts, an SPDX name.")
    name: str | None = Field(
        default=None, min_length=1, description="What they are called; their path if not given."
    )
    passages: PassageSettings = Field(default=PassageSettings(), description="How they are cut.")

    def files(self) -> list[str]:
        """The files that the path stands for, sorted; empty where it matches nothing."""
        path = Path(self.path)
        if path.is_dir():
            return sorted(str(file) for file in path.rglob("*") if is_visible_file(file, path))
        if path.exists() or path.is_symlink():
            return [self.path]
        return sorted(
            file for file in glob.glob(self.path, recursive=True) if not os.path.isdir(file)
        )

    def placed(self, base: Path) -> Self:
        """The same documents; their path, relative to `base`, as seen from here."""
        return self.model_copy(update={"path": os.path.normpath(base / self.path)})
