"""The approximate part of a trace: rows that read like a completion, word for word or not.

It compares embeddings that a run stored, and so says that two texts are alike and no more.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.measuring.measures.embeddings import embeddings_name
from scorers.measures.models.loading import load_embedder, resolve_model
from storage.conversations import TextField, compared_text
from storage.database import Connection, QueryError
from storage.measurements import read_measurements
from storage.retention import read_run_keys

# Which embeddings of a run neighbours are looked for among: the first of these that it has.
COMPARED: tuple[TextField, ...] = ("response", "both", "prompt")


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A row whose embedding is near that of the completion."""

    example_id: str
    similarity: float  # cosine


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The approximate part of a trace: what reads alike, word for word or not."""

    text: TextField  # which text of the rows is compared
    model: str
    rows: tuple[Neighbour, ...]


def find_neighbours(
    con: Connection, ids: Sequence[str], run_id: str, texts: tuple[str, str], most: int
) -> Neighbours:
    """The rows whose stored embeddings are nearest to the completion's; ties by example_id.

    Args:
        con: the workspace.
        ids: (n,) example ids, sorted.
        run_id: the run whose embeddings are compared.
        texts: the prompt, "" where there was none, and the completion.
        most: how many rows; a row without an embedding is none of them.

    Raises:
        QueryError: if the run has no embeddings.
    """
    keys = read_run_keys(con, run_id)
    of = next((of for of in COMPARED if embeddings_name(of) in keys), None)
    if of is None:
        raise QueryError(
            f"run {run_id} measured no embeddings to look for neighbours among: add "
            "{of: response} to measure.embeddings, or leave --neighbours out"
        )
    key = keys[embeddings_name(of)]
    prompt, completion = texts
    both = compared_text("both", prompt, completion).strip()
    text = {"response": completion, "prompt": prompt or completion, "both": both}[of]
    model = resolve_model(key.model)
    if model.fingerprint != key.model_fingerprint:
        raise QueryError(f"{key.model} is another model now than when run {run_id} embedded rows")
    _, columns = read_measurements(con, key, ("embedding",), ids)
    vectors = columns["embedding"].reshape(len(ids), -1)
    embedded = np.flatnonzero(~np.isnan(vectors).any(axis=1))
    if not embedded.size:
        return Neighbours(of, key.model, ())
    asked = load_embedder(model).embed([text])[0].astype(np.float64)
    similarity = vectors[embedded] @ asked
    first = np.lexsort((embedded, -similarity))[:most]  # ids are sorted, so places are in order too
    near = tuple(Neighbour(ids[embedded[at]], float(similarity[at])) for at in first)
    return Neighbours(of, key.model, near)
