"""Read the documentation of the installed Python: one entry for each documented object.

Only the modules of MODULES are imported. They need no C library that a build of Python may lack,
and importing them opens no window, no file and no connection. What would differ between two
machines or two runs of one Python (an address, a path, the order of a set) is left out here, once.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import FunctionType, ModuleType
from typing import Literal

Kind = Literal["module", "class", "function", "method"]

MODULE_NAMES = """
    argparse ast base64 bisect calendar cmd code codecs codeop collections colorsys configparser
    contextlib copy csv dataclasses difflib dis email.header email.utils enum filecmp fileinput
    fnmatch fractions functools getopt gettext glob graphlib gzip heapq hmac html html.parser
    http.client http.cookies imaplib inspect io ipaddress json json.decoder json.encoder keyword
    linecache logging logging.handlers mailbox mimetypes ntpath numbers operator optparse pathlib
    pickle pickletools pkgutil plistlib posixpath pprint profile queue quopri random re reprlib
    sched secrets selectors shelve shlex shutil smtplib socketserver stat statistics string
    subprocess tabnanny tarfile tempfile textwrap threading timeit tokenize trace traceback types
    typing unittest.case unittest.mock urllib.parse urllib.request uuid wave weakref
    xml.dom.minidom xml.etree.ElementTree xml.sax.saxutils zipapp zipfile
"""
MODULES = tuple(MODULE_NAMES.split())
LONGEST_SIGNATURE = 110
"""Characters; longer ones are unreadable on one line."""

UNSTABLE = re.compile(r" at 0x|/(usr|home|root|tmp|opt|var|Users|Library)\b|[A-Za-z]:\\\w")
"""An address, or a path such as a machine has."""
NOT_PROSE = re.compile(
    r"\s|>>>|\.\.\.|[-*+|] |\*\w+\* |:\w[\w ]*: |#|\d+[.)]|.*(\S  +\S|===|---|\t)"
)
"""A line of code, of a list, of a table or about one parameter."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One documented object of the standard library, as plain text."""

    name: str
    """Full dotted name, as in "textwrap.dedent"."""
    module: str
    kind: Kind
    doc: str
    signature: str | None = None
    """Parameters in parentheses, without self; None where Python knows none or it is not stable."""
    base: str | None = None
    """Name of the only base class, where there is one beside object."""
    methods: tuple["Entry", ...] = ()
    """Documented public methods that the class itself defines, in the order of their names."""

    @property
    def last_name(self) -> str:
        """The name without its module or class."""
        return self.name.rpartition(".")[2]


def flow(doc: str) -> str:
    """Undo the line breaks inside paragraphs of prose; leave code, lists and tables alone."""
    text = re.sub(r"(?<=\w[.!?:])  +(?=[A-Z`'\"])", " ", doc)
    text = re.sub(r":\w+:(?=`)", "", text).strip()
    blocks = (block.strip("\n").splitlines() for block in text.split("\n\n"))
    parts = ((" " if _is_prose(lines) else "\n").join(lines) for lines in blocks)
    return "\n\n".join(part.rstrip() for part in parts if part)


def _is_prose(lines: list[str]) -> bool:
    return not any(NOT_PROSE.match(line) for line in lines)


def sentences(doc: str) -> list[str]:
    """Sentences of the prose of a flowed docstring, code and lists left out."""
    prose = (block for block in doc.split("\n\n") if "\n" not in block and _is_prose([block]))
    split = (re.split(r"(?<=[a-z0-9)`'\"][.!?])\s+(?=[A-Z`'\"])", block) for block in prose)
    return [sentence.strip() for block in split for sentence in block if sentence.strip()]


def _documentation(thing: object) -> str:
    """The docstring as prose; "" where there is none or it might differ between machines."""
    doc = flow(inspect.getdoc(thing) or "")
    return "" if UNSTABLE.search(doc) else doc


