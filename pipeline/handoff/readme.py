"""README.md of a handoff: the one command, what is in the folder, and what is not."""

from collections.abc import Mapping

from pipeline.handoff.trainer import HandoffFacts, Trainer
from pipeline.text.markdown import bullets, code_span, escape_markdown
from storage.exports_manifest import PREFERENCES_FOLDER, ExportManifest


def write_readme(
    trainer: Trainer, command: str, facts: HandoffFacts, lost: Mapping[str, int]
) -> str:
    """The page of a handoff.

    Args:
        trainer: for whom it is.
        command: what starts the training.
        facts: what is handed over.
        lost: reason → rows of the export that are not.
    """
    lines = [
        f"{split}: {counts.rows:,} rows, {counts.prompt_tokens:,} tokens read and "
        f"{counts.loss_tokens:,} trained"
        for split, counts in facts.counts.items()
    ]
    left_out = bullets(f"{rows:,} rows: {reason}" for reason, rows in lost.items())
    if not left_out:
        left_out = ["Nothing: every row of the export is here."]
    if note := rejected_note(facts.manifest):
        left_out += ["", f"{note}."]
    parts = "\n".join(bullets(lines))
    missing = "\n".join(left_out)
    return f"""\
# {escape_markdown(facts.manifest.name)} for {trainer.name}

Export {facts.manifest.export_id}, in the dialect of {trainer.name} {trainer.version}; another \
version may read it otherwise. What starts the training, in this folder if nothing else is said:

```sh
{command}
```

{parts}

What may be changed: everything about the training itself. What may not, or other tokens are \
trained than were promised: the data files, the template, the lengths and the masks.

`prediction.jsonl` says for every row of the export what {trainer.name} makes of it; `sluice \
verify-handoff` asks {trainer.name} itself.{" " + trainer.caution if trainer.caution else ""}

## Left out

{missing}

The tokenizer in `tokenizer/` has the chat template of \
{code_span(facts.manifest.model.reference)}, in which tokens were counted.
"""


def rejected_note(manifest: ExportManifest) -> str:
    """That rejected answers of an export are not handed over; "" where it has none."""
    n = sum(each.rows for each in manifest.rejected.values())
    if not n:
        return ""
    return (
        f"{n:,} rejected answers are not handed over: the rows here are to be imitated. TRL's "
        f"DPOTrainer reads the pairs in `{PREFERENCES_FOLDER}` of the export as they are"
    )
