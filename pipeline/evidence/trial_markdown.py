"""The result of a trial as a page, and as the one line that stands elsewhere."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.text.markdown import code_span, escape_markdown, markdown_table

Facts = Mapping[str, Any]

UNITS = {"nll": "nats per token", "margin": "nats", "accuracy": "share right", "exact": "share"}


def trial_markdown(result: Facts) -> str:
    """All of a result."""
    lines = ["## Does it beat random?", "", *listed(verdict_lines(result)), ""]
    lines += [arm_table(result), ""]
    for table in result["tables"]:
        unit = UNITS[table["metric"]]
        title = f"{escape_markdown(table['evaluation'])}, {unit}, {table['items']} items"
        lines += [f"### {title}", "", metric_table(result, table["rows"]), ""]
        if table["unleaked_rows"]:
            lines += [f"The same on the {table['unleaked']} items that are in no arm:", ""]
            lines += [metric_table(result, table["unleaked_rows"]), ""]
    return "\n".join([*lines, *listed(note_lines(result))]) + "\n"


def listed(lines: Iterable[str]) -> list[str]:
    """Lines of a list that have markup of their own; names in them are code already."""
    return [f"- {line}" for line in lines]


def verdict_lines(result: Facts) -> Iterator[str]:
    """What is said of each arm."""
    for arm, verdict in result["verdicts"].items():
        line = f"{code_span(arm)} beside {code_span(result['against'])}: **{verdict['said']}**"
        if verdict["chance"] is not None:
            line += f" (Holm {verdict['chance']:.3f})"
        clean = result["unleaked_verdicts"].get(arm)
        if clean and clean["said"] != verdict["said"]:
            line += f"; on the items that are in no arm: {clean['said']}"
        yield line


def arm_table(result: Facts) -> str:
    """What each arm was, and what it cost."""
    rows = [
        (
            name,
            least_to_most(arm["rows"]),
            least_to_most(arm["loss_tokens"]),
            least_to_most(arm["steps"]),
            arm["trainings"],
            f"{result['choose_seconds']:,.0f} s" if name in result["chosen_arms"] else "0",
            f"{arm['train_seconds']:,.0f} s",
            ", ".join(f"{e} {n}" for e, n in arm["leaked_items"].items() if n) or "0",
        )
        for name, arm in result["arms"].items()
    ]
    headings = (
        *("arm", "rows", "loss tokens", "steps", "trainings"),
        *("cost of choosing", "of one training", "items in it"),
    )
    return markdown_table("lrrrrrrl", headings, rows)


def least_to_most(numbers: Sequence[int]) -> str:
    """The least and the most of some numbers, once where they are the same."""
    if not numbers:
        return "0"
    least, most = min(numbers), max(numbers)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def metric_table(result: Facts, rows: Sequence[Facts]) -> str:
    """The arms in one metric."""
    told = [
        (
            row["arm"],
            f"{row['learning_rate']:g}",
            f"{row['mean']:.4f}",
            " ".join(f"{each:.4f}" for each in row["seed_means"]),
            difference_cell(row),
            shares_cell(row["shares"]),
        )
        for row in rows
    ]
    level = f"{1 - result['level']:.1%}"
    headings = ("arm", "rate", "mean", "by seed", f"less {result['against']} [{level}]")
    return markdown_table("lrrlll", (*headings, "variance from"), told)


def difference_cell(row: Facts) -> str:
    """A difference with its interval, or that there is none."""
    if row["difference"] is None:
        return ""
    if row["interval"] is None:
        return f"{row['difference']:+.4f} (one seed: no interval)"
    if row["variance"] == 0:
        return f"{row['difference']:+.4f} (nothing varies)"
    low, high = row["interval"]
    return f"{row['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"


def shares_cell(shares: Sequence[float] | None) -> str:
    """Where the width of an interval comes from."""
    if shares is None:
        return ""
    items, first, second = shares
    return f"items {items:.0%}, seeds {first + second:.0%}"


def note_lines(result: Facts) -> Iterator[str]:
    """What belongs to the numbers: the plan, the looks, the cost, what was left out."""
    looks = result["looks"]
    yield (
        f"plan `{result['plan_id']}`, written before anything was trained; it decides by "
        f"{code_span(result['primary'])}, and a difference below {result['smallest']:g} does not "
        "matter"
    )
    if result["changed_after"]:
        yield (
            f"**the plan was changed after results**: plan `{result['changed_after']}` had one "
            "when this was written"
        )
    if len(looks["planned"]) > 1:
        yield (
            f"look {looks['at']} of {len(looks['planned'])}, at {result['seeds']} seeds, level "
            f"{result['level']:.3g}: {looks['why']}"
        )
    if result["extra_rows"] is not None and result["choose_seconds"]:
        yield (
            f"choosing took {result['choose_seconds']:,.0f} s of measuring, which would train "
            f"{result['extra_rows']:,} more random rows"
        )
    real, predicted = result["real_seconds"], result["predicted_seconds"]
    if predicted:
        yield (
            f"trained and measured in {real:,.0f} s where {predicted:,.0f} s were predicted "
            f"({real / predicted - 1:+.0%})"
        )
    if len(result["rates"]) == 1:
        yield "one learning rate: whether it depends on that is not known"
    for name, reasons in result["left_out"].items():
        for reason, count in reasons.items():
            yield f"{code_span(name)}: {count} rows are no items: {escape_markdown(reason)}"


def verdict_line(result: Facts | None) -> str:
    """In one line: each arm's verdict, or that there was no trial."""
    if result is None:
        return "not compared with random yet: `sluice trial RECIPE` trains on both, and says"
    told = [f"`{arm}` {each['said']}" for arm, each in result["verdicts"].items()]
    return (
        f"compared with `{result['against']}` by `{result['primary']}` at {result['seeds']} seeds: "
        f"{'; '.join(told)} (trial `{result['plan_id']}`)"
    )
