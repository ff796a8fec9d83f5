"""What every block of `generate:` has, what the engine asks of it, and the key of what it makes."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, PrivateAttr, model_validator

from pipeline.generation.answering_block import AnsweringBlock
from pipeline.generation.few_shot import is_text_alone
from pipeline.generation.maker import CallKind, Making
from pipeline.generation.teachers import Teacher, rows_of_teacher
from pipeline.generation.templates import prompt_texts
from pipeline.settings import Settings
from storage.conversations import content_hash
from storage.documents import SourcePassage
from storage.examples import Example

WHOLE_POOL = ""
"""The source of a maker that works on all its sources together."""


class CallBounds(NamedTuple):
    """How many calls of a kind a maker makes for so many sources."""

    fewest: int
    most: int
    tokens_each: int
    """New tokens of a reply at most."""


class AtMost(Settings):
    """What a maker may spend; where it ends, what was made so far is kept."""

    calls: int | None = Field(default=None, gt=0, description="Calls of the model.")
    tokens: int | None = Field(
        default=None,
        gt=0,
        description="New tokens. A call is made while its `max_new_tokens` still fit.",
    )
    price: float | None = Field(
        default=None,
        gt=0,
        description="By the endpoint's `price`. A call is made while the most it can cost fits.",
    )


class GeneratorBlock(AnsweringBlock):
    """The fields that every maker has, and what the engine needs of it."""

    if TYPE_CHECKING:  # a field here would stand before all others
        method: str
    limit: int | None = Field(
        default=None,
        gt=0,
        description="At most so many rows, or passages; chosen by a seeded hash.",
    )
    at_most: AtMost = Field(
        default=AtMost(), description="What may be spent, all runs together; by each teacher."
    )
    license: str | None = Field(
        default=None,
        min_length=1,
        description="The licence of what the model writes; the export's card states it.",
    )
    teachers: tuple[Teacher, ...] = Field(
        default=(), description="Models that write in place of `model`, each as a maker by itself."
    )
    row_goes_to: Literal["one", "all"] = Field(
        default="one",
        description="one: a row is worked on with one of the teachers, by a seeded hash; all: "
        "with each of them.",
    )
    reads: tuple[str, ...] = Field(
        default=(),
        description="Makers before it, by their methods: it works on the rows that they made. "
        "Without, on those of the sources.",
    )

    _earlier: "tuple[GeneratorBlock, ...]" = PrivateAttr(default=())
    _teacher: str = PrivateAttr(default="")
    _rivals: tuple[str, ...] = PrivateAttr(default=())
    """Teachers between whom the rows are divided, itself among them; none: it has all rows."""

    needs: ClassVar[Literal["rows", "passages", "nothing"]] = "rows"
    """What it is given, and makes nothing without."""
    takes_over: ClassVar[bool] = False
    """Whether what is made stands for its sources, which leave the pool."""
    writes: ClassVar[bool] = True
    """Whether its rows have text of its model, whose licence then counts."""
    asks: ClassVar[bool] = True
    """Whether it asks a model."""
    made_as: ClassVar[str] = ""
    """What the lineage of its rows says, where that is not the method."""

    @model_validator(mode="after")
    def teachers_differ(self) -> Self:
        """Check that teachers can be told apart, and that it is clear what each works on."""
        names = [each.name for each in self.teachers]
        if len({*names}) < len(names):
            raise ValueError(f"two teachers are the same model: {', '.join(sorted(names))}")
        asked = self.teachers or (self,)
        if self.at_most.price and not all(each.endpoint and each.endpoint.price for each in asked):
            raise ValueError(
                "at_most.price needs to know what tokens cost: give the endpoint a "
                "`price: {prompt: ..., new: ...}`, for a million tokens"
            )
        if self.teachers and (self.endpoint or self.few_shot):
            raise ValueError(
                "teachers write in place of `model`: give `endpoint` and `few_shot` to each of them"
            )
        if len(names) > 1 and self.makes_of_whole and self.row_goes_to == "one":
            raise ValueError(
                "it works on all rows together, which cannot be divided between teachers: set "
                "row_goes_to: all, by which each makes its own"
            )
        return self

    def by_teacher(self) -> "list[Self]":
        """The same block for each of its teachers alone; itself, if it has none."""
        if not self.teachers:
            return [self]
        names = [each.name for each in self.teachers]
        found = []
        for name, teacher in zip(names, self.teachers, strict=True):
            asked = {key: getattr(teacher, key) for key in ("model", "endpoint", "few_shot")}
            license = teacher.license or self.license
            alone = self.model_copy(update={**asked, "license": license, "teachers": ()})
            alone._teacher = name
            alone._rivals = tuple(names) if self.row_goes_to == "one" else ()
            found.append(alone)
        return found

    def its_share(self, names: Iterable[str], seed: int) -> list[str]:
        """Those of the names of rows that fall to its model."""
        return rows_of_teacher(self._teacher, self._rivals, names, seed)

    def placed_behind(self, before: "Sequence[GeneratorBlock]") -> Self:
        """The same block, knowing which of the makers before it are those that it reads."""
        if not self.reads:
            return self
        placed = self.model_copy()
        placed._earlier = tuple(each for each in before if each.method in self.reads)
        return placed

    @property
    def earlier(self) -> "tuple[GeneratorBlock, ...]":
        """The makers whose rows it works on; none where it works on the rows of the sources."""
        return self._earlier

    @property
    def makes_of_whole(self) -> bool:
        """Whether it works on all its sources together, and not on each."""
        return False

    @property
    def compares_all(self) -> bool:
        """Whether what is made of one source depends on the others."""
        return self.makes_of_whole

    @abstractmethod
    def rows_each(self) -> int:
        """Rows that may come of one."""

    def rows_at_most(self, sources: int) -> int | None:
        """Rows that may come of so many sources together; None where nothing bounds them."""
        return self.rows_each() * sources

    @abstractmethod
    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """What it will ask for so many sources; a kind that it never asks is left out."""

    @abstractmethod
    def key(self, seed: int, pool: Sequence[str] | None = None) -> str:
        """Hash of everything that can change the rows.

        Args:
            seed: the run's.
            pool: the sources of a maker that compares all of them; None of others.

        Raises:
            MissingModelError: as AnsweringBlock.identity.
        """

    def require(self) -> None:
        """Look at the files that it names, before anything is done.

        Raises:
            UnreadableSourceError: if one is not there, or is not what it should be.
        """

    def notes_of(self, outcomes: Mapping[str, int]) -> Sequence[str]:
        """What the outcomes of its replies come to, beside their counts.

        Args:
            outcomes: outcome and reason → replies, such as "dropped cut_off".
        """
        return ()

    def train(self, task: str) -> str:
        """Answer an Ask of the kind "train", which is work done here and asks no model.

        Args:
            task: the message of the ask: all that the reply depends on.
        """
        raise NotImplementedError(f"{type(self).__name__} trains nothing")

    def placed(self, base: Path) -> Self:
        """See AnsweringBlock; its teachers too."""
        teachers = tuple(each.placed(base) for each in self.teachers)
        return super().placed(base).model_copy(update={"teachers": teachers})


class RowMakerBlock(GeneratorBlock):
    """A block that makes rows of rows."""

    @abstractmethod
    def takes(self, example: Example) -> bool:
        """Whether a row is one that it can work on."""

    @abstractmethod
    def makings(self, sources: Sequence[Example], seed: int) -> Mapping[str, Making]:
        """A maker at work on each source by its id, or one on WHOLE_POOL.

        Args:
            sources: sorted by id, each of which it takes.
            seed: of all that is drawn.
        """

    def can_ask_of(self, example: Example) -> bool:
        """Whether it takes a row that its model can be asked about."""
        return self.takes(example) and (self.few_shot is None or is_text_alone(example))

    def choose(self, examples: Iterable[Example], seed: int) -> list[str]:
        """Ids of the rows that it works on, sorted: all it takes, or `limit` of them."""
        taken = [example.example_id for example in examples if self.can_ask_of(example)]
        return sorted(self.its_share(draw_names(taken, seed, self.limit), seed))


class PromptingBlock(GeneratorBlock):
    """A block that sends prompts of its own."""

    prompts: ClassVar[Sequence[str]] = ()
    """Files in makers/prompts/ that are sent, whatever the settings."""

    def sent_prompts(self) -> Sequence[str]:
        """Files in makers/prompts/ that these settings send."""
        return self.prompts

    def keyed(self) -> dict[str, Any]:
        """Its settings, as far as they can change a row."""
        return self.model_dump(mode="json", exclude=NOT_IN_KEY)

    def key(self, seed: int, pool: Sequence[str] | None = None) -> str:
        """Hash of the model, the settings, the prompts, the seed and the pool."""
        told, asked_as = self.keyed(), [self.asked_as] if self.few_shot else []
        return content_hash(
            [self.identity(), told, prompt_texts(self.sent_prompts()), seed, pool, *asked_as]
        )[:16]


class MakerBlock(PromptingBlock, RowMakerBlock):
    """A maker of rows out of rows."""


class UnaskedMakerBlock(MakerBlock):
    """A maker that changes rows by a rule: no model is asked, and none wrote what it makes."""

    writes: ClassVar[bool] = False
    asks: ClassVar[bool] = False

    @property
    def shown_model(self) -> str:
        """None writes its rows."""
        return ""

    def identity(self) -> str:
        """Whatever model there is changes nothing."""
        return ""

    def calls_for(self, sources: int) -> Mapping[CallKind, CallBounds]:
        """None."""
        return {}


class PassageMakerBlock(PromptingBlock):
    """A maker of rows out of passages of documents."""

    needs = "passages"

    def takes(self, passage: SourcePassage) -> bool:
        """Whether a passage is one that it can work on."""
        return True

    @abstractmethod
    def makings(self, passages: Sequence[SourcePassage], seed: int) -> Mapping[str, Making]:
        """A maker at work on each passage by its id, or one on WHOLE_POOL.

        Args:
            passages: sorted by id, each of which it takes: those that are not finished, or all that
                it works on where it compares them.
            seed: of all that is drawn.
        """

    def choose(self, passages: Iterable[SourcePassage], seed: int) -> list[str]:
        """Ids of the passages that it works on, sorted: all it takes, or `limit` of them."""
        taken = [passage.passage_id for passage in passages if self.takes(passage)]
        return sorted(self.its_share(draw_names(taken, seed, self.limit), seed))


NOT_IN_KEY = {
    "model",
    "endpoint",
    "few_shot",
    "limit",
    "at_most",
    "license",
    "teachers",
    "row_goes_to",
    "reads",
}
"""Fields that change no row, or are hashed by what they name: the others say how many."""


def draw_names(names: Iterable[str], seed: int, limit: int | None) -> list[str]:
    """At most so many of the names, by a seeded hash of each."""
    return sorted(names, key=lambda name: content_hash([seed, name]))[:limit]
