"""docs/code-map.md: every file with one line about it, which for code is its own first line."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from docs.docstrings import ROOT, first_line

CODE_MAP = ROOT / "docs" / "code-map.md"

FOLDERS = (
    "flows",
    "pipeline",
    "scorers",
    "storage",
    "fine_tune",
    "recipes",
    "benchmarks",
    "docs",
)

INTRODUCTION = """\
# Code map

Every file with one line about it; of code it is the first line of its docstring. A row goes down
the page: `flows` calls the stages in `pipeline`, these call `scorers` and `storage`. `tests/`
mirrors these folders. `make docs` writes this page.
"""

BESIDE = {
    "Makefile": "The commands: install, demo, test, check, docs",
    "prefect.yaml": "The deployments on a Prefect server: pools, schedules, triggers",
    "pyproject.toml": "Packages and what they need; settings of ruff, mypy, pytest, import-linter",
    "constraints.txt": "The version of every package that is installed",
    "constraints-vllm.txt": "The same for the environment of a vLLM server",
}
"""Files that stand in no folder."""

REMARKS = {
    "flows/automations.yaml": "The automation that finds runs whose process is gone",
    "flows/notifications.yaml": "Automations that tell a person of questions and of failures",
    "recipes/answer_styles.yaml": "SEFE's answer styles as a recipe: choices, yes or no, reasons",
    "recipes/constrained.yaml": "Prompts with rules that a program checks, as a recipe",
    "recipes/persona.yaml": "Requests of described people as a recipe: Persona Hub",
    "recipes/genstruct.yaml": "A handbook as a recipe: problems and their solutions",
    "recipes/humpback.yaml": "Instruction backtranslation as a recipe: texts as replies",
    "recipes/task_cards.yaml": "Narrow tasks out of a handbook as a recipe: AnyTaskTune",
    "recipes/llamait.yaml": "Translations with words of a glossary as a recipe: LlamaIT",
    "recipes/clean.yaml": "Does it clean my data: bounds on what is stored, on any file",
    "recipes/demo.yaml": "The demo: raw rows of many shapes to a trained adapter",
    "recipes/dpo.yaml": "DPO on given pairs as a recipe: short answers before hedged ones",
    "recipes/eda.yaml": "EDA as a recipe: labelled texts with words replaced, swapped, deleted",
    "recipes/edit_spans.yaml": "Corrections as a recipe: the answer is the edits alone",
    "recipes/el2n.yaml": "Rows that the model is certain of are pruned: EL2N, as in SFPrompt",
    "recipes/evol_instruct.yaml": "Evol-Instruct as a recipe: harder prompts, in a band of losses",
    "recipes/forget_less.yaml": "All weights trained, and little forgotten: HFT and LiNeS",
    "recipes/lora.yaml": "One choice of rows, to be trained by one method or another",
    "recipes/metacognition.yaml": "Stated confidence as a recipe: calibrated by the samples",
    "recipes/magpie.yaml": "Magpie as a recipe: what the model says as a user, from no rows",
    "recipes/poft.yaml": "A loss that reads stored scores: PoFT, with Masked Thought",
    "recipes/translated_templates.yaml": "xP3mt as a recipe: a prompt template in other languages",
    "recipes/round_trip.yaml": "Prompts there and back through a language, as a recipe",
    "recipes/r_tuning.yaml": "R-Tuning as a recipe: whether the model knew the answer",
    "recipes/rejection.yaml": "The rejection builder as a recipe: STaR, RFT, TRICE",
    "recipes/fuse_answers.yaml": "CapsFusion as a recipe: given answers in the model's own wording",
    "recipes/pseudo_labels.yaml": "pseudo-labels as a recipe: labels that two views agree on",
    "recipes/spin.yaml": "SPIN as a recipe: given answers before the model's own, by DPO",
    "recipes/s3ft.yaml": "S3FT as a recipe: the model's own right answers",
    "recipes/openbezoar.yaml": "OpenBezoar as a recipe: three makers, and a judge behind them",
    "recipes/augcon.yaml": "AugCon as a recipe: questions of passages and of their parts",
    "recipes/document_questions.yaml": "A handbook as a recipe: questions and answers",
    "recipes/scilitllm.yaml": "SciLitLLM as a recipe: questions in the words of a handbook",
    "recipes/self_guide.yaml": "SELF-GUIDE as a recipe: a task's rows from four examples",
    "recipes/self_instruct.yaml": "Self-Instruct as a recipe: new tasks from a seed pool",
    "recipes/itool.yaml": "iTool as a recipe: calls that part at a piece, by the same maker",
    "recipes/mcts_dpo.yaml": "MCTS-DPO as a recipe: answers that part at a step, the better of two",
    "recipes/apigen.yaml": "APIGen as a recipe: calls that fit, run, and are what was asked",
    "recipes/tool_calls.yaml": "TL-Training on recorded calls, some of which went wrong",
    "recipes/wrong_answers.yaml": "FAIT, or ASFT: right answers beside wrong ones",
    "recipes/sftmix.yaml": "SFTMix as a recipe: classes from trajectories, then the training",
    "recipes/antidote.yaml": "Antidote as a recipe: an adapter pruned by answers nobody wants",
    "recipes/rude_answers.yaml": "Answers that antidote.yaml prunes by, as an export",
    "recipes/second_task.yaml": "RegLoRA as a recipe: a second task beside what the first learnt",
    "recipes/method_data": "Rows that the recipes of methods of training start from",
    "recipes/maker_data": "Rows that the recipes of makers start from",
    "recipes/maker_data/handbook": "Texts about bees and bicycles, for the makers of passages",
    "recipes/rds.yaml": "Rows nearest to examples of what is wanted: RDS+, task by task",
    "recipes/reverse_instructions.yaml": "Requests for given responses, as a recipe",
    "recipes/step_by_step.yaml": "Distilling step-by-step as a recipe: labels and their reasons",
    "recipes/urial.yaml": "URIAL as a recipe: answers without a chat template",
    "recipes/superfiltering.yaml": "A published method as a recipe: IFD of a small model",
    "benchmarks/results": "What each benchmark found, as JSON",
    "docs/recipes": "One page for each block of a recipe",
}
"""What files and folders say that have no docstring. Pages have theirs in PAGE_REMARKS."""

PAGE_REMARKS = {
    "choosing": "How rows are chosen, the controls and the evidence; two published methods",
    "cluster": "Dask, Ray, and shards on shared storage",
    "code-map": "This page",
    "commands": "Every verb, exit codes, environment; what-if, suggest",
    "comparison": "Measured beside other tools: speed, recall, what survives a kill",
    "contamination": "What of an evaluation set stands in the rows: rules, report, figures",
    "data-model": "The tables and views of a workspace, and ten useful queries",
    "departures": "Where a number departs from its paper",
    "handoff": "An export for LLaMA-Factory, axolotl and others, and what each makes of it",
    "measuring": "How rows are read by a model, how exactly, how fast",
    "methods": "Every score and method: formula, source, cost, limits",
    "makers": "Makers of rows, compared: what each needs, costs and fails at",
    "mixtures": "How much of which source, and how much at all",
    "operations": "A Prefect server, workers, a schedule, the handoff to a GPU",
    "recipes": "Where to find what in a recipe; a small one that works",
    "repair": "verify, gc, doctor, upgrades, and what each failure says",
    "row-shapes": "The shapes that rows are read from, and the reasons for quarantine",
    "screening": "How many rows a person must read, and what that proves",
    "serving": "A vLLM server for a recipe",
    "trials": "Does a choice beat random rows: arms, items, intervals, verdicts",
    "tracing": "From what a model wrote back to the rows that have it",
    "view": "Pages on which to look at a run: verdict, rows, and why each is in or out",
    "which-score-finds-what": "Which score finds which fault, measured on planted ones",
    "recipes/asked-again": "What is measured again after which change",
    "recipes/check": "Evaluation sets that are kept out",
    "recipes/dedupe": "Copies that go: exact, minhash, semantic, substring",
    "recipes/documents": "Files of text, and how they are cut into passages",
    "recipes/endpoint": "A server that is asked in place of a model in process",
    "recipes/export": "Token ids beside the conversations",
    "recipes/filters": "The steps that drop rows",
    "recipes/verify": "What an answer that was made must be",
    "recipes/generate": "New answers, repairs of given ones, and the makers of rows",
    "recipes/indicator": "A mark for prompts whose answers are read off them",
    "recipes/licenses": "Which licences the chosen rows may have",
    "recipes/measure": "What models are asked: tokens, losses, embeddings, attention, language",
    "recipes/measure-judges": "What judges are asked: samples, marks, tags, preferences",
    "recipes/measure-training": "What a training tells: trajectories, gradients, Cappy",
    "recipes/personal-data": "Addresses, numbers and keys: reported, removed, redacted",
    "recipes/rankings": "The steps that order rows and spend the budget",
    "recipes/recipe": "The outermost keys, how models are named, and paths",
    "recipes/scores": "Numbers made from measurements",
    "recipes/select": "The selection: its steps, budget, shares, blends",
    "recipes/sources": "Where rows come from: files, folders, queries, hubs",
    "recipes/targets": "Examples to be close to",
    "recipes/train": "LoRA on the export, or all of the weights",
    "recipes/training-methods": "Ways of training: weights, losses, what is trained, what is kept",
}
"""What each page of docs/ is about."""


def code_map() -> str:
    """The text of docs/code-map.md.

    Raises:
        ValueError: if a file says nothing of itself.
    """
    blocks = [INTRODUCTION, block("Beside the folders", BESIDE.items())]
    blocks += [block(folder, entries(ROOT / folder, 0)) for folder in FOLDERS]
    return "\n".join(blocks)


def block(heading: str, lines: Iterable[tuple[str, str]]) -> str:
    """A chapter: names to the left, remarks in a column to their right."""
    pairs = list(lines)
    width = max(len(name) for name, _ in pairs) + 2
    text = "\n".join(f"{name:<{width}}{remark}".rstrip() for name, remark in pairs)
    return f"## {heading}\n\n```text\n{text}\n```\n"


def entries(folder: Path, depth: int) -> Iterator[tuple[str, str]]:
    """A folder, the files in it, then the folders in it: indented name and remark."""
    indent = "  " * depth
    yield f"{indent}{folder.name}/", remark(folder)
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if path.is_dir() and holds_something(path):
            yield from entries(path, depth + 1)
        elif path.suffix in (".py", ".yaml", ".md") and path.name != "__init__.py":
            yield f"{indent}  {path.name}", remark(path)


def holds_something(folder: Path) -> bool:
    """Whether a folder is on the map: it has code, pages, or a remark of its own."""
    named = folder.relative_to(ROOT).as_posix() in REMARKS
    return named or any(folder.glob("*.py")) or any(folder.glob("*.md"))


def remark(path: Path) -> str:
    """One line about a file or folder.

    Raises:
        ValueError: if there is none.
    """
    name = path.relative_to(ROOT).as_posix()
    if name in REMARKS:
        return REMARKS[name]
    if path.suffix == ".md":
        page = name.removeprefix("docs/").removesuffix(".md")
        if page not in PAGE_REMARKS:
            raise ValueError(f"docs/code_map.py has no remark on {name}: add one to PAGE_REMARKS")
        return PAGE_REMARKS[page]
    if path.suffix == ".yaml":
        raise ValueError(f"docs/code_map.py has no remark on {name}: add one to REMARKS")
    return first_line(path / "__init__.py" if path.is_dir() else path)
