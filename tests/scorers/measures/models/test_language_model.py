"""Losses of the real tokenizer and weights, against what transformers says row by row."""

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.models.loading import ResolvedModel, load_language_model
from scorers.measures.protocols import (
    AnswerGenerator,
    GenerationRequest,
    LanguageModel,
    TokenLosses,
)
from scorers.measures.reading.chat_format import RenderedExample, render

pytestmark = pytest.mark.slow  # a real model reads

TOLERANCE = 1e-4  # nats


def row(*turns: str, tools: Sequence[Mapping[str, Any]] = ()) -> tuple[Any, Any]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns)], tools


TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
ROWS = [
    row("What is the capital of France?", "The capital of France is Paris."),
    row("Hi", "Hello! How can I help?", "Translate 'cheese'.", "« fromage »"),
    row("Name a colour.", "Red"),
    row("Write nothing.", ""),
    row("Sum these: " + ", ".join(str(n) for n in range(50)), "The sum is 1225.", tools=[TOOL]),
    row("Why is the sky blue?", "Rayleigh scattering: short waves scatter more. " * 3),
    row("Übersetze: 你好", "Hallo 🙂"),
]
LONG_ROWS = [
    row("Count.", " ".join(str(n) for n in range(1, 401))),
    row("Sum: " + ", ".join(str(n) for n in range(400)), "The sum is 79800."),
]


@pytest.fixture(scope="module")
def rendered(tokenizer: PreTrainedTokenizerBase) -> list[RenderedExample]:
    return [render(tokenizer, turns, tools, len(turns) - 1, "chat") for turns, tools in ROWS]


def one_by_one(model: Any, prefix: list[int], response: list[int]) -> TokenLosses:  # noqa: ANN401
    """The textbook way: all logits of one row, in float64."""
    with torch.no_grad():
        logits = model(torch.tensor([prefix + response])).logits[0].double()
    predicted = logits[len(prefix) - 1 : -1].log_softmax(-1)
    nll = -predicted[torch.arange(len(response)), response]
    entropy = -(predicted.exp() * predicted).sum(-1)
    top1 = predicted.argmax(-1) == torch.tensor(response)
    given = torch.nn.functional.one_hot(torch.tensor(response), predicted.shape[-1])
    el2n = (predicted.exp() - given).norm(dim=-1).float().numpy()
    return TokenLosses(nll.float().numpy(), entropy.float().numpy(), top1.numpy(), el2n=el2n)


def assert_same(got: Sequence[TokenLosses], wanted: Sequence[TokenLosses]) -> None:
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        assert one.entropy is not None and other.entropy is not None
        np.testing.assert_allclose(one.nll, other.nll, atol=TOLERANCE, rtol=0)
        np.testing.assert_allclose(one.entropy, other.entropy, atol=TOLERANCE, rtol=0)
        np.testing.assert_array_equal(one.top1, other.top1)
        assert one.el2n is not None and other.el2n is not None
        np.testing.assert_allclose(one.el2n, other.el2n, atol=TOLERANCE, rtol=0)
        assert one.nll.dtype == one.entropy.dtype == np.float32 and one.top1.dtype == np.bool_


def ask(model: LanguageModel, rows: Sequence[RenderedExample]) -> list[TokenLosses]:
    return model.token_losses([row.prompt for row in rows], [row.response for row in rows])


def test_it_offers_both_protocols(language_model: HuggingFaceLanguageModel) -> None:
    model: LanguageModel = language_model
    generator: AnswerGenerator = language_model
    assert model.token_losses([], []) == [] == generator.sample([])


def test_losses_are_those_of_each_row_alone(
    language_model: HuggingFaceLanguageModel, rendered: list[RenderedExample]
) -> None:
    wanted = [one_by_one(language_model.model, row.prompt, row.response) for row in rendered]
    assert_same(ask(language_model, rendered), wanted)


def test_the_mean_loss_is_the_one_transformers_trains_on(
    language_model: HuggingFaceLanguageModel, rendered: list[RenderedExample]
) -> None:
    for row, losses in zip(rendered, ask(language_model, rendered), strict=True):
        ids = torch.tensor([row.prompt + row.response])
        labels = ids.clone()
        labels[:, : len(row.prompt)] = -100
        with torch.no_grad():
            loss = language_model.model(ids, labels=labels).loss.item()
        assert losses.nll.mean() == pytest.approx(loss, abs=TOLERANCE)


@pytest.mark.parametrize("batch_tokens", [1, 100, 700, 100_000])
def test_losses_do_not_depend_on_batches_or_order(
    batch_tokens: int, language_model: HuggingFaceLanguageModel, rendered: list[RenderedExample]
) -> None:
    wanted = ask(language_model, rendered)
    other = HuggingFaceLanguageModel(language_model.model, language_model.tokenizer, batch_tokens)
    order = np.random.default_rng(batch_tokens).permutation(len(rendered))
    shuffled = ask(other, [rendered[i] for i in order])
    assert_same(shuffled, [wanted[i] for i in order])


