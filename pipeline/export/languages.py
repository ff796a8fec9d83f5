"""The languages of an export, as they were measured: for its card's front matter and its text."""

from collections.abc import Mapping

LANGUAGE_FLOOR = 0.01
"""Share of the rows with a language below which one is not named: a few are always told wrong."""


def main_languages(rows: Mapping[str, int]) -> list[str]:
    """The languages of at least 1 % of the rows that have one, the most frequent first."""
    told = {code: count for code, count in rows.items() if code}
    least = LANGUAGE_FLOOR * sum(told.values())
    ordered = sorted(told, key=lambda code: (-told[code], code))
    return [code for code in ordered if told[code] >= least]


def language_line(rows: Mapping[str, int]) -> str:
    """How many rows are in which language; "" where that was not measured."""
    named = main_languages(rows)
    untold = rows.get("", 0)
    others = sum(rows.values()) - untold - sum(rows[code] for code in named)
    parts = [f"{code} {rows[code]:,}" for code in named]
    parts += [f"others {others:,}"] if others else []
    parts += [f"none that could be told {untold:,}"] if untold else []
    return f"Rows by measured language: {', '.join(parts)}." if rows else ""
