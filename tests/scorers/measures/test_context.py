from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedTokenizerBase

from scorers.arrays import Floats, Ints
from scorers.measures.context import ContextRow, default_layer, measure_context
from scorers.measures.models.language_model import HuggingFaceLanguageModel
from scorers.measures.models.loading import ResolvedModel, load_language_model
from scorers.measures.protocols import Message
from scorers.measures.reading.turn_tokens import TurnSpan, TurnTokens, find_turns
from tests.tiny_models import CHAT, save_tiny_llama

pytestmark = pytest.mark.usefixtures("one_thread")


@dataclass
class FakeProbe:
    """Attention from a table: head, place of the query, place of the key."""

    weights: Floats
    max_tokens: int = 100
    layers: int = 3
    asked: list[int] = field(default_factory=list)

    def attention_shares(
        self, ids: Sequence[int], queries: Ints, keys: Sequence[Ints], layer: int
    ) -> Floats:
        self.asked.append(layer)
        parts = [self.weights[:, queries][:, :, group].sum(axis=2) for group in keys]
        return np.stack(parts, axis=2)


def turn(message: int, role: str, *places: int) -> TurnSpan:
    return TurnSpan(message, role, np.array(places, dtype=np.int64))


# Two heads; users say tokens 0 and 1 of turn 0 and token 3 of turn 2; answers are 2, then 4 and 5.
WEIGHTS = np.zeros((2, 6, 6))
WEIGHTS[0, 2, :2], WEIGHTS[1, 2, :2] = [0.1, 0.2], [0.3, 0.4]
WEIGHTS[0, 4, [0, 3]], WEIGHTS[1, 4, [0, 3]] = [0.5, 0.1], [0.0, 0.4]
WEIGHTS[0, 5, [0, 3]], WEIGHTS[1, 5, [0, 3]] = [0.0, 0.2], [0.6, 0.2]
ROW = TurnTokens(
    [7] * 6,
    [
        turn(0, "user", 0, 1),
        turn(1, "assistant", 2),
        turn(2, "user", 3),
        turn(3, "assistant", 4, 5),
    ],
)


def test_a_maximum_over_heads_for_each_token_then_the_mean() -> None:
    probe = FakeProbe(WEIGHTS)
    row = measure_context(probe, ROW, response_at=3, layer=1, max_tokens=6)
    assert row.state == "ok" and probe.asked == [1]
    first, last = row.turns
    assert (first.message, first.tokens, last.message, last.tokens) == (1, 1, 3, 2)
    # Turn 1: heads see 0.1 + 0.2 and 0.3 + 0.4 of the users' text.
    np.testing.assert_allclose([first.all_turns, first.current_turn], [0.7, 0.7])
    # Turn 3, all: token 4 max(0.6, 0.4), token 5 max(0.2, 0.8); means of heads 0.4 and 0.6.
    np.testing.assert_allclose([last.all_turns, last.all_turns_of_means], [0.7, 0.6])
    # Turn 3, its own user turn: max(0.1, 0.4) and max(0.2, 0.2); means of heads 0.15 and 0.3.
    np.testing.assert_allclose([last.current_turn, last.current_turn_of_means], [0.3, 0.3])


@pytest.mark.parametrize(
    ("row", "response_at", "state", "why"),
    [
        (ROW, 4, "not_applicable", "the response has no text"),
        (TurnTokens([7], [turn(1, "assistant", 0)]), 1, "not_applicable", "no user's text"),
        (
            TurnTokens([7], [turn(0, "user"), turn(1, "assistant", 0)]),
            1,
            "not_applicable",
            "no user's text",
        ),
        (TurnTokens([7] * 7, ROW.turns), 3, "truncated", "7 tokens, at most 6 are measured"),
    ],
)
def test_what_cannot_be_told_has_a_state(
    row: TurnTokens, response_at: int, state: str, why: str
) -> None:
    found = measure_context(FakeProbe(WEIGHTS), row, response_at, 0, max_tokens=6)
    assert found.state == state and why in str(found.detail) and not found.turns


def test_the_probes_own_window_holds_too() -> None:
    found = measure_context(FakeProbe(WEIGHTS, max_tokens=5), ROW, 3, 0, max_tokens=100)
    assert found == ContextRow("truncated", "6 tokens, at most 5 are measured")


