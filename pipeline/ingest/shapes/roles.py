"""Who speaks: the names that data sets have for the roles, in `role` as well as in `from`.

A turn whose name is that of a call is an assistant's, and its text is JSON: {"name", "arguments"}
or a list of them. Upper and lower case are the same, and so are "-", "_" and a space.
"""

from typing import Literal, TypeAlias

Role: TypeAlias = Literal["system", "developer", "user", "assistant", "tool", "call"]

NAMES: dict[Role, tuple[str, ...]] = {
    "system": ("system",),
    "developer": ("developer",),
    "user": ("user", "human", "prompter"),
    "assistant": ("assistant", "gpt", "chatgpt", "bing", "bard", "model", "ai", "bot"),
    "tool": (
        "tool",
        "observation",
        "function",
        "function_response",
        "function_result",
        "function_output",
        "tool_response",
        "tool_result",
        "tool_output",
        "ipython",
    ),
    "call": ("function_call", "tool_call", "tool_calls"),
}

_ROLES: dict[str, Role] = {name: role for role, names in NAMES.items() for name in names}


def find_role(name: object) -> Role | None:
    """The role that goes by a name; None where no role does."""
    if not isinstance(name, str):
        return None
    return _ROLES.get(name) or _ROLES.get(name.strip().lower().replace("-", "_").replace(" ", "_"))


def known_names() -> str:
    """Every name, for a message to a person."""
    return ", ".join(_ROLES)
