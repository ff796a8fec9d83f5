import numpy as np
import pytest

from scorers.measures.protocols import (
    AnswerGenerator,
    Embedder,
    EntailmentModel,
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
    LanguageModel,
    Message,
)
from tests.fakes import FakeAnswerGenerator, FakeEmbedder, FakeEntailment, FakeLanguageModel

# The annotations are the proof for mypy that a fake has what its Protocol asks for.
LANGUAGE_MODEL: LanguageModel = FakeLanguageModel()
GENERATOR: AnswerGenerator = FakeAnswerGenerator()
ENTAILMENT: EntailmentModel = FakeEntailment()
EMBEDDER: Embedder = FakeEmbedder()


def ask(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def test_losses_are_those_the_docstring_gives() -> None:
    first, alone, empty = LANGUAGE_MODEL.token_losses([[9, 5], [5], [5]], [[7, 30], [7], []])
    assert empty.entropy is not None
    np.testing.assert_allclose(first.nll, [2.1, 3.1], rtol=1e-6)  # 0.1 + 2, 0.1 + 23 % 10
    np.testing.assert_allclose(alone.nll, [3.1], rtol=1e-6)  # a lone token before it: 1 more
    assert first.nll.dtype == np.float32 and first.top1.dtype == np.bool_
    assert empty.entropy is not None
    assert empty.nll.shape == empty.entropy.shape == empty.top1.shape == (0,)


def test_losses_need_a_prefix_for_every_response() -> None:
    with pytest.raises(ValueError, match="none of them empty"):
        LANGUAGE_MODEL.token_losses([[]], [[1]])


def test_options_sum_to_one_and_depend_on_their_own_prompt_alone() -> None:
    both = LANGUAGE_MODEL.option_probabilities([ask("a"), ask("b")], ("A", "B"))
    alone = LANGUAGE_MODEL.option_probabilities([ask("b")], ("A", "B"))
    np.testing.assert_allclose(both.probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(both.probabilities[1:], alone.probabilities)
    assert not np.array_equal(both.probabilities[0], both.probabilities[1])
    assert LANGUAGE_MODEL.option_probabilities([], ("A",)).probabilities.shape == (0, 1)


def test_answers_follow_seed_temperature_and_the_marks_in_the_prompt() -> None:
    requests = [
        GenerationRequest(ask("x"), (), temperature=1, max_new_tokens=9, seed=2),
        GenerationRequest(ask("x"), (), temperature=0, max_new_tokens=9, seed=2),
        GenerationRequest(ask("x [long]"), (), temperature=0, max_new_tokens=9, seed=0),
        GenerationRequest(ask("x [fail]"), (), temperature=0, max_new_tokens=9, seed=0),
    ]
    sampled, greedy, cut, failed = GENERATOR.sample(requests)
    assert isinstance(sampled, GeneratedAnswer) and sampled.text == "the reply to x, take 2"
    assert isinstance(greedy, GeneratedAnswer) and greedy.text == "the reply to x, take 0"
    assert isinstance(cut, GeneratedAnswer) and not cut.finished
    assert isinstance(failed, GenerationFailure)


def test_contradiction_is_the_share_of_words_not_in_common() -> None:
    found = ENTAILMENT.contradiction(["a b", "a", "a b"], ["A B", "c", "a c"])
    np.testing.assert_allclose(found, [0, 1, 2 / 3])


def test_embeddings_are_unit_vectors_of_words() -> None:
    embedded = EMBEDDER.embed_with_chunks(["one two", "two one", "three", "w " * 65])
    np.testing.assert_allclose(np.linalg.norm(embedded.vectors, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(embedded.vectors[0], embedded.vectors[1], rtol=1e-6)
    assert embedded.vectors.shape == (4, EMBEDDER.dimensions)
    assert embedded.chunks.tolist() == [1, 1, 1, 2]
    with pytest.raises(ValueError, match="text 0 is empty"):
        EMBEDDER.embed([" "])
