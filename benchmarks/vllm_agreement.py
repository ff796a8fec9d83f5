"""A vLLM server against the model in this process: do their numbers agree, and which is faster?

    SLUICE_REAL_DATA=DIR python benchmarks/vllm_agreement.py [--rows 30] [--timed-rows 60]

DIR/instruct/alpaca_9k.json holds Alpaca rows (instruction, input, output). Without it, or without
the environment that `sluice serve --set-up-only` makes, there is nothing to measure: the command
says so and ends with exit code 0, and no result is written.

The server is started as `sluice serve` starts it, once in float32 and once in bfloat16, with the
embedded SmolLM2-135M, and compared with the engine in the same dtype:

    losses    of each response token, with its prompt and behind the header alone: the largest,
              the 99th percentile and the mean of the differences of a token, the largest of a row's
              mean (of all rows, and of those with 20 tokens or more) and of a row's IFD, and the
              share of tokens that both find the likeliest or do not
    to_exact  how far a token is from the engine's loss in float32, on average: what the server in
              bfloat16 adds must be no more than what bfloat16 itself does to the engine
    judge     probabilities of "A" and "B" to a question: the largest difference
    answers   greedy, 32 tokens: how many are the same text; and sampled twice from the same seed:
              how many are the same text both times
    speed     bfloat16 only: tokens of text scored per second, server and engine in turns, and
              of each the faster round, for whatever else runs on the machine makes it slower

Exit code 0: the losses agree as docs/serving.md says; 1: they do not.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

# Run as a script, Python looks beside this file, not in the folder that the packages stand in.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.running import RESULTS, machine_facts, write_result
from pipeline.serving.environment import (
    ServingEnvironment,
    choose_build,
    default_place,
    find_environment,
)
from pipeline.serving.server import RunningServer, free_port, serve
from pipeline.serving.settings import ServeSettings
from scorers.measures.endpoint.client import EndpointSettings
from scorers.measures.endpoint.generator import EndpointGenerator
from scorers.measures.endpoint.judge import EndpointJudge
from scorers.measures.endpoint.losses import EndpointLosses
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.models.loading import load_language_model, resolve_model
from scorers.measures.protocols import (
    AnswerGenerator,
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
    LanguageModel,
    Message,
    OptionModel,
    TokenLosses,
)
from scorers.measures.reading.chat_format import RenderedExample, render

DATA_VARIABLE = "SLUICE_REAL_DATA"
MODEL = "wheel:smollm2-135m-instruct"
NAME = "smollm2"
LONGEST_ROW = 512
ASKED = 8
"""Prompts that are answered and judged."""
NEW_TOKENS = 32
ROUNDS = 2
"""How often each side is timed."""

MANY_TOKENS = 20
"""From here on the rounding of single tokens averages out in a row's mean."""

MOST_MEAN_DIFFERENCE = 1e-3
"""Nats per token, of a row's mean in float32; what docs/serving.md promises."""

MOST_TIMES_FURTHER = 1.25
"""The server's distance from float32, in distances of the engine; both in bfloat16."""

Losses = Sequence[TokenLosses]
Score = Callable[[Sequence[Sequence[int]], Sequence[Sequence[int]]], object]


def read_conversations() -> list[list[Message]] | None:
    """The Alpaca rows as conversations; None where there are none on this machine."""
    directory = os.environ.get(DATA_VARIABLE)
    file = Path(directory or "none") / "instruct" / "alpaca_9k.json"
    if not directory or not file.exists():
        return None
    return [conversation(row) for row in json.loads(file.read_bytes()) if row["output"]]


def conversation(row: Mapping[str, str]) -> list[Message]:
    """An Alpaca row as a question and its answer."""
    question = "\n\n".join(row[field] for field in ("instruction", "input") if row[field])
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": row["output"]},
    ]


def render_some(
    model: HuggingFaceLanguageModel, conversations: Sequence[list[Message]], count: int
) -> list[RenderedExample]:
    """The first `count` conversations of at most LONGEST_ROW tokens."""
    rendered: list[RenderedExample] = []
    for messages in conversations:
        if len(rendered) == count:
            break
        row = render(model.tokenizer, messages, (), 1, "chat")
        if len(row.prompt) + len(row.response) <= LONGEST_ROW:
            rendered.append(row)
    return rendered


def both_passes(rows: Sequence[RenderedExample]) -> tuple[list[list[int]], list[list[int]]]:
    """Prefixes and responses: all rows with their prompts, and then all behind their headers."""
    prefixes = [row.prompt for row in rows] + [row.header for row in rows]
    return prefixes, [row.response for row in rows] * 2


