"""The target's tokenizer as passages need it: at which character each token of a text starts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.ingest.rows import UnreadableSourceError
from scorers.measures.models.loading import ResolvedModel, load_tokenizer

if TYPE_CHECKING:
    from pipeline.documents.units import TokenStarts


def load_token_starts(model: ResolvedModel) -> "TokenStarts":
    """What counts the tokens of texts by themselves, without those that a model puts round them.

    Raises:
        UnreadableSourceError: if the tokenizer is one that does not say where its tokens stand.
    """
    tokenizer = load_tokenizer(model)
    if not tokenizer.is_fast:
        raise UnreadableSourceError(
            f"the tokenizer of {model.reference} does not say where its tokens stand in a text, so "
            "documents cannot be cut by it: save it as a fast one (tokenizer.json)"
        )
    ask: Any = tokenizer

    def token_starts(texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        found = ask(
            list(texts),
            add_special_tokens=False,
            truncation=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,
        )
        return [[start for start, _ in offsets] for offsets in found["offset_mapping"]]

    return token_starts
