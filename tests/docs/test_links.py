"""Links of the pages lead somewhere, and the files that pages, messages and settings name exist."""

import re
from pathlib import Path

import pytest

from docs.docstrings import ROOT
from docs.field_tables import slug

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
PACKAGES = ("flows", "pipeline", "scorers", "storage", "fine_tune", "recipes", "benchmarks")
FILE = re.compile(
    rf"(?<![\w/.(-])((?:{'|'.join(PACKAGES)}|docs|tests)/[\w/.-]*\w\.(?:py|yaml|md|json))\b"
)
"""A file of ours as text names it, from the checkout on; what follows a bracket is a link."""


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page: a heading that comes again gets a number, as on GitHub."""
    seen: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        anchor = slug(re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading))
        seen.append(f"{anchor}-{seen.count(anchor)}" if anchor in seen else anchor)
    return set(seen)


def dead_links(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        file, _, anchor = target.partition("#")
        if "://" in target:
            continue
        to = (page.parent / file).resolve() if file else page
        if not to.exists() or (anchor and anchor not in anchors(to)):
            dead.append(target)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("[a](other.md)", False),
        ("[a](none.md)", True),
        ("[a](other.md#two-words)", False),
        ("[a](other.md#two-words-1)", False),
        ("[a](other.md#two-words-2)", True),
        ("[a](#here)", False),
        ("[a](#there)", True),
        ("[a](https://example.org/none)", False),
    ],
)
def test_a_dead_link_is_told_from_a_live_one(tmp_path: Path, link: str, dead: bool) -> None:
    (tmp_path / "other.md").write_text("# Two words\n\n## Two words\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n\n{link}\n\n```text\n# there\n```\n", encoding="utf-8")
    assert bool(dead_links(page)) is dead


MODULE = re.compile(r"(?<![\w/])\w[\w/]*\.py\b")
"""A module as text names it, by as much of its path as tells which is meant."""

NOT_OURS = {
    "langid.py",
    "peer.py",
    "tokenise.py",
    # files of the trainers that exports are handed to
    "template.py",
    "template/base.py",
    "loss_scale/base.py",
    "data/converter.py",
    "dataset/preprocessor/core.py",
    "dataset_transformation.py",
    "finetune.py",
    "open_instruct/finetune.py",
    "prompt_strategies/chat_template.py",
    "trainer/sft_trainer.py",
    "utils/dataset/multiturn_sft_dataset.py",
}
"""A library, scripts that are written into other folders, and code of others."""


def sources() -> list[Path]:
    """Everything that may name a file: pages, code and settings."""
    code = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    settings = [ROOT / "prefect.yaml", ROOT / "Makefile", ROOT / "flows" / "automations.yaml"]
    return [*PAGES, *sorted(code), *settings]


def test_files_that_are_named_exist() -> None:
    gone = [
        f"{name(path)}: {file}"
        for path in sources()
        for file in FILE.findall(path.read_text(encoding="utf-8"))
        if not (ROOT / file).exists() and "NAME" not in file
    ]
    assert gone == []


def test_modules_that_are_named_exist() -> None:
    folders = (*PACKAGES, "docs", "tests")
    ours = [f"/{name(path)}" for folder in folders for path in (ROOT / folder).rglob("*.py")]
    gone = [
        f"{name(path)}: {module}"
        for path in sources()
        for module in set(MODULE.findall(path.read_text(encoding="utf-8"))) - NOT_OURS
        if "NAME" not in module and not any(each.endswith(f"/{module}") for each in ours)
    ]
    assert gone == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)\s#]+)", prose(page))
        waiting += [(page.parent / each).resolve() for each in links if "://" not in each]
    assert sorted(name(page) for page in set(PAGES) - reached) == []
