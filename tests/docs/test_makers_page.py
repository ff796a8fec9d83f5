"""The table of makers says of each what it needs, costs and fails at."""

import pytest

from docs.makers_page import COLUMNS, makers_page, model_of, needs, table_row, told_of
from pipeline.generation.catalogue import MAKERS


def test_each_maker_has_a_line_with_all_that_it_must_say() -> None:
    lines = [line for line in makers_page().splitlines() if line.startswith("| [")]
    assert len(lines) == len(MAKERS)
    for name in MAKERS:
        cells = dict(zip(COLUMNS, table_row(name), strict=True))
        assert cells["what it is for"].startswith("For ") and cells["calls"].startswith("It costs")
        assert "Not " in cells["not for, and where it fails"], name


def test_what_a_maker_needs_is_tried() -> None:
    found = {name: needs(name, kind) for name, kind in MAKERS.items()}
    assert found["scilitllm"] == found["augcon"] == "documents" and found["magpie"] == "nothing"
    assert found["answer"] == found["lamini"] == found["orca"] == "prompts"
    assert found["repair"] == found["verified"] == "prompts with answers"
    assert found["answer_styles"] == "prompts with short answers"
    assert found["rejection"] == found["s3ft"] == "prompts with gold answers"


def test_the_model_is_said_as_the_docstring_has_it() -> None:
    models = {name: dict(zip(COLUMNS, table_row(name), strict=True))["model"] for name in MAKERS}
    better = {name for name, model in models.items() if model.startswith("a better")}
    assert better == {
        "apigen",
        "evol_instruct",
        "orca",
        "self_instruct",
        "step_by_step",
        "verified",
    }
    trained = {name for name, model in models.items() if model.startswith("the one that")}
    assert trained == {"metacognition", "r_tuning", "s3ft", "self_guide"}
    assert model_of("For anything. Not for nothing.") == "any"


def test_a_docstring_that_leaves_one_out_is_told() -> None:
    with pytest.raises(ValueError, match="what it is for, what not for and what it costs"):
        told_of("Makes rows.\n\nFor all. It costs 1 call.")
    told = told_of("Rows.\n\nBy many. For a. Care. Not for b; nor c. Not d. It\ncosts 1.5. So.")
    assert told == ("For a.", "Care. Not for b; nor c. Not d.", "It costs 1.5.")
