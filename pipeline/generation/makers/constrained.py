r"""Constrained: rules that a program can check are put into a prompt, and its answer keeps them.

    C ~ at most `rules_each` of `rules` that go together      by a seeded hash of the row
    row = x + C in words -> y,   y ~ M(x + C),   y keeps every rule of C

The rules are drawn first, with all their numbers and words, and then put into words, so that what a
prompt states is what its answer was checked by (pipeline/generation/verifiers/constraints.py). A
word that must or must not occur is one of the given response, or of the prompt where there is none.
With `answers: given` nothing is asked: C is drawn from what the given response keeps already, and
its counts are the response's. Otherwise `samples` answers are sampled, and one that keeps all rules
is kept as by `rejection`; a fault is the reason of the others, so the table of reasons says which
rules fail. Rows stand beside their sources.

Rules that IFEval checks: Zhou et al. 2023, arXiv:2311.07911. Rows that code has verified: AutoIF,
Dong et al. 2024, arXiv:2406.13542, whose models write rules and the code that checks them; here
there are 15 rules, of people. An answer must keep all of them as they stand, which IFEval calls
strict.

For a model that shall do what it is told to the letter. Not as the only rows, for no rule says that
an answer is a good one: add `judged` to `verify`; nor for prompts that are not English, as the
wordings are. Easy rules pass more often than hard ones, so what is kept has more of them. It costs
`samples` calls a row, and what the verifiers cost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self, TypeAlias, get_args

from pydantic import Field, ValidationError, model_validator

from pipeline.generation.maker import (
    CallKind,
    Making,
    Settled,
    answer_source,
    draw_option,
    end_prompt_with,
    ends_with_user,
    is_asked_once,
    last_prompt_text,
)
from pipeline.generation.maker_block import CallBounds, MakerBlock
from pipeline.generation.makers.rejection import Rejection, make_by_rejection
from pipeline.generation.placeholders import PLACEHOLDERS
from pipeline.generation.shown_text import repeats_shown
from pipeline.generation.templates import fill_prompt
from pipeline.generation.verified_block import VerifiedBlock
from pipeline.generation.verifier import VerifierBlock
from pipeline.generation.verifier_catalogue import Verifier
from pipeline.generation.verifiers.constraints import (
    PLACEHOLDER,
    Constraints,
    count_paragraphs,
    count_points,
)
from pipeline.generation.written_text import FUNCTION_WORDS
from pipeline.settings import OneLine
from scorers.words import split_words
from storage.conversations import content_hash
from storage.examples import Example

RULES = "constrained_rules"
"""A file with lines `rule: wording`, several for each rule."""

RuleName: TypeAlias = Literal[
    "words_at_least",
    "words_at_most",
    "includes",
    "excludes",
    "json",
    "bullets",
    "one_line",
    "quoted",
    "points",
    "paragraphs",
    "placeholders_at_least",
    "lower",
    "upper",
    "no_commas",
    "ends_with",
]

WITHOUT_VALUE: Mapping[str, Mapping[str, Any]] = {
    **{form: {"form": form} for form in ("json", "bullets", "one_line", "quoted")},
    **{case: {"case": case} for case in ("lower", "upper")},
    "no_commas": {"no_commas": True},
}
"""Rules that have no number and no words, as fields of Constraints."""

COUNTS: Mapping[str, Sequence[int]] = {
    "words_at_least": (20, 40, 60, 80, 100),
    "words_at_most": (20, 40, 60, 80, 100),
    "points": (2, 3, 4, 5),
    "paragraphs": (2, 3, 4),
    "placeholders_at_least": (1, 2, 3),
}
"""What counts are drawn from, for answers that are not there yet."""

RULE_WORDS = 5
"""Words in a row of its rules that an answer may not have; whole rules are that short."""

SAMPLED_BY = ("samples", "keep_at_most", "temperature", "max_new_tokens")


class Constrained(VerifiedBlock, MakerBlock):
    """Prompts with rules that a program can check, in the manner of AutoIF (arXiv:2406.13542)."""

    method: Literal["constrained"]
    rules: tuple[RuleName, ...] = Field(
        default=get_args(RuleName), min_length=1, description="Rules that are drawn from."
    )
    rules_each: int = Field(default=3, gt=0, description="Most rules of a prompt; 1 at least.")
    endings: tuple[OneLine, ...] = Field(
        default=("That is all.", "I hope this helps.", "Is there anything else?"),
        min_length=1,
        description="Words that answers are to end with.",
    )
    answers: Literal["new", "given"] = Field(
        default="new",
        description="new: the model answers; given: the rules are those that the given response "
        "keeps.",
    )
    samples: int = Field(default=4, gt=0, description="Answers asked for each prompt.")
    keep_at_most: int = Field(default=1, gt=0, description="Answers kept for each prompt.")
    temperature: float = Field(default=0.7, ge=0, description="0: the likeliest token each time.")
    max_new_tokens: int = Field(default=256, gt=0, description="A longer answer is dropped.")
    verify: tuple[Verifier, ...] = Field(
        default=(), description="What an answer must be besides, in this order."
    )

    prompts: ClassVar[Sequence[str]] = (RULES,)

    @model_validator(mode="after")
    def asks_what_it_says(self) -> Self:
        """Check that samples can differ, and that nothing is said of what is not asked."""
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(
                "at temperature 0 every sample is the same: set samples: 1, or a higher temperature"
            )
        if self.answers == "given" and self.verify:
            raise ValueError(
                "verify looks at new answers: with answers: given, put a `verified` that reads "
                "this maker behind it"
            )
        return self

    def takes(self, example: Example) -> bool:
        """Rows that a user's words end, with a response where it is the given one that is kept."""
        asked = is_asked_once(example) if self.answers == "given" else ends_with_user(example)
        plain = asked and not example.tools and bool(telling_words(last_prompt_text(example)))
        return plain and all(each.takes(example) for each in self.verify)

    def rows_each(self) -> int:
        """Rows that may come of one."""
        return 1 if self.answers == "given" else self.keep_at_most

    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """One for each row."""
        return {source.example_id: make_by_constraining(self, source, seed) for source in sources}

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """Samples, and what the verifiers ask; nothing for responses that are given."""
        if self.answers == "given":
            return {}
        calls = sources * self.samples
        own: dict[CallKind, CallBounds] = {
            "generate": CallBounds(calls, calls, self.max_new_tokens)
        }
        return self.with_verifying(own, calls)


