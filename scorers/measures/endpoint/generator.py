"""Answers from an OpenAI-compatible server: vLLM, llama.cpp, OpenAI and the many alike.

What a server does not promise: that a seed gives the same answer twice, or in other company
(`seed` is sent; vLLM keeps to it but for rounding), or that its own sampling defaults are off.
`temperature` and `top_p` 1 are sent; a vLLM server should also be started with
`--generation-config vllm`, or it takes `top_k` and penalties from the model's folder.
Replies are kept where the settings name a folder for them, so that none is asked for twice.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from scorers.measures.endpoint.choices import as_tokens, finish_reason, read_choice_text
from scorers.measures.endpoint.client import EndpointSettings, get_json
from scorers.measures.endpoint.continuation import (
    GOES_ON,
    fields_to_go_on,
    read_continuation,
    without_end,
)
from scorers.measures.endpoint.forms import form_fields, read_form
from scorers.measures.endpoint.reply import JsonReply, Reply, first_choice
from scorers.measures.endpoint.request_cache import post_once, request_key
from scorers.measures.models.loading import MissingModelError
from scorers.measures.protocols import (
    AnswerForm,
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
    Message,
)

COMPLETIONS = "chat/completions"

ReadReply: TypeAlias = Callable[[Reply], GeneratedAnswer | GenerationFailure]

MOST_NAMES = 40
"""Served models that a message names."""

MOST_HELD_BYTES = 1 << 29
"""Of the answers to the requests of one call: 64 KiB of each of 8,192."""

SEED_LIMIT = 2**31  # servers read seeds as 32 or 64 bits, signed or not; below this all agree


class HeldAnswers:
    """The answers of one call, which are in memory together: so many bytes of them."""

    def __init__(self) -> None:
        self._room = MOST_HELD_BYTES

    def take(
        self, read: ReadReply, reply: Reply, form: AnswerForm | None
    ) -> GeneratedAnswer | GenerationFailure:
        """What is read; an answer there is no room for is had when it is asked for again."""
        answer = read(reply)
        if isinstance(answer, GeneratedAnswer):
            answer = read_form(answer, reply, form)
            size = sys.getsizeof(answer.text)  # one sign beyond Latin takes all to twice, or more
            if size > self._room:
                most = f"more than {MOST_HELD_BYTES >> 20} MiB of answers to what is asked together"
                return GenerationFailure("reply_too_large", most)
            self._room -= size
        return answer


@dataclass(frozen=True, slots=True)
class EndpointGenerator:
    """An AnswerGenerator over HTTP."""

    settings: EndpointSettings

    def sample(
        self, requests: Sequence[GenerationRequest]
    ) -> list[GeneratedAnswer | GenerationFailure]:
        """Answer each request; failures are values, in the place of the request.

        Reasons: "timeout", "no_connection", "context_length", "http_NNN", "malformed_reply",
        "reply_too_large", "web_page", "unsound_text", "empty_answer", "refusal", "content_filter",
        "tool_calls".

        Raises:
            ValueError: if the environment variable with the key is not set.
            FormRefusedError: if the server takes no such form of an answer.
        """
        held = HeldAnswers()
        found: dict[int, GeneratedAnswer | GenerationFailure] = {}
        for path, read in ((COMPLETIONS, read_answer), (GOES_ON, read_continuation)):
            asked = [i for i, request in enumerate(requests) if _path_of(request) == path]
            if asked:
                replies = self._post(path, read, [requests[i] for i in asked], held)
                found |= zip(asked, replies, strict=True)
        return [
            without_end(found[i], request.opening) if request.opening else found[i]
            for i, request in enumerate(requests)
        ]

    def _post(
        self,
        path: str,
        read: ReadReply,
        requests: Sequence[GenerationRequest],
        held: HeldAnswers,
    ) -> list[GeneratedAnswer | GenerationFailure]:
        """Ask what goes to one path."""

        def take(at: int, reply: Reply) -> GeneratedAnswer | GenerationFailure:
            return held.take(read, reply, requests[at].form)

        bodies = [_generation_body(self.settings, request) for request in requests]
        return post_once(self.settings, path, bodies, take, partial(is_answer, read))

    def kept_at(self, request: GenerationRequest) -> str:
        """The file of a reply to it below the folder of all models' replies; "" without one."""
        if self.settings.cache is None:
            return ""
        body = _generation_body(self.settings, request)
        key = request_key(self.settings.base_url, _path_of(request), body)
        return f"{self.settings.cache.name}/{key[:2]}/{key}.json"

    def fingerprint(self) -> str:
        """`endpoint_fingerprint` of the served model."""
        return endpoint_fingerprint(self.settings)


