"""Sampled answers that do not depend on the company they were asked in.

    token = argmax over v of  logit_v / temperature + g(seed, step, v)

g is Gumbel noise, -log(-log u), and u a hash of the request's seed, the step and the token's
number; the arg-max is then a draw from softmax(logit / temperature) (Maddison et al. 2014,
arXiv:1411.0030). There is no generator whose state another request could advance, so an answer is
a function of its request. What remains is rounding: a batch of another shape changes logits in the
sixth digit. Only two tokens that close can change places, where drawing a uniform number and
walking the cumulative distribution would move all its thousands of borders.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicLayer

from scorers.measures.model_text import check_answer
from scorers.measures.protocols import (
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
    Opening,
    RawText,
)
from scorers.measures.reading.answer_forms import FormGuide
from scorers.measures.reading.chat_format import RenderingError, render, render_prompt
from scorers.measures.reading.padding import pad_rows
from scorers.measures.reading.prefix_tree import shared_length
from scorers.measures.splitmix64 import GOLDEN, mix, shift_right, signed

BATCH_TOKENS = 32768
"""Most tokens that the key-value cache of one batch may come to hold; halved if memory is short."""

BATCH_ANSWERS = 64

WORTH_SHARING = 256
"""Tokens that are not read again, for which prompts' common beginning is read by itself."""


@dataclass(slots=True)
class _Draft:
    """An answer being written."""

    request: GenerationRequest
    prompt: list[int]
    stops: frozenset[int]
    tokens: list[int] = field(default_factory=list)
    stopped: bool = False
    fault: Literal["", "not_finite", "form_too_large"] = ""
    guide: FormGuide | None = None
    ends: Callable[[Sequence[int]], bool] | None = None
    """Whether the last token completed a text that ends the answer."""
    options: Mapping[str, float] | None = None

    @property
    def done(self) -> bool:
        return self.stopped or bool(self.fault) or len(self.tokens) >= self.request.max_new_tokens


def sample_answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[GenerationRequest],
    max_tokens: int,
) -> list[GeneratedAnswer | GenerationFailure]:
    """Answer each request; see AnswerGenerator.

    Args:
        model: in evaluation mode.
        tokenizer: with a chat template, if a request has messages.
        requests: any mixture of lengths, temperatures and seeds.
        max_tokens: the model's window. A request that does not fit fails with "context_length"
            whole, for an answer squeezed into what is left would look unfinished by choice.

    Raises:
        ValueError: if a temperature is negative, no new tokens are allowed, or a form is none
            that can be kept to.
    """
    raw = all(isinstance(request.opening, RawText) for request in requests)
    stops = end_tokens(model, tokenizer) if raw else stop_tokens(model, tokenizer)
    begun = [_begin(tokenizer, request, max_tokens, stops) for request in requests]
    drafts = [draft for draft in begun if isinstance(draft, _Draft)]
    for draft in drafts:
        if draft.request.form is not None:
            size = model.config.get_text_config().vocab_size
            draft.guide = FormGuide(tokenizer, size, stops, draft.request.form)
    # Same prompts side by side, to be read once; long ones first, to meet memory's end early.
    drafts.sort(key=lambda draft: (-len(draft.prompt), draft.prompt))
    _write_all(model, drafts)
    return [_finish(tokenizer, each) if isinstance(each, _Draft) else each for each in begun]


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens that end a text."""
    ends: Any = model.generation_config.eos_token_id if model.generation_config else None
    return frozenset({*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id}) - {
        None
    }


def stop_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens that end an answer: end of text, and what the chat template ends a turn with."""
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "x"}]
    turn = render(tokenizer, turns, (), 1, "chat").response
    special = [token for token in turn if token in tokenizer.all_special_ids]
    # The last alone: others may stand inside of a turn, such as between channels.
    return end_tokens(model, tokenizer).union(special[-1:])


def text_ends(
    tokenizer: PreTrainedTokenizerBase, stops: Sequence[str]
) -> Callable[[Sequence[int]], bool]:
    """Whether the last of some tokens completes one of the texts."""
    # Each token but the last has a byte of the stop at least, or it began before it.
    most = max(len(stop.encode()) for stop in stops) + 1

    def met(tokens: Sequence[int]) -> bool:
        tail = str(tokenizer.decode([*tokens[-most:]], skip_special_tokens=True))
        return any(stop in tail for stop in stops)

    return met


