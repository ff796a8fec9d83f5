"""Turn a conversation into token ids, exactly as the trainer will.

A loss is worth storing only if it was measured on the tokens that will be trained. So the ids are
those TRL 1.16 makes of a conversational prompt/completion row:

    full     = apply_chat_template(prompt + [response])
    start    = length of the longest common prefix of full and
               apply_chat_template(prompt, add_generation_prompt=True)
    prompt   = full[:start]
    response = full[start:]

Tokenising the prompt alone and trusting its length would be off by one wherever a token spans the
boundary; the common prefix is not. The response includes the end of turn and whatever else the
template writes after it, for that is trained too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import numpy as np
from jinja2 import TemplateError
from numpy.typing import NDArray

from scorers.measures.protocols import Message
from scorers.measures.reading.bounded_templates import bound_templates
from scorers.measures.reading.template_bounds import BeyondBoundsError
from scorers.measures.reading.text_tokens import TextTokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Template = Literal["chat", "question_answer", "plain"]
"""chat: the tokenizer's own template. question_answer: GRAPE's minimal one (arXiv:2502.04194),
"Question: PROMPT \\n Answer: RESPONSE" and the end-of-text token, for base models. plain: none, as
Superfiltering's scorer reads (arXiv:2402.00530), the turns with a line break behind each, and the
response without an end."""

RULES_VERSION = 1
"""Raised when the same conversation would be cut otherwise; part of the template's fingerprint."""

RAISED_BY_TEMPLATES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecursionError,
    SyntaxError,  # of Python, for a template whose loops are nested deeper than it allows
    TypeError,
    ValueError,
)
"""What a template can come to beside its own errors: it is a program, and the row its input."""

Tools: TypeAlias = Sequence[Mapping[str, Any]]

NO_PROMPT = "the conversation begins with the response: there is no prompt"

MOST_CHARACTERS = 1 << 22
"""Of a conversation that is tokenised: a million tokens of prose. A tokenizer needs hundreds of
bytes for each."""

TOO_LONG = (
    f"the conversation is written in more than {MOST_CHARACTERS:,} characters, which no trainer "
    "reads at once: its tokens are not counted"
)

TURN_END = " \n "  # between the turns of question_answer


class MissingTemplateError(ValueError):
    """A model has no chat template that can be used, and one is to be used."""

    exit_code: ClassVar[int] = 2


class RenderingError(ValueError):
    """This conversation cannot be written in this template; other conversations may be."""


@dataclass(frozen=True, slots=True)
class RenderedExample:
    """One conversation as token ids, nothing cut off."""

    prompt: list[int]  # everything before the response, the assistant's header included
    header: list[int]
    """The assistant's header alone, never empty: header + response is the response without its
    prompt. It is the end of `prompt`, behind a beginning-of-text token where the prompt has one."""
    response: list[int]
    """What the trainer's loss is taken over, and in a row of several turns what is read between
    them; empty if the template writes nothing for it."""
    weights: list[float] | None = None
    """(response tokens,) what each counts in the trainer's loss, 0: read only; None: all 1."""

    @property
    def loss_tokens(self) -> int:
        """How many of the response's tokens the loss is taken over."""
        return len(self.response) if self.weights is None else int(self.trained.sum())

    @property
    def trained(self) -> NDArray[np.bool_]:
        """(response tokens,) whether the loss is taken over each."""
        if self.weights is None:
            return np.ones(len(self.response), dtype=np.bool_)
        return np.asarray(self.weights, dtype=np.float64) > 0


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Tools,
    response_at: int,
    template: Template,
) -> RenderedExample:
    """Tokenise the turns up to and including the response.

    Args:
        tokenizer: of the model that will read the ids.
        messages: canonical form; every field is handed to the template.
        tools: JSON schemas; none is the same as a row without a `tools` field.
        response_at: index of the response; turns after it are left out.
        template: see Template.

    Raises:
        RenderingError: if nothing stands before the response, or the template refuses the turns
            (some allow no system prompt, or only strictly alternating roles).
        MissingTemplateError: if the tokenizer has no chat template.
        ValueError: if it has no end-of-text token.
    """
    (turn,) = write_turns(tokenizer, [(messages, response_at)], tools, template)
    if isinstance(turn, RenderingError):
        raise turn
    tokens = TextTokens(tokenizer, add_special_tokens=template != "chat")
    tokens.read([turn.full])
    return cut_turn(tokens, turn, turn.full)


@dataclass(frozen=True, slots=True)
class WrittenTurn:
    """What is read of a conversation up to a turn, as text."""

    full: str
    """The turn included."""
    with_header: str
    """What stands before it, with the assistant's header: what is read at inference."""
    without_header: str


