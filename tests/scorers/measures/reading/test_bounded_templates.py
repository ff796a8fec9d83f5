"""A chat template does what it did, or is refused; it neither goes on nor fills the memory."""

import threading
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers import PreTrainedTokenizerBase
from transformers.utils import chat_template_utils

from scorers.measures.protocols import Message
from scorers.measures.reading import template_bounds as bounds
from scorers.measures.reading.bounded_templates import (
    BY_CHARACTER,
    BoundedEnvironment,
    bound_templates,
)
from scorers.measures.reading.chat_format import (
    MissingTemplateError,
    RenderingError,
    render_text,
    render_texts,
    require_bounded,
)
from scorers.measures.reading.template_bounds import BeyondBoundsError
from tests.fine_tune.tiny import byte_tokenizer

SHIPPED = sorted(Path(str(files("trl") / "chat_templates")).glob("*.jinja"))

TALK: list[Message] = [
    {"role": "system", "content": "Be good."},
    {"role": "user", "content": "Hi <think> there"},
    {
        "role": "assistant",
        "content": "<think>\nhm\n</think>\n\nYes.",
        "tool_calls": [
            {"type": "function", "function": {"name": "f", "arguments": {"a": [1, {"b": "c"}]}}}
        ],
    },
    {"role": "tool", "name": "f", "content": "5"},
    {"role": "user", "content": "And?"},
    {"role": "assistant", "content": "Bye"},
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "f",
            "description": "Does.",
            "parameters": {"type": "object", "properties": {"a": {"type": "array"}}},
        },
    }
]

AGAIN = "{% set ns = namespace(x=START, y=START) %}{% for i in range(60) %}BODY{% endfor %}LAST"


def again(body: str, start: str = "'ab'", last: str = "") -> str:
    """A template that does something 60 times: what it doubles is then 10^18 times as large."""
    return AGAIN.replace("START", start).replace("BODY", body).replace("LAST", last)


MANY = "{% for i in range(99999) %}BODY{% endfor %}"
LONG = "{% set a = 'a' * 10000000 %}"
NESTED = "{% set ns.x = [ns.x, ns.x] %}"

