import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from scorers.measures.models.embedder import SentenceEmbedder
from scorers.measures.models.loading import resolve_model
from scorers.measures.protocols import Embedder

pytestmark = pytest.mark.slow  # a real model reads

SHORT = ["A cat sat on the mat.", "The kitten rests.", "Bond yields fell.", "你好 🙂", "x"]
LONG = " ".join(f"Sentence {n} speaks of rivers, roads and rain." for n in range(80))


@pytest.fixture(scope="module")
def library() -> SentenceTransformer:
    path = resolve_model("wheel:all-minilm-l6-v2").path
    return SentenceTransformer(str(path), device="cpu", local_files_only=True)


def test_it_offers_the_protocol(embedder: SentenceEmbedder) -> None:
    offered: Embedder = embedder
    assert offered.dimensions == 384


def test_short_texts_have_the_librarys_vectors(
    embedder: SentenceEmbedder, library: SentenceTransformer
) -> None:
    got = embedder.embed_with_chunks(SHORT)
    np.testing.assert_allclose(got.vectors, library.encode(SHORT), atol=1e-6)
    np.testing.assert_array_equal(got.chunks, [1] * len(SHORT))
    assert got.vectors.dtype == np.float32 and got.chunks.dtype == np.int64


def test_vectors_are_unit_length_and_similar_where_texts_are(embedder: SentenceEmbedder) -> None:
    vectors = embedder.embed([*SHORT, LONG])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_a_long_text_is_read_to_its_end(
    embedder: SentenceEmbedder, library: SentenceTransformer
) -> None:
    other_end = LONG + " In the end, though, the dragon married the accountant."
    vectors = embedder.embed([LONG, other_end])
    assert 0.5 < vectors[0] @ vectors[1] < 0.9999
    cut = library.encode([LONG, other_end])  # what the library would have made of them
    np.testing.assert_allclose(cut[0], cut[1], atol=1e-6)


def test_windows_are_averaged_by_their_number_of_tokens(
    embedder: SentenceEmbedder, library: SentenceTransformer
) -> None:
    # Words that are one token each, so that the windows can be written as texts.
    words = ["river"] * 200 + ["road"] * 200 + ["rain"] * 109
    assert embedder.window == 254
    got = embedder.embed_with_chunks([" ".join(words)])
    assert got.chunks.tolist() == [3]  # 509 tokens: 170, 170, 169
    windows = [" ".join(words[:170]), " ".join(words[170:340]), " ".join(words[340:])]
    vectors = library.encode(windows).astype(np.float64)
    mean = (170 * vectors[0] + 170 * vectors[1] + 169 * vectors[2]) / 509
    np.testing.assert_allclose(got.vectors[0], mean / np.linalg.norm(mean), atol=1e-6)


@pytest.mark.parametrize(("words", "chunks"), [(254, 1), (255, 2), (508, 2), (509, 3)])
def test_a_window_is_filled_before_a_second_is_begun(
    words: int, chunks: int, embedder: SentenceEmbedder
) -> None:
    assert embedder.embed_with_chunks(["river " * words]).chunks.tolist() == [chunks]


def test_order_and_company_do_not_matter(embedder: SentenceEmbedder) -> None:
    texts = [*SHORT, LONG, *(f"{'word ' * n}end" for n in range(1, 40))]
    wanted = embedder.embed_with_chunks(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    got = embedder.embed_with_chunks([texts[i] for i in order])
    np.testing.assert_allclose(got.vectors, wanted.vectors[order], atol=1e-5)
    np.testing.assert_array_equal(got.chunks, wanted.chunks[order])


@pytest.mark.parametrize("empty", ["", " \n\t"])
def test_a_text_without_words_is_refused(empty: str, embedder: SentenceEmbedder) -> None:
    with pytest.raises(ValueError, match="text 1 is empty"):
        embedder.embed(["fine", empty])


def test_no_texts_give_no_vectors(embedder: SentenceEmbedder) -> None:
    got = embedder.embed_with_chunks([])
    assert got.vectors.shape == (0, 384) and got.chunks.shape == (0,)
