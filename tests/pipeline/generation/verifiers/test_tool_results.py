import json
from pathlib import Path

import pytest

from pipeline.generation.verifier import Verdict
from pipeline.generation.verifiers.tool_results import ToolResults, read_stubs
from pipeline.ingest.rows import UnreadableSourceError
from scorers.measures.protocols import GeneratedAnswer
from tests.pipeline.generation.verifiers.given import faults, row

STUBS = '''
"""Stubs."""
import time

def take_away(a, b):
    print("not a result")
    return a - b

def look_up(key):
    return {"a": None, "b": [], "c": {"error": "no such"}, "d": {"error": ""}, "e": 0}[key]

def get_time(zone=""):
    time.sleep(30)

def endless():
    return "x" * 10**6

def give(x: int):
    return {x}
'''
TOOLS = [{"name": name} for name in ("take_away", "look_up", "get-time", "endless", "give")]
SOURCE = row("What is 5 less 3?", tools=TOOLS)


def call(name: str, /, **arguments: object) -> str:
    return json.dumps({"name": name, "arguments": arguments})


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> ToolResults:
    path = tmp_path_factory.mktemp("stubs") / "stubs.py"
    path.write_text(STUBS)
    return ToolResults(method="tool_results", stubs=str(path), seconds=1, judged=False)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (call("take_away", a=5, b=3), ""),
        (call("look_up", key="d"), ""),  # an error that is none
        (call("look_up", key="e"), ""),  # 0 is a result
        (call("look_up", key="a"), "no_result"),
        (call("look_up", key="b"), "no_result"),
        (call("look_up", key="c"), "error_result"),
        (call("look_up", key="z"), "call_failed"),
        (call("look_up", name="a"), "call_failed"),
        (call("give", x=1), "call_failed"),
        (call("get-time", zone="UTC"), "calls_too_slow"),
        (call("endless"), "calls_too_long"),
        (f"[{call('take_away', a=1, b=1)}, {call('look_up', key='a')}]", "no_result"),
        (call("run", x=1), "call_failed"),
        (json.dumps({"name": "take_away", "arguments": [5, 3]}), "call_failed"),
        ('<tool_call>"take_away"</tool_call>', "call_failed"),
        ("It is 2.", "no_call"),
    ],
)
def test_calls_are_run_and_give_something(block: ToolResults, answer: str, told: str) -> None:
    assert faults(block, SOURCE, answer) == [told]


def test_arguments_go_by_their_names_and_nothing_of_them_is_run(block: ToolResults) -> None:
    ran = block.run('{"name": "take_away", "arguments": {"b": 3, "a": 5}}')
    assert ran.shown == 'take_away({"b": 3, "a": 5}) = 2'
    text = '\'"""; exit(0)\\ \n\u2028'
    assert block.run(call("take_away", a=text, b=text)).fault == "call_failed"
    assert block.run(call("look_up", key="d", **{"class": 1})).fault == "call_failed"


def test_a_judge_is_asked_of_calls_that_ran_and_shown_what_they_gave(block: ToolResults) -> None:
    judging = block.model_copy(update={"judged": True})
    places = [("request", n) for n in range(4)]
    good, poor = call("take_away", a=5, b=3), call("take_away", a=5, b=4)
    verifying = judging.verify(SOURCE, places, [good, poor, call("look_up", key="a"), good])
    asks = next(verifying).asks
    assert len(asks) == 3 and SOURCE.prompt in str(asks[0].messages)
    assert '{"a": 5, "b": 4}) = 1' in str(asks[1].messages[0]["content"])
    answers = [GeneratedAnswer(said, 1, finished=True) for said in ("yes", "no", "perhaps")]
    (again,) = verifying.send(answers).asks
    with pytest.raises(StopIteration) as ended:
        verifying.send([GeneratedAnswer("both", 1, finished=True)])
    told: list[Verdict] = ended.value.value
    assert [each.fault for each in told] == ["", "other_results", "no_result", "unparsed_verdict"]
    assert [len(each.asked) for each in told] == [1, 1, 0, 2] and again.kind == "retry"


def test_rows_are_taken_whose_tools_all_have_a_stub(block: ToolResults) -> None:
    assert block.takes(SOURCE) and not block.takes(row("?"))
    assert not block.takes(row("?", tools=[TOOLS[0], {"name": "other"}]))


def test_the_key_has_the_text_of_the_stubs_and_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    first, second, broken = tmp_path / "a.py", tmp_path / "b.py", tmp_path / "c.py"
    first.write_text("def f(): return 1\n")
    second.write_text("def f(): return 1\n")
    broken.write_text("def f(:\n")
    blocks = [ToolResults(method="tool_results", stubs=str(each)) for each in (first, second)]
    assert blocks[0].key_part() == blocks[1].key_part()
    second.write_text("def f(): return 2\n")
    read_stubs.cache_clear()
    assert blocks[0].key_part() != blocks[1].key_part()
    for path in (broken, tmp_path / "none.py"):
        with pytest.raises(UnreadableSourceError, match="a function for each tool"):
            ToolResults(method="tool_results", stubs=str(path)).require()
    placed = ToolResults(method="tool_results", stubs="b.py").placed(tmp_path)
    assert placed.stubs == str(second)