BOMBS = {
    "loops in loops": MANY.replace("BODY", MANY),
    "a loop whose passes are left out": MANY.replace(
        "BODY", "{% for j in range(99999) if false %}{% endfor %}"
    ),
    "what loops write": MANY.replace("BODY", MANY.replace("BODY", "x" * 1000)),
    "letters": MANY.replace("BODY", "{% for j in 'x' * 1000000 %}{% endfor %}"),
    "calls of macros": "{% macro m(n) %}{% for i in range(10) %}{{ m(n - 1) if n else '' }}"
    "{% endfor %}{% endmacro %}{{ m(20) }}",
    "blocks of calls": "{% macro m() %}{{ caller() }}{% endmacro %}"
    + MANY.replace("BODY", "{% call m() %}" + "y" * 5000 + "{% endcall %}"),
    "blocks of filters": MANY.replace(
        "BODY", "{% filter upper %}" + "y" * 5000 + "{% endfilter %}"
    ),
    "blocks that are set": MANY.replace("BODY", "{% set x %}" + "y" * 5000 + "{% endset %}"),
    "text times a number": "{{ 'x' * 10**9 }}",
    "a number times text": "{{ 10**8 * 'xxxxxxxx' }}",
    "a list times a number": "{{ ([1] * 10**9) | length }}",
    "a power": "{{ 10 ** 999999999 }}",
    "a power of a power": again("{% set ns.x = ns.x * ns.x %}", "3"),
    "doubling by +": again("{% set ns.x = ns.x + ns.x %}"),
    "doubling by ~": again("{% set ns.x = ns.x ~ ns.x %}"),
    "doubling a list": again("{% set ns.x = ns.x + ns.x %}", "[1]"),
    "doubling by replace": again("{% set ns.x = ns.x.replace('a', ns.x) %}", "'aa'"),
    "doubling by format": again("{% set ns.x = '{}{}'.format(ns.x, ns.x) %}"),
    "doubling by %": again("{% set ns.x = '%s%s' % (ns.x, ns.x) %}"),
    "doubling by join": again("{% set ns.x = [ns.x, ns.x] | join %}"),
    "nested, as JSON": again(NESTED, "[1]", "{{ ns.x | tojson }}"),
    "nested, as text": again(NESTED, "[1]", "{{ ns.x }}"),
    "nested, joined": again(NESTED, "[1]", "{{ ns.x ~ '' }}"),
    "nested, compared": again(NESTED + NESTED.replace("x", "y"), "[1]", "{{ ns.x == ns.y }}"),
    "nested, found": again(NESTED + NESTED.replace("x", "y"), "[1]", "{{ [ns.y].index(ns.x) }}"),
    "nested mappings": again("{% set ns.x = {1: ns.x, 2: ns.x} %}", "{}", "{{ ns.x | string }}"),
    "a width": "{{ '%1000000000d' % 1 }}",
    "a width that is given": "{{ '%*d' % (1000000000, 1) }}",
    "a width of format": "{{ '{:1000000000}'.format(1) }}",
    "a width of format that is given": "{{ '{:{}}'.format(1, 1000000000) }}",
    "a width of a filter": "{{ '%1000000000d' | format(1) }}",
    "center": "{{ 'x'.center(10**9) }}",
    "ljust": "{{ 'x'.ljust(1000000000) }}",
    "zfill": "{{ '1'.zfill(1000000000) }}",
    "expandtabs": "{{ ('\t' * 1000).expandtabs(10000000) }}",
    "replace": LONG + "{{ a.replace('a', a) }}",
    "replace nothing": LONG + "{{ a | replace('', a) }}",
    "join": LONG + "{{ a.join(range(99999) | map('string')) }}",
    "a filter that joins": LONG + "{{ range(99999) | join(a) }}",
    "indent": "{% set a = 'a\n' * 1000000 %}{{ a | indent(1000000) }}",
    "indent by text": "{% set a = 'a\n' * 1000000 %}{{ a | indent(a) }}",
    "tojson": "{{ [[[1]]] | tojson(indent=1000000000) }}",
    "batch": "{{ [1] | batch(1000000000, 'x') | list }}",
    "slice": "{{ [1] | slice(1000000000) | list }}",
    "translate": LONG + "{{ a.translate({97: a}) }}",
    "output": LONG + MANY.replace("BODY", "{{ a }}"),
    "copies": LONG + MANY.replace("BODY", "{% set b = a[1:] %}"),
    "searches": LONG + MANY.replace("BODY", "{% set b = 'b' in a %}"),
    "searches from the end": LONG + "{{ a.rfind('b' ~ 'a' * 5000000) }}",
    "comparisons": LONG + "{% set b = a[1:] ~ 'b' %}" + MANY.replace("BODY", "{{ a == b }}"),
    "methods": LONG + MANY.replace("BODY", "{% set b = a.count('b') %}"),
    "splits": "{% set a = 'a ' * 1000000 %}" + MANY.replace("BODY", "{% set b = a.split() %}"),
    "filters": MANY.replace("BODY", "{% set b = range(99999) | sort %}"),
    "filters of elements": LONG + "{{ ([a] * 99999) | map('upper') | list | length }}",
    "tests of elements": LONG + "{{ ([a] * 99999) | select('in', a) | list | length }}",
    "mappings": MANY.replace("BODY", "{% set x = dict.fromkeys(range(99999)) %}"),
    "a long template": "x" * (bounds.LARGEST_TEMPLATE + 1),
}


