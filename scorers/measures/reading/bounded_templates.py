"""Chat templates with bounds: a template is a program that came with a model, and may never end.

Jinja's sandbox keeps a template from the machine, and from no amount of work but `range`. Here
every pass of a loop and every call is counted, and every text and list that is made is weighed; a
conversation whose template goes beyond the bounds is refused as if the template had refused it.
"""

from collections.abc import Callable, Iterator, Sequence, Sized
from functools import cache, reduce, wraps
from typing import Any, cast

from jinja2 import Template, nodes, pass_context
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from scorers.measures.reading.template_bounds import (
    LARGEST_TEMPLATE,
    MOST_BITS,
    count_written,
    counting,
    go_through,
    refuse,
    require_narrow,
    require_result,
    require_size,
    take,
    weigh_value,
    write_out,
)

UNBOUNDED_FILTERS = (
    "center",
    "filesizeformat",
    "pprint",
    "striptags",
    "urlize",
    "wordwrap",
    "xmlattr",
)
"""For web pages, and without bounds; no chat template has a use for them."""

INSTANT_FILTERS = frozenset(("attr", "count", "d", "default", "first", "items", "last", "length"))
"""Filters that do not look at the elements of what they are given."""

BY_CHARACTER = frozenset(
    [
        "batch",
        "groupby",
        "join",
        "list",
        "map",
        "max",
        "min",
        "random",
        "reject",
        "rejectattr",
        "select",
        "selectattr",
        "slice",
        "sort",
        "sum",
        "title",
        "unique",
        "urlencode",
        "wordcount",
    ]
)
"""Filters to which a text is so many elements or words: each character is a step."""

SHALLOW_FILTERS = INSTANT_FILTERS | frozenset(
    ("batch", "list", "map", "reject", "rejectattr", "reverse", "select", "selectattr", "slice")
)
"""Filters that do not look into them."""


LOOP_NUMBERS = frozenset(("first", "index", "index0", "last", "length", "revindex", "revindex0"))
"""What a loop says of itself in numbers and truth values."""


@pass_context
def step(_: Context, written: int) -> bool:
    """Count a pass of a loop, and what it writes as it is."""
    take(1)
    count_written(written)
    return True


@pass_context
def weighed(_: Context, value: object) -> object:
    """A value that was made, or is compared or searched; all of it, where it is a list."""
    weigh_value(value, deep=type(value) is not str and isinstance(value, list | tuple))
    return value


@pass_context
def concatenated(_: Context, parts: Sequence[object]) -> str:
    """Texts joined, once they are known not to be too long."""
    require_size(sum(weigh_value(part, deep=True) for part in parts))
    return "".join(map(str, parts))


@pass_context
def added(context: Context, parts: Sequence[object]) -> object:
    """Values added one to the other, from the left; texts, as they mostly are, at once."""
    size = 0
    for part in parts:
        if type(part) is not str:
            call = context.environment.call_binop  # type: ignore[attr-defined]
            return reduce(lambda left, right: call(context, "+", left, right), parts)
        size += len(part)
    require_size(size)
    take(len(parts) - 1, size)
    return "".join(cast(Sequence[str], parts))


OWN = {
    "%step": step,
    "%weighed": weighed,
    "%concatenated": concatenated,
    "%added": added,
}
"""Filters that stand for these functions, by names that no template can write. They want the
context, or Jinja would have the constants among them done with while it compiles."""


