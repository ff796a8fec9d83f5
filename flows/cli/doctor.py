"""`sluice doctor`: installation, models, disk and server are looked at."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import AsJson
from flows.cli.output import as_lines, print_answer


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
    lines = [
        f"{each.level:8} {each.what}: {each.detail}"
        + (f"\n         {each.remedy}" if each.remedy else "")  # below the column of `what`
        for each in findings
    ]
    print_answer(findings, as_lines(lines), as_json)
    if any(each.level == "problem" for each in findings):
        raise typer.Exit(1)
