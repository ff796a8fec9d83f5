from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from scorers.measures.entailment import CrossEncoderEntailment, PromptedEntailment
from scorers.measures.protocols import EntailmentModel, Message, OptionProbabilities

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
VOCABULARY = "the sky is not blue green . sun moon and shines low high"
WORDS = [*SPECIAL, *VOCABULARY.split(" ")]
LABELS = ("entailment", "neutral", "contradiction")


def save_model(path: Path, labels: Sequence[str] = LABELS, window: int = 24) -> Path:
    """A tiny cross-encoder whose class NAME scores the same wherever the name stands."""
    words = Tokenizer(WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words, pad_token="[PAD]", unk_token="[UNK]", model_max_length=window
    )
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(WORDS),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=64,
            initializer_range=1.0,
            id2label=dict(enumerate(labels)),
        )
    )
    order = [sorted(labels).index(label) for label in labels]
    with torch.no_grad():
        model.classifier.weight.copy_(model.classifier.weight[order].clone())
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("nli"))


@pytest.fixture(scope="module")
def model(folder: Path) -> CrossEncoderEntailment:
    return CrossEncoderEntailment.from_directory(folder)


PREMISES = ["the sky is blue", "the moon shines", "the sun is low", "the sky"]
HYPOTHESES = ["the sky is not blue", "the sun", "the sun is high and the moon is low", "sky"]


def test_is_what_the_model_says_of_each_pair_alone(
    folder: Path, model: CrossEncoderEntailment
) -> None:
    bert = BertForSequenceClassification.from_pretrained(folder).train(False)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    expected = []
    for pair in zip(PREMISES, HYPOTHESES, strict=True):
        with torch.no_grad():
            logits = bert(**tokenizer(*pair, return_tensors="pt")).logits
        expected.append(logits.softmax(-1)[0, LABELS.index("contradiction")].item())
    found = model.contradiction(PREMISES, HYPOTHESES)
    assert found.shape == (4,) and found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(expected) > 0.05  # the tiny model does tell the pairs apart


def test_both_texts_are_read_as_a_pair_in_order(model: CrossEncoderEntailment) -> None:
    forward = model.contradiction(PREMISES, HYPOTHESES)
    backward = model.contradiction(HYPOTHESES, PREMISES)
    assert np.abs(forward - backward).max() > 0.01


@pytest.mark.parametrize("labels", [LABELS[::-1], ("NEUTRAL", "CONTRADICTION", "ENTAILMENT")])
def test_the_label_is_found_by_name_wherever_it_stands(
    labels: Sequence[str], tmp_path: Path, model: CrossEncoderEntailment
) -> None:
    other = CrossEncoderEntailment.from_directory(save_model(tmp_path, labels))
    expected = model.contradiction(PREMISES, HYPOTHESES)
    np.testing.assert_allclose(other.contradiction(PREMISES, HYPOTHESES), expected, atol=1e-6)


@pytest.mark.parametrize("labels", [("LABEL_0", "LABEL_1", "LABEL_2"), ("entailment", "other")])
def test_a_model_that_does_not_name_contradiction_is_refused(
    labels: Sequence[str], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"'contradiction', got .*{labels[0]}".casefold()):
        CrossEncoderEntailment.from_directory(save_model(tmp_path, labels))


def test_a_window_without_room_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="window of 18 tokens"):
        CrossEncoderEntailment.from_directory(save_model(tmp_path, window=18))


def test_a_long_text_is_read_to_its_end_in_parts(model: CrossEncoderEntailment) -> None:
    # 21 tokens fit. The premise has 4, which leaves 17 for the hypothesis: two sentences of 12.
    premise = "the sky is blue"
    first, second = ("the sun is high and " * 2 + "low ." for _ in range(2))
    second = second.replace("sun", "moon")
    parts = [f"{first} {second}", first, second]
    for whole, part_1, part_2 in (
        model.contradiction([premise] * 3, parts),
        model.contradiction(parts, [premise] * 3),
    ):
        np.testing.assert_allclose(whole, (part_1 + part_2) / 2, atol=1e-6)
        assert abs(part_1 - part_2) > 1e-4


