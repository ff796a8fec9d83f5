import pytest

from pipeline.generation.sandbox import NoSandboxError, require_sandbox
from pipeline.generation.verifiers.code import Code, asserts_of, code_of
from tests.pipeline.generation.verifiers.given import faults, row

TASK = row(
    "Write double.\n\nassert double(2) == 4\n  assert double(-1) == -2\nDo not assert more.",
    "```python\nprint(sum(range(4)))\n```",
)


@pytest.fixture(scope="module", autouse=True)
def sandbox() -> None:
    try:
        require_sandbox()
    except NoSandboxError as error:
        pytest.skip(str(error))


def fenced(code: str, name: str = "python") -> str:
    return f"So:\n```{name}\n{code}\n```\nThat is it."


def test_code_is_what_stands_in_blocks_of_python() -> None:
    assert code_of("no code") is None and code_of(fenced(" ")) is None
    assert (
        code_of(fenced("a = 1") + fenced("ls", "bash") + fenced("b = 2", "py"))
        == "a = 1\n\nb = 2\n"
    )
    assert code_of("```\nx = 1\n```") == "x = 1\n"
    assert asserts_of(TASK.prompt) == ["assert double(2) == 4", "assert double(-1) == -2"]


def test_the_asserts_of_the_prompt_must_all_be_reached_and_hold() -> None:
    verifier = Code(method="code", seconds=20)
    right = "def double(n):\n    return 2 * n"
    told = faults(
        verifier,
        TASK,
        fenced(right),
        fenced("def double(n):\n    return n * n"),
        fenced(f"{right}\nraise SystemExit(0)"),
        fenced(f"{right}\nprint('reached')\nimport os\nos._exit(0)"),
        "double(n) = 2 n",
    )
    assert told == ["", "code_failed", "code_ends_early", "code_ends_early", "no_code"]
    assert verifier.takes(TASK) and not verifier.takes(row("Write double."))


def test_the_output_must_be_that_of_the_given_code() -> None:
    verifier = Code(method="code", must="output", seconds=20)
    told = faults(verifier, TASK, fenced("print(6)"), fenced("print(7)"), fenced("print(6"))
    assert told == ["", "other_output", "code_failed"]
    broken = row("a", fenced("1 / 0"))
    assert faults(verifier, broken, fenced("1 / 0")) == ["given_code_fails"]
    assert not verifier.takes(row("a", "in words"))


def test_code_that_does_not_end_is_named() -> None:
    short = Code(method="code", must="run", seconds=1)
    assert faults(short, TASK, fenced("while True: pass")) == ["code_too_slow"]
    narrow = Code(method="code", must="run", seconds=20, output_kib=1)
    assert faults(narrow, TASK, fenced("print('x' * 5000)")) == ["code_too_much_output"]