class BoundedFunctions(dict[str, Callable[..., Any]]):
    """Filters or tests by name, each of which is counted."""

    def __setitem__(self, name: str, function: Callable[..., Any]) -> None:
        """Put a function there that weighs what it is given and what it makes."""
        # transformers marks those that want the context, which then is their first argument.
        first = 1 if hasattr(function, "jinja_pass_arg") else 0

        @wraps(function)
        def counted(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever it takes and gives
            given = (*args[first:], *kwargs.values())
            take(1)
            if name in BY_CHARACTER:
                take(sum(len(each) for each in given if isinstance(each, str)))
            if name not in INSTANT_FILTERS:
                go_through(given, deep=name not in SHALLOW_FILTERS)
            require_result(name, given)
            made = function(*args, **kwargs)
            go_through([made])
            return made

        super().__setitem__(name, counted)


class Counted(NodeTransformer):
    """Has a template tell its environment of what no hook of the sandbox sees."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        """Each pass, also one that a condition leaves out."""
        if node.test is not None:
            node.test = nodes.And(filtered(nodes.Const(0), "%step"), node.test)
        return self._counted_body(node)

    def _counted_body(self, node: Any) -> nodes.Node:  # noqa: ANN401 - For, Macro or CallBlock
        self.generic_visit(node)
        written = sum(len(text.data) for text in node.find_all(nodes.TemplateData))
        node.body.insert(0, nodes.ExprStmt(filtered(nodes.Const(written), "%step")))
        return node  # type: ignore[no-any-return]

    visit_Macro = visit_CallBlock = visit_FilterBlock = _counted_body

    def visit_Add(self, node: nodes.Add) -> nodes.Node:
        """Texts that `+` joins: each turn is a row of them."""
        self.generic_visit(node)
        left = node.left
        if isinstance(left, nodes.Filter) and left.name == "%added":
            parts = cast(nodes.List, left.node).items
        else:
            parts = [left]
        return filtered(nodes.List([*parts, node.right]), "%added")

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """Texts that `~` joins."""
        self.generic_visit(node)
        return filtered(nodes.List(node.nodes), "%concatenated")

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        """Copies of a part."""
        self.generic_visit(node)
        return filtered(node, "%weighed") if isinstance(node.arg, nodes.Slice) else node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        """What is compared, or searched."""
        self.generic_visit(node)
        compared: list[nodes.Compare | nodes.Operand] = [node, *node.ops]
        for each in compared:
            if not isinstance(each.expr, nodes.Const):
                each.expr = filtered(each.expr, "%weighed")
        return node


def filtered(node: nodes.Expr, name: str) -> nodes.Filter:
    """A call of one of our own functions: Jinja calls a filter at once."""
    return nodes.Filter(node, name, [], [], None, None)


class BoundedTemplate(Template):
    """A template each rendering of which has bounds of its own."""

    def render(self, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401 - as Jinja has it
        """See Template.render."""
        with counting():
            return super().render(*args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Iterator[str]:  # noqa: ANN401
        """See Template.generate."""
        with counting():
            yield from super().generate(*args, **kwargs)


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox that transformers renders chat templates in, with bounds."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))
    template_class = BoundedTemplate

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Jinja has it
        """The same arguments."""
        super().__init__(*args, **kwargs)
        self.finalize = write_out
        self.globals.pop("lipsum", None)  # random words, any number of them
        for functions, own in ((self.filters, "filters"), (self.tests, "tests")):
            bounded = BoundedFunctions()
            for name, function in functions.items():
                if name not in UNBOUNDED_FILTERS:
                    bounded[name] = cast(Callable[..., Any], function)
            setattr(self, own, bounded)
        self.filters.update(OWN)  # past what counts the others: these count

    def make_globals(self, d: Any) -> dict[str, Any]:  # noqa: ANN401 - as Jinja has it
        """See Environment.make_globals."""
        # One dict, for each rendering copies it, and two behind each other many times slower.
        return {**self.globals, **(d or {})}

    def getattr(self, obj: Any, attribute: str) -> Any:  # noqa: ANN401
        """See SandboxedEnvironment.getattr, which looks closely at what is a number here."""
        if type(obj) is LoopContext and attribute in LOOP_NUMBERS:
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)

    def compile(self, source: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """See Environment.compile."""
        if isinstance(source, str) and len(source) > LARGEST_TEMPLATE:
            refuse(f"its text has {len(source):,} characters of {LARGEST_TEMPLATE:,} at most")
        return super().compile(source, *args, **kwargs)

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401
        return super()._generate(Counted().visit(source), *args, **kwargs)

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """See SandboxedEnvironment.call."""
        owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
        if name in ("translate", "maketrans"):  # they can make anything of a text
            refuse(f"the method {name}")
        given = tuple([*each] if isinstance(each, Iterator) else each for each in args)
        take(1)
        if isinstance(owner, str | bytes | list | tuple | dict):
            weigh_value(owner, deep=isinstance(owner, list | tuple))
            require_result(name, (owner, *given, *kwargs.values()))
        go_through([*given, *kwargs.values()])
        made = super().call(context, function, *given, **kwargs)
        go_through([made])
        return made

    def wrap_str_format(self, value: Any) -> Any:  # noqa: ANN401
        """See SandboxedEnvironment.wrap_str_format."""
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        @wraps(wrapped)
        def formatted(*args: Any, **kwargs: Any) -> str:  # noqa: ANN401
            require_narrow(value.__self__, [args, kwargs])
            return str(wrapped(*args, **kwargs))

        return formatted

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401
        """See SandboxedEnvironment.call_binop."""
        take(1)
        if operator == "%":
            require_narrow(left, right)
        elif isinstance(left, int) and isinstance(right, int):
            power = left.bit_length() * right if operator == "**" else 0
            if power > MOST_BITS:
                refuse(f"a number of more than {MOST_BITS:,} bits")
        elif operator == "*":
            for times, value in ((left, right), (right, left)):
                if isinstance(times, int) and isinstance(value, Sized):
                    require_size(times * len(value))
        made = super().call_binop(context, operator, left, right)
        weigh_value(made)
        return made


@cache
def bound_templates() -> None:
    """Have transformers, and with it TRL, render every chat template within bounds.

    Raises:
        AttributeError: if transformers has its sandbox elsewhere by now.
    """
    from transformers.utils import chat_template_utils

    getattr(chat_template_utils, ImmutableSandboxedEnvironment.__name__)  # or nothing would change
    setattr(chat_template_utils, ImmutableSandboxedEnvironment.__name__, BoundedEnvironment)
    chat_template_utils._compile_jinja_template.cache_clear()
