"""tool_results: the calls of the answer run, and what comes back is what the prompt asks for.

    run    each call is that of a function of `stubs`, with its arguments by their names
    judge  yes to: do the calls and what they gave do what the prompt asks

`stubs` is a Python file that has for each tool a function of its name, `_` for each sign in it that
Python's names do not have; what it gives is written as JSON. It runs apart from everything
(pipeline/generation/sandbox.py), all calls of an answer in one program. Faults: `call_failed` is an
exception, or what is no JSON; `no_result` is null or an empty text, list or object; `error_result`
an object with an `error` that is not; `calls_too_slow` and `calls_too_long` a bound. An answer
without calls has nothing to run, and goes as `no_call`. Put `tool_calls` before it, which tells
what is wrong with a call that no function would take.

For answers to prompts with tools, where a stub can stand for what a tool does. Not for tools that
change something or ask the network, which is not there: write for these what they would answer. A
stub that gives the same whatever it is given lets every value pass. Costs 50 ms and the time of the
calls for each answer, and with `judged` one call for each whose calls ran, and `retries` more.

The execution and the semantic check of Liu et al. 2024, "APIGen", arXiv:2406.18518.
"""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field

from pipeline.generation.judging import VERDICT_TOKENS, ask_together
from pipeline.generation.maker import CallKind, CallPlace, Unread
from pipeline.generation.maker_block import CallBounds
from pipeline.generation.sandbox import Bounds, require_sandbox, run_python
from pipeline.generation.templates import fill_prompt
from pipeline.generation.verifier import Verdict, VerifierBlock, Verifying
from pipeline.generation.verifiers.judged import judge_stage
from pipeline.generation.verifiers.tool_calls import arguments_of, calls_of, tool_of
from pipeline.ingest.rows import UnreadableSourceError
from storage.conversations import content_hash
from storage.examples import Example

JUDGE = "tool_results_judge"

RUN_CALLS = """
def _run_calls(calls, mark):
    import json
    told = []
    for name, arguments in calls:
        try:
            told.append([json.dumps(globals()[name](**arguments), allow_nan=False)])
        except Exception:
            told.append([])
    print("\\n" + mark + json.dumps(told))
"""
"""Stands behind the stubs. A call that failed is an empty list, for every JSON may be a result.

What a stub prints comes before the mark.
"""


