"""`sluice serve`: a model served with vLLM in an environment of its own, on this machine only."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.cli.options import AsJson
from flows.cli.output import print_answer
from flows.progress import counted, say

if TYPE_CHECKING:
    from pipeline.serving.environment import BuildName, ServingEnvironment
    from pipeline.serving.server import RunningServer
    from scorers.measures.models.loading import ResolvedModel


def serve(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A directory, a hub id or wheel:NAME, as in a recipe.", show_default=False
        ),
    ] = None,
    more: Annotated[
        list[str] | None,
        typer.Argument(
            help="After --: options for vLLM's own server, such as --max-num-seqs 8.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="What requests call the model; by default the end of MODEL."),
    ] = None,
    port: Annotated[int, typer.Option(help="On this machine only; 0 takes a free one.")] = 8000,
    dtype: Annotated[
        Literal["bfloat16", "float32"],
        typer.Option(help="Of the weights. float32 is slower, and exact to 4 digits."),
    ] = "bfloat16",
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="Longest prompt and answer together; the model's window by default, at most 4096.",
        ),
    ] = None,
    wait_seconds: Annotated[
        float, typer.Option(min=1, help="How long the server may take to become ready.")
    ] = 600,
    build: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="Which vLLM; auto: cuda where nvidia-smi lists a GPU, else cpu."),
    ] = "auto",
    place: Annotated[
        Path | None,
        typer.Option(help="Folder for vLLM's environment; ~/.cache/sluice/vllm by default."),
    ] = None,
    set_up_only: Annotated[
        bool, typer.Option("--set-up-only", help="Prepare the environment, start nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Serve a model with vLLM, for the `endpoint` of a recipe; Ctrl-C ends it.

    The first time this downloads vLLM into an environment of its own: 1 GB for the CPU build, about
    4 GB for a GPU. Prints the base URL once the server answers.
    """
    from pipeline.serving.environment import default_place
    from pipeline.serving.server import free_port, require_free_port
    from pipeline.serving.server import serve as start_server
    from pipeline.serving.settings import ServeSettings

    # A terminal that is closed must not leave a server behind: end as on SIGTERM.
    signal.signal(signal.SIGHUP, signal.getsignal(signal.SIGTERM))
    place = (place or default_place()).expanduser().resolve()
    if set_up_only:
        made = set_up_vllm(place, build)
        facts = {"environment": str(made.directory), "requirement": made.build.requirement}
        print_answer(facts, f"{made.directory}\n", as_json)
        return
    # What the user can put right is found before minutes of set-up.
    require_free_port(port)
    resolved = find_model(model)
    environment = set_up_vllm(place, build)
    settings = ServeSettings(
        model=resolved.path,
        name=name or served_name(resolved.reference),
        port=port or free_port(),
        dtype=dtype,
        max_tokens=max_tokens,
        patience_seconds=wait_seconds,
        more=more or (),
    )
    log = place / "logs" / f"serve-{settings.port}.log"
    say(f"starting the server of {settings.name} on port {settings.port}. Log: {log}")
    with start_server(environment, settings, log, say) as server:
        tell_server(server, as_json)
        server.wait()


def set_up_vllm(place: Path, build: "BuildName") -> "ServingEnvironment":
    """The environment of vLLM; made now if it is not there."""
    from pipeline.serving.environment import choose_build, set_up

    with counted("steps") as work:
        return set_up(place, choose_build(build), say, work.at)


def find_model(reference: str | None) -> "ResolvedModel":
    """The model to serve; a reference that can mean none is a wrong use of the command."""
    from scorers.measures.models.loading import resolve_model

    if reference is None:
        raise typer.BadParameter("name a model, or give --set-up-only")
    try:
        return resolve_model(reference)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def served_name(reference: str) -> str:
    """What requests call a model: ORG/NAME of a hub, otherwise the name at the end."""
    if reference.startswith("wheel:"):
        return reference.removeprefix("wheel:")
    if Path(reference).expanduser().is_dir():
        return Path(reference).expanduser().resolve().name
    return reference.partition("@")[0]  # without the revision


def tell_server(server: "RunningServer", as_json: bool) -> None:
    """Print where the server is, and how a recipe names it."""
    facts = {"base_url": server.base_url, "model": server.name, "pid": server.process.pid}
    print_answer({**facts, "log": str(server.log)}, f"{server.base_url}\n", as_json)
    sys.stdout.flush()  # a script waits for it, and this command goes on
    say(
        f"in a recipe:\n\ngenerate:\n  - model: {server.name}\n"
        f'    endpoint: {{base_url: "{server.base_url}"}}\n\nCtrl-C ends the server'
    )
