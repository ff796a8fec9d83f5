import numpy as np
import pytest

from flows.cli.main import exit_code
from pipeline.selection.source_names import (
    WrongNameError,
    name_sources,
    require_known,
)

PATHS = np.array(["../raw/dolly.jsonl", "../raw/math/gsm8k.jsonl", "../raw/math/aqua.jsonl"])


def test_a_folder_names_all_of_its_files() -> None:
    assert list(name_sources(PATHS, ("math",))) == ["../raw/dolly.jsonl", "math", "math"]


def test_two_names_for_one_source_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"raw and math both name ../raw/math/aqua.jsonl"):
        name_sources(PATHS[1:], ("raw", "math"))


def test_no_rows_have_no_names() -> None:
    assert len(name_sources(np.array([], dtype=object), ("raw",))) == 0


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        WrongNameError, match=r"Did you mean 'math'\? There are: chat, math"
    ) as told:
        require_known(["maths"], ["math", "chat", "math"], "source")
    assert exit_code(told.value) == 2  # the recipe is at fault
