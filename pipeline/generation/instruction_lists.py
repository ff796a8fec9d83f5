"""What models write who are asked for tasks: lists of instructions, and instances of one."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from pipeline.generation.maker import Unread, read_whole
from pipeline.generation.shown_text import repeats_shown
from pipeline.generation.templates import fixed_text
from pipeline.generation.written_text import refuses
from pipeline.measuring.measures.samples import Sampled
from scorers.measures.protocols import GeneratedAnswer
from scorers.words import split_words

ITEM = re.compile(
    r"^[ \t]*\d{1,3}[.)][ \t]*(.*?)(?=^[ \t]*\d{1,3}[.)]|\Z)", re.MULTILINE | re.DOTALL
)

LABELLED = re.compile(
    r"^[ \t*#]*(input|output|class label|label)[ \t*]*:[ \t*]*(.*?)"
    r"(?=^[ \t*#]*(?:input|output|class label|label|example \d+)[ \t*]*[:\n]|\Z)",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)

NO_TEXT = frozenset(
    [
        "image",
        "images",
        "graph",
        "graphs",
        "picture",
        "pictures",
        "file",
        "files",
        "map",
        "maps",
        "draw",
        "plot",
    ]
)
"""Words of instructions that ask for what is not text; and "go to"."""

NO_INPUT = frozenset({"", "none", "none.", "n/a", "no input", "(none)", "<noinput>"})

FEWEST_WORDS, MOST_WORDS = 4, 150


@dataclass(frozen=True, slots=True)
class TaskInstance:
    """An input, "" where none is needed, its output, and why it makes no row."""

    input: str
    output: str
    fault: str = ""


def read_instructions(reply: Sampled) -> list[str] | Unread:
    """The items of a numbered list, whatever their numbers; of one cut off not the last."""
    if isinstance(reply, GeneratedAnswer) and not reply.finished:
        items = list_items(reply.text)[:-1]
        return items or Unread("cut_off")
    text = read_whole(reply)
    return text if isinstance(text, Unread) else list_items(text) or Unread("no_list")


def list_items(text: str) -> list[str]:
    """Each item on one line; empty ones are no items."""
    items = [" ".join(item.split()) for item in ITEM.findall(text)]
    return [item for item in items if item]


def fault_of_instruction(text: str, shown: Sequence[str]) -> str:
    """Why an instruction is none that a text can answer; "" where it is.

    Args:
        text: the instruction.
        shown: of the prompt that asked for it, what is the same whatever is filled in.
    """
    words = split_words(text)
    if not FEWEST_WORDS <= len(words) <= MOST_WORDS:
        return "too_short" if len(words) < FEWEST_WORDS else "too_long"
    if not (text[0].isascii() and text[0].isalnum()):
        return "odd_beginning"
    if words[:3] == ["write", "a", "program"]:
        return "asks_for_program"
    if not NO_TEXT.isdisjoint(words) or ("go", "to") in pairwise(words):
        return "not_text"
    return "repeats_prompt" if repeats_shown(text, shown) else ""


def read_instances(reply: Sampled, *, label_first: bool) -> list[TaskInstance] | Unread:
    """The instances in a reply, each with what is wrong with it."""
    text = read_whole(reply)
    if isinstance(text, Unread):
        return text
    parts = [(name.casefold(), value.strip()) for name, value in LABELLED.findall(text)]
    found = pair_parts(parts, label_first=label_first)
    name = "output_first" if label_first else "input_first"
    shown = fixed_text(f"self_instruct_{name}")
    judged = [replace(each, fault=fault_of_instance(each, shown)) for each in found]
    return without_contradictions(judged) or Unread("no_instance")


def pair_parts(parts: Sequence[tuple[str, str]], *, label_first: bool) -> list[TaskInstance]:
    """Inputs with their outputs: the next one, or with labels first the one before."""
    found: list[TaskInstance] = []
    waiting: str | None = None
    for name, value in parts:
        is_input = name == "input"
        if is_input == label_first:  # the second of the two
            if is_input and waiting is not None:
                found.append(make_instance(value, waiting))
            elif not is_input:
                found.append(make_instance(waiting or "", value))
            waiting = None
        else:
            waiting = value
    return found


def make_instance(given: str, output: str) -> TaskInstance:
    """An instance; what says that there is no input is none."""
    return TaskInstance("" if given.casefold() in NO_INPUT else given, output)


def fault_of_instance(instance: TaskInstance, shown: Sequence[str]) -> str:
    """Why an instance is no row; "" where it is."""
    output = instance.output
    if not split_words(output):
        return "empty_output"
    if output == instance.input:
        return "output_is_input"
    if output.endswith(":") or instance.input.endswith(":"):
        return "ends_with_colon"
    if refuses(output):
        return "refusal"
    both = f"{instance.input}\n{output}"
    return "repeats_prompt" if repeats_shown(both, shown) else ""


def without_contradictions(instances: Sequence[TaskInstance]) -> list[TaskInstance]:
    """Mark instances whose input has several outputs, and those that come again."""
    outputs: dict[str, set[str]] = defaultdict(set)
    for each in instances:
        outputs[each.input].add(each.output)
    seen: set[TaskInstance] = set()
    marked = []
    for each in instances:
        fault = each.fault
        if not fault and len(outputs[each.input]) > 1:
            fault = "several_outputs"
        elif not fault and each in seen:
            fault = "duplicate"
        seen.add(each)
        marked.append(replace(each, fault=fault))
    return marked
