"""Promise 1: rows in = kept + dropped + quarantined, for any recipe and any bad input."""

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.dedupe.minhash import MinHash
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.run_steps import SelectSettings
from storage.database import Connection, read_workspace
from storage.runs import read_counts
from storage.selections import read_run_selections, read_selection
from tests.stage_runner import count_words, dedupe_and_select, score, start

WORDS = st.lists(
    st.sampled_from(["red", "green", "blue", "tea", "sea", "hill", "the", "a", "of", "in"]),
    max_size=25,
)
TEXT = WORDS.map(" ".join)


def chat(question: str, answer: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns}


GOOD = st.one_of(
    st.builds(chat, TEXT, TEXT),
    st.builds(lambda q, a: {"instruction": q, "input": "", "output": a}, TEXT, TEXT),
    st.builds(lambda q: {"messages": [{"role": "user", "content": q}]}, TEXT),
).map(json.dumps)
ODD = st.one_of(
    st.sampled_from(['{"a": NaN}', "[1]", "null", '{"messages": []}', '{"a": 1, "a": 2}', "{}{}"]),
    GOOD.flatmap(lambda line: st.integers(1, len(line) - 1).map(lambda n: line[:n])),
    st.text(st.characters(exclude_characters="\n\r", codec="utf-8"), min_size=1),
).filter(lambda line: line.strip() != "")
LINES = st.lists(st.one_of(GOOD, GOOD, ODD), min_size=1, max_size=30)

BUDGETS = st.one_of(
    st.builds(lambda n: {"rows": n}, st.integers(1, 40)),
    st.builds(lambda n: {"loss_tokens": n}, st.integers(1, 400)),
    st.builds(lambda f: {"fraction": f}, st.floats(0.01, 1)),
)
FILTERS = st.lists(
    st.sampled_from(
        [
            {"method": "threshold", "score": "response_length", "at_least": 3},
            {"method": "threshold", "score": "response_length", "at_most": 9, "unscored": "keep"},
            {"method": "grape", "score": "response_length", "keep": 1},
            {"method": "clear", "score": "response_length"},
        ]
    ),
    max_size=3,
)
RANKS = st.sampled_from(
    [
        {"method": "top_k", "score": "response_length"},
        {"method": "s2l", "score": "response_length"},
        {"method": "random"},
    ]
)
SELECTS = st.builds(
    lambda filters, rank, budget, held_out: SelectSettings.model_validate(
        {"held_out": held_out, "steps": [*filters, {**rank, "budget": budget}]}
    ),
    FILTERS,
    RANKS,
    BUDGETS,
    st.sampled_from([0.0, 0.2, 0.9]),
)
DEDUPES = st.lists(
    st.builds(
        MinHash,
        method=st.just("minhash"),
        text=st.sampled_from(["prompt", "response", "both"]),
        keep=st.sampled_from([None, "response_length"]),
    ),
    max_size=2,
)


def every_example_has_one_fate(con: Connection, pool: list[str]) -> None:
    fates = Counter(
        row[0]
        for row in con.execute(
            "select example_id from decisions where outcome = 'dropped'"
        ).fetchall()
    )
    chosen = read_selection(con, read_run_selections(con, "run")["choice"].selection_id)[0]
    fates.update(chosen)
    assert fates == Counter(pool)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(lines=LINES, dedupe=DEDUPES, select=SELECTS)
def test_no_row_is_lost_or_counted_twice(
    lines: list[str], dedupe: list[MinHash], select: SelectSettings
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        run, pool = start(Path(folder) / "workspace", [file])
        run = count_words(run, pool) if pool else run
        if not pool:
            return
        run = score(run, ScoreSettings(scorer="response_length"), pool)
        chosen = dedupe_and_select(run, pool, dedupe, select)
        with read_workspace(run.workspace) as con:
            counts = {(count.stage, count.step): count for count in read_counts(con, "run")}
            every_example_has_one_fate(con, pool)
            controls = read_run_selections(con, "run")
        assert counts["ingest", 1].rows_in == sum(1 for line in lines if line.strip())
        assert counts["ingest", 1].kept == len(pool)
        steps = [counts[key] for key in sorted(counts) if key[0] in ("dedupe", "select")]
        for before, after in zip([counts["ingest", 1], *steps], steps, strict=False):
            assert after.rows_in == before.kept
        assert steps[-1].kept == chosen.rows
        assert controls["random"].rows == controls["length_matched"].rows == chosen.rows
