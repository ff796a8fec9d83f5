"""Long texts on which a pattern or a loop that looks back, or ahead, at each place never ends."""

from collections.abc import Iterator

UNITS = (
    *("a", "A", " ", "\n", "\t", "0", "9", "{", "}", "[", "]", "(", ")", "<", ">", "`", '"', "'"),
    *(
        "\\",
        "-",
        "_",
        ".",
        ",",
        ":",
        ";",
        "/",
        "@",
        "#",
        "=",
        "+",
        "*",
        "%",
        "!",
        "?",
        "|",
        "^",
        "&",
    ),
    *(
        "a@",
        "a@a.",
        "@a",
        "a.",
        "a-",
        "a_",
        "1.",
        "1,",
        "1,000",
        "1 ",
        "1-",
        "1/",
        "-1",
        ": ",
        "a:",
    ),
    *("https://", "http://a", "www.", "\\boxed{", "\\boxed", "####", "#### ", "answer: ", "the "),
    *("final answer is ", "the final ", "<|im_start|>", "<|im_start|>user\n", "<|im_end|>"),
    *("<think>", "</think>", "```", "~~~", "```\n", "$", "$$", "{{", "}}", "{a}", "DE", "GB82 "),
    *(
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "-----END ",
        "sk-",
        "AKIA",
        "eyJ",
        "eyJ.",
        "ghp_",
    ),
    *("xoxb-", "SG.", "pypi-", "sep=", '"a":', '{"a":', "[[", "\n \n", " \n", "a\n", "A. ", "A\n"),
    *(
        "\u00e9",
        "\u4f60",
        "\u200b",
        "\U0001f600",
        "\uff11",
        "Error: ",
        "tags: ",
        "strftime_now(",
        "$1",
    ),
    *(
        "://",
        "+1 ",
        "(1",
        "00",
        "::",
        "f:",
        "f::",
        "ab ab ",
        "import ",
        "def a(",
        "x = ",
        "\r",
        "\r\n",
    ),
)
"""What is repeated; many are the beginnings of what patterns look for."""


def hostile_texts(size: int) -> Iterator[tuple[str, str]]:
    """What is repeated → a text of about so many characters: alone, and behind others."""
    for unit in UNITS:
        text = unit * (size // len(unit))
        yield f"{unit!r}", text
        yield f"{unit!r}, and another end", text + "\x00~end"
        yield f"{unit!r}, behind a beginning", f"x{text}"
        for run in ("a", "0", " "):
            yield f"{unit!r} before {run!r}", unit + run * size + "\x00"
    for opened, closed in ("{}", "[]", "()", "<>"):
        half = size // 2
        yield f"nested {opened}{closed}", opened * half + closed * half
        yield f"unbalanced {opened}{closed}", "\\boxed" + opened * half + closed * (half // 2)
