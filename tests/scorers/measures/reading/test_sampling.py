from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.models.loading import ResolvedModel, load_language_model
from scorers.measures.protocols import (
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
    Opening,
    RawText,
)
from scorers.measures.reading import sampling
from scorers.measures.reading.chat_format import render_prompt
from tests.tiny_models import tiny_gemma

pytestmark = pytest.mark.slow  # a real model writes


def request(
    text: str, temperature: float = 1.0, max_new_tokens: int = 12, seed: int = 0
) -> GenerationRequest:
    messages = [{"role": "user", "content": text}]
    return GenerationRequest(messages, (), temperature, max_new_tokens, seed)


REQUESTS = [
    request("What is the capital of France?", seed=1),
    request("What is the capital of France?", seed=2),
    request("What is the capital of France?", temperature=0.0),
    request("Write a story about a lighthouse and the people who kept it. " * 4, seed=3),
    request("Hi", temperature=0.5, max_new_tokens=20, seed=2**63 + 5),
    request("Count to ten.", temperature=2.0, max_new_tokens=3, seed=-1),
    request("Count to ten.", temperature=0.0, max_new_tokens=1),
]


def answers(model: HuggingFaceLanguageModel, *requests: GenerationRequest) -> list[str]:
    replies = model.sample(requests)
    assert all(isinstance(reply, GeneratedAnswer) for reply in replies)
    return [reply.text for reply in replies if isinstance(reply, GeneratedAnswer)]


@pytest.fixture(scope="module")
def together(language_model: HuggingFaceLanguageModel) -> list[str]:
    """The answers to all requests, asked at once."""
    return answers(language_model, *REQUESTS)


def test_an_answer_does_not_depend_on_its_company(
    language_model: HuggingFaceLanguageModel, together: list[str]
) -> None:
    alone = [answers(language_model, each)[0] for each in REQUESTS]
    backwards = answers(language_model, *REQUESTS[::-1])[::-1]
    assert together == alone == backwards


def test_the_same_seed_again_and_another_seed(language_model: HuggingFaceLanguageModel) -> None:
    first, second = REQUESTS[:2]
    one, again, other = answers(language_model, first, replace(first), second)
    assert one == again != other


