r"""Translated templates: rows of a prompt template again, with the template in other languages.

    t' ~ M(t, L)   if placeholders(t') = placeholders(t), each as often
    row (t'(v), y) beside (t(v), y)   for each row whose prompt is t(v), at most `cap` of them

A template is a text with `{names}`; a row is of the first one that its last message is, and what
stands at the names, v, is taken over to the letter, as is the answer. A prompt that can be read in
several ways is not taken. So a template is translated once for each language and no row is, and all
languages have the same rows. A t' that lost, doubled or renamed a placeholder counts as
`placeholders_differ`, one in the language of t as `not_translated`. Of more than `cap` rows those
stay that a seeded hash says.

xP3mt: Muennighoff et al. 2022, arXiv:2211.01786, where it helped with prompts that people wrote in
other languages. There a template is in the language of its data; here it is in those that are
named, and what language the data are in is not looked at.

For data sets in many languages whose prompts are all in one, by a model that translates. Not for
prompts without a common wording, of which round_trip works on each; nor by a model that you cannot
check: read what it made of each template, for that stands in all its rows. It costs a call for each
template and language.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.generation.maker import (
    Ask,
    CallKind,
    Making,
    Settled,
    Unread,
    Wanted,
    ask_otherwise,
    is_asked_once,
    last_prompt_text,
    read_whole,
)
from pipeline.generation.maker_block import WHOLE_POOL, CallBounds, MakerBlock, draw_names
from pipeline.generation.makers.round_trip import fault_of_translation
from pipeline.generation.templates import fill_prompt
from pipeline.measuring.measures.samples import Sampled
from storage.conversations import Conversation
from storage.examples import Example

PROMPT = "translated_templates"

PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}", re.ASCII)


class TranslatedTemplates(MakerBlock):
    """Rows with their prompt template in other languages: xP3mt (arXiv:2211.01786)."""

    method: Literal["translated_templates"]
    templates: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        min_length=1,
        description="What prompts say but for what is theirs, which a `{name}` stands for; the "
        "first that fits counts.",
    )
    languages: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        min_length=1, description="To translate into, by their names."
    )
    cap: int = Field(
        default=100_000, gt=0, description="Rows of a template in each language, at most."
    )
    temperature: float = Field(default=0, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=256, gt=0, description="Of a translated template.")

    prompts: ClassVar[Sequence[str]] = (PROMPT,)

    @model_validator(mode="after")
    def templates_can_be_found(self) -> Self:
        """Check that it is clear of each template what of a prompt is at its names."""
        for name in ("templates", "languages"):
            if len({*getattr(self, name)}) < len(getattr(self, name)):
                raise ValueError(f"two of the {name} are the same: leave one out")
        for each in self.templates:
            if not PLACEHOLDER.search(each):
                raise ValueError(
                    f"a template needs a {{name}} for what is each row's: {each[:60]!r}"
                )
            if "}{" in PLACEHOLDER.sub("{}", each):
                raise ValueError(
                    f"two names without a sign between cannot be told apart: {each[:60]!r}"
                )
        return self

    @property
    def makes_of_whole(self) -> bool:
        """A template is translated for all its rows."""
        return True

    def find_template(self, text: str) -> tuple[str, Mapping[str, str]] | None:
        """The template that a text is of, and what stands at its names."""
        for template in self.templates:
            short, long = (pattern_of(template, lazy).fullmatch(text) for lazy in (True, False))
            # The first names have as little as they can here, and as much there: the same in both,
            # or the text can be read in several ways.
            if short and long and short.groupdict() == long.groupdict():
                return template, short.groupdict()
        return None

    def takes(self, example: Example) -> bool:
        """Rows with one response to a prompt of one of the templates."""
        return is_asked_once(example) and self.find_template(last_prompt_text(example)) is not None

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return len(self.languages)

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for all rows together, if there are any."""
        return {WHOLE_POOL: make_by_translated_templates(self, sources, seed)} if sources else {}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """One for each template that has rows, and language."""
        fewest = min(sources, 1) * len(self.languages)
        most = min(sources, len(self.templates)) * len(self.languages)
        return {"generate": CallBounds(fewest, most, self.max_new_tokens)}


def make_by_translated_templates(
    settings: TranslatedTemplates, sources: Sequence[Example], seed: int
) -> Making:
    """Translate the templates that have rows, and fill them as they were."""
    rows: dict[str, dict[str, Mapping[str, str]]] = {each: {} for each in settings.templates}
    for source in sources:
        found = settings.find_template(last_prompt_text(source))
        assert found is not None  # or it were not taken
        rows[found[0]][source.example_id] = found[1]
    by_id = {source.example_id: source for source in sources}
    asks = {
        (template, language): ask_for_template(settings, number, template, language)
        for number, template in enumerate(settings.templates)
        for language in settings.languages
        if rows[template]
    }
    replies = yield Wanted([*asks.values()])
    settled = []
    for ((template, language), ask), reply in zip(asks.items(), replies, strict=True):
        text = read_translated(template, reply)
        chosen = draw_names(rows[template], seed, settings.cap)
        if isinstance(text, Unread):
            settled.append(Settled([ask.place], None, text.reason))
            continue
        for name in sorted(chosen):
            row = row_of_template(by_id[name], text, rows[template][name])
            settled.append(Settled([ask.place], row, language, [name]))
    return settled


def ask_for_template(
    settings: TranslatedTemplates, number: int, template: str, language: str
) -> Ask:
    """A template in a language."""
    shown = fill_prompt(PROMPT, {"text": template, "language": language})
    messages = [{"role": "user", "content": shown}]
    stage = f"template {number + 1} {language}"
    return Ask(stage, 0, messages, settings.temperature, settings.max_new_tokens)


def read_translated(template: str, reply: Sampled) -> str | Unread:
    """The template in another language, or why there is none."""
    read = read_whole(reply)
    if isinstance(read, Unread):
        return read
    text = read.strip()
    names, wanted = (Counter(PLACEHOLDER.findall(each)) for each in (text, template))
    if names != wanted:
        return Unread("placeholders_differ")
    fault = fault_of_translation(*(PLACEHOLDER.sub(" ", each) for each in (text, template)))
    return Unread(fault) if fault else text


def row_of_template(source: Example, template: str, values: Mapping[str, str]) -> Conversation:
    """A row with another template; what stands at its names is never read for names itself."""
    text = PLACEHOLDER.sub(lambda found: values[found[1]], template)
    return ask_otherwise(source, text)


@cache
def pattern_of(template: str, lazy: bool) -> re.Pattern[str]:
    """What is of a template: anything at a name, and the same wherever the name stands again.

    Args:
        template: with its names.
        lazy: whether a name has as little as it can, or as much.
    """
    parts, seen, anything = [], set[str](), ".+?" if lazy else ".+"
    literal, *rest = PLACEHOLDER.split(template)  # literal, name, literal, name, …, literal
    parts.append(re.escape(literal))
    for name, behind in zip(rest[::2], rest[1::2], strict=True):
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{anything})")
        parts.append(re.escape(behind))
        seen.add(name)
    return re.compile("".join(parts), re.DOTALL)
