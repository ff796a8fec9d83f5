"""A transformers model in process, behind the LanguageModel and AnswerGenerator protocols."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from scorers.arrays import Floats, Ints
from scorers.measures.models.model_folder import UnusableModelError, loading_from
from scorers.measures.protocols import (
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
    Message,
    OptionProbabilities,
    TokenLosses,
)
from scorers.measures.quiet import quiet_transformers
from scorers.measures.reading.attention_probe import read_attention
from scorers.measures.reading.chat_format import render
from scorers.measures.reading.fixed_date import fix_date
from scorers.measures.reading.next_token import NextTokenReader, Prediction, Reading
from scorers.measures.reading.prefix_tree import shared_length
from scorers.measures.reading.sampling import sample_answers

BATCH_TOKENS_CPU = 512
"""Larger batches fall out of the caches: 2048 gave a quarter less per second of processor time."""

BATCH_TOKENS_GPU = 65536  # a starting point; see NextTokenReader


def read_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a model's folder, with a chat template that writes no date of today.

    Raises:
        UnusableModelError: if there is none, or it is broken.
        UnfixedDateError: if its template writes one in a way that cannot be fixed.
    """
    with loading_from(path, "tokenizer"):
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            path, trust_remote_code=False
        )
    template: Any = found.chat_template  # a dict of them, by name, in some models
    if isinstance(template, str):
        found.chat_template = fix_date(template)
    elif template:
        found.chat_template = {name: fix_date(each) for name, each in template.items()}
    return found


def read_causal_model(
    path: Path, dtype: str, quantization: BitsAndBytesConfig | None = None
) -> PreTrainedModel:
    """The causal language model in a folder, from safetensors; no code of its own is run.

    Args:
        path: folder as transformers saves it.
        dtype: as torch names it: "float32" or "bfloat16".
        quantization: of its linear layers as they are loaded; None: none.

    Raises:
        UnusableModelError: if the folder is broken, or weights are missing from it, which
            transformers would fill with random numbers.
    """
    with quiet_transformers(), loading_from(path):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=getattr(torch, dtype),
            quantization_config=quantization,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    model: PreTrainedModel = loaded[0]
    if missing := sorted(loaded[1]["missing_keys"]):
        raise UnusableModelError(f"{path} lacks weights: {', '.join(missing[:3])}")
    return model


