"""The gate of text that a model or a server wrote, on its way into files and tables.

Neither JSON nor Parquet nor a table takes half of a surrogate pair, and readers end a text at NUL.
An answer that holds one is refused, for any repair of it would be another answer. Of a message,
such as a chat template's own, what cannot be stored is spelled out.
"""

from scorers.measures.protocols import GeneratedAnswer, GenerationFailure

LONGEST_MESSAGE = 2000
"""Characters; a template may put a whole row into its complaint."""


def check_answer(answer: GeneratedAnswer) -> GeneratedAnswer | GenerationFailure:
    """The answer, or the failure "unsound_text"."""
    flaw = find_flaw(answer.text)
    return GenerationFailure("unsound_text", f"the answer holds {flaw}") if flaw else answer


def storable_message(text: str) -> str:
    """A message as it can be stored, and no longer than can be read."""
    shown = text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + " …"
    if find_flaw(shown):
        shown = shown.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    return shown


def find_flaw(text: str) -> str:
    """What keeps a text out of files and tables; empty where nothing does."""
    if "\0" in text:
        return "NUL"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a lone surrogate"
    return ""
