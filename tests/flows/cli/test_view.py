"""`sluice view` as a user starts it, in a real browser: every page, the keyboard, narrow, dark."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from starlette.testclient import TestClient

from pipeline.viewing.app import make_app
from pipeline.viewing.fixed_page import write_fixed_page
from pipeline.viewing.opened_run import Viewer
from storage.database import read_workspace
from tests.flows.test_passage_rows import made, recipe_of
from tests.tiny_models import CHAT, save_tiny_llama
from tests.viewed_workspace import view_workspace

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route

Scheme = Literal["light", "dark"]

sync_api = pytest.importorskip("playwright.sync_api")
Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt install chromium"),
]

PAGES = (
    "",
    "rows",
    "rows/",
    "scores",
    "map",
    "pairs",
    "review?kind=chosen",
    "what-if?set=select.steps.1.budget.rows=9",
)

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
"""Pixels that a page is wider than its window."""

START = "from flows.cli.main import main; main()"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return view_workspace(tmp_path_factory.mktemp("viewed"))[0]


@pytest.fixture(scope="module")
def address(recipe: Path) -> Iterator[str]:
    """Where a server of it is, with its token; it ends as on Ctrl-C."""
    command = [sys.executable, "-c", START, "view", str(recipe)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ}
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
        server.send_signal(signal.SIGINT)
        assert server.wait(20) in (0, 130)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with sync_api.sync_playwright() as play:
        # As root, which a container's user is, Chromium has no sandbox of its own.
        opened = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(browser: "Browser", address: str) -> Iterator["Page"]:
    """A page on which nothing goes wrong, and for which nothing is fetched from elsewhere."""
    context = browser.new_context()
    opened = context.new_page()
    faults: list[str] = []
    home = address.partition("?")[0]

    def hear(said: "ConsoleMessage") -> None:
        if said.type == "error":
            faults.append(said.text)

    def watch(asked: "Request") -> None:
        if not asked.url.startswith((home, "data:", "blob:")):
            faults.append(asked.url)

    opened.on("console", hear)
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("request", watch)
    opened.goto(address)
    yield opened
    assert faults == []
    context.close()


def test_from_the_first_page_to_why_a_row_is_out(page: "Page") -> None:
    assert "token" not in page.url
    page.get_by_role("link", name="6 above_threshold").click()
    assert "reason=above_threshold" in page.url
    page.locator("tbody tr").first.get_by_role("link").first.click()
    assert page.get_by_role("heading", name="Why it is out").is_visible()
    assert "at_most is 20" in page.locator(".verdict").inner_text()
    assert "--set select.steps.0.at_most=" in page.locator(".verdict").inner_text()


def test_filters_and_orders_by_hand(page: "Page") -> None:
    page.get_by_role("link", name="Rows", exact=True).click()
    page.get_by_label("Reason").select_option("over_budget")
    page.get_by_label("Text", exact=True).fill("W9X")
    page.get_by_role("button", name="Show").click()
    assert "status" not in page.url  # what says nothing stays out of the address
    assert page.locator("tbody tr").count() == 1
    page.get_by_role("link", name="all rows").click()
    page.get_by_role("link", name="response_length").click()
    cells = page.locator("tbody td.n:nth-child(4)").all_inner_texts()
    numbers = [float(text.replace(",", "")) for text in cells if text]
    assert numbers == sorted(numbers, reverse=True)
    page.get_by_role("link", name="response_length").click()
    assert page.url.endswith("sort=-response_length")


def test_the_hostile_row_does_nothing(page: "Page") -> None:
    page.goto(page.url + "rows?text=%3Cscript%3E")
    assert page.locator("tbody tr").count() == 1
    page.locator("tbody tr a").first.click()
    page.wait_for_load_state()
    assert page.title().startswith("Row ") and "<script>" in page.locator("main").inner_text()
    assert page.locator("main script, main img").count() == 0


def test_a_setting_is_tried_from_the_row_that_it_would_bring_in(page: "Page") -> None:
    page.goto(page.url + "rows?reason=over_budget&sort=response_length")
    page.locator("tbody tr").first.get_by_role("link").first.click()
    page.get_by_role("link", name="Try it").click()
    assert "would be chosen" in page.locator(".verdict.in").inner_text()
    came = page.get_by_role("region", name="Would come").locator("tbody tr")
    assert came.count() == 6  # the budget is twice as large


def test_what_is_dragged_across_a_histogram_is_a_filter_and_a_what_if(page: "Page") -> None:
    page.get_by_role("link", name="Scores", exact=True).click()
    page.locator("#histograms[data-drawn='2']").wait_for()
    page.locator("#points[data-drawn]").wait_for()  # nothing moves any more
    plot = page.locator("#histograms .picture").first.locator(".nsewdrag")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, middle, steps=5)
    page.mouse.up()
    page.get_by_text("response_length from ").wait_for()
    low, high = page.get_by_label("At least"), page.get_by_label("At most")
    assert 0 < float(low.input_value()) < float(high.input_value())
    # The recipe has a step of bounds for this score, so that one is set.
    assert page.locator("#line").inner_text().startswith("select.steps.0.at_least: ")
    page.get_by_role("button", name="What if").click()
    assert page.get_by_role("heading", name="Would come").is_visible()
    page.go_back()
    page.locator("#histograms[data-drawn='2']").wait_for()
    page.get_by_label("Score", exact=True).select_option("type_token_ratio")
    page.get_by_label("At least").fill("0.5")
    line = "- {method: threshold, score: type_token_ratio, at_least: 0.5}"
    assert page.locator("#line").inner_text() == line
    page.get_by_role("button", name="What if").click()
    assert line in page.locator("main").inner_text()
    page.go_back()
    page.get_by_label("At least").fill("0.5")
    page.get_by_role("button", name="Show these rows").click()
    assert "min." in page.url and page.locator("tbody tr").count() > 1


def test_a_brush_over_two_scores_leads_to_its_rows(page: "Page") -> None:
    page.goto(page.url + "scores")
    page.locator("#points[data-drawn]").wait_for()
    plot = page.locator("#points .nsewdrag")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 5, box["y"] + box["height"] - 5, steps=5)
    page.mouse.up()
    page.get_by_role("link", name="show the rows within").click()
    assert "min.response_length" in page.url and page.locator("tbody tr").count() > 1


def test_a_box_on_the_map_leads_to_its_rows(page: "Page") -> None:
    page.get_by_role("link", name="Map", exact=True).click()
    page.locator("#map[data-drawn='30']").wait_for()
    page.locator("#map[data-painted='status']").wait_for()
    assert "chosen (6)" in page.locator("#legend").inner_text()
    assert page.evaluate(INKED) > 100  # WebGL drew something
    page.get_by_label("coloured by").select_option("response_length")
    page.locator("#map[data-painted='response_length']").wait_for()
    assert "none (1)" in page.locator("#legend").inner_text()
    canvas = page.locator("#map canvas")
    box = canvas.bounding_box()
    assert box is not None
    canvas.press("+")
    canvas.press("ArrowLeft")
    page.get_by_role("button", name="all of it").click()
    x, y = page.evaluate(FIRST_POINT)
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.locator("#pointed a").wait_for()
    row = page.locator("#pointed a").inner_text()
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.wait_for_url("**/rows/*")
    assert page.title().startswith(f"Row {row}")
    page.go_back()
    page.locator("#map[data-painted]").wait_for()
    page.mouse.move(box["x"] + x - 9, box["y"] + y - 9)
    page.mouse.down()
    page.mouse.move(box["x"] + x + 9, box["y"] + y + 9, steps=4)
    page.mouse.up()
    page.wait_for_url("**/rows?area=pca*")
    assert row in page.locator("tbody").inner_text() and page.locator("tbody tr").count() < 30


def test_rows_are_judged_by_key_presses(page: "Page") -> None:
    page.get_by_role("link", name="Review", exact=True).click()
    page.get_by_role("link", name="above_threshold", exact=True).click()
    page.wait_for_url("**kind=above_threshold*")  # loaded: keys mean nothing before its script ran
    first = page.locator("input[name=row]").input_value()
    page.keyboard.press("s")
    page.wait_for_url("**skip=*")
    second = page.locator("input[name=row]").input_value()
    assert second != first
    page.get_by_label("Note").fill("bob")  # its letters are no verdicts
    assert page.locator("input[name=row]").input_value() == second
    page.get_by_label("Note").press("Tab")
    page.keyboard.press("b")
    page.get_by_text("1 of 6 read").wait_for()
    page.get_by_role("link", name="Try it").click()
    page.wait_for_url("**drop=bad*")
    assert "- {method: not_marked_bad}" in page.locator("main").inner_text()
    assert "not_marked_bad()" in page.locator("main").inner_text()  # a step of its own
    page.go_back()
    page.goto(page.url.replace("review", f"rows/{second}"))
    assert page.title().startswith("Row ")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_window_and_can_be_read(page: "Page", path: str, scheme: Scheme) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 380, "height": 800})
    page.goto(page.url + path.rstrip("/"))
    assert page.evaluate(WIDER) <= 0
    if path == "rows/":
        page.locator("tbody tr").first.get_by_role("link").first.click()
        page.wait_for_url("**/rows/*")
    if path in ("scores", "map"):
        page.locator("[data-drawn]").first.wait_for()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


def test_it_can_be_used_by_the_keyboard(page: "Page") -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"  # where one is, is seen


INKED = """() => {
    draw();  // what was drawn is there until the browser has shown it
    const pixels = new Uint8Array(canvas.width * canvas.height * 4);
    gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    return pixels.filter((each, at) => at % 4 === 3 && each).length;
}"""

FIRST_POINT = """() => [
    (1 + (places[0] - view.x) / view.half / wide()) / 2 * canvas.clientWidth,
    (1 - (places[1] - view.y) / view.half) / 2 * canvas.clientHeight,
]"""
"""Where the first point is on the canvas."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_as_one_file_needs_no_server(
    browser: "Browser", tmp_path: Path, scheme: Scheme
) -> None:
    _, run, _ = view_workspace(tmp_path)
    # The page's own policy lets no script run, Axe's neither.
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": 380, "height": 800}, bypass_csp=True
    )
    opened = context.new_page()
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    path = write_fixed_page(run.workspace, run.run_id)
    opened.goto(path.as_uri())
    assert asked == [path.as_uri()]
    assert opened.locator("path.points.chosen").bounding_box()["width"] > 50  # type: ignore[index]
    assert opened.evaluate(WIDER) <= 0
    found = Axe().run(opened).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_a_passage_fits_and_can_be_read(
    browser: "Browser", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: Scheme
) -> None:
    model = str(save_tiny_llama(tmp_path / "tiny", chat_template=CHAT))
    workspace = made(tmp_path, recipe_of(tmp_path, model), monkeypatch).run.workspace
    with read_workspace(workspace) as con:
        (passage_id,) = con.execute("select min(passage_id) from passages").fetchall()[0]
    client = TestClient(make_app(Viewer(workspace), "t", ["here:1"]), base_url="http://here:1")

    def answer(route: "Route") -> None:
        """What the application says, without a server that would have to be started for it."""
        given = client.get(route.request.url)
        route.fulfill(status=given.status_code, headers=dict(given.headers), body=given.content)

    context = browser.new_context(color_scheme=scheme, viewport={"width": 380, "height": 800})
    context.route("**/*", answer)
    opened = context.new_page()
    opened.goto(f"http://here:1/passages/{passage_id}?token=t")
    assert "Passage" in opened.get_by_role("heading", level=1).inner_text()
    assert opened.evaluate(WIDER) <= 0
    found = Axe().run(opened).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    context.close()