class HuggingFaceLanguageModel:
    """A causal language model and its tokenizer.

    Losses depend on the batch a text was in by rounding alone. In float32 that is 1e-5 nats. In
    bfloat16 it is 0.04 for the typical token and up to 0.3 for one (measured on two cores with
    SmolLM2-135M), so that the mean of a response of three tokens moves by 0.1: rank short
    responses by float32.

    May be called from several threads; they take turns, for two forward passes at once would share
    the same cores and need twice the memory.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        batch_tokens: int | None = None,
    ) -> None:
        """Wrap a loaded model.

        Args:
            model: put into evaluation mode here.
            tokenizer: its own.
            batch_tokens: most tokens in a batch, padding included; by default what suits the
                device.
        """
        on_cpu = model.device.type == "cpu"
        self.model = cast(Any, model)  # transformers annotates few of its methods
        self.model.eval()
        self.tokenizer = tokenizer
        self._reader = NextTokenReader(
            model, batch_tokens or (BATCH_TOKENS_CPU if on_cpu else BATCH_TOKENS_GPU)
        )
        self._turn = Lock()

    @classmethod
    def from_directory(cls, path: Path, dtype: str, device: str) -> "HuggingFaceLanguageModel":
        """Load safetensors weights and tokenizer.

        Args:
            path: folder as transformers saves it.
            dtype: "float32" or "bfloat16".
            device: as torch names it.

        Raises:
            UnusableModelError: if the folder is broken, or weights are missing from it, which
                transformers would make up.
        """
        model: Any = read_causal_model(path, dtype)  # torch types `to` for few devices
        return cls(model.to(device), read_tokenizer(path))

    @property
    def max_tokens(self) -> int:
        """Longest text the model takes, in tokens."""
        config: Any = self.model.config.get_text_config()
        return int(config.max_position_embeddings)

    def token_losses(
        self,
        prefixes: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        vectors_at: Sequence[int | None] = (),
        weighted: Sequence[bool] = (),
    ) -> list[TokenLosses]:
        """See LossModel.token_losses.

        Texts that begin alike are read together from there on: hand over as many as there are.

        Raises:
            ValueError: also if a text is longer than `max_tokens`.
        """
        vectors_at = vectors_at or [None] * len(prefixes)
        weighted = weighted or [False] * len(prefixes)
        if not len(prefixes) == len(responses) == len(vectors_at) == len(weighted):
            raise ValueError(f"{len(prefixes)} prefixes but {len(responses)} responses")
        if any(len(prefix) == 0 for prefix in prefixes):
            raise ValueError("a prefix is empty: nothing predicts the first response token")
        asked = [i for i, response in enumerate(responses) if len(response) > 0]
        losses = [_no_tokens() for _ in responses]
        readings = [
            _response_reading(prefixes[i], responses[i], vectors_at[i], weighted=weighted[i])
            for i in asked
        ]
        for i, prediction in zip(asked, self._read(readings), strict=True):
            losses[i] = TokenLosses(
                nll=-prediction.log_probability[:, 0],
                entropy=prediction.entropy,
                top1=prediction.likeliest == np.asarray(responses[i]),
                vector=None if prediction.vector is None else _unit(prediction.vector),
                el2n=prediction.error,
                weighted_vector=(
                    None
                    if prediction.weighted_vector is None
                    else _unit(prediction.weighted_vector)
                ),
            )
        return losses

    def option_probabilities(
        self, prompts: Sequence[Sequence[Message]], options: Sequence[str]
    ) -> OptionProbabilities:
        """See OptionModel.option_probabilities.

        Each option is rendered as the assistant's answer, and the probability taken where the
        answers first differ. Where a template opens every answer with the same tokens (Qwen3's
        empty thought), those count as given.

        Raises:
            RenderingError: if a prompt cannot be written in the chat template.
        """
        if not options:
            raise ValueError("there are no options to choose from")
        readings = [self._option_reading(prompt, options) for prompt in prompts]
        if not readings:
            return OptionProbabilities(np.empty((0, len(options))), np.empty(0))
        wanted = [prediction.log_probability[0] for prediction in self._read(readings)]
        probabilities = np.exp(np.stack(wanted).astype(np.float64))  # (n, options)
        mass = probabilities.sum(axis=1)
        # A mass of 0 gives NaN, as the protocol has it; rounding can lift one just above 1.
        return OptionProbabilities(probabilities / mass[:, None], np.minimum(mass, 1.0))

    def sample(
        self, requests: Sequence[GenerationRequest]
    ) -> list[GeneratedAnswer | GenerationFailure]:
        """See AnswerGenerator.sample and sampling.py."""
        with self._turn:
            return sample_answers(self.model, self.tokenizer, requests, self.max_tokens)

    @property
    def layers(self) -> int:
        """See AttentionModel.layers."""
        return int(self.model.config.get_text_config().num_hidden_layers)

    def attention_shares(
        self, ids: Sequence[int], queries: Ints, keys: Sequence[Ints], layer: int
    ) -> Floats:
        """See AttentionModel.attention_shares and attention_probe.py."""
        with self._turn:
            return read_attention(self.model, ids, queries, keys, layer)

    def _read(self, readings: Sequence[Reading]) -> list[Prediction]:
        longest = max((len(reading.ids) for reading in readings), default=0)
        if longest > self.max_tokens:
            raise ValueError(f"a text has {longest} tokens, the model takes {self.max_tokens}")
        with self._turn:
            return self._reader.read(readings)

    def _option_reading(self, prompt: Sequence[Message], options: Sequence[str]) -> Reading:
        answers = []
        for option in options:
            messages = [*prompt, {"role": "assistant", "content": option}]
            rendered = render(self.tokenizer, messages, (), len(prompt), "chat")
            answers.append(rendered.prompt + rendered.response)
        before = len(rendered.prompt)
        if len(options) > 1:  # the first token that tells them apart, not the first of the answer
            before = min(shared_length(answers[0], answer) for answer in answers[1:])
        # One that ends here is the beginning of all others, and is missing from the count below.
        tokens = [answer[before] for answer in answers if len(answer) > before]
        if len(set(tokens)) < len(options):
            raise ValueError(f"two of the options begin with the same token: {list(options)}")
        return Reading(answers[0][:before], before - 1, np.array([tokens]))  # predicted by the last


def _response_reading(
    prefix: Sequence[int], response: Sequence[int], vector_at: int | None, *, weighted: bool
) -> Reading:
    # The last token is only predicted; it is read where its hidden state is wanted.
    last = weighted or vector_at == len(response) - 1
    ids = [*prefix, *(response if last else response[:-1])]
    place = None if vector_at is None else len(prefix) + vector_at
    # (t, 1): one option for each place, the token that stands behind it.
    return Reading(
        ids, len(prefix) - 1, np.array(response, dtype=np.int64)[:, None], place, weighted
    )


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vector at length 1; one that is not finite stays so."""
    # Some entries of hidden states are in the thousands: float32 would drown the others.
    unit: NDArray[np.float32] = vector / np.float32(np.linalg.norm(vector.astype(np.float64)))
    return unit


def _no_tokens() -> TokenLosses:
    none = np.empty(0, np.float32)
    return TokenLosses(none, none, np.empty(0, np.bool_), el2n=none)
