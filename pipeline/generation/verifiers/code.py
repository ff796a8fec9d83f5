"""code: the Python code of the answer runs, apart from everything, and does what it must.

    `must`: run      ends with exit code 0
            asserts  and so does it with the `assert` lines of the prompt behind it, all reached
            output   prints what the code of the given response prints

Code is what stands in fenced blocks that name Python or nothing, all of them in a row. It is run
with the standard library alone, without network, in memory of its own, bounded in time, memory,
processes and output (pipeline/generation/sandbox.py). For tasks that say how they are tested. A
program near the limit of time may pass on one machine and not on another: give it room. Costs
50 ms and the time of the program for each answer. Asks nothing.
"""

import re
from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from pipeline.generation.sandbox import Bounds, Ran, require_sandbox, run_python
from pipeline.generation.verifier import VerifierBlock
from storage.conversations import content_hash
from storage.examples import Example

FENCED = re.compile(
    r"^ {0,3}```[ \t]*(\w*)[^\n]*\n(.*?)^ {0,3}```[ \t]*$", re.MULTILINE | re.DOTALL
)
PYTHON = frozenset({"", "python", "python3", "py"})
ASSERT = re.compile(r"^[ \t>]*(assert[ \t(].*)$", re.MULTILINE)
MIB = 2**20


class Code(VerifierBlock):
    """Its Python code runs, and passes what the row says."""

    method: Literal["code"]
    must: Literal["run", "asserts", "output"] = Field(
        default="asserts",
        description="run: end without an error; asserts: also with the assert lines of the prompt; "
        "output: print what the given response's code prints.",
    )
    seconds: int = Field(default=5, gt=0, description="Time of one program.")
    memory_mib: int = Field(default=512, ge=64, description="Memory of one program, MiB.")
    output_kib: int = Field(default=64, gt=0, description="Most that one program prints, KiB.")

    def require(self) -> None:
        """See VerifierBlock.

        Raises:
            NoSandboxError: if programs cannot be run apart here.
        """
        require_sandbox()

    def takes(self, example: Example) -> bool:
        """Rows that say what the code must do."""
        if self.must == "asserts":
            return bool(asserts_of(example.prompt))
        return self.must == "run" or code_of(example.response) is not None

    def faults(self, source: Example, texts: Sequence[str]) -> list[str]:
        """See VerifierBlock."""
        expected = None
        if self.must == "output":
            expected = self.run(code_of(source.response) or "")
            if expected.ending != "ended":
                return ["given_code_fails"] * len(texts)
        return [self._fault(source, code_of(text), expected) for text in texts]

    def _fault(self, source: Example, code: str | None, expected: Ran | None) -> str:
        if code is None:
            return "no_code"
        # Printed last of all, or an early exit would pass.
        reached = f"reached {content_hash([source.example_id, code])}"
        tests = asserts_of(source.prompt) if self.must == "asserts" else []
        ran = self.run("\n".join([code, *tests, *([f"print({reached!r})"] if tests else [])]))
        if ran.ending != "ended":
            return "code_failed" if ran.ending == "failed" else f"code_{ran.ending}"
        if tests and ran.output.rstrip().rpartition("\n")[2] != reached:
            return "code_ends_early"
        if expected is not None and ran.output.strip() != expected.output.strip():
            return "other_output"
        return ""

    def run(self, program: str) -> Ran:
        """Run a program within the bounds of the block."""
        return run_python(
            program, Bounds(self.seconds, self.memory_mib * MIB, self.output_kib * 2**10)
        )


def code_of(text: str) -> str | None:
    """The Python code in a text's fenced blocks; None where there is none."""
    blocks = [code for name, code in FENCED.findall(text) if name.lower() in PYTHON]
    return "\n".join(blocks) if any(map(str.strip, blocks)) else None


def asserts_of(prompt: str) -> list[str]:
    """The assert lines of a prompt."""
    return [line.rstrip() for line in ASSERT.findall(prompt)]
