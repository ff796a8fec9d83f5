"""What a maker may spend: the price of tokens, counted in whole ones, and the bound of a prompt."""

from pathlib import Path

import pytest

from pipeline.generation.allowance import Allowance, Spending, count_prompt_bytes
from pipeline.generation.maker import Ask
from pipeline.generation.makers.answer import Answer
from pipeline.generation.makers.s3ft import S3FT
from pipeline.measuring.endpoint import Price
from scorers.measures.protocols import (
    GeneratedAnswer,
    GenerationFailure,
    GenerationRequest,
    Opening,
    RawText,
)
from storage.database import read_workspace
from storage.maker_calls import read_ledger
from storage.runs import read_counts
from tests.scripted_maker import ScriptedModel, begin, kept_attached, make, script, write_sums

ASK = Ask("s", 0, [], 1.0, 10)

PRICE = Price(prompt=1, new=10)

SERVED = {"base_url": "http://127.0.0.1:1/v1", "price": {"prompt": 1, "new": 10}}


def test_a_price_is_of_prompts_and_of_what_is_written() -> None:
    assert Spending(3, tokens=200, prompt_tokens=1500).price(PRICE) == (1500 + 2000) / 1e6


def test_a_call_is_made_while_the_most_it_can_cost_fits() -> None:
    # Each: at most 5 + 10 * 10 = 105 millionths; after a reply of 4 tokens to 3: 43.
    allowance = Allowance(most_price=210e-6, price=PRICE, prompt_bound=lambda source, ask: 5)
    asks = [("a", ASK)] * 9
    assert allowance.take_fitting(asks) == 2
    allowance.spend("a", ASK, GeneratedAnswer("x", 4, finished=True, prompt_tokens=3))
    assert allowance.spent == Spending(1, 4, 3)
    assert allowance.take_fitting(asks) == 1  # 43 + 105 + 105 is more
    allowance.spend("a", ASK, GeneratedAnswer("x", None, finished=True))
    assert allowance.spent == Spending(2, 14, 8), "of a silent server the most of both"
    allowance.spend("a", ASK, GenerationFailure("timeout", ""))
    assert allowance.spent == Spending(3, 14, 8)


def test_a_prompt_has_no_more_tokens_than_bytes() -> None:
    messages = [{"role": "user", "content": "Łódź"}]
    chat = GenerationRequest(messages, (), 0, 9, 0)
    assert count_prompt_bytes(chat) == len('[[{"content":"Łódź","role":"user"}],[]]'.encode()) + 128
    raw = GenerationRequest((), (), 0, 9, 0, opening=RawText("Łódź", ("x",)))
    assert count_prompt_bytes(raw) == 7 + 64
    opened = GenerationRequest((), (), 0, 9, 0, opening=Opening([1, 2], "x", 3))
    assert count_prompt_bytes(opened) == 2


def test_a_budget_of_money_needs_a_price() -> None:
    with pytest.raises(ValueError, match="give the endpoint a `price"):
        Answer.model_validate({"at_most": {"price": 1}})
    with pytest.raises(ValueError, match="give the endpoint a `price"):
        teachers = ({"model": "a", "endpoint": SERVED}, {"model": "b"})
        Answer.model_validate({"at_most": {"price": 1}, "teachers": teachers})
    Answer.model_validate({"at_most": {"price": 1}, "endpoint": SERVED})


def test_a_maker_stops_at_its_price_says_so_and_goes_on_with_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A call is 7 * 10 + 20 = 90 millionths, and at most 512 * 10 and its bytes before it is made.
    script(monkeypatch, lambda text, seed: "so")
    said = GeneratedAnswer("so", 7, finished=True, prompt_tokens=20)
    monkeypatch.setattr(ScriptedModel, "answer", lambda self, request: said)
    block = {"prompts": "all", "endpoint": SERVED, "at_most": {"price": 0.0055}}
    few, all_of_them = (
        Answer.model_validate(block | {"at_most": {"price": p}}) for p in (0.0055, 1)
    )
    with kept_attached():
        run, pool = begin(tmp_path, write_sums(tmp_path))
        made, _ = make(run, few, pool)
        # While calls * 90 + 5120 + 5 * 46 or so is not above 5500.
        assert made.asked == len(made.workload.chosen) - made.unfinished == 3
        with read_workspace(run.workspace) as con:
            ((note, stopped),) = [each.notes for each in read_counts(con, run.run_id) if each.notes]
            (spent,) = read_ledger(con, made.workload.key)
        assert (spent.calls, spent.tokens, spent.prompt_tokens) == (3, 21, 60)
        assert "3 generate (21 tokens), which cost 0.00027;" in note
        assert stopped.startswith("at_most stopped answer: 5 of 8 sources are not finished")
        again, _ = make(run, all_of_them, pool)
    assert again.asked == 5 and not again.unfinished


def test_a_judges_calls_cost_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script(monkeypatch, lambda text, seed: "yes" if "to be judged:" in text else "2 + 2 = 4")
    maker = S3FT.model_validate({"method": "s3ft", "judge": "model", "endpoint": SERVED})
    with kept_attached():
        run, pool = begin(tmp_path, write_sums(tmp_path))
        make(run, maker, pool)
        with read_workspace(run.workspace) as con:
            counts = [each.notes[0] for each in read_counts(con, run.run_id) if each.notes]
    assert "8 generate (56 tokens), 8 judge (56 tokens), which cost 0.00112;" in counts[0]
