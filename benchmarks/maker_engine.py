"""What the engine of makers costs beside the model, and whether it holds on to what it made.

    python -m benchmarks.maker_engine [--replies 100000] [--out FILE]

A script takes the place of the model: it gives each of 100,000 calls another reply at once. The
maker is Evol-Instruct with one round and no judge, so that each row is evolved and answered: two
steps. What is left is ours: prompts, seeds, keys, the tables of replies, calls and rows. Memory is
the resident set as calls are answered, of one process that did nothing else before but read rows.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.made_rows import begin_maker
from benchmarks.running import RESULTS, machine_facts, write_result
from pipeline.generation.answering_block import AnsweringBlock
from pipeline.generation.make import make_rows
from scorers.measures.protocols import GeneratedAnswer, GenerationRequest
from storage.conversations import content_hash

MAKER = {"method": "evol_instruct", "rounds": 1, "judges": [], "max_new_tokens": 64}

LOOKS = 10
"""How often memory is looked at."""


class Script:
    """A model that has an answer at once."""

    def sample(self, requests: Sequence[GenerationRequest]) -> list[GeneratedAnswer]:
        """Another text for each request; to an evolution a prompt that is longer than before."""
        return [GeneratedAnswer(reply_to(each), 24, finished=True) for each in requests]


def reply_to(request: GenerationRequest) -> str:
    """A prompt with something more, or an answer."""
    text = str(request.messages[-1]["content"])
    given = text.partition("Given prompt:\n")[2].partition("\n\n")[0]
    drawn = content_hash([text, request.seed])
    words = " ".join(drawn[at : at + 4] for at in range(0, 28, 4))
    return f"{given} Say also what {words} has to do with it." if given else f"It is {words}."


@dataclass
class Watch:
    """Looks at the memory of this process as calls are answered."""

    every: int
    seen: dict[int, float] = field(default_factory=dict)

    def tell(self, what: str, calls: int, total: int | None) -> None:
        """Look, if enough calls were answered since the last time."""
        if calls // self.every * self.every > max(self.seen, default=-1):
            self.seen[calls // self.every * self.every] = resident_mib()


def resident_mib() -> float:
    """What this process has in memory."""
    return round(psutil.Process().memory_info().rss / 2**20, 1)


def main() -> None:
    """Measure, and store what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replies", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=RESULTS / "maker_engine.json")
    given = parser.parse_args()
    AnsweringBlock.identity = lambda self: "a script"  # type: ignore[method-assign]
    AnsweringBlock.generator = lambda self, requests, identity: Script()  # type: ignore[method-assign,assignment,return-value]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        prompts = (f"Tell what number {n} is good for, and why." for n in range(given.replies // 2))
        path.write_text("\n".join(json.dumps({"prompt": prompt}) for prompt in prompts))
        run, maker = begin_maker(
            {"sources": [{"path": str(path)}], "generate": [MAKER]}, Path(folder)
        )
        watch = Watch(given.replies // LOOKS, {0: resident_mib()})
        began, cpu = time.perf_counter(), time.process_time()
        made = make_rows(run, maker, watch.tell)
        wall_seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
        result = {
            "replies": made.asked,
            "unfinished": made.unfinished,
            "cpu ms of a reply": round(1000 * cpu_seconds / made.asked, 3),
            "wall ms of a reply": round(1000 * wall_seconds / made.asked, 3),
            "resident MiB after calls": watch.seen,
            "machine": machine_facts(["duckdb", "pyarrow"]),
        }
    write_result(given.out, result)


if __name__ == "__main__":
    main()
