"""The demo's input as files: the same bytes each time, read as noise.json says."""

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pipeline.ingest.readers import UnreadableRow, read_rows
from pipeline.ingest.shapes import UnreadableRowError, read_conversation
from recipes.build_demo_data import COPIES, build, main
from recipes.demo_data.odd_lines import ODD_ROWS

ROOT = Path(__file__).parent.parent
SOURCES = ("stdlib.jsonl", "sharegpt.jsonl", "odd_lines.jsonl")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # In a process of its own, as the demo does: libraries that other tests have imported change
    # what some modules of the standard library say of themselves.
    directory = tmp_path_factory.mktemp("demo")
    script = str(ROOT / "recipes" / "build_demo_data.py")
    subprocess.run([sys.executable, script, str(directory)], check=True, capture_output=True)
    return directory


def test_counts_what_it_writes(tmp_path: Path) -> None:
    counts = build(tmp_path)
    written = {name: (tmp_path / name).read_bytes().split(b"\n")[:-1] for name in SOURCES}
    assert counts == {name: sum(1 for line in lines if line) for name, lines in written.items()}
    assert sum(counts.values()) == 310
    assert counts["sharegpt.jsonl"] == 46 and counts["odd_lines.jsonl"] == ODD_ROWS == 40


@pytest.mark.parametrize("rows", [300, 600])
def test_gives_as_many_rows_as_asked_for(tmp_path: Path, rows: int) -> None:
    assert sum(build(tmp_path, rows).values()) == rows
    assert all((tmp_path / name).stat().st_size < 1_000_000 for name in SOURCES)


@pytest.mark.parametrize("rows", [299, 601])
def test_refuses_other_sizes(tmp_path: Path, rows: int) -> None:
    with pytest.raises(ValueError, match=f"300 to 600, got {rows}"):
        build(tmp_path / "none", rows)
    assert not (tmp_path / "none").exists()


def test_command_line_says_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--rows", "300"]) == 0
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 3
    assert "stdlib.jsonl: 214 rows" in err
    with pytest.raises(SystemExit, match="2"):
        main([str(tmp_path), "--rows", "7"])


def test_same_bytes_in_every_process(directory: Path, tmp_path: Path) -> None:
    for seed in ("1", "2"):
        script = str(ROOT / "recipes" / "build_demo_data.py")
        # -S: no site-packages, so that only the standard library can be imported.
        command = [sys.executable, "-S", "-W", "error", script, str(tmp_path / seed)]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True)
        for name in (*SOURCES, "noise.json"):
            assert (tmp_path / seed / name).read_bytes() == (directory / name).read_bytes(), name


def test_imports_nothing_but_the_standard_library() -> None:
    for path in (ROOT / "recipes").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            roots = {name.partition(".")[0] for name in names}
            assert roots <= {*sys.stdlib_module_names, "recipes"}, path.name


def test_text_knows_nothing_of_the_machine(directory: Path) -> None:
    paths = {*sysconfig.get_paths().values(), str(Path.home()), str(Path.cwd()), str(directory)}
    for name in (*SOURCES, "noise.json"):
        text = (directory / name).read_bytes().decode(errors="replace")
        assert not re.search(r"<[\w. ]+ at 0x[0-9a-f]+>| at 0x[0-9a-f]{6}", text)
        assert not [path for path in paths if len(path) > 1 and path in text]


def test_the_reader_keeps_and_refuses_what_noise_json_says(directory: Path) -> None:
    listed = json.loads((directory / "noise.json").read_bytes())["odd_lines.jsonl"]["lines"]
    kept, refused = read_with_sluice(directory / "odd_lines.jsonl")
    assert set(kept) == {entry["line"] for entry in listed if entry["survives"]}
    assert refused == {entry["line"] for entry in listed if not entry["survives"]}


def test_copies_are_one_example_to_the_reader(directory: Path) -> None:
    ours, refused = read_with_sluice(directory / "stdlib.jsonl")
    copies, refused_copies = read_with_sluice(directory / "sharegpt.jsonl")
    assert not refused and not refused_copies
    assert len(set(ours.values()) & set(copies.values())) == COPIES
    assert len(set(ours.values())) == len(ours)


def read_with_sluice(path: Path) -> tuple[dict[int, str], set[int]]:
    """Example ids by line, and the lines that are no conversation."""
    kept, refused = {}, set()
    for row in read_rows(str(path), None):
        try:
            assert not isinstance(row, UnreadableRow)
            kept[row.position] = read_conversation(row.value, None)[0].example_id
        except (AssertionError, UnreadableRowError):
            refused.add(row.position)
    return kept, refused


def test_half_of_the_evaluation_set_is_in_the_rows_word_for_word(directory: Path) -> None:
    items = [json.loads(line) for line in (directory / "evaluation.jsonl").open(encoding="utf-8")]
    rows = (directory / "stdlib.jsonl").read_text(encoding="utf-8")
    leaked = [json.dumps(each["prompt"], ensure_ascii=False)[1:-1] in rows for each in items]
    assert leaked == [True] * 6 + [False] * 6