def _signature(thing: object, is_method: bool) -> str | None:
    """Parameters as Python prints them; None where a default is no plain value."""
    try:
        signature = inspect.signature(thing)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    parameters = list(signature.parameters.values())[1 if is_method else 0 :]
    text = str(signature.replace(parameters=parameters))
    # "<" is a default without a literal; a set prints in another order in each process.
    unstable = UNSTABLE.search(text) or re.search(r"[<{]|frozenset|'/", text)
    return None if unstable or len(text) > LONGEST_SIGNATURE else text


def _methods(owner: type, name: str, module: str) -> tuple[Entry, ...]:
    """Documented public methods that a class defines itself."""
    own = ((key, thing) for key, thing in sorted(vars(owner).items()) if key[0] != "_")
    return tuple(
        Entry(f"{name}.{key}", module, "method", doc, _signature(thing, is_method=True))
        for key, thing in own
        if isinstance(thing, FunctionType) and thing.__doc__ and (doc := _documentation(thing))
    )


def _members(module: ModuleType) -> Iterator[Entry]:
    """Classes and functions that a module itself defines and documents, by name."""
    home = module.__name__
    for key, thing in sorted(vars(module).items()):
        # An alias would give one object two names, and the answer to "which class is it?" wrong.
        if key[0] == "_" or (getattr(thing, "__module__", ""), key) != (home, _own_name(thing)):
            continue
        name = f"{home}.{key}"
        if isinstance(thing, FunctionType) and (doc := _documentation(thing)):
            yield Entry(name, home, "function", doc, _signature(thing, is_method=False))
        elif isinstance(thing, type) and vars(thing).get("__doc__") and not _warns(thing):
            yield _class_entry(thing, name, home)


def _warns(thing: type) -> bool:
    """Whether a class watches each access to it, as those do that are about to be removed."""
    return type(thing).__getattribute__ is not type.__getattribute__


def _class_entry(thing: type, name: str, module: str) -> Entry:
    """A class; it inherits no docstring here, for that would describe its base."""
    bases = [base.__name__ for base in thing.__bases__ if base is not object]
    return Entry(
        name,
        module,
        "class",
        _documentation(thing),
        _signature(thing, is_method=False),
        base=bases[0] if len(bases) == 1 else None,
        methods=_methods(thing, name, module),
    )


def _own_name(thing: object) -> str:
    return getattr(thing, "__qualname__", "")


@cache
def read_documentation() -> tuple[Entry, ...]:
    """Every documented module, class and function of MODULES; methods stand in their class.

    Raises:
        RuntimeError: if Python runs with -OO, which removes all docstrings.
    """
    if not inspect.getdoc(flow):
        raise RuntimeError("Python runs with -OO, which removes the docstrings; run it without")
    entries: list[Entry] = []
    for name in MODULES:
        module = importlib.import_module(name)
        entries.append(Entry(name, name, "module", _documentation(module)))
        entries.extend(_members(module))
    return tuple(entry for entry in entries if entry.doc)


def find_entry(name: str) -> Entry | None:
    """A function or method by its dotted name, inherited ones too; None where there is none."""
    thing = _find(name)
    if not isinstance(thing, FunctionType) or not (doc := _documentation(thing)):
        return None
    module = _module_of(name)
    kind: Kind = "function" if module == name.rpartition(".")[0] else "method"
    return Entry(name, module, kind, doc, _signature(thing, is_method=kind == "method"))


def read_source(entry: Entry) -> str | None:
    """The code of an entry, without the indentation it has inside a class; None where unstable."""
    try:
        text = inspect.getsource(_find(entry.name))  # type: ignore[arg-type]
    except (OSError, TypeError):
        return None
    code = inspect.cleandoc("\n" + text)
    return None if UNSTABLE.search(code) else code


def _module_of(name: str) -> str:
    return max((module for module in MODULES if f"{name}.".startswith(f"{module}.")), key=len)


def _find(name: str) -> object:
    """The object with a full dotted name; None where this Python has none."""
    module = _module_of(name)
    thing: object = importlib.import_module(module)
    for attribute in name.removeprefix(module).split(".")[1:]:
        thing = getattr(thing, attribute, None)
    return thing
