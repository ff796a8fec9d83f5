"""What scores know about training, as a page: the linear datamodelling score of each."""

from collections.abc import Mapping
from typing import Any

from pipeline.text.markdown import escape_markdown, markdown_table


def lds_markdown(result: Mapping[str, Any]) -> str:
    """All of a result."""
    lines = ["## Do the scores know anything about training?", ""]
    for table in result["tables"]:
        lines += [f"### {escape_markdown(table['evaluation'])}, {table['items']} items", ""]
        rows = [
            (
                each["score"],
                "" if each["lds"] is None else f"{each['lds']:+.2f}",
                "" if each["interval"] is None else "{:+.2f} to {:+.2f}".format(*each["interval"]),
                each["said"],
            )
            for each in table["scores"]
        ]
        lines += [markdown_table("lrll", ("score", "LDS", "95 %", ""), rows), ""]
        if result["seeds"] < 2:
            lines += [
                "How far any score could agree is not known of one training of each half.",
                "",
            ]
        elif table["highest"] is None:
            lines += [
                "Trainings of the same halves do not agree with each other: no score could show "
                "here whether it knows anything. More halves, or more rows, may.",
                "",
            ]
        else:
            lines += [
                f"Trainings of the same halves agree so far with each other that the best score "
                f"could reach about {table['highest']:.2f}.",
                "",
            ]
    took, said = result["real_seconds"], result["predicted_seconds"]
    lines += [
        f"- {result['halves']} random halves of {result['rows']} rows, {result['seeds']} trainings "
        f"each, rate {result['learning_rate']:g}; plan `{result['plan_id']}`",
        "- LDS: rank correlation, over the halves, of the sum of a score with how well the model "
        "does that was trained on the half; the interval is by bootstrap over halves",
        f"- in {took:,.0f} s where {said:,.0f} s were predicted",
    ]
    return "\n".join(lines) + "\n"