def compare_losses(
    model: LanguageModel, server: EndpointLosses, rows: Sequence[RenderedExample], exact: Losses
) -> dict[str, Any]:
    """How far the two are apart on the same tokens, and each from the exact losses."""
    ours = model.token_losses(*both_passes(rows))
    theirs = had(server.token_losses(*both_passes(rows)))
    by_token = np.abs(joined(ours) - joined(theirs))
    means, served_means = mean_losses(ours), mean_losses(theirs)
    same_top1 = [a.top1 == b.top1 for a, b in zip(ours, theirs, strict=True)]
    n = len(rows)
    apart = np.abs(means - served_means)
    long = np.array([len(each.nll) >= MANY_TOKENS for each in ours])
    ifd, served_ifd = means[:n] / means[n:], served_means[:n] / served_means[n:]
    return {
        "rows": n,
        "tokens": len(by_token),
        "largest_token_difference": float(by_token.max()),
        "p99_token_difference": float(np.quantile(by_token, 0.99)),
        "mean_token_difference": float(by_token.mean()),
        "largest_row_mean_difference": float(apart.max()),
        "largest_long_row_mean_difference": float(apart[long].max(initial=0.0)),
        "largest_ifd_difference": float(np.abs(ifd - served_ifd).max()),
        "same_top1_share": float(np.concatenate(same_top1).mean()),
        "to_exact": {
            "server": float(np.abs(joined(theirs) - joined(exact)).mean()),
            "engine": float(np.abs(joined(ours) - joined(exact)).mean()),
        },
    }


def had(losses: Sequence[TokenLosses | GenerationFailure]) -> list[TokenLosses]:
    """The losses; a failure ends the benchmark.

    Raises:
        RuntimeError: if there is one.
    """
    failures = [each for each in losses if isinstance(each, GenerationFailure)]
    if failures:
        raise RuntimeError(f"{len(failures)} rows failed, the first with {failures[0]}")
    return [each for each in losses if isinstance(each, TokenLosses)]


def joined(losses: Losses) -> np.ndarray:
    """All tokens of all rows behind each other, nats."""
    return np.concatenate([each.nll.astype(np.float64) for each in losses])


def mean_losses(losses: Losses) -> np.ndarray:
    """(n,) nats per token."""
    return np.array([each.nll.mean(dtype=np.float64) for each in losses])


def compare_judges(
    model: OptionModel, judge: EndpointJudge, conversations: Sequence[list[Message]]
) -> dict[str, Any]:
    """How far the probabilities of two options are apart."""
    prompts = [judge_prompt(messages) for messages in conversations[:ASKED]]
    ours = model.option_probabilities(prompts, ("A", "B"))
    theirs = judge.option_probabilities(prompts, ("A", "B"))
    return {
        "questions": len(prompts),
        "without_an_option": int(np.isnan(theirs.probabilities).any(axis=1).sum()),
        "largest_difference": float(np.nanmax(np.abs(ours.probabilities - theirs.probabilities))),
        "largest_mass_difference": float(np.abs(ours.mass - theirs.mass).max()),
    }


def judge_prompt(messages: Sequence[Message]) -> list[Message]:
    """A question whose answer begins with A or B."""
    question, answer = (message["content"] for message in messages)
    text = f"Question: {question}\nAnswer: {answer}\n\nIs the answer right?\nA: yes\nB: no\n"
    return [{"role": "user", "content": f"{text}Reply with the letter A or B only."}]


def compare_answers(
    model: AnswerGenerator,
    generator: EndpointGenerator,
    conversations: Sequence[list[Message]],
) -> dict[str, int]:
    """How many answers are the same text."""
    greedy, sampled = (
        [
            GenerationRequest(messages[:1], (), temperature, NEW_TOKENS, seed=number)
            for number, messages in enumerate(conversations[:ASKED])
        ]
        for temperature in (0.0, 0.8)
    )
    ours, theirs = texts(model.sample(greedy)), texts(generator.sample(greedy))
    once, again = texts(generator.sample(sampled)), texts(generator.sample(sampled))
    return {
        "asked": ASKED,
        "had": sum(text is not None for text in theirs + once),
        "same_greedy": sum(a == b for a, b in zip(ours, theirs, strict=True)),
        "same_from_the_same_seed": sum(a == b for a, b in zip(once, again, strict=True)),
    }