def write_turns(
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[tuple[Sequence[Message], int]],
    tools: Tools,
    template: Template,
    *,
    headers: bool = True,
) -> list[WrittenTurn | RenderingError]:
    """Write each conversation up to and including one of its turns.

    Args:
        tokenizer: with a chat template, where that is the template.
        asked: conversations in canonical form, and the index of the turn.
        tools: JSON schemas, of all of them.
        template: see Template.
        headers: whether what the template writes as the assistant's header is found out, which
            takes a rendering more. Without, the last token of the prompt stands for it.

    Returns:
        The texts, or why a conversation cannot be written, or not be read.

    Raises:
        MissingTemplateError: if the tokenizer has no chat template.
        ValueError: if it has no end-of-text token.
    """
    written = _write_turns(tokenizer, asked, tools, template, headers)
    return [
        RenderingError(TOO_LONG)
        if isinstance(turn, WrittenTurn) and len(turn.full) > MOST_CHARACTERS
        else turn
        for turn in written
    ]


def _write_turns(
    tokenizer: PreTrainedTokenizerBase,
    asked: Sequence[tuple[Sequence[Message], int]],
    tools: Tools,
    template: Template,
    headers: bool,
) -> list[WrittenTurn | RenderingError]:
    if template == "question_answer":
        end = end_of_text(tokenizer)
        return [_write_question_answer(end, messages, at, tools) for messages, at in asked]
    if template == "plain":
        return [_write_plain(messages, at, tools) for messages, at in asked]
    full = render_texts(tokenizer, [messages[: at + 1] for messages, at in asked], tools)
    before = [messages[:at] for messages, at in asked]
    with_header = render_texts(tokenizer, before, tools, header=True)
    without = render_texts(tokenizer, before, tools) if headers else with_header
    return [join_written(*texts) for texts in zip(full, with_header, without, strict=True)]


def join_written(
    full: str | RenderingError, with_header: str | RenderingError, without: str | RenderingError
) -> WrittenTurn | RenderingError:
    """The three texts of a turn, if the template wrote them all and in the way that is read."""
    for text in (full, with_header, without):
        if isinstance(text, RenderingError):
            return text
    assert isinstance(full, str) and isinstance(with_header, str) and isinstance(without, str)
    if full.startswith(with_header):
        return WrittenTurn(full, with_header, without)
    # Cut at what they have in common, the row would be trained behind a prompt that the model
    # never reads: where the header opens a thought, an answer without one.
    return RenderingError(
        "no_header: the chat template does not write the answer behind the header that the "
        "model reads at inference; name another as the recipe's `chat_template`"
    )


def render_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], tools: Tools
) -> list[int]:
    """Token ids of a prompt in the chat template, ending where the assistant is to answer.

    Raises:
        RenderingError: if there are no messages, or the template refuses them.
        MissingTemplateError: if the tokenizer has no chat template.
    """
    if not messages:
        raise RenderingError("there is no message to answer")
    require_template(tokenizer)
    return _apply_template(tokenizer, list(messages), tools, header=True)


def render_text(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    tools: Tools,
    *,
    header: bool = False,
) -> str:
    """The text whose token ids `render` gives: a conversation in the chat template, up to its end.

    Args:
        tokenizer: with a chat template.
        messages: canonical form.
        tools: JSON schemas.
        header: whether it goes on with the assistant's header, where that is to answer.

    Raises:
        RenderingError: if the template refuses the turns.
        MissingTemplateError: if the tokenizer has no chat template.
    """
    require_template(tokenizer)
    return str(_call_template(tokenizer, list(messages), tools, header=header, tokenize=False))


def render_texts(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Sequence[Message]],
    tools: Tools,
    *,
    header: bool = False,
) -> list[str | RenderingError]:
    """What `render_text` writes of each conversation, or why it does not, in one call for all."""
    if all(conversations):
        try:
            require_template(tokenizer)
            turns = [list(messages) for messages in conversations]
            written: Any = _call_template(tokenizer, turns, tools, header=header, tokenize=False)
            return list(written)
        except RenderingError:
            pass  # one of them is refused: which of them is found out below
    found: list[str | RenderingError] = []
    for messages in conversations:
        try:
            if not messages:
                raise RenderingError(NO_PROMPT)
            found.append(render_text(tokenizer, messages, tools, header=header))
        except RenderingError as error:
            found.append(error)
    return found