def speaker(template: str) -> PreTrainedTokenizerBase:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that are met in no time: the same code, at another number."""
    monkeypatch.setattr(bounds, "MOST_STEPS", 20_000)
    monkeypatch.setattr(bounds, "MOST_WORK", 1 << 25)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_as_the_row_that_it_is(bomb: str) -> None:
    with pytest.raises(RenderingError, match="beyond the bounds of a template") as raised:
        render_text(speaker(BOMBS[bomb]), TALK, ())
    assert isinstance(raised.value.__cause__, BeyondBoundsError)
    assert bounds._running.spent is None


def test_other_sprawl_breaks_on_the_conversation() -> None:
    nested = "{% for i in [1] %}" * 30 + "{% endfor %}" * 30  # Python nests 20 blocks
    for template in (
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for i in range(10**9) %}{% endfor %}",
        "{% for i in [[1]] recursive %}{{ loop([[i]]) }}{% endfor %}",
        "{{ lipsum(n=10000000) }}",
        nested,
        "{{ " + "(" * 5000 + ")" * 5000 + " }}",
    ):
        with pytest.raises(RenderingError):
            render_text(speaker(template), TALK, ())


@pytest.mark.usefixtures("small")
def test_only_the_row_that_sets_it_off_is_refused() -> None:
    template = "{% for m in messages %}{% if m.content == 'go' %}BOMB{% endif %}"
    template += "{{ m.content }}{% endfor %}"
    tokenizer = speaker(template.replace("BOMB", BOMBS["loops in loops"]))
    rows = [[{"role": "user", "content": text}] for text in ("a", "go", "b")]
    first, second, third = render_texts(tokenizer, rows, ())
    assert (first, third) == ("a", "b")
    assert isinstance(second, RenderingError)
    require_bounded(tokenizer)


@pytest.mark.usefixtures("small")
def test_a_template_that_always_goes_beyond_is_refused_before_the_run() -> None:
    with pytest.raises(MissingTemplateError, match=r"beyond the bounds.*Name another"):
        require_bounded(speaker(BOMBS["loops in loops"]))
    require_bounded(speaker("{{ raise_exception('no') }}"))  # that may be this question's fault


@pytest.mark.usefixtures("small")
def test_it_holds_in_threads_each_by_itself() -> None:
    found: list[object] = []
    loops = "{% for i in range(9000) %}{% endfor %}ok"
    work = lambda: found.append(render_text(speaker(loops), TALK, ()))  # noqa: E731
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["ok"] * 4


def rendered(
    template: jinja2.Template, messages: Sequence[Message], more: Mapping[str, Any]
) -> str:
    try:
        return template.render(messages=messages, bos_token="<s>", eos_token="</s>", **more)
    except (jinja2.TemplateError, TypeError, ValueError, AttributeError, KeyError) as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_templates_in_use_write_what_they_wrote(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = file.read_text().replace("strftime_now(", "('x').format(")
    compiled = []
    for environment in (ImmutableSandboxedEnvironment, BoundedEnvironment):
        monkeypatch.setattr(chat_template_utils, "ImmutableSandboxedEnvironment", environment)
        compiled.append(chat_template_utils._cached_compile_jinja_template(text))
    for messages in (TALK, TALK[1:2], TALK[-2:] * 10):
        for tools in (None, TOOLS):
            for header in (False, True):
                more = {"tools": tools, "add_generation_prompt": header}
                before, after = (rendered(template, messages, more) for template in compiled)
                assert after == before
                assert "BeyondBounds" not in after


def test_a_thousand_turns_are_within_bounds() -> None:
    text = next(file for file in SHIPPED if file.stem == "gemma4").read_text()
    turns: list[Message] = [
        {"role": role, "content": "Hi"} for _ in range(500) for role in ("user", "assistant")
    ]
    bound_templates()
    assert len(render_text(speaker(text), turns[:200], ())) > 200
    steps = [steps_of(text, turns[:n]) for n in (100, 200)]
    grown = (steps[1] / steps[0] - 1) * steps[0] / 100**2  # a square: of each turn, for each turn
    assert grown * 1000**2 < bounds.MOST_STEPS


def steps_of(template: str, messages: Sequence[Message]) -> int:
    """How many steps a rendering takes."""
    compiled = chat_template_utils._compile_jinja_template(template)
    before = bounds._running.spent = bounds.Spent()
    jinja2.Template.render(compiled, messages=messages, bos_token="")
    bounds._running.spent = None
    return before.steps


def test_the_sandbox_is_where_it_is_replaced() -> None:
    bound_templates()
    compiled = chat_template_utils._compile_jinja_template("{{ 'still here' }}")
    assert isinstance(compiled.environment, BoundedEnvironment)


CALLS = {
    "batch": "batch(2)",
    "groupby": "groupby(0)",
    "join": "join('-')",
    "map": "map('upper')",
    "reject": "reject('none')",
    "rejectattr": "rejectattr('x')",
    "select": "select('string')",
    "selectattr": "selectattr('x')",
    "slice": "slice(2)",
}
AT_ONCE = frozenset(
    [
        "abs",
        "attr",
        "capitalize",
        "count",
        "d",
        "default",
        "dictsort",
        "e",
        "escape",
        "first",
        "float",
        "forceescape",
        "format",
        "indent",
        "int",
        "items",
        "last",
        "length",
        "lower",
        "replace",
        "reverse",
        "round",
        "safe",
        "string",
        "tojson",
        "trim",
        "truncate",
        "upper",
    ]
)
"""Filters that go through a text in one go, if at all, or do not take one."""


@pytest.mark.parametrize("name", sorted(BY_CHARACTER - {"sum"}))
def test_a_filter_that_takes_a_text_apart_has_a_step_for_each_character(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MOST_STEPS", 2_000)
    template = BoundedEnvironment().from_string(f"{{{{ t|{CALLS.get(name, name)} }}}}")
    assert template.render(t="x y." * 100)
    with pytest.raises(BeyondBoundsError, match="steps"):
        template.render(t="x y." * 501)


def test_every_filter_is_known_to_take_a_text_apart_or_not() -> None:
    own = {name for name in BoundedEnvironment().filters if not name.startswith("%")}
    assert own == BY_CHARACTER | AT_ONCE
    assert not BY_CHARACTER & AT_ONCE


@pytest.mark.parametrize(
    "body",
    [
        "{{ 'a' + b + 'c' + b }}",
        "{{ 'a' + (b + ('c' + b)) }}",
        "{{ (b + 'x') * 2 + '%s' % b }}",
        "{{ 1 + n + 2.5 }}",
        "{{ [1] + row + [b] }}",
        "{{ b + none + 'c' }}",
        "{{ b + n + 'c' }}",
        "{{ missing + 'a' + b }}",
        "{{ b + missing + 'a' }}",
        "{% macro m(x) %}{{ '<' + x + b + '>' }}{% endmacro %}{{ m('a') + m(b) + 'c' }}",
        "{% set b = b + 'y' + b %}{{ b + b }}{{ raised + b }}",
        "{% for i in row %}{{ loop.index + loop.index0 + loop.revindex }}{{ loop.first }}"
        "{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.cycle('p', 'q') }}{% endfor %}",
        "{% for i in row %}{{ loop.nothing }}{{ loop['first'] }}{{ loop.changed(i) }}{% endfor %}",
        "{% for i in row %}{{ loop.__class__.__name__ + 'a' + b }}{% endfor %}",
        "{% for i in row %}{{ loop.length.__class__ }}{% endfor %}",
    ],
)
def test_sums_and_loops_are_what_the_sandbox_makes_of_them(body: str) -> None:
    def write(environment: ImmutableSandboxedEnvironment) -> object:
        environment.globals["raised"] = "global "
        template = environment.from_string(body)
        try:
            return template.render(b="bé", n=3, row=[4, 5])
        except (TypeError, jinja2.TemplateError) as error:
            return type(error)

    assert write(BoundedEnvironment()) == write(ImmutableSandboxedEnvironment())


def test_a_long_sum_of_texts_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "LARGEST", 10)
    template = BoundedEnvironment().from_string("{{ (a + b + a) | length }}")
    assert template.render(a="aaa", b="bbbb") == "10"
    with pytest.raises(BeyondBoundsError, match="a value of more than 10 characters"):
        template.render(a="aaa", b="bbbbb")


def test_sums_of_texts_count_as_work_and_as_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    template = BoundedEnvironment().from_string("{% set x = a + a + a + a %}")
    template.render(a="a" * 25)
    monkeypatch.setattr(bounds, "MOST_STEPS", 2)
    with pytest.raises(BeyondBoundsError, match="more than 2 steps"):
        template.render(a="a")
    monkeypatch.undo()
    monkeypatch.setattr(bounds, "MOST_WORK", 99)
    with pytest.raises(BeyondBoundsError, match="more than 99 characters"):
        template.render(a="a" * 25)