def test_without_temperature_it_is_transformers_greedy_search(
    language_model: HuggingFaceLanguageModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    texts = ["What is the capital of France?", "Hi", "Write a story about a lighthouse. " * 3]
    got = answers(language_model, *(request(text, temperature=0.0) for text in texts))
    for text, answer in zip(texts, got, strict=True):
        prompt: Any = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        ids = language_model.model.generate(**prompt, max_new_tokens=12, do_sample=False)
        wanted = tokenizer.decode(ids[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
        assert answer == wanted


def test_an_answer_stops_at_the_end_of_the_turn(
    language_model: HuggingFaceLanguageModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    end = tokenizer.eos_token_id
    stopping = deepcopy(language_model.model)
    stopping.set_output_embeddings(AlwaysThen(stopping.get_output_embeddings(), 504, end, after=3))
    model = HuggingFaceLanguageModel(stopping, tokenizer)
    [stopped] = model.sample([request("Hi", temperature=0.0)])
    assert stopped == GeneratedAnswer("TheTheThe", tokens=4, finished=True)
    stopping.lm_head.calls = 0
    [cut] = model.sample([request("Hi", temperature=0.0, max_new_tokens=3)])
    assert cut == GeneratedAnswer("TheTheThe", tokens=3, finished=False)


def test_an_opening_is_gone_on_from_as_the_same_tokens_are_in_a_chat(
    language_model: HuggingFaceLanguageModel,
    tokenizer: PreTrainedTokenizerBase,
    together: list[str],
) -> None:
    chat = REQUESTS[2]
    ids = render_prompt(tokenizer, chat.messages, ())
    opening = Opening(ids, "<|im_end|>", int(tokenizer.eos_token_id))
    assert answers(language_model, replace(chat, messages=(), opening=opening)) == [together[2]]


def test_an_opening_ends_at_its_own_token_and_keeps_other_special_ones(
    language_model: HuggingFaceLanguageModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    ids: Any = tokenizer.convert_tokens_to_ids(["<|im_start|>", "!"])
    special, end = ids
    writing = deepcopy(language_model.model)
    head = AlwaysThen(writing.get_output_embeddings(), special, end, after=2)
    writing.set_output_embeddings(head)
    model = HuggingFaceLanguageModel(writing, tokenizer)
    opened = replace(request("", temperature=0), messages=(), opening=Opening([1], "!", end))
    assert model.sample([opened]) == [
        GeneratedAnswer("<|im_start|><|im_start|>", tokens=3, finished=True)
    ]


def test_a_text_is_gone_on_from_without_a_template_up_to_a_stop(
    language_model: HuggingFaceLanguageModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    untemplated = deepcopy(tokenizer)
    untemplated.chat_template = None
    model = HuggingFaceLanguageModel(language_model.model, untemplated)
    text = (
        "Days of the week: Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.\nMonths"
    )
    ids: Any = tokenizer(text, return_tensors="pt")
    written = language_model.model.generate(**ids, max_new_tokens=24, do_sample=False)
    whole = str(tokenizer.decode(written[0, ids["input_ids"].shape[1] :]))
    at = next(at for at in range(9, len(whole)) if whole.find(whole[at : at + 5]) == at)
    stop = whole[at : at + 5]  # across tokens, which end where they like
    asked = replace(request("", 0.0, 24), messages=(), opening=RawText(text, ("````", stop)))
    [answer] = model.sample([asked])
    assert isinstance(answer, GeneratedAnswer)
    assert answer.text == whole[:at].strip() and answer.finished
    assert answer.tokens is not None and answer.tokens < 24
    [cut] = model.sample([replace(asked, opening=RawText(text, ("````",)))])
    assert cut == GeneratedAnswer(whole.strip(), 24, finished=False)


def test_what_all_prompts_begin_with_is_read_once_and_changes_no_answer(
    language_model: HuggingFaceLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = "You are given a question. Reply to it in one short and plain sentence. "
    texts = [shared + each for each in ("What is rain?", "Why?", "Name a river of Europe.", "Why?")]
    asked = [request(text, seed=n) for n, text in enumerate(texts)]
    read: list[int] = []
    counted = deepcopy(language_model.model)
    counted.get_input_embeddings().register_forward_hook(
        lambda layer, ids, _: read.append(ids[0].numel()) if ids[0].shape[1] > 1 else None
    )
    model = HuggingFaceLanguageModel(counted, language_model.tokenizer)
    monkeypatch.setattr(sampling, "WORTH_SHARING", 10**9)
    read.clear()
    apart = answers(model, *asked)
    before = sum(read)
    monkeypatch.setattr(sampling, "WORTH_SHARING", 1)
    read.clear()
    assert answers(model, *asked) == apart
    assert sum(read) < before / 2, "three prompts, most of which is the same"
    read.clear()
    answers(model, asked[1], asked[3])
    assert len(read) == 1, "one prompt with two seeds is read as it is"


def test_a_layer_that_looks_back_so_far_is_given_no_padding_in_between() -> None:
    prompts = [[5] * 20 + [6, 7], [5] * 20 + [8]]
    batch = sampling._Batch(tiny_gemma(), prompts, 4)
    assert batch.mask.tolist() == [[1] * 22, [0] + [1] * 21]


def test_an_answer_with_nul_in_it_is_refused(
    language_model: HuggingFaceLanguageModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    (nul,) = tokenizer.encode("\0", add_special_tokens=False)
    writing = deepcopy(language_model.model)
    end = tokenizer.eos_token_id
    writing.set_output_embeddings(AlwaysThen(writing.get_output_embeddings(), nul, end, after=3))
    [refused] = HuggingFaceLanguageModel(writing, tokenizer).sample([request("Hi", temperature=0)])
    assert refused == GenerationFailure("unsound_text", "the answer holds NUL")


class AlwaysThen(torch.nn.Module):
    """An output embedding that says one token several times, and then another."""

    def __init__(self, inner: torch.nn.Module, first: int, then: int, after: int) -> None:
        super().__init__()
        self.inner, self.first, self.then, self.after, self.calls = inner, first, then, after, 0

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros_like(self.inner(hidden))
        logits[..., self.first if self.calls < self.after else self.then] = 50.0
        self.calls += int(hidden.shape[1] == 1)  # not when the wrapper probes the head
        return logits


def test_the_stop_tokens_are_the_models_and_the_templates(
    language_model: HuggingFaceLanguageModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    assert sampling.stop_tokens(language_model.model, tokenizer) == {2}
    model: Any = deepcopy(language_model.model)
    model.generation_config.eos_token_id = [5, 6]
    other = deepcopy(tokenizer)
    other.eos_token = "<file_sep>"  # a base model's; the template still ends turns with <|im_end|>
    assert sampling.stop_tokens(model, other) == {5, 6, other.eos_token_id, 2}


def test_a_request_that_does_not_fit_fails_alone(
    language_model: HuggingFaceLanguageModel,
) -> None:
    long, strange, fine = language_model.sample(
        [request("word " * 8190), replace(request(""), messages=[]), request("Hi")]
    )
    assert isinstance(long, GenerationFailure) and long.reason == "context_length"
    assert "the model takes 8192" in long.detail and "word" not in long.detail
    assert isinstance(strange, GenerationFailure) and strange.reason == "template"
    assert isinstance(fine, GeneratedAnswer)
    assert language_model.sample([]) == []


def test_logits_that_are_not_finite_fail_their_request_alone(
    language_model: HuggingFaceLanguageModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    broken = deepcopy(language_model.model)
    with torch.no_grad():
        broken.get_input_embeddings().weight[tokenizer("Łódź")["input_ids"][0]] = torch.nan
    untied = deepcopy(language_model.model.get_output_embeddings())
    untied.weight = torch.nn.Parameter(untied.weight.detach().clone())
    broken.set_output_embeddings(untied)
    model = HuggingFaceLanguageModel(broken, tokenizer)
    bad, good = model.sample([request("Łódź"), request("Hi")])
    assert isinstance(bad, GenerationFailure) and bad.reason == "not_finite"
    assert isinstance(good, GeneratedAnswer)


def test_impossible_settings_are_refused(language_model: HuggingFaceLanguageModel) -> None:
    with pytest.raises(ValueError, match="temperature cannot be negative"):
        language_model.sample([request("Hi", temperature=-0.1)])
    with pytest.raises(ValueError, match="at least 1"):
        language_model.sample([request("Hi", max_new_tokens=0)])


def test_batches_are_cut_and_halved_when_memory_is_short(
    language_model: HuggingFaceLanguageModel,
    together: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    write = sampling._write_batch

    def short(model: Any, drafts: Any) -> None:  # noqa: ANN401
        sizes.append(len(drafts))
        write(model, drafts)
        if len(drafts) > 2:  # at the worst moment: when the drafts are full
            raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(sampling, "_write_batch", short)
    assert answers(language_model, *REQUESTS[:5]) == together[:5]
    # By tokens: of five the two longest first; three short ones have as many as they, one has less.
    assert sizes == [5, 2, 3, 1, 1, 1], "what has no room is halved at once"


def drafts(seeds: range, temperature: float) -> list[sampling._Draft]:
    asked = [request("", temperature=temperature, seed=seed) for seed in seeds]
    return [sampling._Draft(each, prompt=[1], stops=frozenset()) for each in asked]


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_draws_follow_the_models_distribution(temperature: float) -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -30.0])
    n = 40_000
    tokens = sampling._choose(logits.expand(n, -1), drafts(range(n), temperature))
    shares = np.bincount(tokens, minlength=5) / n
    wanted = (logits.double() / temperature).softmax(-1).numpy()
    spread = 4 * np.sqrt(wanted * (1 - wanted) / n)  # four standard errors
    assert (np.abs(shares - wanted) <= spread + 1e-9).all()


def test_draws_of_successive_steps_are_independent() -> None:
    n = 20_000
    logits = torch.zeros(n, 2)
    some = drafts(range(n), 1.0)
    first = np.array(sampling._choose(logits, some))
    for draft in some:
        draft.tokens.append(0)
    second = np.array(sampling._choose(logits, some))
    correlation = np.corrcoef(first, second)[0, 1]
    assert abs(correlation) < 4 / np.sqrt(n)
    neighbours = np.corrcoef(first[:-1], first[1:])[0, 1]  # seeds that follow each other
    assert abs(neighbours) < 4 / np.sqrt(n)


def test_noise_of_a_token_does_not_depend_on_row_or_vocabulary() -> None:
    some = drafts(range(5), 1.0)
    all_rows = sampling._gumbel_noise(some, torch.zeros(5, 1000))
    one_row = sampling._gumbel_noise(some[3:4], torch.zeros(1, 700))
    assert torch.equal(all_rows[3, :700], one_row[0])
    assert all_rows.isfinite().all()


def test_a_rounding_error_seldom_changes_the_token() -> None:
    # A batch of another shape changes float32 logits by some 1e-5. Here by ten times that, on a
    # flat distribution over a whole vocabulary, which is the worst case.
    torch.manual_seed(0)
    logits = torch.randn(100, 49_152)
    some = drafts(range(100), 1.0)
    before = np.array(sampling._choose(logits, some))
    after = np.array(sampling._choose(logits + 1e-4 * torch.randn_like(logits), some))
    assert (before != after).sum() <= 1


@pytest.mark.slow
def test_the_whole_models_answers_do_not_depend_on_their_company(
    whole_model: ResolvedModel,
) -> None:
    model = load_language_model(whole_model, "float32", "cpu")
    requests = [
        request(text, max_new_tokens=40, seed=seed)
        for text in ("Tell me a joke.", "What is DNA?", "Name three rivers and where they flow.")
        for seed in range(4)
    ]
    together = model.sample(requests)
    alone = [model.sample([each])[0] for each in requests]
    assert together == alone
    assert answers(model, request("What is the capital of France?", temperature=0.0)) == [
        "The capital of France is Paris."
    ]
