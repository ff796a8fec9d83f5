"""Pages from templates: what is written into one is escaped, bounded, and does nothing unseen."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from storage.visible import harmless

MOST_CHARACTERS = 20_000
"""Of one text on a page; a message may have millions."""

FOLDER = files("pipeline.viewing")

MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "image"])


def written(value: object) -> object:
    """What a template writes: of a text no more than a page can show, and nothing that acts."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return harmless(cut(value, MOST_CHARACTERS))


def cut(text: str, most: int) -> str:
    """A text, or its beginning and how long it is."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def shown_number(value: float | None) -> str:
    """A number for a person: four digits that count."""
    if value is None:
        return ""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def percent(share: float | None) -> str:
    """A share for a person."""
    return "" if share is None else f"{share:.0%}" if 0.1 <= share <= 0.9 else f"{share:.1%}"


def as_html(markdown: str) -> Markup:
    """Markdown of ours, whose texts of others are escaped, as HTML without any link."""
    html = MARKDOWN.render(harmless(markdown))
    # A wide one scrolls by itself, and must do so by keys where no script is. Of others' texts
    # every < is escaped.
    return Markup(html.replace("<table>", '<table tabindex="0">'))


def query_of(values: Mapping[str, object]) -> str:
    """A query string of what is given; what is empty is left out."""
    return urlencode({k: v for k, v in values.items() if v not in (None, "", ())}, doseq=True)


def make_environment() -> Environment:
    """The templates, with what they may call."""
    environment = Environment(
        loader=PackageLoader("pipeline.viewing"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=written,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": shown_number,
        "percent": percent,
        "cut": cut,
        "as_html": as_html,
        "query_of": query_of,
    }
    return environment


ENVIRONMENT = make_environment()


def render_page(template: str, values: Mapping[str, Any]) -> str:
    """A page of a template."""
    return ENVIRONMENT.get_template(template).render(values)
