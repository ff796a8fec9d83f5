"""Arguments and options that several verbs have."""

import getpass
from pathlib import Path
from typing import Annotated, Literal

import typer

RecipeFile = Annotated[Path, typer.Argument(help="The recipe, a YAML file.", show_default=False)]
WorkspaceOption = Annotated[
    Path,
    typer.Option("--workspace", "-w", envvar="SLUICE_WORKSPACE", help="The workspace directory."),
]


def login_name() -> str:
    """The name of the login; "" where it has none, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no such user: KeyError before Python 3.13
        return ""


HERE = Path(".")  # the workspace, where none is named

RunOption = Annotated[str | None, typer.Option("--run", help="A run id; the last run otherwise.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

ReviewerOption = Annotated[
    str,
    typer.Option(
        "--reviewer",
        envvar="SLUICE_REVIEWER",
        help="Whose verdicts these are; the name of the login if not given.",
        show_default=False,
    ),
]

Strict = Annotated[
    bool, typer.Option("--strict", help="Exit with 4 if any row went to quarantine.")
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Wait for another run that works on the workspace.")
]
OnRunner = Annotated[
    Literal["threads", "dask", "ray"],
    typer.Option("--runner", help="Where tasks are done: threads, dask or ray."),
]
OnCluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Address of the cluster: tcp://HOST:8786 (Dask); ray://HOST:10001 or auto (Ray).",
        show_default=False,
    ),
]