def test_a_response_of_one_token_and_of_none(language_model: HuggingFaceLanguageModel) -> None:
    one, none = language_model.token_losses([[1, 520], [1, 520]], [[9531], []])
    assert_same([one], [one_by_one(language_model.model, [1, 520], [9531])])
    assert none.entropy is not None
    assert none.nll.shape == none.entropy.shape == none.top1.shape == (0,)
    assert language_model.token_losses([], []) == []


def test_input_that_cannot_be_scored_is_refused(language_model: HuggingFaceLanguageModel) -> None:
    with pytest.raises(ValueError, match="2 prefixes but 1 responses"):
        language_model.token_losses([[1], [1]], [[2]])
    with pytest.raises(ValueError, match="nothing predicts the first"):
        language_model.token_losses([[1], []], [[2], [2]])
    with pytest.raises(ValueError, match="8193 tokens, the model takes 8192"):
        language_model.token_losses([[1] * 8193], [[2]])


def test_threads_take_turns(
    language_model: HuggingFaceLanguageModel, rendered: list[RenderedExample]
) -> None:
    inside: list[int] = []
    most: list[int] = []

    def watch(*_: object) -> None:
        inside.append(1)
        time.sleep(0.05)  # long enough for another thread to come in, if it could
        most.append(len(inside))
        inside.pop()

    hook = language_model.model.register_forward_pre_hook(watch)
    decoder_hook = language_model.model.model.register_forward_pre_hook(watch)
    request = GenerationRequest([{"role": "user", "content": "Hi"}], (), 0.0, 1, 0)
    threads = [
        threading.Thread(target=ask, args=(language_model, rendered[:1])),
        threading.Thread(target=ask, args=(language_model, rendered[1:2])),
        threading.Thread(target=language_model.sample, args=([request],)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hook.remove()
    decoder_hook.remove()
    assert len(most) >= 3 and max(most) == 1


def test_option_probabilities_are_those_of_the_first_token(
    language_model: HuggingFaceLanguageModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    prompts = [turns[:1] for turns, _ in ROWS]
    options = ("A", "B", "The")
    answer = language_model.option_probabilities(prompts, options)
    tokens = [tokenizer(option)["input_ids"][0] for option in options]
    for row, prompt in enumerate(prompts):
        asked: Any = tokenizer.apply_chat_template(
            prompt, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.no_grad():
            logits = language_model.model(**asked).logits[0, -1]
        first = logits.double().softmax(-1)[tokens].numpy()
        assert answer.mass[row] == pytest.approx(first.sum(), rel=1e-3)
        np.testing.assert_allclose(answer.probabilities[row], first / first.sum(), atol=1e-4)
    np.testing.assert_allclose(answer.probabilities.sum(axis=1), 1.0, atol=1e-12)


def test_options_are_compared_where_they_first_differ(
    language_model: HuggingFaceLanguageModel,
) -> None:
    prompts = [row("Is it so?")[0]]
    answer = language_model.option_probabilities(prompts, ("not sure", "not at all"))
    # "not" is given; " sure" and " at" are weighed.
    assert answer.probabilities.shape == (1, 2) and 0 < answer.mass[0] < 1
    alone = language_model.option_probabilities(prompts, ("Yes",))
    np.testing.assert_array_equal(alone.probabilities, [[1.0]])
    assert 0 < alone.mass[0] < 1


def test_options_that_cannot_be_told_apart_are_refused(
    language_model: HuggingFaceLanguageModel,
) -> None:
    prompts = [row("Is it so?")[0]]
    with pytest.raises(ValueError, match="same token"):
        language_model.option_probabilities(prompts, ("Yes, so", "Yes, not", "No"))
    with pytest.raises(ValueError, match="no options"):
        language_model.option_probabilities(prompts, ())
    empty = language_model.option_probabilities([], ("A", "B"))
    assert empty.probabilities.shape == (0, 2) and empty.mass.shape == (0,)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "typical"), [("float32", 1e-5), ("bfloat16", 0.1)])
def test_the_whole_model_agrees_with_itself_row_by_row(
    dtype: str, typical: float, whole_model: ResolvedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = load_language_model(whole_model, dtype, "cpu")
    examples = [
        render(tokenizer, turns, tools, len(turns) - 1, "chat") for turns, tools in ROWS + LONG_ROWS
    ]
    losses = ask(model, examples)
    wanted = [one_by_one(model.model, row.prompt, row.response) for row in examples]
    if dtype == "float32":
        assert_same(losses, wanted)
    off = np.concatenate([a.nll - b.nll for a, b in zip(losses, wanted, strict=True)])
    assert np.sqrt((off**2).mean()) < typical  # nats
    # The prompt helps: Paris is no surprise after the question.
    assert losses[0].nll.mean() < 0.5
