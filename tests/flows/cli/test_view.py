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

from tests.viewed_workspace import view_workspace

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

Scheme = Literal["light", "dark"]

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt install chromium"),
]

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


@pytest.mark.parametrize("path", ["", "rows"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_window_and_can_be_read(page: "Page", path: str, scheme: Scheme) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 380, "height": 800})
    page.goto(page.url + path)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(UNLABELLED) == []


def test_it_can_be_used_by_the_keyboard(page: "Page") -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    for _ in range(2):
        page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"  # where one is, is seen


UNLABELLED = """() => [...document.querySelectorAll('input, select, textarea, button, a')]
    .filter(e => e.type !== 'hidden' && !(e.labels && e.labels.length)
        && !e.getAttribute('aria-label') && !e.textContent.trim())
    .map(e => e.outerHTML)"""

CONTRAST = """() => {
    const numbers = text => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = e => {
        for (; e; e = e.parentElement) {
            const colour = numbers(getComputedStyle(e).backgroundColor);
            if (colour.length < 4 || colour[3] > 0.99) return colour;
        }
        return [255, 255, 255];
    };
    const found = [];
    for (const e of document.querySelectorAll('main *, header *')) {
        if (e.closest('svg') || !e.checkVisibility()) continue;
        if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
        const a = light(numbers(getComputedStyle(e).color)), b = light(behind(e));
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) found.push(`${e.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
    }
    return found;
}"""
"""Texts whose contrast is below that of WCAG 2.2, level AA, by its own formula."""
