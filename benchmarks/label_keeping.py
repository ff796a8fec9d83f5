"""Whether changed texts still have their labels, and help, on Dolly's categories.

    SLUICE_REAL_DATA=DIR python benchmarks/label_keeping.py [--parts eda ...] [--out FILE]

Who labels is a logistic regression on embeddings of 1,500 requests with their categories (eight);
it never sees the requests that are changed. Said is, with Wilson intervals of 95 %:

- of the requests whose category it tells, the share of changed texts of which it tells the same:
  the rate at which labels stay, as far as this judge sees it;
- beside it, how many of the requests it tells at all, of 300 that it has not seen.

The texts of one request count as if they were of several, so the intervals are somewhat narrow; and
such a judge sees what a text is about, not a "not" that was lost.

Then, for what asks no model: five times 100 other requests, drawn with a seed, alone and with their
changed texts; the mean accuracy of a regression on either, on the 1,500.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.made_rows import begin_maker, share
from benchmarks.real_rows import real_data
from benchmarks.running import RESULTS, machine_facts, write_result
from pipeline.generation.make import make_rows
from pipeline.progress import tell_nobody
from scorers.measures.models.loading import load_embedder, resolve_model
from storage.conversations import Conversation
from storage.database import read_workspace

DOLLY = Path("instruct") / "dolly_3k.json"
LEARNT, LONGEST = 1_500, 400
"""Requests that the judge learns from, and characters of one."""

FEW, SPLITS, SEED = 100, 5, 7


class Part(NamedTuple):
    """A maker, of how many requests it is asked, and whether its texts are learnt from as well."""

    maker: Mapping[str, Any]
    requests: int
    is_learnt: bool


class Labelled(NamedTuple):
    """A request and its category."""

    text: str
    label: str


PARTS: Mapping[str, Part] = {
    "eda": Part({"method": "eda", "variants": 3}, 300, True),
    "eda, alpha 0.3": Part({"method": "eda", "variants": 3, "alpha": 0.3}, 300, True),
    "round_trip": Part({"method": "round_trip", "max_new_tokens": 64}, 100, False),
}


def main() -> None:
    """Measure, and store what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", choices=[*PARTS], default=[*PARTS])
    parser.add_argument("--out", type=Path, default=RESULTS / "label_keeping.json")
    given = parser.parse_args()
    data = real_data(DOLLY)
    if data is None:
        return
    result: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}
    rows = read_labelled(data)
    learnt, rest = rows[:LEARNT], rows[LEARNT:]
    vectors = embed([row.text for row in learnt])
    judge = fit(vectors, learnt)
    for name in given.parts:
        part = PARTS[name]
        result[name] = keeping(judge, part, rest[: part.requests])
        if part.is_learnt:
            others = rest[part.requests :]
            result[name]["learnt from"] = learning(part, others, vectors, learnt)
        sys.stderr.write(f"{name}: {result[name]}\n")
        result["machine"] = machine_facts(["torch", "scikit-learn"])
        write_result(given.out, result)


def read_labelled(data: Path) -> list[Labelled]:
    """Requests without a text to work on, in a seeded order; none twice."""
    rows = json.loads((data / DOLLY).read_bytes())
    given = {
        row["instruction"]: row["category"]
        for row in rows
        if not row["input"] and len(row["instruction"]) <= LONGEST
    }
    ordered = sorted(given.items())
    return [Labelled(*ordered[at]) for at in np.random.default_rng(SEED).permutation(len(ordered))]


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of texts, in their order."""
    return load_embedder(resolve_model("wheel:all-minilm-l6-v2")).embed(texts)


def fit(vectors: NDArray[np.float32], rows: Sequence[Labelled]) -> LogisticRegression:
    """What tells the category of a request by its vector."""
    return LogisticRegression(C=10, max_iter=2_000).fit(vectors, [row.label for row in rows])


def changed(part: Part, rows: Sequence[Labelled]) -> list[tuple[int, str]]:
    """Texts that the maker makes of requests, each with the index of its request."""
    index = {}
    for at, row in enumerate(rows):
        turns = [{"role": "user", "content": row.text}, {"role": "assistant", "content": row.label}]
        index[Conversation(turns).example_id] = at
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        lines = [json.dumps({"prompt": row.text, "completion": row.label}) for row in rows]
        path.write_text("\n".join(lines))
        blocks = {"sources": [{"path": str(path)}], "generate": [part.maker]}
        run, maker = begin_maker(blocks, Path(folder))
        make_rows(run, maker, tell_nobody)
        with read_workspace(run.workspace) as con:
            con.execute(
                "select parent_id, prompt from lineage "
                "join examples using (example_id) order by all"
            )
            found = con.fetchall()
    return [(index[parent], text) for parent, text in found]


def keeping(judge: LogisticRegression, part: Part, rows: Sequence[Labelled]) -> dict[str, Any]:
    """How often the judge tells the label of requests, and of texts made of those it tells."""
    labels = np.array([row.label for row in rows])
    told = judge.predict(embed([row.text for row in rows])) == labels
    made = changed(part, rows)
    if not made:
        return {"requests told": share(int(told.sum()), len(rows)), "texts made": 0}
    parents = np.array([at for at, _ in made])
    stays = judge.predict(embed([text for _, text in made])) == labels[parents]
    known = told[parents]
    return {
        "requests told": share(int(told.sum()), len(rows)),
        "texts made": len(made),
        "labels that stay": share(int((stays & known).sum()), int(known.sum())),
    }


def learning(
    part: Part,
    rows: Sequence[Labelled],
    vectors: NDArray[np.float32],
    compared: Sequence[Labelled],
) -> dict[str, object]:
    """Accuracy of what learnt from a few requests, alone and with the texts made of them."""
    labels = [row.label for row in compared]
    alone, together = [], []
    for split in range(SPLITS):
        drawn = np.random.default_rng([SEED, split]).choice(len(rows), FEW, replace=False)
        few = [rows[at] for at in sorted(drawn)]
        more = [Labelled(text, few[at].label) for at, text in changed(part, few)]
        both = embed([row.text for row in (*few, *more)])
        alone.append(float(fit(both[:FEW], few).score(vectors, labels)))
        together.append(float(fit(both, [*few, *more]).score(vectors, labels)))
    gains = np.array(together) - np.array(alone)
    return {
        "requests": FEW,
        "alone": round(float(np.mean(alone)), 3),
        "with changed texts": round(float(np.mean(together)), 3),
        "gain of each draw": gains.round(3).tolist(),
    }


if __name__ == "__main__":
    main()
