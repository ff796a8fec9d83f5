"""A text that a server goes on from, instead of answering a chat.

POST /v1/completions {"prompt": [token ids], "stop": [end of the turn], …}
                     {"prompt": text, "stop": [texts that end an answer], …}
"""

from dataclasses import replace

from scorers.measures.endpoint.choices import finish_reason, read_choice_text
from scorers.measures.endpoint.reply import JsonReply, Reply, first_choice
from scorers.measures.protocols import (
    GeneratedAnswer,
    GenerationFailure,
    Opening,
    RawText,
)

GOES_ON = "completions"
"""Where a text is gone on from."""


def fields_to_go_on(opening: Opening | RawText, max_new_tokens: int) -> JsonReply:
    """What of a request is its own where an opening is gone on from."""
    if isinstance(opening, RawText):
        stops = [*opening.stops]
        return {"prompt": opening.text, "max_tokens": max_new_tokens, "stop": stops}
    return {
        "prompt": [int(token) for token in opening.ids],  # as ids: nothing is put in front
        "max_tokens": max_new_tokens,
        "stop": [opening.end],
        "stop_token_ids": [opening.end_id],  # vLLM's own, as is the next; others pass them over
        "skip_special_tokens": False,  # or one in the middle would go unseen
    }


def read_continuation(reply: Reply) -> GeneratedAnswer | GenerationFailure:
    """Take the text out of a completion of a text; what is none gets a name."""
    if isinstance(reply, GenerationFailure):
        return reply
    choice = first_choice(reply)
    text = choice.get("text") if choice is not None else None
    if choice is None or not isinstance(text, str):
        return GenerationFailure("malformed_reply", "no choices[0].text")
    finish = finish_reason(choice)
    if finish == "content_filter":
        return GenerationFailure("content_filter", "withheld by the server's filter")
    return read_choice_text(text, finish, reply)


def without_end(
    answer: GeneratedAnswer | GenerationFailure, opening: Opening | RawText
) -> GeneratedAnswer | GenerationFailure:
    """A text without what ended it, which some servers leave in."""
    if isinstance(answer, GenerationFailure):
        return answer
    if isinstance(opening, RawText):
        text, met = opening.answer_in(answer.text)
        return replace(answer, text=text, finished=answer.finished or met)
    return replace(answer, text=answer.text.removesuffix(opening.end))
