"""`sluice verify-tokens` as a user meets it: totals where the trainer agrees, rows where not."""

import json
from pathlib import Path

from typer.testing import CliRunner

from fine_tune.verify_tokens import TokenMismatchError
from flows.cli.main import app


def words_for(workspace: Path) -> list[str]:
    """The verb, its only export, and the model that the export names."""
    (export,) = (workspace / "exports").iterdir()
    return ["verify-tokens", str(export), "--model", str(workspace.parent / "model")]


def test_the_totals_of_each_split_are_told_where_every_token_is_as_promised(
    workspace: Path,
) -> None:
    words = words_for(workspace)
    promised = json.loads((Path(words[1]) / "manifest.json").read_text())["splits"]
    done = CliRunner().invoke(app, [*words, "--json"])
    assert json.loads(done.stdout) == promised
    counts = promised["train"]
    assert CliRunner().invoke(app, words).stdout.splitlines()[0] == (
        f"train: {counts['rows']} rows, {counts['prompt_tokens']} prompt and "
        f"{counts['loss_tokens']} loss tokens, each as promised"
    )


def test_rows_that_would_be_cut_are_named(workspace: Path) -> None:
    done = CliRunner().invoke(app, [*words_for(workspace), "--max-length", "6"])
    assert isinstance(done.exception, TokenMismatchError) and done.exception.exit_code == 3
    assert str(done.exception).startswith("the trainer does not agree with the export: train ")
    assert done.stdout == ""
