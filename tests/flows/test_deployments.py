import importlib
import inspect
import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.events.schemas.automations import AutomationCore
from prefect.utilities.callables import parameter_schema
from pydantic import TypeAdapter

from docs.docstrings import ROOT
from flows.approve_training import ASKED_EVENT
from flows.approve_training import DEPLOYMENT as APPROVED
from flows.cli.environment import ENVIRONMENT
from flows.cli.init import STARTER
from flows.export_event import EXPORTED_EVENT
from flows.fine_tune_export import FINISHED_EVENT
from flows.recipe.schema import Recipe

PROJECT = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))
AUTOMATIONS = yaml.safe_load((ROOT / "flows" / "automations.yaml").read_text(encoding="utf-8"))
DEPLOYMENTS: dict[str, Mapping[str, Any]] = {each["name"]: each for each in PROJECT["deployments"]}
TRIGGERS = {
    name: trigger for name, each in DEPLOYMENTS.items() for trigger in each.get("triggers", ())
}


def flow_of(deployment: Mapping[str, Any]) -> Flow:
    module, _, name = deployment["entrypoint"].rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Flow)
    return found


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_parameters_are_those_of_the_flow(name: str) -> None:
    deployment = DEPLOYMENTS[name]
    flow = flow_of(deployment)
    known = inspect.signature(flow.fn).parameters
    triggered = TRIGGERS.get(name, {}).get("parameters", {})
    for given in (deployment.get("parameters", {}), triggered):
        assert set(given) <= set(known)
    required = {key for key, each in known.items() if each.default is inspect.Parameter.empty}
    assert "schedules" not in deployment, "of a recipe that is nobody's: `sluice deploy` has them"
    if triggered:
        assert required <= set(triggered)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_a_deployment_has_the_environment_of_the_command_line(name: str) -> None:
    pool = DEPLOYMENTS[name]["work_pool"]
    assert pool["name"] == ("gpu" if name in ("fine-tune", "trial-file") else "sluice")
    given = pool["job_variables"]["env"]
    of_a_server = {each for each in ENVIRONMENT if each.startswith("PREFECT_SERVER_")}
    assert given == {key: ENVIRONMENT[key] for key in ENVIRONMENT if key not in of_a_server}


def test_triggers_wait_for_the_events_that_flows_emit() -> None:
    expected = {name: trigger["expect"] for name, trigger in TRIGGERS.items()}
    assert expected == {"approve-training": [EXPORTED_EVENT], "record-training": [FINISHED_EVENT]}
    assert TRIGGERS["approve-training"]["parameters"]["ask_first"] is True
    assert APPROVED in {f"{flow_of(each).name}/{name}" for name, each in DEPLOYMENTS.items()}


def test_the_form_begins_with_the_starter_recipe() -> None:
    starter = yaml.safe_load(STARTER.format(name="my-recipe", path="rows.jsonl"))
    begins_with = DEPLOYMENTS["form"]["parameters"]["recipe"]
    assert Recipe.model_validate(begins_with) == Recipe.model_validate(starter)
    assert all(isinstance(each, Mapping) for each in begins_with["scores"]), "as the form has them"


@pytest.mark.parametrize("name", ["form", "fine-tune"])
def test_forms_call_blocks_by_their_methods_and_in_words(name: str) -> None:
    schema = parameter_schema(flow_of(DEPLOYMENTS[name])).model_dump()
    titles = {kind: block["title"] for kind, block in schema["definitions"].items()}
    for kind, block in schema["definitions"].items():
        if method := block["properties"].get("method", {}).get("const"):
            assert titles[kind] == method
        else:
            assert re.fullmatch(r"[A-Z]?[a-z0-9_]+( [a-z]+)*", titles[kind]), (
                "of makers, the method"
            )
    assert titles["CoBa"] == "coba" and titles["TrainStage"] == "Train stage"


def test_a_run_without_a_pulse_is_crashed_within_two_minutes() -> None:
    (crashed,) = TypeAdapter(list[AutomationCore]).validate_python(AUTOMATIONS["automations"])
    trigger = AUTOMATIONS["automations"][0]["trigger"]
    pulse = int(ENVIRONMENT["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
    assert 2 * pulse < trigger["within"] <= 120 - pulse
    assert crashed.enabled and crashed.actions[0].type == "change-flow-run-state"
    ends = {"Completed", "Failed", "Crashed", "Cancelled", "Suspended", "Paused"}
    assert {f"prefect.flow-run.{end}" for end in ends} | {ASKED_EVENT} <= set(trigger["expect"])