def test_parts_weigh_by_their_tokens(model: CrossEncoderEntailment) -> None:
    premise = "the sky is blue"
    long, short = "the sun is high and low and the moon is low and not high .", "moon is not ."
    whole, of_long, of_short = model.contradiction([premise] * 3, [f"{long} {short}", long, short])
    # 15 tokens and 4.
    np.testing.assert_allclose(whole, (15 * of_long + 4 * of_short) / 19, atol=1e-6)
    assert abs(of_long - of_short) > 1e-3


def test_two_long_texts_are_compared_part_by_part(model: CrossEncoderEntailment) -> None:
    premises = ["the sky is blue and the sun .", "the moon is low and not high ."]
    hypotheses = ["the sky is green and the moon .", "the sun is high and not low ."]
    whole = model.contradiction([" ".join(premises)], [" ".join(hypotheses)])
    # 15 tokens a side and a window for 21: each sentence is compared with each.
    counts = [[len(a.split()) * len(b.split()) for b in hypotheses] for a in premises]
    parts = [model.contradiction([a] * 2, hypotheses) for a in premises]
    np.testing.assert_allclose(whole, np.average(parts, weights=counts), atol=1e-6)


def test_an_answer_does_not_depend_on_its_company(model: CrossEncoderEntailment) -> None:
    long = "the sun is high and low . " * 6
    together = model.contradiction([*PREMISES, long], [*HYPOTHESES, long])
    alone = [
        model.contradiction([a], [b])[0]
        for a, b in zip([*PREMISES, long], [*HYPOTHESES, long], strict=True)
    ]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_no_pairs_give_no_answers_and_unequal_numbers_an_error(
    model: CrossEncoderEntailment,
) -> None:
    assert model.contradiction([], []).shape == (0,)
    with pytest.raises(ValueError, match="1 premises but 0 hypotheses"):
        model.contradiction(["a"], [])


@dataclass
class Chooser:
    """Prefers the option with the given words; with none, the letter A."""

    wanted: str | None
    asked: int = 0

    def option_probabilities(
        self, prompts: Sequence[Sequence[Message]], options: Sequence[str]
    ) -> OptionProbabilities:
        self.asked += len(prompts)
        rows = []
        for prompt in prompts:
            lines = str(prompt[-1]["content"]).splitlines()
            offered = {line[0]: line for line in lines if line[1:3] == ". "}
            chosen = [
                self.wanted in offered[letter] if self.wanted else letter == "A"
                for letter in options
            ]
            rows.append(np.array(chosen, dtype=np.float64))
        return OptionProbabilities(np.array(rows).reshape(-1, len(options)), np.ones(len(prompts)))


@pytest.mark.parametrize(
    ("wanted", "expected"), [("cannot both", 1.0), ("follows", 0.0), (None, 1 / 3)]
)
def test_a_language_model_is_asked_in_each_order(wanted: str | None, expected: float) -> None:
    chooser = Chooser(wanted)
    prompted: EntailmentModel = PromptedEntailment(chooser)
    found = prompted.contradiction(["a {b}", "c"], ["d", "e"])
    np.testing.assert_allclose(found, [expected, expected])
    assert chooser.asked == 6


def test_a_language_model_is_shown_both_texts_and_nothing_gives_nothing() -> None:
    seen: list[str] = []

    class Listener(Chooser):
        def option_probabilities(
            self, prompts: Sequence[Sequence[Message]], options: Sequence[str]
        ) -> OptionProbabilities:
            seen.extend(str(prompt[0]["content"]) for prompt in prompts)
            return super().option_probabilities(prompts, options)

    PromptedEntailment(Listener(None)).contradiction(["the premise"], ["the hypothesis"])
    for content in seen:
        assert content.index("the premise") < content.index("the hypothesis")
    assert PromptedEntailment(Listener(None)).contradiction([], []).shape == (0,)


def test_a_pair_that_does_not_fit_is_not_asked_about_and_has_no_number() -> None:
    chooser = Chooser("cannot both")
    prompted = PromptedEntailment(chooser, lambda question: len(question[0]["content"]) < 400)
    found = prompted.contradiction(["a", "long " * 100, "c"], ["d", "e", "f"])
    np.testing.assert_array_equal(found, [1.0, np.nan, 1.0])
    assert chooser.asked == 6
