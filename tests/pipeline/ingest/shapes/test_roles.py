"""Every name of a role is known, however it is written, and no other is."""

import pytest

from pipeline.ingest.shapes.roles import find_role, known_names


@pytest.mark.parametrize(
    ("name", "role"),
    [
        *(("system", "system"), ("System", "system"), ("developer", "developer")),
        *(("human", "user"), ("USER", "user"), ("prompter", "user")),
        *(("gpt", "assistant"), ("model", "assistant"), ("AI", "assistant"), ("Bot", "assistant")),
        *(("function", "tool"), ("ipython", "tool"), ("tool-response", "tool")),
        *(("function_result", "tool"), ("Tool Output", "tool"), ("observation", "tool")),
        *(("function-call", "call"), ("tool_call", "call"), ("Function Call", "call")),
    ],
)
def test_a_role_has_many_names(name: str, role: str) -> None:
    assert find_role(name) == role


@pytest.mark.parametrize("name", ["narrator", "", "users", "tool_", 4, None, ["user"], {"a": 1}])
def test_others_are_nobody(name: object) -> None:
    assert find_role(name) is None


def test_the_names_are_listed_for_a_person() -> None:
    assert known_names().startswith("system, developer, user, human, prompter, assistant, gpt")
