"""How many rows six trainers hold as the export promises, and whether they hold them as predicted.

    python benchmarks/handoff_agreement.py [--rows 250] [--checkout DIR] [--only NAME ...]
        [--out FILE]

writes, for each of four chat templates, an export of made conversations with the embedded model's
own vocabulary: one to five exchanges, some with a system prompt, turns that are read only,
reasoning, calls of tools, consecutive user messages, texts of blanks, scripts, marks and what
trainers use as placeholders. Each is handed to each trainer, what it cannot hold left out, and the
trainer's own code reads the rest (`sluice verify-handoff`; environments are made where there are
none). Counted are rows kept, rows left out by reason, and rows that are not as predicted: 0. The
embedded vocabulary cuts the two line breaks of Llama 3's header otherwise where a text follows than
where none does, as Llama's own does not: many rows of that template are left out for it.
With --only the other trainers stay in the file as they were.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.running import RESULTS, machine_facts, write_result
from flows.progress import say
from pipeline.export.rows import ExportRow
from pipeline.handoff.catalogue import TRAINERS
from pipeline.handoff.environment import set_up_trainer, trainers_place
from pipeline.handoff.trainer import Form, Trainer
from pipeline.handoff.verify import TrainerCode, compare_handoff
from pipeline.handoff.write import Wish, write_handoff
from scorers.measures.models.language_model import read_tokenizer
from scorers.measures.models.loading import resolve_model
from scorers.measures.reading.chat_format import RenderingError
from tests.exports_of_every_shape import (
    WEATHER,
    Turn,
    answer,
    call,
    export_of_rows,
    result,
    system,
    user,
)
from tests.template_families import FAMILIES, turn_rows

MODEL = "wheel:smollm2-135m-instruct"
TEMPLATES = ("smollm2_own", "qwen2_5", "qwen3", "llama3")
PIECES = (
    *("\n", "\n\n", " ", "  ", "\t", "\u00a0", "\r\n", "a", " the", "é", "😀", "漢字", "ไทย"),
    *("1.", "- x\n", "```py\nx=1\n```", "<", "|im_start|>", "don't", "ok", "A longer sentence. "),
    *("{{content}}", "{{QUERY}}", "[[d", "zz", "[", "z", "e]]", "message", "<image>", "."),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Write exports, hand them over, have them read, write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=250)
    parser.add_argument("--checkout", type=Path, help="of open-instruct; else it is not asked")
    parser.add_argument("--only", nargs="+", choices=TRAINERS, default=list(TRAINERS))
    parser.add_argument("--out", type=Path, default=RESULTS / "handoff_agreement.json")
    options = parser.parse_args(argv)
    found: dict[str, Any] = {}
    partly = options.out.exists() and set(options.only) < set(TRAINERS)
    before = json.loads(options.out.read_bytes())["templates"] if partly else {}
    for name in TEMPLATES:
        with tempfile.TemporaryDirectory() as directory:
            folder = Path(directory)
            rows = make_export(name, folder, options.rows)
            asked = dict(ask_trainers(folder, options.only, options.checkout))
            found[name] = {**before.get(name, {}), "rows": rows, **asked}
            sys.stderr.write(f"{name}: {json.dumps(asked)}\n")
    write_result(
        options.out, {"templates": found, "machine": machine_facts(["transformers", "tokenizers"])}
    )


def make_export(name: str, folder: Path, count: int) -> int:
    """Write an export of made conversations; how many rows it has, one for each trained turn."""
    tokenizer = read_tokenizer(Path(resolve_model(MODEL).path))
    if name != "smollm2_own":
        family = FAMILIES[name]
        more = [token for token in (*family.control, family.begin, family.end) if token]
        tokenizer.add_tokens(more, special_tokens=True)
        tokenizer.chat_template = family.template
        tokenizer.eos_token = family.end
        tokenizer.bos_token = family.begin
    tokenizer.save_pretrained(str(folder / "model"))
    # By which a configuration says what the model is: ms-swift does not find it out.
    kind = json.dumps({"model_type": "llama"})
    (folder / "model" / "config.json").write_text(kind, encoding="utf-8")
    chance = random.Random(7)
    rows: list[ExportRow] = []
    for rank in range(1, count + 1):
        turns = make_turns(chance)
        tools = [WEATHER] if any("tool_calls" in turn for turn in turns) else []
        try:
            rows += turn_rows(tokenizer, turns, tools, rank)
        except (RenderingError, ValueError):
            continue  # which this template does not write
    export_of_rows(rows, tokenizer, folder, max_length=8192)
    return len(rows)


def make_turns(chance: random.Random) -> list[Turn]:
    """A conversation whose last turn is trained."""

    def text(most: int) -> str:
        return "".join(chance.choices(PIECES, k=chance.randint(1, most)))

    turns = [system(text(6))] if chance.random() < 0.3 else []
    for _ in range(chance.randint(1, 4)):
        turns.append(user(text(8)))
        if chance.random() < 0.05:
            turns.append(user(text(4)))
        more: dict[str, object] = {"weight": 0} if chance.random() < 0.15 else {}
        if chance.random() < 0.2:
            more["reasoning_content"] = text(5)
        turns.append(answer(text(8), **more))
        if chance.random() < 0.1:
            said = text(3) if chance.random() < 0.5 else ""
            called = answer(said, tool_calls=[call(chance.random())])
            turns += [user(text(3)), called, result(text(4)), answer(text(5))]
    turns[-1].pop("weight", None)
    return turns


def ask_trainers(
    folder: Path, names: Sequence[str], checkout: Path | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Hand an export to trainers in each form, and have it read."""
    for trainer in (TRAINERS[name] for name in names):
        code = code_of(trainer, checkout)
        for form in trainer.forms:
            yield f"{trainer.name} {form}", compare(folder, trainer, form, code)


def code_of(trainer: Trainer, checkout: Path | None) -> TrainerCode | None:
    """What runs a trainer's own code; None where it is not to be had."""
    if trainer.found == "here":
        return TrainerCode(Path(sys.executable))
    if trainer.found == "checkout" and checkout is None:
        return None
    environment = set_up_trainer(trainer, trainers_place(), say)
    return TrainerCode(environment.python, checkout)


def compare(folder: Path, trainer: Trainer, form: Form, code: TrainerCode | None) -> dict[str, Any]:
    """Rows that are held, rows that are left out, and rows that are not as predicted."""
    wish = Wish(folder / "export", trainer, form, folder / "model", MODEL, allow_lost=True)
    out = folder / f"{trainer.name}-{form}"
    written = write_handoff(wish, out)
    told: dict[str, Any] = {
        "kept": written.rows - sum(each.rows for each in written.lost),
        "left_out": {each.reason: each.rows for each in written.lost},
    }
    if code is None or not written.complete:
        return {**told, "not_as_predicted": None}
    splits = compare_handoff(out, code)
    return {**told, "not_as_predicted": sum(len(s.missing) + s.unexpected for s in splits)}


if __name__ == "__main__":
    main()
