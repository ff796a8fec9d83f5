"""Requests that a model writes for a reply that is there: what is asked, and which are none."""

from collections.abc import Generator, Sequence

from pipeline.generation.maker import Ask, CallPlace, Unread, Wanted, ask_text
from pipeline.generation.shown_text import repeats_shown
from pipeline.generation.templates import fill_prompt, fixed_text
from pipeline.generation.written_text import has_no_content, refuses
from pipeline.measuring.measures.samples import Sampled

REQUEST = "reverse_instructions_request"


def write_request(
    reply: str, temperature: float, most: int
) -> Generator[Wanted, Sequence[Sampled], tuple[CallPlace, str | Unread]]:
    """Ask for the request that a text is a reply to; the call, and what came of it.

    Args:
        reply: the text.
        temperature: of the request.
        most: new tokens of it.
    """
    question = fill_prompt(REQUEST, {"reply": reply})
    ask = Ask("request", 0, [{"role": "user", "content": question}], temperature, most)
    request = yield from ask_text(ask, lambda text: fault_of_request(text, reply))
    return ask.place, request


def fault_of_request(request: str, reply: str) -> str:
    """Why a request is none; "" where it is one."""
    if has_no_content(request):
        return "no_content"
    if refuses(request):
        return "refusal"
    if repeats_shown(request, [reply]):
        return "quotes_reply"
    return "repeats_prompt" if repeats_shown(request, fixed_text(REQUEST)) else ""
