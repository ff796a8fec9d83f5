"""Docstrings as prose, and objects by name."""

from recipes.demo_data.documentation import find_entry, flow, read_documentation, sentences


def test_flow_joins_prose_and_leaves_code() -> None:
    doc = (
        "Return it.  Really,\neach time.\n\n>>> f(1)\n2\n\n- one\n- two\n\nSee :func:`g` for\nmore."
    )
    assert flow(doc) == (
        "Return it. Really, each time.\n\n>>> f(1)\n2\n\n- one\n- two\n\nSee `g` for more."
    )
    assert sentences(flow(doc)) == ["Return it.", "Really, each time.", "See `g` for more."]


def test_flow_keeps_spaces_inside_code() -> None:
    doc = "Decode::\n\n    >>> def f(x):\n    ...     return x"
    assert flow(doc) == doc


def test_finds_inherited_methods_and_no_others() -> None:
    inherited = find_entry("queue.LifoQueue.join")
    assert inherited is not None and inherited.kind == "method" and inherited.signature == "()"
    assert find_entry("queue.LifoQueue.nothing") is None
    function = find_entry("textwrap.dedent")
    assert function is not None and function.kind == "function" and function.signature == "(text)"


def test_leaves_out_what_differs_between_machines() -> None:
    entries = read_documentation()
    methods = [method for entry in entries for method in entry.methods]
    texts = [f"{entry.doc} {entry.signature}" for entry in (*entries, *methods)]
    assert not [text for text in texts if "/usr/" in text or "/tmp" in text or " at 0x" in text]
    # The docstring of tempfile names folders of a system; those of its functions do not.
    names = {entry.name for entry in entries}
    assert "tempfile" not in names and "tempfile.mkdtemp" in names
