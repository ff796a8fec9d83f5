"""The page of a run as one file: whole by itself, the same each time, and no script in it."""

from html.parser import HTMLParser
from pathlib import Path

from pipeline.viewing.fixed_page import MOST_CHARACTERS, write_fixed_page
from tests.viewed_workspace import view_workspace

LOADING = {"src", "href", "srcset", "action", "formaction", "data", "poster"}


class Loads(HTMLParser):
    """What a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag] if tag in {"script", "link", "img", "iframe", "base"} else []
        self.found += [name for name, _ in attrs if name in LOADING or name.startswith("on")]


def test_the_file_is_whole_by_itself_and_the_same_each_time(tmp_path: Path) -> None:
    _, run, _ = view_workspace(tmp_path)
    path = write_fixed_page(run.workspace, run.run_id)
    page = path.read_text(encoding="utf-8")
    assert path == run.workspace.reports / "seen.html" and path.stat().st_size < 10 * 2**20
    loads = Loads()
    loads.feed(page)
    assert loads.found == []
    assert "default-src &#39;none&#39;" in page
    assert "near_duplicate: 1 of 1 rows" in page and "over_budget: 4 of " in page
    assert "chosen: 6 of 6 rows" in page and page.count('class="bar kept"') > 8
    assert '<script>document.title="taken"' not in page and "&lt;script&gt;" in page
    assert "\u202e" not in page and "a" * (MOST_CHARACTERS + 1) not in page
    assert write_fixed_page(run.workspace, run.run_id).read_text(encoding="utf-8") == page
    assert [each.name for each in run.workspace.reports.iterdir()] == ["seen.html"]
