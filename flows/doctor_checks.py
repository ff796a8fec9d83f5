"""`sluice doctor`: everything that is looked at, in order."""

from pathlib import Path

from flows.server_checks import examine_server
from pipeline.findings import Finding, examine_installation
from pipeline.workspace_checks import examine_workspace


def examine(workspace: Path | None) -> list[Finding]:
    """Look at the installation, the server, and a workspace if one is named."""
    found = [*examine_installation(), *examine_server()]
    return [*found, *examine_workspace(workspace)] if workspace else found
