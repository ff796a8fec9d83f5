"""Rows with faults of known kinds among them: what which_score.py is asked to find again.

    shuffled        the answer of another prompt
    cut_off         an answer that ends in its middle
    other_language  an answer in German, French, Spanish or Italian, beside an English prompt
    wrong_sum       of GSM8K: another final number, and nothing else

Real rows, short ones, so that a small model reads them in seconds; each fault is in a row of its
own, drawn by a seed. Rows that a set had wrong before count as clean: they are few, and nobody has
marked them.
"""

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GSM8K = Path("gsm8k") / "train.jsonl"
DOLLY = Path("instruct") / "dolly_3k.json"
ALPACA = Path("instruct") / "alpaca_9k.json"

ROWS = 600
SEED = 17
SHORTEST_ANSWER = 30
LONGEST = {"alpaca": 240, "dolly": 300, "gsm8k": 310}
"""Characters of a prompt and its answer."""

SHARES = {"shuffled": 0.1, "cut_off": 0.06, "other_language": 0.06, "wrong_sum": 0.1}

SENTENCES = (
    "Das hängt davon ab, wie viel Zeit und Geld man dafür ausgeben möchte.",
    "Am besten fragt man jemanden, der schon lange in dieser Stadt wohnt.",
    "Viele Menschen glauben, dass die alten Regeln nicht mehr gelten.",
    "Im Winter ist das Wasser zu kalt, um darin zu schwimmen.",
    "Zuerst schneidet man das Gemüse klein und kocht es dann langsam.",
    "Die Firma wurde vor fünfzig Jahren von zwei Brüdern gegründet.",
    "Il faut d'abord lire les instructions avant de commencer le travail.",
    "La plupart des gens préfèrent rester chez eux pendant les vacances.",
    "Cette région est connue pour ses vins, ses fromages et ses montagnes.",
    "Le train part tous les matins à huit heures de la gare du Nord.",
    "On peut ajouter un peu de sel si la soupe manque de goût.",
    "Les enfants apprennent plus vite quand ils jouent avec les autres.",
    "Lo mejor es hablar con un médico antes de tomar una decisión.",
    "La ciudad tiene muchos museos, parques y calles antiguas.",
    "Hay que esperar hasta que el agua esté caliente y luego añadir el arroz.",
    "Muchas empresas buscan personas que hablen más de un idioma.",
    "El libro cuenta la historia de una familia que vive en el campo.",
    "Durante el verano los días son largos y las noches muy cortas.",
    "Prima di partire bisogna controllare che tutti i documenti siano in ordine.",
    "Il mercato apre presto la mattina e chiude verso mezzogiorno.",
    "Secondo gli esperti, la situazione migliorerà nei prossimi anni.",
    "La squadra ha vinto la partita grazie a un gol negli ultimi minuti.",
    "Si può cucinare in forno oppure sulla griglia, come si preferisce.",
    "Molti studenti lavorano la sera per pagare l'università.",
)


@dataclass(frozen=True, slots=True)
class PlantedRow:
    """One row, and what was done to it."""

    prompt: str
    answer: str
    fault: str
    """A kind; "" of a row as it was."""


def read_pairs(data: Path, name: str) -> list[tuple[str, str]]:
    """Prompts and answers of a set, as they stand in its file, the short ones."""
    if name == "gsm8k":
        lines = (data / GSM8K).read_text(encoding="utf-8").splitlines()
        # The marks of its calculator are in no answer that a model gives.
        pairs = [
            (row["question"], re.sub(r"<<[^>]*>>", "", row["answer"]))
            for row in map(json.loads, lines)
        ]
    else:
        rows = json.loads((data / (ALPACA if name == "alpaca" else DOLLY)).read_text("utf-8"))
        pairs = [
            ("\n".join(filter(None, (r["instruction"], r.get("input")))), r["output"]) for r in rows
        ]
    return [
        (prompt, answer)
        for prompt, answer in pairs
        if len(answer) >= SHORTEST_ANSWER and len(prompt) + len(answer) <= LONGEST[name]
    ]


def plant(
    pairs: Sequence[tuple[str, str]],
    name: str,
    rows: int = ROWS,
    shares: Mapping[str, float] = SHARES,
) -> list[PlantedRow]:
    """So many of the pairs, shares of them with a fault each, in a drawn order."""
    draw = random.Random(f"{SEED} {name}")
    chosen = draw.sample(list(dict(pairs).items()), rows)
    kinds = [kind for kind in shares if kind != "wrong_sum" or name == "gsm8k"]
    planted: list[PlantedRow] = []
    for kind in kinds:
        count = int(shares[kind] * rows)
        some, chosen = chosen[:count], chosen[count:]
        planted += spoil(kind, some, draw)
    planted += [PlantedRow(prompt, answer, "") for prompt, answer in chosen]
    draw.shuffle(planted)
    return planted


def spoil(kind: str, pairs: Sequence[tuple[str, str]], draw: random.Random) -> list[PlantedRow]:
    """Pairs with a fault of one kind."""
    if kind == "shuffled":  # each has the answer of the one behind it, the last that of the first
        answers = [answer for _, answer in [*pairs[1:], *pairs[:1]]]
        return [PlantedRow(p, a, kind) for (p, _), a in zip(pairs, answers, strict=True)]
    changes: dict[str, Callable[[str], str]] = {
        "cut_off": lambda answer: cut(answer, draw),
        "other_language": lambda _: " ".join(draw.sample(SENTENCES, 2)),
        "wrong_sum": lambda answer: another_sum(answer, draw),
    }
    return [PlantedRow(prompt, changes[kind](answer), kind) for prompt, answer in pairs]


def cut(answer: str, draw: random.Random) -> str:
    """The first 40 to 80 % of an answer's words."""
    words = answer.split(" ")
    kept = max(1, int(len(words) * draw.uniform(0.4, 0.8)))
    return " ".join(words[:kept]).rstrip(".!? ")


def another_sum(answer: str, draw: random.Random) -> str:
    """A solution whose final number is off, by a tenth or so."""
    head, _, number = answer.rpartition("#### ")
    value = int(number.replace(",", "").split(".")[0])
    off = max(1, round(abs(value) * draw.uniform(0.05, 0.3)))
    return f"{head}#### {value + draw.choice((-1, 1)) * off}"


def write_rows(path: Path, rows: Sequence[PlantedRow]) -> None:
    """As a source of a recipe; the fault stands in a file beside it, by line."""
    lines = [json.dumps({"prompt": row.prompt, "response": row.answer}) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    faults: list[Any] = [row.fault for row in rows]
    path.with_suffix(".faults.json").write_text(json.dumps(faults), encoding="utf-8")
