"""The recipe: one YAML file that says what a run does; the command line and the UI take it."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field

from fine_tune.settings import TrainSettings
from pipeline.cleaning.stage import PersonalDataSettings
from pipeline.contamination.settings import CheckSettings
from pipeline.dedupe.steps import Dedupe
from pipeline.documents.settings import DocumentSettings
from pipeline.export.settings import PLAIN, ExportSettings
from pipeline.generation.catalogue import Generator
from pipeline.generation.indicator import IndicatorSettings
from pipeline.ingest.stage import ALL_TURNS, SourceSettings
from pipeline.measuring.catalogue import MeasureSettings
from pipeline.scoring.stage import ScoreSettings
from pipeline.selection.methods.licenses import LicenseSettings
from pipeline.selection.run_steps import SelectSettings, describe
from pipeline.settings import TARGET, Settings
from scorers.measures.models.loading import TEMPLATE
from storage.conversations import Turns
from storage.shard_files import is_url


def name_alone(value: object) -> object:
    """Let a score be given by its scorer's name alone."""
    return {"scorer": value} if isinstance(value, str) else value


Score = Annotated[ScoreSettings, BeforeValidator(name_alone)]


def without_secrets(place: str) -> str:
    """Refuse a place with a password in it: recipes are stored and shown."""
    if is_url(place) and "@" in place.split("://")[1].split("/")[0]:
        raise ValueError(
            "a place must not name a user or a password; put credentials where the store's own "
            "tools look for them, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return place


ShardPlace = Annotated[str, Field(min_length=1), AfterValidator(without_secrets)]


MODEL_KEYS = ("target", "model", "template_model", "proxy", "entailment", "encoder")
"""Keys of a recipe whose value names a model."""


class Recipe(Settings):
    """What a run does, stage by stage.

    Relative paths go by the recipe's own folder; of models those that begin with a dot.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="What runs are called.")
    workspace: str = Field(description="Directory that keeps everything a run makes.")
    shards: ShardPlace | None = Field(
        default=None,
        description="Where measurements lie if not in the workspace: a directory that all workers "
        "see, or a URL such as s3://bucket/prefix; a place of its own for each workspace. Null: "
        "where they are.",
    )
    seed: int = Field(
        default=0,
        ge=0,
        description="Of what the run draws: held-out prompts, parts, new answers, selections and "
        "controls. Samples, proxies, clusters and training have seeds of their own.",
    )
    target: str = Field(
        description="The model to be fine-tuned: wheel:NAME, a directory, or a hub id."
    )
    chat_template: str | None = Field(
        default=None,
        min_length=1,
        description="A Jinja file: the chat template of the target, in place of its own.",
    )
    tolerated_bad_rows: float = Field(
        default=0.1, ge=0, le=1, description="Share of the rows that may go to quarantine."
    )
    turns: Turns = Field(
        default=ALL_TURNS,
        description="Assistant turns that are trained: `all`, or the `last` of each conversation; "
        "a source may say otherwise.",
    )
    sources: tuple[SourceSettings, ...] = Field(
        default=(), description="Where rows come from; may be left out where there are documents."
    )
    documents: tuple[DocumentSettings, ...] = Field(
        default=(), description="Files of text that are cut into passages."
    )
    targets: tuple[SourceSettings, ...] = Field(
        default=(), description="Examples to be close to; never selected."
    )
    generate: tuple[Generator, ...] = Field(default=(), description="New rows, made by models.")
    personal_data: PersonalDataSettings | None = Field(
        default=None, description="What of personal data is looked for, and what happens then."
    )
    measure: MeasureSettings = Field(
        default=MeasureSettings(), description="What models are asked."
    )
    scores: tuple[Score, ...] = Field(default=(), description="Numbers made from measurements.")
    indicator: IndicatorSettings | None = Field(
        default=None, description="A mark for prompts whose answers depend on them."
    )
    dedupe: tuple[Dedupe, ...] = Field(default=(), description="Which copies go.")
    check: CheckSettings | None = Field(default=None, description="Evaluation sets to keep out.")
    licenses: LicenseSettings | None = Field(
        default=None, description="Which licences rows may have; any if not given."
    )
    select: SelectSettings = Field(description="Which rows are chosen.")
    export: ExportSettings = Field(default=PLAIN, description="What is written for the trainer.")
    train: TrainSettings | None = Field(default=None, description="LoRA training of the target.")

    def with_target(self) -> Self:
        """The same recipe with the target's reference wherever a block says `target`."""
        target = self.target
        if self.chat_template and TEMPLATE not in target:
            target = f"{target}{TEMPLATE}{self.chat_template}"
        own = (self.target, TARGET)  # by either name it is the same model
        named = change_models(self.model_dump(), lambda name: target if name in own else name)
        resolved: Self = self.model_validate(named)
        return resolved

    def at(self, base: Path) -> Self:
        """The same recipe, its relative paths, which start from base, as seen from here."""
        sources = place_sources(self.sources, base, self.turns)
        targets = place_sources(self.targets, base, self.turns)
        documents = tuple(block.placed(base) for block in self.documents)
        rest = self.model_dump(exclude={"sources", "targets", "documents", "workspace"})

        def place(model: str) -> str:
            return place_model(model, base)

        placed: dict[str, Any] = dict(change_models(rest, place))  # type: ignore[call-overload]
        if self.check:
            placed["check"] = self.check.placed(base)
        if self.chat_template:
            placed["chat_template"] = os.path.abspath(base / self.chat_template)
        if self.shards and not is_url(self.shards):
            placed["shards"] = os.path.abspath(base / self.shards)
        makers = [block.placed(base).model_dump() for block in self.generate]
        placed["generate"] = change_models(makers, place)
        placed |= {"sources": sources, "targets": targets, "documents": documents}
        placed |= {"workspace": os.path.normpath(base / self.workspace)}
        moved: Self = self.model_validate(placed)
        return moved

    def stored(self) -> dict[str, Any]:
        """As JSON, without the places of workspace and shards: what is kept with a run."""
        # What was added later is left out where it is not used: the recipe then hashes as it did.
        added = ("chat_template", "export", "documents")
        unused = {
            name for name in added if getattr(self, name) == Recipe.model_fields[name].default
        }
        return self.model_dump(mode="json", exclude={"workspace", "shards", *unused})


def place_sources(
    sources: Sequence[SourceSettings], base: Path, turns: Turns
) -> tuple[SourceSettings, ...]:
    """Sources with their paths as seen from the working directory, and the turns they train."""
    return tuple(
        source.placed(base).model_copy(update={"turns": source.turns or turns})
        for source in sources
    )


def place_model(model: str, base: Path) -> str:
    """A model's reference with its paths absolute, also for a worker that runs elsewhere."""
    name, mark, template = model.partition(TEMPLATE)
    if name.startswith("."):
        name = os.path.abspath(base / name)
    return f"{name}{mark}{os.path.abspath(base / template)}" if mark else name


def change_models(value: object, change: Callable[[str], str]) -> object:
    """Change the name of a model wherever a block has one."""
    if isinstance(value, dict):
        return {
            key: change(each)
            if key in MODEL_KEYS and isinstance(each, str)
            else change_models(each, change)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [change_models(each, change) for each in value]
    return value


def step_lines(recipe: Recipe) -> Sequence[str]:
    """How the recipe chooses, one line for each step that can drop rows."""
    dedupe = [
        f"remove duplicates by {step.label()}"
        + (f", keep {step.keep_said()}" if step.keeps() else "")
        for step in recipe.dedupe
    ]
    check = [recipe.check.line] if recipe.check else []
    return [*dedupe, *check, *(describe(step) for step in recipe.select.steps)]