def test_attention_that_is_no_number_is_a_failure() -> None:
    broken = WEIGHTS.copy()
    broken[0, 5, 3] = np.nan
    assert measure_context(FakeProbe(broken), ROW, 3, 0, 100).state == "failed"


def test_an_answer_before_any_user_has_no_number() -> None:
    turns = [turn(0, "assistant", 0), turn(1, "user", 1), turn(2, "assistant", 2)]
    found = measure_context(FakeProbe(WEIGHTS), TurnTokens([7] * 3, turns), 2, 0, 100)
    assert [each.message for each in found.turns] == [2]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> HuggingFaceLanguageModel:
    path: Path = save_tiny_llama(tmp_path_factory.mktemp("model"), chat_template=CHAT)
    return HuggingFaceLanguageModel.from_directory(path, "float32", "cpu")


def talk(*contents: str) -> list[Message]:
    roles = ("user", "assistant")
    return [{"role": roles[at % 2], "content": text} for at, text in enumerate(contents)]


def measured(model: HuggingFaceLanguageModel, *contents: str) -> ContextRow:
    turns = find_turns(model.tokenizer, talk(*contents), ())
    return measure_context(model, turns, len(contents) - 1, 1, 256)


def test_numbers_of_a_model_are_shares_and_means_of_maxima_are_the_larger(
    tiny: HuggingFaceLanguageModel,
) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        contents = [" ".join(map(str, rng.integers(4, 200, 9))) for _ in range(4)]
        for each in measured(tiny, *contents).turns:
            assert 0 < each.all_turns_of_means <= each.all_turns <= 1
            assert 0 < each.current_turn_of_means <= each.current_turn <= each.all_turns


def test_what_another_turn_answers_changes_nothing_before_it(
    tiny: HuggingFaceLanguageModel,
) -> None:
    one = measured(tiny, "14 11 12", "24 21", "13 14", "22 23")
    other = measured(tiny, "14 11 12", "24 21", "13 14", "99 98 97")
    assert one.turns[0].all_turns == pytest.approx(other.turns[0].all_turns, abs=1e-6)
    assert one.turns[1].all_turns != pytest.approx(other.turns[1].all_turns, abs=1e-6)
    alone = measured(tiny, "14 11 12", "24 21")
    assert alone.turns[0].all_turns == pytest.approx(one.turns[0].all_turns, abs=1e-6)


def test_the_templates_tokens_would_raise_the_number(tiny: HuggingFaceLanguageModel) -> None:
    row = find_turns(tiny.tokenizer, talk("14 11 12", "24 21"), ())
    user, answer = row.turns
    with_headers = TurnSpan(0, "user", np.arange(answer.positions[0]))
    assert len(with_headers.positions) > len(user.positions)
    plain = measure_context(tiny, row, 1, 1, 256).turns[0]
    wrong = measure_context(tiny, replace(row, turns=[with_headers, answer]), 1, 1, 256).turns[0]
    assert wrong.all_turns > plain.all_turns + 0.01


def test_a_masked_users_text_is_worth_nothing(tiny: HuggingFaceLanguageModel) -> None:
    row = find_turns(tiny.tokenizer, talk("14 11 12", "24 21"), ())
    nothing = np.array([], dtype=np.int64)
    shares = tiny.attention_shares(row.ids, row.turns[1].positions, [nothing], 1)
    assert shares.shape == (4, 2, 1) and (shares == 0).all()


@pytest.mark.slow
def test_a_copy_depends_on_its_context_more_than_trivia_of_the_same_length(
    whole_model: ResolvedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = load_language_model(whole_model, dtype="float32", device="cpu")
    layer = default_layer(model.layers)
    said = "The meeting moves to Thursday at nine in the small room behind the kitchen."
    trivia = "The city of Rome was founded long before the birth of Christ in Italy."
    asked = {
        f"Repeat this sentence exactly:\n{said}": said,
        "Tell me any one fact about the history of the world, in a sentence please.": trivia,
    }
    found = []
    for prompt, answer in asked.items():
        row = find_turns(tokenizer, talk(prompt, answer), ())
        found.append(measure_context(model, row, 1, layer, 2048).turns[0])
    copied, known = found
    assert copied.tokens == known.tokens == 15
    assert copied.all_turns > 0.6 > known.all_turns + 0.3
