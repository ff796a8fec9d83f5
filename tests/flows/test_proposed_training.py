import pytest

from fine_tune.settings import TrainSettings
from flows.proposed_training import proposal_table
from pipeline.export.stage import Exported
from scorers.measures.models.loading import resolve_model
from storage.database import open_workspace
from storage.selections import write_trial
from storage.workspace import Workspace
from tests.exported_workspace import export_workspace

STAGES = {
    "learning_rate": 1e-4,
    "stages": [
        {"mix": [{"share": 0.5}], "methods": [{"method": "dft"}]},
        {"epochs": 2, "methods": [{"method": "poft", "perplexities": ["ppl"]}]},
    ],
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export_workspace(tmp_path_factory.mktemp("proposed"))[1]


def rows_of(exported: Exported, given: object) -> dict[str, str]:
    model = exported.manifest.model.reference
    table = proposal_table(exported.path, model, TrainSettings.model_validate(given))
    cells = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    return {cell[0]: cell[1] for cell in cells}


def test_each_stage_has_its_methods_rows_and_steps(exported: Exported) -> None:
    shown = rows_of(exported, STAGES)
    assert shown["target"].endswith("/model")
    # Half of 12 rows in batches of 4; then all of them, twice.
    assert shown["stage 1: methods"] == "dft"
    assert shown["stage 1: rows"] == "6, 21 loss tokens"
    assert shown["stage 1: optimizer steps in one process"] == "2"
    assert shown["stage 2: methods"] == "poft, perplexities \\['ppl'\\]"
    assert shown["stage 2: optimizer steps in one process"] == "6"
    assert shown["settings other than the defaults"] == "learning_rate 0.0001"


def test_a_plain_training_and_the_mean_of_several(exported: Exported) -> None:
    shown = rows_of(exported, {"soup": {"seeds": [1, 2]}})
    assert shown["methods"] == "none: plain training"
    assert shown["trainings"] == "the mean of 2: seeds \\[1, 2\\]"
    assert shown["settings other than the defaults"] == "none"


def test_rows_of_another_export_are_counted_and_it_is_named(exported: Exported) -> None:
    other = str(exported.path)  # by its folder, it is another one
    shown = rows_of(exported, {"mix": [{}, {"export": other, "rows": 3}]})
    assert shown["rows"] == f"15, 53 loss tokens, some of {other}"  # 43 and a quarter of it
    assert shown["optimizer steps in one process"] == "4"


def test_the_time_is_that_of_trainings_of_its_kind(exported: Exported) -> None:
    workspace = Workspace(exported.path.parent.parent)
    fingerprint = resolve_model(exported.manifest.model.reference).fingerprint

    def record(trial: str, given: object, seconds: float) -> None:
        settings = TrainSettings.model_validate(given).model_dump(mode="json")
        training = {"model_fingerprint": fingerprint, "settings": settings}
        cost = {"seconds": seconds, "tokens": 50, "device": "cpu"}
        with open_workspace(workspace) as con:
            report = {"training": training}
            write_trial(con, trial, exported.manifest.export_id, "adapter", (report, cost))

    record("other", {"tune": "full"}, 7.0)
    assert rows_of(exported, {})["time"].startswith("not known: the workspace has no training")
    record("same", {"max_steps": 3, "seed": 4}, 2.0)
    # 125 tokens of the export twice; 50 took 2 seconds.
    told = "about 10 s, at the speed of the last of this kind in the workspace: 50 tokens in 2 s"
    assert rows_of(exported, {"epochs": 2})["time"] == f"{told}, on cpu"
    # Three steps of 4 of the 12 rows: all of them, once; of each of two trainings.
    assert rows_of(exported, {"max_steps": 3})["time"].startswith("about 5 s,")
    assert rows_of(exported, {"batch_rows": 2})["time"].startswith("not known")
