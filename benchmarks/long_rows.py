"""Small files with very long rows: what a workspace needs to read them in, and to give them back.

    python benchmarks/long_rows.py [--files NAME ...] [--without-tokens] [--out FILE]

makes three files (80 rows of 15 MB, 114 KB of zstd; a text of 15 MB that stands in 80 rows of a
Parquet file of some KB; 2,000 rows of 214 KB), reads each into a new workspace in a process of its
own, in another counts their tokens, and in another takes all examples out again as the stages do:
compared texts in blocks, then whole examples. The largest resident set of each must stay below
1.5 GiB.

Exit code 0: every row is an example, and memory stayed below the limit; 1: not so.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ingest_memory import WORDS, ingest
from benchmarks.running import RESULTS, machine_facts, run_python, write_result
from storage.workspace import Workspace

LIMIT_BYTES = 3 * 2**29
LONG = 15_000_000
STEPS = ("ingest", "tokens", "read")


def compressed_rows(path: Path) -> int:
    """80 rows of 15 MB as zstd: JSON Lines of 114 KB."""
    import zstandard

    with zstandard.open(path, "wb") as file:
        for number in range(80):
            file.write(as_line(number, "ab c" * (LONG // 4)))
    return 80


def repeated_text(path: Path) -> int:
    """A text of 15 MB that stands in a Parquet file once, and in each of 80 rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.DictionaryArray.from_arrays(pa.array([0] * 80, pa.int32()), ["ab c" * (LONG // 4)])
    table = pa.table({"prompt": [f"question {n}?" for n in range(80)], "completion": text})
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=2**30)
    return 80


def long_rows(path: Path) -> int:
    """2,000 rows of 214 KB."""
    rng = random.Random(0)
    with path.open("wb") as file:
        for number in range(2_000):
            file.write(as_line(number, " ".join(rng.choices(WORDS, k=40_000))[:214_000]))
    return 2_000


FILES: dict[str, Callable[[Path], int]] = {
    "compressed.jsonl.zst": compressed_rows,
    "repeated.parquet": repeated_text,
    "long.jsonl": long_rows,
}


def as_line(number: int, answer: str) -> bytes:
    """A row of JSON Lines."""
    return json.dumps({"prompt": f"question {number}?", "completion": answer}).encode() + b"\n"


def read_back(workspace: Workspace) -> int:
    """Take everything out of a workspace as the stages do; returns how many examples there are."""
    from storage.database import read_workspace
    from storage.examples import read_all_ids, stream_examples
    from storage.texts import read_text_blocks

    with read_workspace(workspace) as con:
        ids = read_all_ids(con)
        texts = sum(len(places) for places, _ in read_text_blocks(con, {"text": "both"}, ids))
        whole = sum(len(block) for block in stream_examples(con, ids, 1_000))
    assert texts == whole == len(ids)
    return whole


def count_tokens(workspace: Workspace) -> None:
    """Count the tokens of all examples, with the tokenizer of a model that is installed."""
    from pipeline.measuring.measures.token_counts import TokenCounts
    from pipeline.measuring.shards import measure_here
    from storage.database import read_workspace
    from storage.examples import read_all_ids

    with read_workspace(workspace) as con:
        ids = read_all_ids(con)
    measure_here(workspace, TokenCounts(model="wheel:smollm2-135m-instruct"), ids)


def measure(name: str, folder: Path, steps: Sequence[str]) -> dict[str, object]:
    """Figures of one file."""
    source, workspace, script = folder / name, folder / "workspace", Path(__file__)
    count = FILES[name](source)
    used = {each: run_python([script, "--step", each, source, workspace]) for each in steps}
    return {
        "file_bytes": source.stat().st_size,
        "rows": count,
        "examples": int(used["read"].output),
        **{
            f"{step}_{figure}": value
            for step, usage in used.items()
            for figure, value in (
                ("cpu_seconds", round(usage.cpu_seconds, 1)),
                ("peak_gib", round(usage.peak_bytes / 2**30, 2)),
            )
        },
    }


def each_file(
    names: Sequence[str], steps: Sequence[str]
) -> Iterator[tuple[str, dict[str, object]]]:
    """The figures of each file; its folder is gone before the next is made."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(name, Path(folder), steps)
        sys.stderr.write(f"{name}: {json.dumps(found)}\n")
        yield name, found


def problems(name: str, found: dict[str, object]) -> list[str]:
    """What must not be: a lost row, or too much memory."""
    peaks = [found.get(f"{step}_peak_gib") for step in STEPS]
    said = [] if found["examples"] == found["rows"] else [f"{name}: a row is lost"]
    over = [peak for peak in peaks if isinstance(peak, float) and peak > LIMIT_BYTES / 2**30]
    return said + [f"{name}: {peak} GiB is above the limit" for peak in over]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="Memory of reading very long rows.")
    parser.add_argument("--out", type=Path, default=RESULTS / "long_rows.json")
    parser.add_argument("--files", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--without-tokens", action="store_true", help="leave out the longest step")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("paths", nargs="*", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.step == "ingest":
        ingest(*options.paths)
        return 0
    if options.step == "tokens":
        count_tokens(Workspace(options.paths[1]))
        return 0
    if options.step == "read":
        sys.stdout.write(str(read_back(Workspace(options.paths[1]))))
        return 0
    steps = [each for each in STEPS if each != "tokens" or not options.without_tokens]
    files = dict(each_file(options.files, steps))
    machine = machine_facts(["duckdb", "orjson", "pyarrow", "zstandard"])
    write_result(options.out, {"files": files, "limit_bytes": LIMIT_BYTES, "machine": machine})
    found = [text for name, figures in files.items() for text in problems(name, figures)]
    sys.stderr.write("".join(f"problem: {text}\n" for text in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
