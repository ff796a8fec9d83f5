"""A sentence-transformers model in process, behind the Embedder protocol."""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from transformers import PreTrainedTokenizerBase

from scorers.measures.models.model_folder import loading_from
from scorers.measures.protocols import TextVectors
from scorers.measures.quiet import quiet_transformers
from scorers.measures.reading.padding import to_device

BATCH_WINDOWS = 32  # windows per forward pass: the fastest of 32 and 128 on two cores
GPU_BATCH_WINDOWS = 256  # so that a GPU has enough to do in each


class SentenceEmbedder:
    """A sentence embedding model that reads every text to its end.

    sentence-transformers cuts a text at the model's window (256 tokens for MiniLM) without a word.
    Here a longer text is cut into windows of nearly equal length, and

        v = normalise( sum_w tokens_w * normalise(model(window_w)) )

    A text that fits has the vector that the library gives it.
    """

    def __init__(self, model: SentenceTransformer) -> None:
        """Wrap a loaded model.

        Raises:
            ValueError: if the model has no window, so that it cannot be a transformer.
        """
        self._model = model.eval()
        self._tokenizer: Any = model.tokenizer
        self._before, self._after = _special_tokens(self._tokenizer)
        if model.max_seq_length is None:
            raise ValueError("the embedding model states no max_seq_length")
        self.window = model.max_seq_length - len(self._before) - len(self._after)
        """Tokens of text that one window takes."""
        self._turn = Lock()

    @property
    def batch_windows(self) -> int:
        """Windows per forward pass, on the model's device."""
        return GPU_BATCH_WINDOWS if self._model.device.type == "cuda" else BATCH_WINDOWS

    @classmethod
    def from_directory(cls, path: Path, device: str) -> "SentenceEmbedder":
        """Load a folder in the layout of sentence-transformers, in float32."""
        with quiet_transformers(), loading_from(path):
            model = SentenceTransformer(
                str(path),
                device=device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True, "dtype": torch.float32},
            )
        return cls(model)

    @property
    def dimensions(self) -> int:
        """See Embedder.dimensions."""
        dimensions = self._model.get_embedding_dimension()
        if dimensions is None:
            raise ValueError("the embedding model states no dimension")
        return dimensions

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See Embedder.embed."""
        return self.embed_with_chunks(texts).vectors

    def embed_with_chunks(self, texts: Sequence[str]) -> TextVectors:
        """See Embedder.embed_with_chunks."""
        windows: list[list[int]] = []
        owners: list[int] = []  # of each window the text that it was cut from
        for i, text in enumerate(texts):
            if not text.strip():
                raise ValueError(f"text {i} is empty; there is nothing to embed")
            cut = self._cut(text)
            windows += cut
            owners += [i] * len(cut)
        weights = np.array([len(window) for window in windows], dtype=np.float64)[:, None]
        sums = np.zeros((len(texts), self.dimensions))
        if windows:  # owners repeat: += would add one window of each text
            np.add.at(sums, owners, weights * self._embed_windows(windows))
        return TextVectors(
            vectors=_unit(sums).astype(np.float32),
            chunks=np.bincount(owners, minlength=len(texts)).astype(np.int64),
        )

    def _cut(self, text: str) -> list[list[int]]:
        ids = self._tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)
        # As few windows as will do, rounded up; one even for a text that has no token.
        pieces = np.array_split(ids["input_ids"], -(-len(ids["input_ids"]) // self.window) or 1)
        return [piece.tolist() for piece in pieces]

    def _embed_windows(self, windows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """(windows, d) unit vectors."""
        vectors = np.empty((len(windows), self.dimensions))
        order = sorted(range(len(windows)), key=lambda w: (-len(windows[w]), w))  # little padding
        with self._turn, torch.inference_mode():
            for at in range(0, len(order), self.batch_windows):
                chosen = order[at : at + self.batch_windows]
                ids = [[*self._before, *windows[w], *self._after] for w in chosen]
                inputs = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt")
                device = self._model.device
                features = {name: to_device(value, device) for name, value in inputs.items()}
                output = self._model(features)["sentence_embedding"]
                vectors[chosen] = output.cpu().double().numpy()
        return _unit(vectors)


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """The tokens that the tokenizer puts before a text, and those it puts after it."""
    bare = [*tokenizer("a", add_special_tokens=False)["input_ids"]]
    whole = [*tokenizer("a")["input_ids"]]
    starts = range(len(whole) - len(bare) + 1)  # places at which all of the text's would fit
    start = next(at for at in starts if whole[at : at + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    units: NDArray[np.float64] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units
