from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from scorers.measures.losses import LossRow, join_losses, measure_losses
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.protocols import Message, OptionProbabilities, TokenLosses
from scorers.measures.reading.chat_format import RenderedExample, render


class Scripted:
    """Answers each pair of prefix and response from a table, and notes what it was asked."""

    def __init__(self, table: dict[tuple[tuple[int, ...], tuple[int, ...]], TokenLosses]) -> None:
        self.table = table
        self.asked: list[tuple[tuple[int, ...], tuple[int, ...]]] = []

    def token_losses(
        self,
        prefixes: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        vectors_at: Sequence[int | None] = (),
        weighted: Sequence[bool] = (),
    ) -> list[TokenLosses]:
        pairs = [(tuple(p), tuple(r)) for p, r in zip(prefixes, responses, strict=True)]
        self.asked += pairs
        return [self.table[pair] for pair in pairs]

    def option_probabilities(
        self, prompts: Sequence[Sequence[Message]], options: Sequence[str]
    ) -> OptionProbabilities:
        raise NotImplementedError


def losses(nll: list[float], entropy: list[float], top1: list[bool]) -> TokenLosses:
    return TokenLosses(np.array(nll, "f4"), np.array(entropy, "f4"), np.array(top1))


ROW = RenderedExample(prompt=[5, 6, 7], header=[7], response=[8, 9])
GIVEN = losses([0.5, 1.5], [0.25, 0.75], [True, False])
ALONE = losses([3.0, 5.0], [4.0, 4.0], [False, False])


def scripted(given: TokenLosses = GIVEN, alone: TokenLosses = ALONE) -> Scripted:
    return Scripted({((5, 6, 7), (8, 9)): given, ((7,), (8, 9)): alone})


def test_means_and_sums_by_hand() -> None:
    model = scripted()
    [row] = measure_losses(model, [ROW], max_tokens=5)
    assert row.state == "ok" and row.detail is None
    assert row.response_tokens == 2
    assert (row.sum_nll, row.mean_nll) == (2.0, 1.0)  # 0.5 + 1.5
    assert (row.sum_nll_alone, row.mean_nll_alone) == (8.0, 4.0)  # 3 + 5
    assert row.mean_entropy == 0.5  # of the pass with the prompt, not of the other
    assert row.top1_rate == 0.5
    assert row.nll is not None and row.nll_alone is not None and row.entropy is not None
    np.testing.assert_array_equal(row.nll, [0.5, 1.5])
    np.testing.assert_array_equal(row.nll_alone, [3.0, 5.0])
    np.testing.assert_array_equal(row.entropy, [0.25, 0.75])
    # Both passes over the same response tokens, behind the prompt and behind the header.
    assert model.asked == [((5, 6, 7), (8, 9)), ((7,), (8, 9))]


def test_el2n_is_kept_where_it_is_asked_for() -> None:
    given = replace(GIVEN, el2n=np.array([0.5, 1.25], "f4"))
    model = scripted(given, replace(ALONE, el2n=np.array([1.0, 1.0], "f4")))
    [row] = measure_losses(model, [ROW], max_tokens=5)
    assert row.el2n is None and row.mean_el2n is None
    [row] = measure_losses(model, [ROW], max_tokens=5, el2n=True)
    assert row.mean_el2n == 0.875 and row.el2n is not None, "of the pass with the prompt"
    joined = join_losses([row, replace(row, el2n=np.array([0.25], "f4"))], [None, None])
    assert joined.mean_el2n == pytest.approx(2 / 3), "over the tokens of all turns"
    assert joined.el2n is not None and joined.el2n.tolist() == [0.5, 1.25, 0.25]


def values(row: LossRow) -> list[object]:
    return [getattr(row, f.name) for f in fields(row) if f.name not in ("state", "detail")]


def test_a_row_too_long_is_not_measured_at_all() -> None:
    model = scripted()
    [row] = measure_losses(model, [ROW], max_tokens=4)  # it has 5
    assert row.state == "truncated" and row.detail == "5 tokens, at most 4 are measured"
    assert set(values(row)) == {None}
    assert model.asked == []


def test_a_row_without_response_tokens_is_not_applicable() -> None:
    empty = RenderedExample(prompt=[5, 6, 7], header=[7], response=[])
    [row] = measure_losses(scripted(), [empty], max_tokens=2)
    assert row.state == "not_applicable" and row.detail
    assert set(values(row)) == {None}


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["nll", "nll_alone", "entropy"])
def test_a_value_that_is_not_finite_fails_its_row_alone(wrong: float, name: str) -> None:
    given = losses([0.5, wrong if name == "nll" else 1.5], [0.25, 0.75], [True, False])
    if name == "entropy":
        given = losses([0.5, 1.5], [0.25, wrong], [True, False])
    alone = losses([3.0, wrong], [4.0, 4.0], [False, False]) if name == "nll_alone" else ALONE
    model = scripted(given, alone)
    model.table |= {((1,), (2,)): losses([1.0], [1.0], [True])}
    fine = RenderedExample(prompt=[1], header=[1], response=[2])
    row, other = measure_losses(model, [ROW, fine], max_tokens=5)
    assert row.state == "failed" and row.detail is not None and name in row.detail
    assert set(values(row)) == {None}
    assert other.state == "ok" and other.mean_nll == 1.0


def test_rows_keep_their_places() -> None:
    empty = RenderedExample(prompt=[5], header=[5], response=[])
    long = RenderedExample(prompt=[5] * 9, header=[5], response=[1])
    rows = measure_losses(scripted(), [empty, ROW, long, ROW], max_tokens=5)
    assert [row.state for row in rows] == ["not_applicable", "ok", "truncated", "ok"]
    assert measure_losses(scripted(), [], max_tokens=5) == []


def test_sums_are_taken_in_double_precision() -> None:
    many = 99_999
    nll = [4096.0] + [1e-4] * many  # float32 has steps of 0.0005 there
    row = RenderedExample(prompt=[1, 0], header=[0], response=[3] * (many + 1))
    given = losses(nll, nll, [True] * (many + 1))
    pairs = {((1, 0), (3,) * (many + 1)): given, ((0,), (3,) * (many + 1)): given}
    [result] = measure_losses(Scripted(pairs), [row], max_tokens=many + 3)
    assert result.sum_nll == pytest.approx(4096.0 + 9.9999, abs=1e-5)
    assert result.mean_entropy == pytest.approx(4105.9999 / (many + 1), rel=1e-8)


def test_with_a_real_model_the_prompt_helps_and_a_wrong_one_does_not(
    language_model: HuggingFaceLanguageModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    def example(question: str) -> RenderedExample:
        answer = "The lighthouse keeper's daughter painted every door yellow."
        turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        return render(tokenizer, turns, (), 1, "chat")

    repeated, unrelated = measure_losses(
        language_model,
        [
            example("Repeat: The lighthouse keeper's daughter painted every door yellow."),
            example("What is 7 * 6?"),
        ],
        max_tokens=8192,
    )
    assert repeated.nll_alone is not None and unrelated.nll_alone is not None
    np.testing.assert_allclose(repeated.nll_alone, unrelated.nll_alone, atol=1e-4)
    assert repeated.mean_nll is not None and unrelated.mean_nll is not None
    assert repeated.mean_nll != pytest.approx(unrelated.mean_nll, abs=1e-2)
    assert repeated.response_tokens == len(repeated.nll_alone)
