"""Sources as a recipe calls them: the path they were read from, or a part of it.

`dolly.jsonl`, `raw/dolly.jsonl` and `raw` all name raw/dolly.jsonl: whole parts of the path, in
their order. So a name means the same wherever the recipe is run from, and a folder's name stands
for all of its files.
"""


def has_name(path: str, name: str) -> bool:
    """Whether a name is the path of a source, or whole parts of it."""
    # Slashes at both ends, so that only whole parts match: "a" is no part of "data".
    return bool(_parts(name)) and f"/{_parts(name)}/" in f"/{_parts(path)}/"


def _parts(path: str) -> str:
    """A path without empty parts and detours."""
    return "/".join(part for part in path.split("/") if part not in ("", ".", ".."))
