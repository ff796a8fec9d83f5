import pytest

from storage.source_paths import has_name


@pytest.mark.parametrize("name", ["dolly.jsonl", "raw/dolly.jsonl", "./raw/dolly.jsonl", "raw/"])
def test_whole_parts_of_a_path_name_it(name: str) -> None:
    assert has_name("../raw/dolly.jsonl", name)


@pytest.mark.parametrize("name", ["dolly", "olly.jsonl", "dolly.jsonl/raw", "", "..", "aw"])
def test_anything_else_does_not(name: str) -> None:
    assert not has_name("../raw/dolly.jsonl", name)