class Unrepeated(VerifierBlock):
    """It does not say over what it was told."""

    method: Literal["unrepeated"] = "unrepeated"
    told: str

    def faults(self, source: Example, texts: Sequence[str]) -> list[str]:
        """See VerifierBlock."""
        repeats = [repeats_shown(text, [self.told], RULE_WORDS) for text in texts]
        return ["repeats_prompt" if each else "" for each in repeats]


def make_by_constraining(settings: Constrained, source: Example, seed: int) -> Making:
    """Draw rules, put them into words, and keep what keeps them."""
    drawn = draw_constraints(settings, source, [seed, "rules", source.example_id])
    if drawn is None:
        return [Settled((), None, "no_rule_kept")]
    constraints, told = drawn
    asked = with_statement(source, told)
    if settings.answers == "given":
        return [Settled((), answer_source(asked, source.response), "given")]
    checked = {"verify": (constraints, Unrepeated(told=told), *settings.verify)}
    same = {name: getattr(settings, name) for name in SAMPLED_BY}
    sampling = Rejection(method="rejection", gold="never").model_copy(update=same | checked)
    return (yield from make_by_rejection(sampling, asked))


def with_statement(source: Example, told: str) -> Example:
    """A row whose prompt goes on with these words."""
    prompt = end_prompt_with(source, f"{last_prompt_text(source)}\n\n{told}")
    messages = [*map(dict, prompt), *source.messages[len(prompt) :]]
    return replace(source, messages=messages, prompt=f"{source.prompt}\n\n{told}")


