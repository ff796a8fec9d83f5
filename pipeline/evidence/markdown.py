"""The evidence of a selection as a page: counts and ids, never the content of a row."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.evidence.agreement import LENGTH
from pipeline.text.markdown import bullets, markdown_table
from storage.selections import CONTROLS

SAME = 0.9999
"""Rank correlation from which on a score is the length itself, which is no news."""

HEADINGS = ("rows", "tokens", "least", "10 %", "25 %", "median", "75 %", "90 %", "most")


def evidence_markdown(evidence: Mapping[str, Any]) -> str:
    """Everything that is known of a selection, as a section of a report."""
    lines = ["## What the selection is worth", "", length_table(evidence["lengths"])]
    lines += ["", *(f"- {line}" for line in overlap_lines(evidence["overlaps"]))]
    if evidence["moved"] is None:
        lines += ["", "- how far it moves was not looked at: `select.sensitivity` is false"]
    lines += ["", moved_table(evidence["moved"])] if evidence["moved"] else []
    lines += ["", agreement_table(evidence["agreement"])] if evidence["agreement"] else []
    lines += ["", disputed_table(evidence["disputed"])] if evidence["disputed"] else []
    return "\n".join(lines) + "\n"


def evidence_line(evidence: Mapping[str, Any]) -> str:
    """How much was chosen, beside as many rows at random, in a line."""
    lengths = evidence["lengths"]
    choice, random = lengths["choice"], lengths["random"]
    told = f"{choice['rows']:,} rows with {choice['tokens']:,} loss tokens"
    return f"{told}; as many at random have {random['tokens']:,}"


def length_table(lengths: Mapping[str, Any]) -> str:
    """Loss tokens of the rows of the choice, the controls, and what they were chosen from."""
    rows = []
    for kind in ("choice", *CONTROLS, "eligible"):
        if kind not in lengths:  # evidence of a version that drew fewer controls
            continue
        each = lengths[kind]
        cells = [each["rows"], each["tokens"], *(f"{q:.0f}" for q in each["quantiles"])]
        rows.append((kind, *cells, *[""] * (len(HEADINGS) - len(cells))))  # no row: no quantiles
    return markdown_table("l" + "r" * len(HEADINGS), ("loss tokens of", *HEADINGS), rows)


def overlap_lines(overlaps: list[Mapping[str, Any]]) -> Iterator[str]:
    """What the choice shares with its controls and with the last one."""
    for each in overlaps:
        chance = "" if each["expected"] is None else f"; chance gives {each['expected']:.1f}"
        yield f"shared with {each['other']}: {each['shared']} of {each['rows']} rows{chance}"


def moved_table(moved: list[Mapping[str, Any]]) -> str:
    """What small changes do."""
    tried = [each for each in moved if each["moved"] is not None]
    rows = [(each["change"], f"{each['moved']:.1%}", each["rows"]) for each in tried]
    table = markdown_table("lrr", ("a small change", "picks that go", "rows then"), rows)
    skipped = bullets(
        f"not tried: {e['change']}: {e['why_not']}" for e in moved if e["moved"] is None
    )
    return "\n".join([table, *([""] if skipped else []), *skipped])


def agreement_table(agreement: list[Mapping[str, Any]]) -> str:
    """How the scores order the same rows."""
    rows = []
    for each in agreement:
        rho = "" if each["rho"] is None else f"{each['rho']:.2f}"
        rows.append((" and ".join(each["scores"]), each["rows"], rho))
    return markdown_table("lrr", ("two scores", "rows with both", "rank correlation"), rows)


def disputed_table(disputed: list[Mapping[str, Any]]) -> str:
    """The rows that scores put at opposite ends."""
    headings = ("example", "above most by", "share below", "below most by", "share below")
    rows = [
        (
            *(each["example_id"][:8], each["high"], f"{each['high_share']:.0%}"),
            *(each["low"], f"{each['low_share']:.0%}"),
        )
        for each in disputed
    ]
    return markdown_table("llrlr", headings, rows)


def evidence_lines(evidence: Mapping[str, Any]) -> Iterator[str]:
    """The same in a few lines, for the end of a run."""
    lengths = evidence["lengths"]
    # Of the seven quantiles the fourth is the median; a choice of no row has none.
    medians = {kind: each["quantiles"][3] for kind, each in lengths.items() if each["quantiles"]}
    if "choice" not in medians:
        return
    yield (
        f"median length   {medians['choice']:.0f} loss tokens; {medians['eligible']:.0f} in all "
        "it was chosen from"
    )
    shared = (
        f"{each['shared']} of {each['rows']} with {each['other']}"
        + ("" if each["expected"] is None else f" (chance: {each['expected']:.0f})")
        for each in evidence["overlaps"]
    )
    yield f"rows shared     {', '.join(shared)}"
    tried = [each for each in evidence["moved"] or () if each["moved"] is not None]
    if tried:
        most = max(tried, key=lambda each: each["moved"])
        if most["moved"]:
            yield f"moves most by   {most['change']}: {most['moved']:.0%} of the picks"
        else:
            count = len(tried)
            yield f"moves by        nothing: no pick goes with any small change ({count} tried)"
    yield from agreement_lines(evidence["agreement"])


def agreement_lines(agreement: list[Mapping[str, Any]]) -> Iterator[str]:
    """The two scores that differ most, and the one that goes most with length."""
    known = [each for each in agreement if each["rho"] is not None]
    if pairs := [each for each in known if LENGTH not in each["scores"]]:
        least = min(pairs, key=lambda each: each["rho"])
        pair = " and ".join(least["scores"])
        yield f"scores differ   {pair} most: rank correlation {least['rho']:.2f}"
    with_length = [each for each in known if LENGTH in each["scores"]]
    if lengths := [each for each in with_length if abs(each["rho"]) < SAME]:
        most = max(lengths, key=lambda each: abs(each["rho"]))
        (score,) = (name for name in most["scores"] if name != LENGTH)
        yield f"goes by length  {score} most: rank correlation {most['rho']:.2f} with {LENGTH}"