def endpoint_fingerprint(settings: EndpointSettings) -> str:
    """Hash what the server says of the model: its address, the model's name and its root.

    Weak: nothing here changes when other weights are served under the same name.

    Raises:
        MissingModelError: if the server cannot be asked, or does not serve the model.
    """
    said = _find_entry(settings).get("root")
    root = said if isinstance(said, str) else None  # what else it may be names no weights
    identity = {"base_url": settings.base_url.rstrip("/"), "id": settings.model, "root": root}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def served_window(settings: EndpointSettings) -> int | None:
    """Tokens of prompt and answer that the server says it reads, as vLLM does; else None.

    Raises:
        MissingModelError: as `endpoint_fingerprint`.
    """
    return as_tokens(_find_entry(settings).get("max_model_len"))


def _find_entry(settings: EndpointSettings) -> JsonReply:
    """What the server's list says of the model."""
    reply = get_json(settings, "models")
    if isinstance(reply, GenerationFailure):
        raise MissingModelError(
            f"{settings.base_url}/models: {reply.reason} ({reply.detail}). "
            "Is the server up, the address right and the key set?"
        )
    served = _served_models(reply)
    if settings.model not in served:
        shown = sorted(name for name in served if name.isprintable())[:MOST_NAMES]
        raise MissingModelError(
            f"{settings.base_url} serves no {settings.model!r}. "
            f"There are: {', '.join(shown) or 'none'}."
        )
    return served[settings.model]


def wire_message(message: Message) -> dict[str, Any]:
    """A canonical message as the API wants it: arguments as JSON text, no training weight.

    `reasoning_content` is passed on: vLLM gives it to the chat template, OpenAI refuses it.
    """
    wire = {key: value for key, value in message.items() if key != "weight"}
    if "tool_calls" in wire:
        wire["tool_calls"] = [_wire_call(call) for call in message["tool_calls"]]
    return wire


def read_answer(reply: Reply) -> GeneratedAnswer | GenerationFailure:
    """Take the answer out of a chat completion; what is not a whole answer gets a name."""
    if isinstance(reply, GenerationFailure):
        return reply
    choice = first_choice(reply)
    message = choice.get("message") if choice is not None else None
    if choice is None or not isinstance(message, dict):
        return GenerationFailure("malformed_reply", "no choices[0].message")
    finish = finish_reason(choice)
    if (stopped := _stopped_short(message, finish)) is not None:  # before content, null in these
        return stopped
    text = message.get("content")
    if text is not None and not isinstance(text, str):
        return GenerationFailure("malformed_reply", f"content is {type(text).__name__}, not text")
    return read_choice_text(text, finish, reply)


def is_answer(read: ReadReply, reply: JsonReply) -> bool:
    """Whether a reply has an answer, whole or cut off."""
    return isinstance(read(reply), GeneratedAnswer)


def _path_of(request: GenerationRequest) -> str:
    return GOES_ON if request.opening else COMPLETIONS


def _generation_body(settings: EndpointSettings, request: GenerationRequest) -> JsonReply:
    body = {
        **settings.extra_body,
        "model": settings.model,
        "temperature": request.temperature,
        "top_p": 1.0,
        "seed": request.seed % SEED_LIMIT,
    }
    if request.opening:
        body |= fields_to_go_on(request.opening, request.max_new_tokens)
        return {**body, **form_fields(settings.forms, request.form, tell_options=False)}
    body |= {
        "messages": [wire_message(message) for message in request.messages],
        settings.length_field: request.max_new_tokens,
        **form_fields(settings.forms, request.form),
    }
    # Some servers refuse an empty list.
    return {**body, "tools": list(request.tools)} if request.tools else body


def _wire_call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    arguments = function["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return {**call, "function": {**function, "arguments": text}}


def _stopped_short(message: JsonReply, finish: str) -> GenerationFailure | None:
    """The ways in which a model declines to answer in text."""
    if message.get("refusal"):
        return GenerationFailure("refusal", "the model refused")
    if finish == "content_filter":
        return GenerationFailure("content_filter", "withheld by the server's filter")
    if message.get("tool_calls") or finish == "tool_calls":
        return GenerationFailure("tool_calls", "the model called a tool; only text is taken")
    return None


def _served_models(reply: JsonReply) -> dict[str, JsonReply]:
    listed = reply.get("data")
    entries = listed if isinstance(listed, list) else []
    return {
        entry["id"]: entry
        for entry in entries
        if isinstance(entry, dict) and isinstance(entry.get("id"), str)
    }