def _begin(
    tokenizer: PreTrainedTokenizerBase,
    request: GenerationRequest,
    max_tokens: int,
    stops: frozenset[int],
) -> _Draft | GenerationFailure:
    if request.temperature < 0:
        raise ValueError(f"temperature cannot be negative, got {request.temperature}")
    if request.max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {request.max_new_tokens}")
    try:
        prompt = _prompt_ids(tokenizer, request)
    except RenderingError as error:
        return GenerationFailure("template", str(error))
    wanted = len(prompt) + request.max_new_tokens
    if wanted > max_tokens:
        detail = f"prompt and new tokens come to {wanted}, the model takes {max_tokens}"
        return GenerationFailure("context_length", detail)
    own = frozenset({request.opening.end_id} if isinstance(request.opening, Opening) else ())
    draft = _Draft(request, prompt, stops | own)
    if isinstance(request.opening, RawText):
        draft.ends = text_ends(tokenizer, request.opening.stops)
    return draft


def _prompt_ids(tokenizer: PreTrainedTokenizerBase, request: GenerationRequest) -> list[int]:
    if isinstance(request.opening, Opening):
        return list(request.opening.ids)
    if isinstance(request.opening, RawText):
        # With the token that the tokenizer begins a text with, as servers put it there.
        ids: Any = tokenizer(request.opening.text)["input_ids"]
        return list(ids)
    return render_prompt(tokenizer, request.messages, request.tools)


def _finish(
    tokenizer: PreTrainedTokenizerBase, draft: _Draft
) -> GeneratedAnswer | GenerationFailure:
    if draft.fault:
        what = {
            "not_finite": "the model's logits were not finite",
            "form_too_large": "the grammar of its form grew beyond llguidance's bounds",
        }
        return GenerationFailure(
            draft.fault, f"{what[draft.fault]} at new token {len(draft.tokens)}"
        )
    opening, tokens = draft.request.opening, draft.tokens
    if tokens[-1] in draft.stops:  # without the one that ended it
        tokens = tokens[:-1]
    text = str(tokenizer.decode(tokens, skip_special_tokens=not isinstance(opening, Opening)))
    if isinstance(opening, RawText):
        text, _ = opening.answer_in(text)
    answer = GeneratedAnswer(text, len(draft.tokens), draft.stopped, options=draft.options)
    return check_answer(answer)