def texts(answers: Sequence[GeneratedAnswer | GenerationFailure]) -> list[str | None]:
    """The texts; None for a failure."""
    return [each.text if isinstance(each, GeneratedAnswer) else None for each in answers]


def compare_speed(
    model: LanguageModel, server: EndpointLosses, rows: Sequence[RenderedExample]
) -> dict[str, Any]:
    """Tokens of text scored per second, each side in turn."""
    prompts, responses = [row.prompt for row in rows], [row.response for row in rows]
    tokens = sum(len(row.prompt) + len(row.response) for row in rows)
    sides: dict[str, Score] = {"server": server.token_losses, "engine": model.token_losses}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    load = round(os.getloadavg()[0], 1)
    for _ in range(ROUNDS):
        for name, score in sides.items():
            started = time.perf_counter()
            score(prompts, responses)
            rates[name].append(round(tokens / (time.perf_counter() - started), 1))
    best = {f"{name}_tokens_per_second": max(each) for name, each in rates.items()}
    return {"rows": len(rows), "tokens": tokens, "rounds": rates, **best, "load_before": load}


def measure(
    environment: ServingEnvironment,
    conversations: Sequence[list[Message]],
    row_count: int,
    timed_count: int,
) -> dict[str, Any]:
    """Start a server for each dtype and compare."""
    resolved = resolve_model(MODEL)
    model = load_language_model(resolved, "float32", "cpu")
    rows = render_some(model, conversations, max(row_count, timed_count))
    exact = model.token_losses(*both_passes(rows[:row_count]))
    found: dict[str, Any] = {}
    dtypes: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
    for dtype in dtypes:
        settings = ServeSettings(resolved.path, NAME, port=free_port(), dtype=dtype)
        with (
            tempfile.TemporaryDirectory() as directory,
            serve(environment, settings, Path(directory) / "log", tell) as server,
        ):
            model = load_language_model(resolved, dtype, "cpu")
            found[dtype] = compare(model, server, conversations, rows[:row_count], exact)
            if dtype == "bfloat16":
                scorer = EndpointLosses(EndpointSettings(server.base_url, server.name))
                found["speed"] = compare_speed(model, scorer, rows[:timed_count])
        tell(f"{dtype}: {json.dumps(found[dtype])}")
    return {"model": MODEL, "vllm": environment.build.requirement, **found}


def compare(
    model: HuggingFaceLanguageModel,
    server: RunningServer,
    conversations: Sequence[list[Message]],
    rows: Sequence[RenderedExample],
    exact: Losses,
) -> dict[str, Any]:
    """All comparisons with one server but that of speed."""
    endpoint = EndpointSettings(server.base_url, server.name)
    return {
        "losses": compare_losses(model, EndpointLosses(endpoint), rows, exact),
        "judge": compare_judges(model, EndpointJudge(endpoint), conversations),
        "answers": compare_answers(model, EndpointGenerator(endpoint), conversations),
    }


def problems(result: Mapping[str, Any]) -> list[str]:
    """What a result must not have: a server further off than the dtype explains."""
    found = []
    difference = result["float32"]["losses"]["largest_row_mean_difference"]
    if difference > MOST_MEAN_DIFFERENCE:
        found.append(f"float32: a row's mean loss differs by {difference:.4f} nats")
    distance = result["bfloat16"]["losses"]["to_exact"]
    if distance["server"] > MOST_TIMES_FURTHER * distance["engine"]:
        found.append(
            f"bfloat16: the server is {distance['server']:.4f} nats from float32, "
            f"the engine {distance['engine']:.4f}"
        )
    return found


def tell(line: str) -> None:
    """Say a line to stderr."""
    sys.stderr.write(f"{line}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(description="A vLLM server against the engine in process.")
    parser.add_argument("--rows", type=int, default=30, help="compared; default %(default)s")
    parser.add_argument("--timed-rows", type=int, default=60, help="default %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "vllm_agreement.json")
    options = parser.parse_args(arguments)
    environment = find_environment(default_place(), choose_build("cpu"))
    conversations = read_conversations()
    if conversations is None or environment is None:
        tell(
            f"skipped, nothing was measured: set {DATA_VARIABLE} to a directory that holds "
            "instruct/alpaca_9k.json, and run `sluice serve --set-up-only --build cpu`"
        )
        return 0
    machine = machine_facts(["torch", "transformers", "httpx"])
    result = measure(environment, conversations, options.rows, options.timed_rows)
    write_result(options.out, result | {"machine": machine})
    found = problems(result)
    sys.stderr.write("".join(f"problem: {text}\n" for text in found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
