"""The map of the code: one line for each file, and none that says nothing of itself."""

from pathlib import Path

import pytest

from docs import code_map, docstrings
from docs.code_map import FOLDERS, PAGE_REMARKS, REMARKS, entries
from docs.docstrings import ROOT


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one package of two files."""
    for module in (code_map, docstrings):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    folder = tmp_path / "flows"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text('"""The package."""\n')
    (folder / "one.py").write_text('"""One thing.\n\nMore of it.\n"""\n')
    (folder / "inner" / "__init__.py").write_text('"""What lies deeper."""\n')
    (folder / "inner" / "two.py").write_text('"""Another thing."""\n')
    return tmp_path


def test_files_stand_under_their_folders_with_their_first_line(checkout: Path) -> None:
    assert list(entries(checkout / "flows", 0)) == [
        ("flows/", "The package"),
        ("  one.py", "One thing"),
        ("  inner/", "What lies deeper"),
        ("    two.py", "Another thing"),
    ]


@pytest.mark.parametrize("text", ["", "import os\n", '""""""\n'])
def test_a_file_without_a_docstring_is_refused(checkout: Path, text: str) -> None:
    (checkout / "flows" / "silent.py").write_text(text)
    with pytest.raises(ValueError, match=r"flows/silent\.py has no docstring"):
        list(entries(checkout / "flows", 0))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("flows/more.yaml", r"no remark on flows/more\.yaml: add one to REMARKS"),
        ("docs/more.md", r"no remark on docs/more\.md: add one to PAGE_REMARKS"),
    ],
)
def test_a_file_without_a_remark_is_refused(checkout: Path, file: str, message: str) -> None:
    (checkout / "docs").mkdir()
    (checkout / "docs" / "__init__.py").write_text('"""Pages."""\n')
    (checkout / file).write_text("")
    with pytest.raises(ValueError, match=message):
        list(entries((checkout / file).parent, 0))


def test_a_folder_of_nothing_we_wrote_is_left_out(checkout: Path) -> None:
    (checkout / "flows" / "__pycache__").mkdir()
    (checkout / "flows" / "__pycache__" / "one.pyc").write_bytes(b"")
    assert not any("__pycache__" in line for line, _ in entries(checkout / "flows", 0))


def test_every_remark_is_on_something_that_exists() -> None:
    named = [*REMARKS, *(f"docs/{page}.md" for page in PAGE_REMARKS)]
    assert [each for each in named if not (ROOT / each).exists()] == []


def test_every_folder_of_code_is_on_the_map() -> None:
    code = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert code - set(FOLDERS) == set()
