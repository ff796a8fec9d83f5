"""How a training went and what it cost: as a table, and as the one line that stands elsewhere."""

from pipeline.evidence.trial_markdown import Facts
from pipeline.text.markdown import markdown_table


def training_table(adapter: str, report: Facts, cost: Facts | None) -> str:
    """Losses, samples and cost as Markdown.

    Args:
        adapter: where it lies.
        report: what the training wrote of itself.
        cost: of all its executions; None to leave it out, or for a training of an older version.
    """
    rows = [
        ("adapter", adapter),
        ("optimizer steps", f"{report['steps']:,}"),
        ("rows in the train split", f"{report['train']['rows']:,}"),
        ("loss tokens in it", f"{report['train']['loss_tokens']:,}"),
        (
            "training loss, first step and last",
            f"{report['losses'][0]:.4f} → {report['losses'][-1]:.4f}",
        ),
    ]
    if held_out := held_out_change(report):
        rows.append(("held-out loss, nats per token", held_out))
    rows += [("method", note) for note in report.get("method_notes", ())]
    return markdown_table("ll", ("", ""), [*rows, *(cost_rows(cost) if cost else ())])


def cost_rows(cost: Facts) -> list[tuple[str, str]]:
    """What a training cost: names and values."""
    return [
        ("seconds", f"{cost['seconds']:,.1f} in {cost['executions']} execution(s)"),
        ("rows trained on", f"{cost['rows']:,}"),
        ("tokens trained on", f"{cost['tokens']:,}"),
        ("device", cost["device"]),
        ("peak memory", f"{cost['peak_memory_bytes'] / 2**30:.2f} GiB"),
    ]


def held_out_change(report: Facts) -> str:
    """The held-out loss before and after; "" where the export holds nothing out."""
    before, after = report["heldout_before"], report["heldout_after"]
    if not before or not after:
        return ""
    change = f"{before['nats_per_token']:.4f} → {after['nats_per_token']:.4f}"
    return f"{change} ({after['rows']:,} rows)"


def outcome_line(report: Facts) -> str:
    """A training in one line."""
    held_out = held_out_change(report)
    told = f"held-out loss {held_out}, nats per token" if held_out else "nothing was held out"
    return f"{report['steps']:,} steps on {report['train']['rows']:,} rows; {told}"