def draw_constraints(
    settings: Constrained, source: Example, lot: Sequence[object]
) -> tuple[Constraints, str] | None:
    """Rules that go together, and their words; None where a given response keeps none of them.

    Args:
        settings: of the maker.
        source: whose prompt they shall stand in.
        lot: what the draw depends on.
    """
    wanted = draw_option(range(1, settings.rules_each + 1), [*lot, "count"])
    constraints: Constraints | None = None
    kept: dict[RuleName, Mapping[str, Any]] = {}
    for rule in sorted(settings.rules, key=lambda rule: content_hash([*lot, rule])):
        fields = draw_rule(settings, rule, source, [*lot, rule, "value"])
        more = join_rules([*kept.values(), fields])
        holds = settings.answers == "new" or (
            more and not more.faults(source, [source.response])[0]
        )
        if more and holds:
            constraints, kept[rule] = more, fields
        if len(kept) == wanted:
            break
    if constraints is None:
        return None
    return constraints, " ".join(word_rule(rule, constraints, lot) for rule in kept)


def draw_rule(
    settings: Constrained, rule: RuleName, source: Example, lot: Sequence[object]
) -> Mapping[str, Any]:
    """A rule with its number or words, as a field of Constraints; none where there is no such."""
    if rule in WITHOUT_VALUE:
        return WITHOUT_VALUE[rule]
    if rule in COUNTS:
        given = settings.answers == "given"
        return {rule: counts_of(source.response)[rule] if given else draw_option(COUNTS[rule], lot)}
    if rule == "ends_with":
        return {rule: draw_option(settings.endings, lot)}
    # A word to leave out is one that is asked with, for it would come by itself.
    asked, answered = telling_words(last_prompt_text(source)), telling_words(source.response)
    avoids_given = rule == "excludes" and settings.answers == "given"
    return {rule: (draw_option(asked if avoids_given else answered or asked, lot),)}


def counts_of(response: str) -> Mapping[str, int]:
    """What a response has of what is counted; of words the tens below and above."""
    words = len(split_words(response))
    return {
        "words_at_least": words // 10 * 10,
        "words_at_most": -(-words // 10) * 10,
        "points": count_points(response),
        "paragraphs": count_paragraphs(response),
        "placeholders_at_least": len(PLACEHOLDER.findall(response)),
    }


def join_rules(rules: Sequence[Mapping[str, Any]]) -> Constraints | None:
    """Rules together; None where two want the same field, or cannot be kept, or say nothing."""
    names = [name for fields in rules for name in fields]
    if len({*names}) < len(names) or not all(value for each in rules for value in each.values()):
        return None
    joined = {name: value for fields in rules for name, value in fields.items()}
    try:
        return Constraints.model_validate({"method": "constraints", **joined})
    except ValidationError:  # they do not go together, or there is a single point
        return None


def word_rule(rule: RuleName, constraints: Constraints, lot: Sequence[object]) -> str:
    """One of the wordings of a rule, with its number or words."""
    fields = {name: spell_value(getattr(constraints, name)) for name in PLACEHOLDERS[RULES]}
    lines = [line.partition(": ") for line in fill_prompt(RULES, fields).splitlines()]
    return draw_option(
        [wording for name, _, wording in lines if name == rule], [*lot, rule, "wording"]
    )


def spell_value(value: int | str | tuple[str, ...] | None) -> str:
    """A number or words as they stand in a wording; "" where there are none."""
    return ", ".join(value) if isinstance(value, tuple) else str(value or "")


def telling_words(text: str) -> list[str]:
    """The words of a text that say something by themselves, sorted."""
    words = {*split_words(text)} - FUNCTION_WORDS
    return sorted(word for word in words if len(word) > 3 and word.isalpha())
