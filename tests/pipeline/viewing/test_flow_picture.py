"""The bands of the funnel: widths are shares of all rows, and each leads to its rows."""

from pipeline.viewing.flow_picture import LEAST, WIDTH, draw_flow
from storage.run_rows import step_place
from storage.runs import StageCount

COUNTS = [
    StageCount("ingest", 1, "read", 1000, 899, dropped={"exact_duplicate": 1},
               quarantined={"no_messages": 100}),
    StageCount("select", 3, "threshold", 899, 250, dropped={"above_threshold": 400, "x": 249}),
]  # fmt: skip


def test_bands_lie_beside_each_other_on_one_scale() -> None:
    read, chosen = draw_flow(COUNTS, "")
    assert read.kept.width == 0.899 * WIDTH
    assert [(b.kind, b.left, b.width) for b in read.leaving] == [
        ("unread", 899.0, 100.0),
        ("lost", 999.0, LEAST),  # a single row of a thousand is seen
    ]
    assert [(b.label, b.left, b.width) for b in chosen.leaving] == [
        ("above_threshold", 250.0, 400.0),
        ("x", 650.0, 249.0),
    ]


def test_bands_lead_to_their_rows() -> None:
    read, chosen = draw_flow(COUNTS, "r1")
    assert [b.link for b in read.leaving] == ["", ""]  # no example: there is no row to open
    assert chosen.kept.link == f"/rows?run=r1&kept_by={step_place('select', 3)}"
    reason = "/rows?run=r1&stage=select&step=3&reason=above_threshold"
    assert chosen.leaving[0].link == reason
    assert draw_flow([], "") == []
