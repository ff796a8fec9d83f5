"""What a measure needs of a model, and what it gets back.

The real models are in language_model.py, sampling.py, embedder.py (in process) and endpoint.py
(over HTTP). A test passes any object with these methods. Every method answers in the order it was
asked, and an answer depends on its own question alone: not on what else was in the call, nor on
how the call was cut into batches.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scorers.arrays import Floats, Ints

Message: TypeAlias = Mapping[str, Any]
"""One turn in canonical form: `role`, `content`, and where the row had them `tool_calls`,
`tool_call_id`, `name`, `reasoning_content`."""


@dataclass(frozen=True, slots=True)
class TokenLosses:
    """What a language model said of the tokens of one response; all (t,), t response tokens."""

    nll: NDArray[np.float32]  # nats: -log p(token | everything before it). Not negative
    entropy: NDArray[np.float32] | None
    """Nats: entropy of the distribution the token was drawn from. Between 0 and log(vocabulary).
    None where the back end does not tell."""
    top1: NDArray[np.bool_]  # whether the token was the likeliest one
    vector: NDArray[np.float32] | None = None
    """(h,) last hidden state of the token that was asked for, of length 1; None if none was."""
    el2n: NDArray[np.float32] | None = None
    """|p - y|, the length of the difference between the distribution and one that is certain of
    the token: from 0 to sqrt 2. None where the back end does not tell."""
    weighted_vector: NDArray[np.float32] | None = None
    """(h,) mean of the last hidden states of prefix and response, the i-th weighted by i, put to
    length 1; None if it was not asked for."""


@dataclass(frozen=True, slots=True)
class GenerationFailure:
    """No answer could be had for this request; the others are not affected."""

    reason: str  # one word or two for counting, such as "context_length" or "timeout"
    detail: str  # for a person; holds no row content

    @property
    def state(self) -> Literal["truncated", "failed"]:
        """The state of a row that has this instead of a number."""
        return "truncated" if self.reason == "context_length" else "failed"


@dataclass(frozen=True, slots=True)
class OptionProbabilities:
    """How a model divides its belief between the options of a multiple-choice question."""

    probabilities: Floats  # (n, options): renormalised over the options, so each row sums to 1
    mass: Floats
    """(n,): probability the options had together before that, in [0, 1]. Near 0 the model wanted
    to say something else, and the row of `probabilities` means little."""
    failures: Mapping[int, GenerationFailure] = field(default_factory=dict)
    """Row → why it has no probabilities; they are NaN then, and the mass 0."""


@dataclass(frozen=True, slots=True)
class JsonForm:
    """An answer that is JSON of a schema."""

    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OneOf:
    """An answer that is one of these texts."""

    options: tuple[str, ...]

    def probabilities(self, tokens: Iterable[tuple[str, float]]) -> dict[str, float]:
        """Option → its probability, by those of tokens that an answer may begin with.

        A token counts for an option when it is the option or the beginning of it and of no other.

        Args:
            tokens: text and probability of each.
        """
        found = dict.fromkeys(self.options, 0.0)
        for text, probability in tokens:
            begun = [option for option in self.options if option.startswith(text)]
            if text and len(begun) == 1:
                found[begun[0]] += probability
        return found


AnswerForm: TypeAlias = JsonForm | OneOf
"""What an answer has to look like. One that was cut off may not."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The beginning of a turn that a model goes on from, where no message is answered."""

    ids: Sequence[int]  # all tokens before the text that is wanted
    end: str  # the special token that ends the turn, as it is written
    end_id: int


@dataclass(frozen=True, slots=True)
class RawText:
    """A text that a model goes on from as it stands: how one without a chat template is asked."""

    text: str
    stops: tuple[str, ...]
    """What ends an answer, if its model does not; a part of none."""

    def answer_in(self, written: str) -> tuple[str, bool]:
        """What was written up to a stop, without the blanks around it, and whether one was met."""
        ends = [at for stop in self.stops if (at := written.find(stop)) >= 0]
        return (written[: min(ends)] if ends else written).strip(), bool(ends)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One answer wanted from an AnswerGenerator."""

    messages: Sequence[Message]
    """The prompt; the answer is the assistant's next turn. None where there is an opening."""
    tools: Sequence[Mapping[str, Any]]
    """JSON schemas of the tools the assistant may call; () for none."""
    temperature: float
    """0 for the likeliest token each time; 1 samples from the model's own distribution."""
    max_new_tokens: int
    seed: int  # of this request alone: the same request gives the same answer in any company
    form: AnswerForm | None = None
    opening: Opening | RawText | None = None
    """What the model goes on from instead; behind an Opening special tokens stay in the text, but
    for its end."""


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """One answer as text."""

    text: str  # without end-of-turn and other special tokens
    tokens: int | None
    """New tokens, the end-of-turn token included; None where an endpoint does not say."""
    finished: bool  # false: cut off at max_new_tokens, the model had more to say
    prompt_tokens: int | None = None
    """Of the prompt, as an endpoint counts them; None where nobody says."""
    options: Mapping[str, float] | None = None
    """Of a OneOf: what probability the model gave each option before it was held to them, in
    [0, 1]; together less than 1 where it wanted to say something else. None where nothing tells."""

    def share(self, option: str) -> float | None:
        """An option's part of the probability that all have together; None where nothing tells."""
        total = sum(self.options.values()) if self.options else 0.0
        return self.options.get(option, 0.0) / total if self.options and total > 0 else None