def template_fingerprint(tokenizer: PreTrainedTokenizerBase, template: Template) -> str:
    """SHA-256, 64 hex digits, of what decides the rendering besides the tokenizer's vocabulary."""
    written: Any = tokenizer.chat_template if template == "chat" else TURN_END
    tokens = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    parts = json.dumps([RULES_VERSION, template, written, tokens], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()


def require_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise MissingTemplateError if a tokenizer has no chat template."""
    if not tokenizer.chat_template:
        raise MissingTemplateError(
            f"{tokenizer.name_or_path} has no chat template, as base models often have none: name "
            "the tuned model, or a Jinja file as the recipe's `chat_template`; to measure without "
            "training, set `template: plain` or `question_answer`"
        )


def require_bounded(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise MissingTemplateError if a question and its answer take a template beyond its bounds."""
    question, answer = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}
    try:
        render_text(tokenizer, [question, answer], ())
    except RenderingError as error:
        if isinstance(error.__cause__, BeyondBoundsError):
            raise MissingTemplateError(
                f"{tokenizer.name_or_path}: {error}. Name another as the recipe's `chat_template`"
            ) from error


def _apply_template(
    tokenizer: PreTrainedTokenizerBase, messages: list[Message], tools: Tools, header: bool
) -> list[int]:
    encoded: Any = _call_template(tokenizer, messages, tools, header, tokenize=True)
    return list(encoded["input_ids"])


def _call_template(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[Message] | list[list[Message]],
    tools: Tools,
    header: bool,
    tokenize: bool,
) -> object:
    bound_templates()
    turns: Any = messages  # transformers' annotations know of text fields only
    # A trainer's row without tools holds null, and templates tell null from [].
    schemas: Any = list(tools) or None
    try:
        written: object = tokenizer.apply_chat_template(
            turns, tools=schemas, add_generation_prompt=header, tokenize=tokenize, return_dict=True
        )
        return written
    except TemplateError as error:
        raise RenderingError(f"the chat template refused the conversation: {error}") from error
    except RAISED_BY_TEMPLATES as error:
        # Such a message may quote the row; the class of the error does not.
        name = type(error).__name__
        raise RenderingError(f"the chat template broke on the conversation: {name}") from error


def cut_turn(tokens: TextTokens, turn: WrittenTurn, whole: str) -> RenderedExample:
    """Cut the ids of a turn at the response, and find the header in front of it.

    Args:
        tokens: which have read the whole text.
        turn: of it.
        whole: a text that the turn's may be beginnings of.

    Raises:
        RenderingError: if no response can be told from what stands before it.
    """
    full = tokens.ids(turn.full, whole)
    start = tokens.shared(turn.with_header, turn.full, whole)
    # A template without a header (Mistral's) leaves none; the token that ends the prompt then
    # plays its part: "[/INST]".
    header_start = min(tokens.shared(turn.with_header, turn.without_header, whole), start - 1)
    if header_start < 0:
        raise RenderingError("prompt and conversation share no token, so no response can be found")
    header = full[header_start:start]
    beginning = tokens.tokenizer.bos_token_id
    if beginning is not None and full[0] == beginning and header[0] != beginning:
        # Models that always saw this token first (Gemma) predict noise without it.
        header = [full[0], *header]
    return RenderedExample(prompt=full[:start], header=header, response=full[start:])


def end_of_text(tokenizer: PreTrainedTokenizerBase) -> str:
    """The token that ends a text.

    Raises:
        ValueError: if the tokenizer has none.
    """
    if tokenizer.eos_token is None:
        raise ValueError("question_answer ends a response with the end-of-text token; none is set")
    return str(tokenizer.eos_token)


def _write_question_answer(
    end: str, messages: Sequence[Message], at: int, tools: Tools
) -> WrittenTurn | RenderingError:
    if not at:
        return RenderingError(NO_PROMPT)
    turns = [json.dumps(tool, ensure_ascii=False) for tool in tools]
    turns += [_write_turn(message) for message in messages[:at]]
    before = TURN_END.join(turns) + " \n"
    question = before + " Answer:"
    answer = f" {_write_message(messages[at])}"
    full = question + answer + ("" if answer.endswith(end) else end)  # as TRL adds it
    return WrittenTurn(full, question, before)


def _write_plain(
    messages: Sequence[Message], at: int, tools: Tools
) -> WrittenTurn | RenderingError:
    if not at:
        return RenderingError(NO_PROMPT)
    turns = [json.dumps(tool, ensure_ascii=False) for tool in tools]
    before = "\n".join([*turns, *(_write_message(message) for message in messages[:at])])
    # The line break is what stands for a header.
    return WrittenTurn(f"{before}\n{_write_message(messages[at])}", f"{before}\n", before)


def _write_turn(message: Message) -> str:
    label = {"user": "Question: ", "assistant": "Answer: "}.get(message["role"], "")
    return label + _write_message(message)


def _write_message(message: Message) -> str:
    calls = message.get("tool_calls") or ()  # null in some rows
    written = [json.dumps(call["function"], ensure_ascii=False) for call in calls]
    parts = [message.get("reasoning_content"), message["content"], *written]
    return "\n".join(part for part in parts if part)
