"""`sluice doctor`: installation, models, disk and server are looked at."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import AsJson
from flows.cli.output import print_json


def doctor(
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace", "-w", envvar="SLUICE_WORKSPACE", help="Also look at this workspace."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check installation, models, disk and server; exit with 1 if there is a problem."""
    from flows.cli.server_checks import examine_server
    from pipeline.upkeep.installation_checks import examine_installation
    from pipeline.upkeep.workspace_checks import examine_workspace

    findings = [*examine_installation(), *examine_server()]
    findings += examine_workspace(workspace) if workspace else []
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for each in findings:
            remedy = f"\n         {each.remedy}" if each.remedy else ""
            sys.stdout.write(f"{each.level:8} {each.what}: {each.detail}{remedy}\n")
    if any(each.level == "problem" for each in findings):
        raise typer.Exit(1)