@dataclass(frozen=True, slots=True)
class TextVectors:
    """One vector per text."""

    vectors: NDArray[np.float32]  # (n, d), unit length
    chunks: NDArray[np.int64]
    """(n,): how many windows the text was cut into; 1 where it fitted whole."""


class OptionModel(Protocol):
    """A model that can be asked a multiple-choice question."""

    def option_probabilities(
        self, prompts: Sequence[Sequence[Message]], options: Sequence[str]
    ) -> OptionProbabilities:
        """Probability that the assistant's answer begins with each option.

        Args:
            prompts: n conversations, each ending where the assistant is to answer.
            options: what the answer may begin with, such as ("A", "B", "C"); their first tokens
                must differ.

        Raises:
            ValueError: if there are no options, or two begin with the same token.
        """
        ...


class LossModel(Protocol):
    """A causal language model that says how likely a given text was."""

    def token_losses(
        self,
        prefixes: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        vectors_at: Sequence[int | None] = (),
        weighted: Sequence[bool] = (),
    ) -> "Sequence[TokenLosses | GenerationFailure]":
        """Score the tokens of each response after its prefix, under the true tokens before them.

        Args:
            prefixes: n lists of token ids, each at least one long.
            responses: n lists of token ids; an empty one gives three empty arrays.
            vectors_at: for each text the index of the response token whose vector is wanted, or
                None; none of them by default.
            weighted: for each text whether its position-weighted vector is wanted; of none by
                default.

        Returns:
            n results, aligned with the input. A loss that overflowed is inf or NaN, not an error.

        Raises:
            ValueError: if the numbers differ, or a prefix is empty: then nothing predicts the
                first response token, and leaving it out would change what is averaged.
        """
        ...


class LanguageModel(OptionModel, LossModel, Protocol):
    """A causal language model in process: every text gets an answer, entropies included."""

    def token_losses(
        self,
        prefixes: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        vectors_at: Sequence[int | None] = (),
        weighted: Sequence[bool] = (),
    ) -> list[TokenLosses]:
        """See LossModel.token_losses."""
        ...


class AttentionModel(Protocol):
    """A language model in process that shows what one of its layers attends to."""

    @property
    def max_tokens(self) -> int:
        """Longest text it takes, in tokens."""
        ...

    @property
    def layers(self) -> int:
        """How many decoder layers it has."""
        ...

    def attention_shares(
        self, ids: Sequence[int], queries: Ints, keys: Sequence[Ints], layer: int
    ) -> Floats:
        """Attention of tokens to groups of tokens before them, added up over each group.

        Args:
            ids: t tokens of one text.
            queries: (q,) positions of the tokens that attend.
            keys: g groups of positions.
            layer: counted from 0.

        Returns:
            (heads, q, g) in [0, 1]; NaN where the layer gave no number.

        Raises:
            ValueError: if the layer is not there, or tells no attention.
        """
        ...


class AnswerGenerator(Protocol):
    """A model that answers prompts."""

    def sample(
        self, requests: Sequence[GenerationRequest]
    ) -> list[GeneratedAnswer | GenerationFailure]:
        """Answer each request; a request that fails does so alone."""
        ...


class Embedder(Protocol):
    """A model that turns text into vectors whose dot product is a similarity."""

    @property
    def dimensions(self) -> int:
        """Length d of the vectors."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, d) unit vectors, no text cut short; `embed_with_chunks(texts).vectors`."""
        ...

    def embed_with_chunks(self, texts: Sequence[str]) -> TextVectors:
        """Embed, and say how many windows each text took.

        A text longer than the model's window is cut into windows, and their vectors averaged with
        the number of tokens as weight.

        Raises:
            ValueError: if a text is empty or only whitespace; it has no meaning to embed.
        """
        ...


class EntailmentModel(Protocol):
    """A natural-language-inference model."""

    def contradiction(self, premises: Sequence[str], hypotheses: Sequence[str]) -> Floats:
        """(n,) probability that each premise contradicts its hypothesis, in [0, 1].

        Raises:
            ValueError: if the numbers differ.
        """
        ...
