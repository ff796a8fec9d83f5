"""The stages of a flow: what they hand to the tasks, and what becomes of the results."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import pytest

from flows import stages
from flows.stages import answer_batches
from pipeline.generation.stage import GenerateSettings, PromptBatch
from pipeline.run_context import RunContext
from storage.examples import Attempt, Example
from storage.workspace import Workspace

Done = list[tuple[str, PromptBatch, str]]


@pytest.mark.parametrize("way", ["submitted", "here"])
def test_each_batch_is_answered_under_its_own_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    done: Done = []
    stored: list[object] = []

    class Answer:
        """The task, called in the flow's process or sent to a worker."""

        def __call__(self, batch: PromptBatch, label: str) -> list[Attempt]:
            done.append(("here", batch, label))
            return [Attempt(each.example_id, 0, None, label) for each in batch.parents]

        def submit(self, batch: PromptBatch, label: str) -> list[Attempt]:
            done.append(("submitted", batch, label))
            return [Attempt(each.example_id, 0, None, label) for each in batch.parents]

    def do_all(
        work: Answer, pieces: Iterable[tuple[PromptBatch, str]], anywhere: bool
    ) -> Iterator[tuple[object, object]]:
        assert anywhere  # no endpoint is asked
        send = work.submit if way == "submitted" else work
        yield from ((batch, send(batch, label)) for batch, label in pieces)

    monkeypatch.setattr(stages, "answer", Answer())
    monkeypatch.setattr(stages, "do_all", do_all)
    monkeypatch.setattr(stages, "commit_answers", lambda *given: stored.append(given[1:]))
    run = RunContext(Workspace(tmp_path), "run", 0, [], {}, {})
    settings = GenerateSettings()
    parents = [Example(name, "p", [], [], None, "", "") for name in "abc"]
    batches = [
        PromptBatch(settings, 0, part, tmp_path, "key", "code")
        for part in (parents[:2], parents[2:])
    ]
    answer_batches(run, settings, batches)
    labels = ["answer 1 of 2, 2 prompts", "answer 2 of 2, 1 prompts"]
    assert done == list(zip([way, way], batches, labels, strict=True))
    attempts = [cast("tuple[object, list[Attempt]]", each)[1] for each in stored]
    assert [[each.parent_id for each in part] for part in attempts] == [["a", "b"], ["c"]]