def _write_all(model: PreTrainedModel, drafts: Sequence[_Draft]) -> None:
    at, most = 0, BATCH_TOKENS
    while at < len(drafts):
        # The first prompt is the longest of those left.
        new = max(draft.request.max_new_tokens for draft in drafts[at : at + BATCH_ANSWERS])
        tokens = len(drafts[at].prompt) + new
        batch = drafts[at : at + min(BATCH_ANSWERS, max(1, most // tokens))]
        try:
            _write_batch(model, batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            most = len(batch) * tokens // 2  # of what had no room: `most` may be far above it
            # Begun again, an answer is the same: its draws know their step and nothing else.
            for draft in batch:
                draft.tokens.clear()
                draft.stopped, draft.fault = False, ""
                if draft.guide:
                    draft.guide.again()
            continue
        at += len(batch)


class _RoomyLayer(DynamicLayer):
    """Keys and values of one layer, in memory taken once for all tokens that may come.

    transformers' own layer copies what it has for each new token; its static one attends to the
    whole room at every step. This one writes in place and shows what is written.
    """

    def __init__(self, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.room, self.length = room, 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: object) -> tuple[Tensor, Tensor]:
        """Append (rows, heads, t, width) keys and values; return all there are."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.all_keys = _with_room(key_states, self.room)
            self.all_values = _with_room(value_states, self.room)
        end = self.length + key_states.shape[2]
        self.all_keys[:, :, self.length : end] = key_states
        self.all_values[:, :, self.length : end] = value_states
        return self._show(end)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows, in this order."""
        self.all_keys, self.all_values = self.all_keys[indices], self.all_values[indices]
        self._show(self.length)

    def _show(self, length: int) -> tuple[Tensor, Tensor]:
        self.length = length
        shown = self.all_keys[:, :, :length], self.all_values[:, :, :length]
        self.keys, self.values = shown
        return shown


def _with_room(states: Tensor, room: int) -> Tensor:
    rows, heads, _, width = states.shape
    return states.new_empty(rows, heads, room, width)


def roomy_cache(model: PreTrainedModel, room: int) -> DynamicCache:
    """A cache for `room` tokens; layers of another kind, such as windows, are the model's own."""
    cache = DynamicCache(config=model.config)
    cache.layers = [
        _RoomyLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


class _Batch:
    """Prompts in a model's key-value cache, and the logits of the token after each."""

    def __init__(
        self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], most_new: int
    ) -> None:
        self.model: Any = model
        self.cache = roomy_cache(model, max(map(len, prompts)) + most_new)
        self.mask: Tensor
        begun = self._read_start(prompts)
        # On the left, so that the next token of every prompt comes in the same column.
        ids, mask = pad_rows([prompt[begun:] for prompt in prompts], model.device, side="left")
        self.mask = torch.cat([self.mask, mask], dim=1) if begun else mask
        self._read(ids)

    def _read_start(self, prompts: Sequence[Sequence[int]]) -> int:
        """Read what all prompts begin with once, for all of them; how many tokens that was.

        Padding then stands behind it, which a layer that counts places back would take for text.
        """
        ordered = sorted(map(list, prompts))
        begun = shared_length(ordered[0], ordered[-1])  # none in between shares less
        begun = min(begun, min(map(len, prompts)) - 1)  # a token of each is left to be read
        plain = all(type(layer) is _RoomyLayer for layer in self.cache.layers)
        if not plain or begun * (len(prompts) - 1) < WORTH_SHARING:
            return 0
        ids, self.mask = pad_rows([prompts[0][:begun]], self.model.device, side="left")
        self._read(ids)
        self.select([0] * len(prompts))
        return begun

    def _read(self, ids: Tensor) -> None:
        # A token's position is the number of tokens before it, padding on the left not counted.
        indices = (self.mask.cumsum(dim=-1) - 1).clamp_min(0)[:, -ids.shape[1] :]
        self.logits: Tensor = self.model(
            input_ids=ids,
            attention_mask=self.mask,
            position_ids=indices,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]

    def select(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order; one may be wanted several times."""
        if list(rows) == list(range(len(self.mask))):
            return  # most steps: a copy of the whole cache is saved
        index = torch.tensor(rows, device=self.model.device)
        self.cache.batch_select_indices(index)
        self.mask, self.logits = self.mask[index], self.logits[index]

    def advance(self, tokens: Sequence[int]) -> None:
        """Append one token to each row."""
        ids = torch.tensor(tokens, device=self.model.device)[:, None]
        self.mask = torch.cat([self.mask, torch.ones_like(ids)], dim=1)
        self._read(ids)


@torch.inference_mode()
def _write_batch(model: PreTrainedModel, drafts: Sequence[_Draft]) -> None:
    prompts = list(dict.fromkeys(tuple(draft.prompt) for draft in drafts))  # each read once
    batch = _Batch(model, prompts, max(draft.request.max_new_tokens for draft in drafts))
    batch.select([prompts.index(tuple(draft.prompt)) for draft in drafts])
    active = list(drafts)
    while active:
        finite = batch.logits.isfinite().all(dim=-1).tolist()
        for draft, token, sound in zip(active, _choose(batch.logits, active), finite, strict=True):
            draft.tokens.append(token)
            draft.stopped, draft.fault = token in draft.stops, "" if sound else "not_finite"
            if draft.ends and draft.ends(draft.tokens):
                draft.stopped = True
            if draft.guide and sound and not draft.guide.take(token):
                draft.fault = "form_too_large"
        rows = [row for row, draft in enumerate(active) if not draft.done]
        active = [active[row] for row in rows]
        if active:
            batch.select(rows)
            batch.advance([draft.tokens[-1] for draft in active])


def _choose(logits: Tensor, drafts: Sequence[_Draft]) -> list[int]:
    """The next token of each draft, from (rows, v) logits."""
    scores = logits.double()  # (rows, v), as exact as the noise that is added
    hot = [row for row, draft in enumerate(drafts) if draft.request.temperature > 0]
    if hot:
        asked = [drafts[row] for row in hot]
        heat = scores.new_tensor([draft.request.temperature for draft in asked])[:, None]
        scores[hot] = scores[hot] / heat + _gumbel_noise(asked, logits)
    for row, draft in enumerate(drafts):
        if draft.guide:
            if not draft.tokens:
                draft.options = draft.guide.begin(logits[row])
            scores[row].masked_fill_(draft.guide.forbidden(logits.device), -torch.inf)
    tokens: list[int] = scores.argmax(dim=-1).tolist()
    return tokens


def _gumbel_noise(drafts: Sequence[_Draft], logits: Tensor) -> Tensor:
    """(rows, v) noise in float64: a function of each draft's seed, its step, and the token."""
    seeds = torch.tensor([signed(draft.request.seed) for draft in drafts], device=logits.device)
    steps = torch.tensor([len(draft.tokens) for draft in drafts], device=logits.device)
    # Counted from 1: 0 times GOLDEN would leave the first token the bits of the step itself.
    tokens = torch.arange(1, logits.shape[-1] + 1, device=logits.device)
    bits = mix(mix(mix(seeds) + steps)[:, None] + tokens * GOLDEN)
    # 52 bits and a half: exact in float64, never 0 and never 1, of which log(-log) has no value.
    uniform = (shift_right(bits, 12).double() + 0.5) * 2.0**-52
    return -(-uniform.log()).log()
