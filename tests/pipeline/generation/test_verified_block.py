"""Makers with verifiers share what these need: the folder of the recipe, the key, the prompts."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.generation.catalogue import MAKERS
from pipeline.generation.maker_block import CallBounds
from pipeline.generation.verified_block import VerifiedBlock

CARD = {"name": "title", "instructions": ["Give it a title."], "input": "passage"}

REQUIRED: dict[str, dict[str, Any]] = {"task_cards": {"cards": [CARD]}}
"""What a maker needs besides a model."""

VERIFIED = {name: each for name, each in MAKERS.items() if "verify" in each.model_fields}


def block_of(name: str, *verify: dict[str, Any]) -> VerifiedBlock:
    given = {"method": name, "model": "m", "verify": verify, **REQUIRED.get(name, {})}
    block = VERIFIED[name].model_validate(given)
    assert isinstance(block, VerifiedBlock), "or it would have to say all of that again"
    return block


def test_there_are_makers_with_verifiers() -> None:
    assert {"rejection", "document_questions", "augcon"} <= VERIFIED.keys()


@pytest.mark.parametrize("name", VERIFIED)
def test_what_a_verifier_reads_lies_in_the_recipes_folder(name: str, tmp_path: Path) -> None:
    block = block_of(name, {"method": "uncontaminated", "against": [{"path": "eval.jsonl"}]})
    (verifier,) = block.placed(tmp_path).verify
    assert verifier.against[0].path == str(tmp_path / "eval.jsonl")  # type: ignore[union-attr]


@pytest.mark.parametrize("name", VERIFIED)
def test_a_judges_prompt_is_sent_and_its_calls_are_counted(name: str) -> None:
    plain = block_of(name, {"method": "constraints", "words_at_most": 5})
    judged = block_of(name, {"method": "judged"})
    assert {*judged.sent_prompts()} > {*plain.sent_prompts()} >= {*plain.prompts}
    own = plain.calls_for(3).get("judge", CallBounds(0, 0, 0))  # of a maker that judges itself
    assert judged.calls_for(3)["judge"].most > own.most
    assert judged.keyed()["verify"] != plain.keyed()["verify"]
