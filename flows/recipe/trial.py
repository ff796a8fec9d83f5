"""The file of a trial: which recipe's choice is compared with what, by which items, how often."""

import os
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from fine_tune.settings import TrainSettings
from flows.recipe.check import RecipeError, one_line
from flows.recipe.strict_yaml import MOST_CHARACTERS, read_yaml
from pipeline.selection.step import BudgetSettings
from pipeline.settings import Settings
from pipeline.trials.looks import look_levels
from pipeline.trials.settings import ArmSettings, HalvesSettings, TrialEvaluation
from scorers.names import did_you_mean

CHOICE, RANDOM = "choice", "random"

DEFAULT_ARMS = {
    CHOICE: ArmSettings(selection=CHOICE),
    RANDOM: ArmSettings(control="random"),
    "length_matched": ArmSettings(control="length_matched"),
    "untrained": ArmSettings(control="untrained"),
}

SECOND_RATE = 0.25
"""Times the recipe's learning rate: what a verdict must hold at as well, where none are given."""


class Trial(Settings):
    """What is trained, measured and compared. Every field has a part in the plan's hash."""

    recipe: str = Field(description="The recipe whose choice is compared; relative to this file.")
    arms: dict[str, ArmSettings] = Field(
        default=DEFAULT_ARMS, min_length=2, description="What is compared, by name."
    )
    budget: BudgetSettings | None = Field(
        default=None,
        description="Of each arm, in loss tokens or rows; the loss tokens of `choice` if not "
        "given. Equal loss tokens are the fair match: scores choose by length.",
    )
    steps: int | None = Field(
        default=None,
        ge=1,
        description="Optimizer steps of every training; those of its own rows if not given.",
    )
    train: TrainSettings | None = Field(
        default=None, description="How each arm is trained; the recipe's block if not given."
    )
    learning_rates: tuple[float, ...] = Field(
        default=(),
        description="Every arm is trained at each; the training's own and a quarter of it if not "
        "given. A verdict must hold at all of them.",
    )
    looks: tuple[int, ...] = Field(
        default=(3,),
        min_length=1,
        description="Seeds of each arm at each look at the results, rising. It ends early where "
        "every arm is decided, or the last look could not see the smallest effect.",
    )
    evaluate: dict[str, TrialEvaluation] = Field(
        default={"held_out": TrialEvaluation(held_out=True)},
        min_length=1,
        description="What the arms are measured by, by name.",
    )
    against: str = Field(default=RANDOM, description="The arm that all others are compared with.")
    primary: str | None = Field(
        default=None, description="The evaluation that decides; the first if not given."
    )
    smallest_effect: float = Field(
        default=0.01,
        gt=0,
        description="A smaller difference does not matter; in the unit of the primary evaluation, "
        "nats per token or nats of margin.",
    )
    lds: HalvesSettings = Field(
        default=HalvesSettings(),
        description="Of `--lds`: random halves that scores are held against.",
    )
    level: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="How often any arm may be called better or worse where none is.",
    )

    @model_validator(mode="after")
    def names_stand(self) -> Self:
        """Refuse names of arms and evaluations that there are none of, and looks that fall."""
        if self.against not in self.arms:
            raise ValueError(f"against: no such arm. {did_you_mean(self.against, self.arms)}")
        if not self.arms[self.against].trained:
            raise ValueError("against: the untrained model has no seeds; name an arm that has")
        if self.primary is not None and self.primary not in self.evaluate:
            raise ValueError(
                f"primary: no such evaluation. {did_you_mean(self.primary, self.evaluate)}"
            )
        if len({*self.learning_rates}) < len(self.learning_rates) or any(
            rate <= 0 for rate in self.learning_rates
        ):
            raise ValueError("learning_rates: each once, and above 0")
        if self.budget is not None and self.budget.fraction is not None:
            raise ValueError("budget: of loss tokens or rows, for a share of what is not said")
        single = self.train
        if single is not None and (single.stages or single.soup or single.mix):
            raise ValueError("train: stages, soup and mix train more than the rows of an arm")
        look_levels(self.looks)
        return self

    @property
    def decides(self) -> str:
        """The primary evaluation."""
        return self.primary or next(iter(self.evaluate))

    def trainings(self, recipe_train: TrainSettings | None) -> list[TrainSettings]:
        """The settings of a training at each learning rate, in rising order of the rates."""
        base = self.train or recipe_train or TrainSettings()
        rates = self.learning_rates or (base.learning_rate * SECOND_RATE, base.learning_rate)
        steps = {"max_steps": self.steps} if self.steps else {}
        return [base.model_copy(update={"learning_rate": rate, **steps}) for rate in sorted(rates)]


def load_trial(path: Path) -> Trial:
    """Read the file of a trial; of a recipe, the trial that compares its choice with random rows.

    Raises:
        RecipeError: if anything is wrong with it; every problem found is in the message.
    """
    try:
        with path.open(encoding="utf-8") as file:
            value: Any = read_yaml(file.read(MOST_CHARACTERS + 1))
    except OSError as error:
        raise RecipeError(str(path), [f"it cannot be read: {error.strerror}"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"it is not YAML: {one_line(error)}"]) from None
    if not isinstance(value, dict):
        raise RecipeError(str(path), ["it must be a mapping; see docs/trials.md"])
    if "select" in value:  # a recipe itself
        return Trial(recipe=str(path))
    try:
        trial = Trial.model_validate(value)
    except ValidationError as error:
        raise RecipeError(str(path), [describe_problem(each) for each in error.errors()]) from None
    base = path.parent
    evaluate = {name: each.placed(base) for name, each in trial.evaluate.items()}
    recipe = os.path.normpath(base / trial.recipe)
    return trial.model_copy(update={"recipe": recipe, "evaluate": evaluate})


def describe_problem(detail: Any) -> str:  # noqa: ANN401 - pydantic_core types it as a dict of anything
    """One validation error in one line."""
    where = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        blocks = (Trial, ArmSettings, TrialEvaluation, HalvesSettings)
        known = [name for block in blocks for name in block.model_fields]
        return f"{where}: unknown key. {did_you_mean(str(detail['loc'][-1]), known)}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
