"""Write what in the documentation follows from the code, so that the two cannot drift apart.

    make docs          or: python -m docs.build_reference

It fills the marked parts of docs/recipes.md and docs/recipes/ (tables of fields, the scorers, what
a wrong recipe is answered), writes the entries of docs/methods.md and the table of docs/makers.md
from the docstrings, and docs/code-map.md from the first line of every file. Tests fail where a page
is not what this would write, so a moved, new or silent file is told before a reader finds it
missing.
"""

from pathlib import Path

from docs.code_map import CODE_MAP, code_map
from docs.field_tables import filled_pages
from docs.makers_page import MAKERS_PAGE, makers_page
from docs.methods_page import METHODS, methods_page


def main() -> None:
    """Write the pages."""
    for path, text in build().items():
        path.write_text(text, encoding="utf-8")


def build() -> dict[Path, str]:
    """Path → the text it should have."""
    pages = {METHODS: methods_page(), MAKERS_PAGE: makers_page(), CODE_MAP: code_map()}
    return {**filled_pages(), **pages}


if __name__ == "__main__":
    main()
