"""A scripted server for makers: what it says is a function of what it is asked, however often."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pytest import MonkeyPatch

from pipeline.documents.settings import DocumentSettings, PassageSettings
from pipeline.documents.stage import identify_documents, ingest_documents
from pipeline.generation.answering_block import AnsweringBlock
from pipeline.generation.catalogue import AnyMaker
from pipeline.generation.make import MadeRows, count_made, make_rows
from pipeline.measuring.endpoint import Endpoint
from pipeline.measuring.measures.samples import Sampled
from pipeline.progress import tell_nobody
from pipeline.run_context import RunContext
from scorers.measures.endpoint.generator import SEED_LIMIT
from scorers.measures.models.loading import ResolvedModel
from scorers.measures.protocols import GeneratedAnswer, GenerationFailure, GenerationRequest
from storage.database import Connection, read_workspace
from storage.duckdb_instance import attached
from storage.workspace import Workspace
from tests.fake_endpoint import Body, Canned, FakeEndpoint, completion, continued, serve
from tests.fakes import fraction
from tests.stage_runner import start
from tests.tiny_models import save_tiny_llama

Say = Callable[[str, int], str | Canned]
"""(the last message, the seed) → the reply."""

OPENED = "(an opening)"
"""What the script is asked where a model is to go on from a beginning."""

SUMS = [(a, b) for a in (2, 3, 4, 10) for b in (5, 6)]

TASKS = (
    "Name three rivers of Europe and where each ends.",
    "Explain how bread dough rises in an oven.",
    "Give a synonym for each word of this sentence.",
    "List the planets from the sun outwards.",
)


def write_sums(folder: Path) -> Path:
    """Eight sums with their answers, as rows."""
    path = folder / "sums.jsonl"
    rows = [
        {"prompt": f"What is {a} plus {b}?", "completion": f"Adding gives it.\n#### {a + b}"}
        for a, b in SUMS
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def write_tasks(folder: Path) -> Path:
    """Four tasks with their answers, as rows."""
    path = folder / "tasks.jsonl"
    rows = [{"prompt": task, "completion": f"answer {n}"} for n, task in enumerate(TASKS)]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def write_calls(folder: Path) -> Path:
    """Two questions with tools, one of which is answered by a call."""
    path = folder / "calls.jsonl"
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"name": name, "parameters": city} for name in ("weather", "distance")]
    call = {"function": {"name": "weather", "arguments": {"city": "Bonn"}}}
    called = {"role": "assistant", "content": "", "tool_calls": [call]}
    said = {"role": "assistant", "content": "It is not known."}
    rows = [
        {"messages": [{"role": "user", "content": asked}, answer], "tools": tools}
        for asked, answer in (("Is it fine in Bonn?", called), ("And elsewhere?", said))
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def write_corrections(folder: Path) -> Path:
    """Three texts that are corrected in a word, or right as they are, and one that is answered."""
    path = folder / "corrections.jsonl"
    text = "The river runs from the hills to the sea, and nobody knows who named it so."
    pairs = [
        (text.replace("runs", "run"), text),
        (text.replace("nobody", "no body"), text),
        (text, text),
        (text, "Who says that?"),
    ]
    rows = [{"prompt": prompt, "completion": completion} for prompt, completion in pairs]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def write_reviews(folder: Path) -> Path:
    """Four reviews with their labels, six without, and one of the four again without."""
    path = folder / "reviews.jsonl"
    labelled = [
        {"prompt": f"review {n}", "completion": "good" if n % 2 else "bad"} for n in range(4)
    ]
    path.write_text(
        "\n".join(map(json.dumps, [*labelled, *({"prompt": f"review {n}"} for n in range(3, 10))]))
    )
    return path


PAGES = (
    "# Rivers\n\nThe Danube rises in the Black Forest and ends in the Black Sea. Ten countries lie "
    "on it, more than on any other river of the world.\n",
    "# Bread\n\nYeast eats the sugar of the dough and breathes out gas. The gas is held by gluten, "
    "so that the loaf grows until the heat sets it.\n",
    "# Planets\n\nMercury goes round the Sun in eighty-eight days. Neptune needs one hundred and "
    "sixty-five years for the same.\n",
)


def write_pages(folder: Path) -> Path:
    """A document of three passages, each about something of its own."""
    path = folder / "pages.md"
    path.write_text("\n".join(PAGES))
    return path


@contextmanager
def scripted(say: Say, *, scramble: bool = False) -> Iterator[FakeEndpoint]:
    """Serve a model called m; scrambled, replies come late by a hash of what was asked."""

    def respond(body: Body, attempt: int) -> Canned:
        if not body:
            return Canned(body={"data": [{"id": "m"}]})
        if asks_if_there(body):
            return completion("Hello")
        goes_on = "prompt" in body
        text, seed = OPENED if goes_on else last_message(body), int(body["seed"])
        if scramble:
            time.sleep(fraction(text, seed) / 50)
        said = say(text, seed)
        if isinstance(said, Canned):
            return said
        return continued(said) if goes_on else completion(said)

    with serve(respond) as server:
        yield server


def questions(server: FakeEndpoint) -> list[str]:
    """What was asked, in order, without what asks only whether a server is there."""
    bodies = [each.body for each in server.received if each.body]
    return [json.dumps(each, sort_keys=True) for each in bodies if not asks_if_there(each)]


def asks_if_there(body: Body) -> bool:
    """Whether a client asks no more than that: after a reply that failed."""
    return "messages" in body and last_message(body) == "Hello"


def last_message(body: Body) -> str:
    return str(body["messages"][-1]["content"])


@dataclass
class ScriptedModel:
    """The same in process, and quick: 7 tokens to each reply.

    `asked` has the questions, `shown` all that stood before each, with it.
    """

    say: Say
    asked: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    def sample(self, requests: Sequence[GenerationRequest]) -> list[Sampled]:
        return [self.answer(request) for request in requests]

    def answer(self, request: GenerationRequest) -> Sampled:
        text = OPENED if request.opening else str(request.messages[-1]["content"])
        self.asked.append(text)
        self.shown.append("\n".join(str(each["content"]) for each in request.messages))
        said = self.say(text, request.seed % SEED_LIMIT)  # as a server is given it
        if not isinstance(said, str):
            return GenerationFailure("http_500", "the script has no answer")
        return GeneratedAnswer(said, 7, finished=True)


def script(patch: MonkeyPatch, say: Say) -> ScriptedModel:
    """Have every maker ask a scripted model."""
    model = ScriptedModel(say)
    patch.setattr(AnsweringBlock, "identity", lambda self: "the model")
    patch.setattr(AnsweringBlock, "generator", lambda self, requests, identity: model)
    return model


@cache
def begun(content: bytes, suffix: str) -> tuple[bytes, RunContext, list[str]]:
    """A workspace with these rows, or this document: its database, its run and its pool."""
    with TemporaryDirectory() as folder, MonkeyPatch.context() as patch:
        patch.setattr("storage.database.attached", attached)  # what is kept attached is not whole
        path = Path(folder) / f"given{suffix}"
        path.write_bytes(content)
        run, pool = start(Path(folder) / "w", [] if suffix == ".md" else [path])
        if suffix == ".md":
            run = read_document(run, path)
        return run.workspace.database.read_bytes(), run, pool


def read_document(run: RunContext, path: Path) -> RunContext:
    """Ingest a document, a passage for each of its headings."""
    model = ResolvedModel("tiny", save_tiny_llama(path.parent / "model"), "f" * 64)
    size = PassageSettings(tokens=200, overlap=0, least=1)
    block = DocumentSettings(path=str(path), license="CC0-1.0", passages=size)
    found = identify_documents(run.workspace, [block], model.fingerprint)
    ingest_documents(run.workspace, run.run_id, found, model)
    return replace(run, cut_ids=[each.place.cut_id for each in found])


def begin(folder: Path, rows: Path) -> tuple[RunContext, list[str]]:
    """A workspace with these rows, or this document, copied from one that read them once."""
    database, run, pool = begun(rows.read_bytes(), rows.suffix)
    workspace = Workspace(folder / "w")
    workspace.directory.mkdir()
    workspace.database.write_bytes(database)
    return replace(run, workspace=workspace), [*pool]


@contextmanager
def kept_attached() -> Iterator[None]:
    """Keep each database attached once it was opened, for writing, until the block is left.

    To attach and detach one, some twenty times in a stage, takes longer than all else in a test.
    A connection is still closed where it was opened, and takes what it did not commit with it.
    """
    with ExitStack() as held, MonkeyPatch.context() as patch:
        paths: set[Path] = set()

        @contextmanager
        def attached_once(file: Path, *, read_only: bool) -> Iterator[Connection]:
            if file not in paths:
                paths.add(file)
                held.enter_context(attached(file, read_only=False))
            with attached(file, read_only=False) as con:
                yield con

        patch.setattr("storage.database.attached", attached_once)
        yield


def served_by(maker: AnyMaker, server: FakeEndpoint) -> AnyMaker:
    """The maker, asking a server for the model m."""
    endpoint = Endpoint(base_url=server.base_url, retries=0)
    return maker.model_copy(update={"model": "m", "endpoint": endpoint})


def make(run: RunContext, maker: AnyMaker, pool: list[str]) -> tuple[MadeRows, list[str]]:
    """One maker through the stage; the pool afterwards."""
    made = make_rows(run, maker, tell_nobody)
    return made, count_made(run, made, pool, 1)


def rows_of(run: RunContext) -> list[tuple[object, ...]]:
    """All that makers left in a workspace, in one order; but for the run that made it."""
    tables = {
        "examples": "select example_id, messages, origin from examples",
        "attempts": "select parent_id, attempt, state, detail, example_id from generation_attempts",
        "lineage": "select example_id, parent_id, method, model from lineage",
        "calls": "select method, source_id, stage, attempt, kind, outcome, reason from maker_calls",
        "replies": "select text, tokens, finished, reason from replies",
    }
    found: list[tuple[object, ...]] = []
    with read_workspace(run.workspace) as con:
        for name, query in tables.items():
            rows = con.execute(f"{query} order by all").fetchall()
            found += [(name, *row) for row in rows]
    return found