class ToolResults(VerifierBlock):
    """Its calls run, and what they give is what was asked for."""

    method: Literal["tool_results"]
    stubs: str = Field(description="A Python file with a function for each tool, of its name.")
    seconds: int = Field(default=5, gt=0, description="Time of all calls of an answer.")
    memory_mib: int = Field(default=512, ge=64, description="Memory of the program, MiB.")
    judged: bool = Field(
        default=True, description="Whether the model is asked if the calls do what the prompt asks."
    )
    retries: int = Field(
        default=1, ge=0, description="How often a judge is asked again that said neither."
    )

    def placed(self, base: Path) -> Self:
        """See VerifierBlock."""
        return self.model_copy(update={"stubs": str(base / self.stubs)})

    def require(self) -> None:
        """See that programs can be run apart, and that the stubs are there.

        Raises:
            NoSandboxError: if they cannot.
            UnreadableSourceError: if the file is not there, or is no Python.
        """
        require_sandbox()
        read_stubs(self.stubs)

    def key_part(self) -> dict[str, Any]:
        """The stubs by their text: where they lie changes no verdict."""
        return super().key_part() | {"stubs": content_hash(read_stubs(self.stubs)[0])}

    def sent_prompts(self) -> Sequence[str]:
        """See VerifierBlock."""
        return [JUDGE] * self.judged

    def takes(self, example: Example) -> bool:
        """Rows all of whose tools have a stub."""
        _, names = read_stubs(self.stubs)
        return bool(example.tools) and all(
            python_name(tool_of(each)["name"]) in names for each in example.tools
        )

    def verify(
        self, source: Example, places: Sequence[CallPlace], texts: Sequence[str]
    ) -> Verifying:
        """See VerifierBlock."""
        ran = {place: self.run(text) for place, text in zip(places, texts, strict=True)}
        told = {place: Verdict(ran[place].fault) for place in places}
        if self.judged:
            questions = {
                f"results {judge_stage(place)}": fill_prompt(
                    JUDGE, {"prompt": source.prompt, "calls": ran[place].shown}
                )
                for place in places
                if not ran[place].fault
            }
            said = yield from ask_together(questions, self.retries)
            for place in places:
                if (stage := f"results {judge_stage(place)}") in said:
                    asked, verdict = said[stage]
                    told[place] = Verdict(fault_of_results(verdict), tuple(asked))
        return [told[place] for place in places]

    def calls_for(self, answers: int) -> Mapping[CallKind, CallBounds]:
        """See VerifierBlock."""
        if not self.judged:
            return {}
        return {
            "judge": CallBounds(0, answers, VERDICT_TOKENS),
            "retry": CallBounds(0, answers * self.retries, VERDICT_TOKENS),
        }

    def run(self, text: str) -> "RanCalls":
        """Run the calls of an answer."""
        listed = calls_of(text)
        if not listed:
            return RanCalls("no_call")
        stubs, names = read_stubs(self.stubs)
        calls = [
            (python_name(call["name"]), arguments)
            for call in listed
            if isinstance(call, dict) and isinstance(arguments := arguments_of(call), dict)
        ]
        if len(calls) < len(listed) or not names.issuperset(name for name, _ in calls):
            return RanCalls("call_failed")
        mark = content_hash([stubs, calls])
        given = json.dumps(calls)
        program = f"{stubs}\n{RUN_CALLS}\nimport json\n_run_calls(json.loads({given!r}), {mark!r})"
        ran = run_python(program, Bounds(self.seconds, self.memory_mib * 2**20))
        if ran.ending == "too_slow":
            return RanCalls("calls_too_slow")
        if ran.ending == "too_much_output":
            return RanCalls("calls_too_long")
        _, found, results = ran.output.rpartition(f"\n{mark}")
        if ran.ending != "ended" or not found:
            return RanCalls("call_failed")
        return read_call_results(calls, json.loads(results))


class RanCalls(NamedTuple):
    """What became of the calls of an answer."""

    fault: str
    shown: str = ""
    """Where there is no fault: each call and what it gave, a line each."""


def read_call_results(
    calls: Sequence[tuple[str, object]], told: Sequence[Sequence[str]]
) -> RanCalls:
    """What calls gave: a JSON text each, none where one failed."""
    lines = []
    for (name, arguments), given in zip(calls, told, strict=True):
        if not given:
            return RanCalls("call_failed")
        result = json.loads(given[0])
        if result is None or result in ("", [], {}):
            return RanCalls("no_result")
        if isinstance(result, dict) and result.get("error"):
            return RanCalls("error_result")
        lines.append(f"{name}({json.dumps(arguments)}) = {given[0]}")
    return RanCalls("", "\n".join(lines))


def fault_of_results(verdict: bool | Unread) -> str:
    """Why calls go that a judge was asked about; "" where the judge says yes."""
    if isinstance(verdict, Unread):
        return "unparsed_verdict"
    return "" if verdict else "other_results"


def python_name(name: object) -> str:
    """The name of a tool's function."""
    return re.sub(r"\W", "_", str(name))


@lru_cache(maxsize=4)
def read_stubs(path: str) -> tuple[str, frozenset[str]]:
    """The text of a file of stubs, and the names of its functions; read once in a process.

    Raises:
        UnreadableSourceError: if it is not there, or is no Python.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        found = ast.parse(text)
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableSourceError(
            f"stubs {path}: expected a Python file with a function for each tool; {error}"
        ) from error
    return text, frozenset(each.name for each in found.body if isinstance(each, ast.FunctionDef))
