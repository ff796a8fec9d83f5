"""What a training can be told. Importing this costs no torch, so recipes may hold it."""

from collections import Counter
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from fine_tune.block import TrainingBlock
from fine_tune.catalogue import Method
from fine_tune.method import Tuned
from fine_tune.mixed_export import OWN, MixedExport
from fine_tune.stage_settings import Soup, TrainStage

ADDED = ("tune", "methods", "mix", "stages", "soup")
"""Settings that came later: where they are not used, a training is the one it was before."""

OF_STAGES = ("methods", "mix", "epochs", "max_steps")
"""Settings that each stage has in place of the training."""

TaskWeight = Annotated[float, Field(gt=0)]

ONCE = ("weights of tasks", "inputs", "loss", "gradient", "adapter", "parameters")
"""Parts of a training that one method can change, and no second one."""


class TrainSettings(TrainingBlock):
    """Settings of one training; part of its identity, every one."""

    methods: tuple[Method, ...] = Field(
        default=(),
        description="What is done otherwise than in plain training, in this order; at most one "
        "loss.",
    )
    tune: Tuned = Field(
        default="lora",
        description="lora: an adapter beside the weights; qlora: the same, the weights in 4 bits; "
        "full: all of the weights, which takes four times their memory in float32.",
    )
    mix: tuple[MixedExport, ...] = Field(
        default=(), description="Rows that are trained, of several exports; none: the export's own."
    )
    stages: tuple[TrainStage, ...] = Field(
        default=(),
        description="Trainings that follow each other, each from the weights of the one before; "
        "all else that is set here holds for each.",
    )
    soup: Soup | None = Field(
        default=None,
        description="Train several times, with these seeds and rates, and take the mean of the "
        "weights.",
    )
    epochs: float = Field(default=1.0, gt=0, description="Passes over the train split.")
    max_steps: int | None = Field(
        default=None,
        ge=1,
        description="Stop after so many optimizer steps instead of after the epochs.",
    )
    learning_rate: float = Field(
        default=2e-4, gt=0, description="Highest rate, per optimizer step."
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="How the rate goes on after warm-up; the first two end at 0."
    )
    warmup_fraction: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the steps in which the rate rises from 0."
    )
    batch_rows: int = Field(default=4, ge=1, description="Rows in one forward pass.")
    gradient_accumulation: int = Field(
        default=1,
        ge=1,
        description="Forward passes in one optimizer step; the loss is per token of all.",
    )
    balance: Literal["source"] | dict[str, TaskWeight] | None = Field(
        default=None,
        description="Weigh rows so that every source counts the same in the loss, whatever its "
        "size; or as much as a mapping says, from each source's path, or a part of it, to its "
        "weight. None: every token counts the same.",
    )
    lora_rank: int = Field(default=16, ge=1, description="Rank of each adapter matrix.")
    lora_alpha: int = Field(default=32, ge=1, description="Adapters are scaled by alpha / rank.")
    lora_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Share of adapter inputs dropped."
    )
    max_length: int | None = Field(
        default=None,
        ge=2,
        description="Tokens in a row, prompt and response. A longer row is an error, not cut. "
        "None: no limit but that of the export.",
    )
    packing: bool = Field(
        default=False,
        description="Join the rows of a forward pass into one sequence instead of padding them; "
        "no row sees another, and the numbers stay the same.",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Less memory for about a third more time; the numbers stay the same.",
    )
    seed: int = Field(
        default=0, ge=0, description="Of adapter initialisation, order of rows and dropout."
    )
    save_every_steps: int = Field(
        default=50, ge=1, description="Optimizer steps between checkpoints: what a kill can cost."
    )

    @model_validator(mode="after")
    def methods_go_together(self) -> Self:
        """Refuse methods that each change what another one does."""
        for part, count in Counter(each.changes for each in self.methods).items():
            if part in ONCE and count > 1:
                named = [each.method for each in self.methods if each.changes == part]
                raise ValueError(f"{' and '.join(named)} all change the {part}: leave one")
        return self

    @model_validator(mode="after")
    def methods_fit(self) -> Self:
        """Refuse a method that cannot do what it is for with these settings."""
        for each in self.methods:
            if self.tune not in each.tunes:
                raise ValueError(
                    f"{each.method} is not for tune: {self.tune}; it needs "
                    f"tune: {' or '.join(each.tunes)}"
                )
            if self.batch_rows < each.least_rows:
                raise ValueError(
                    f"{each.method} compares the rows of a forward pass: give batch_rows of at "
                    f"least {each.least_rows}"
                )
            if self.packing and not each.packs:
                raise ValueError(f"{each.method} needs rows apart: leave packing out")
            for name, looked_at in each.looks_at().items():
                if looked_at.export == OWN:
                    raise ValueError(
                        f"{each.method} looks at rows that are not those it trains: give {name} "
                        "the export that they are in"
                    )
        return self

    @model_validator(mode="after")
    def methods_can_balance(self) -> Self:
        """Refuse methods that need tasks where there are none, or make nothing of their weights."""
        for each in self.methods:
            if each.changes == "weights of tasks" and self.balance is None:
                raise ValueError(
                    f"{each.method} moves the weights of tasks, which balance names: set "
                    "balance: source, or a mapping"
                )
            if self.balance is not None and not each.weighs:
                raise ValueError(
                    f"{each.method} takes each row for itself, whatever it counts: leave balance "
                    "out"
                )
        return self

    @model_validator(mode="after")
    def adapter_can_be_pruned(self) -> Self:
        """Refuse to prune an adapter that would then no longer take off what it began with."""
        methods = self.all_methods()
        begun = [each.method for each in methods if each.takes_off]
        if begun and any(each.method == "antidote" for each in methods):
            raise ValueError(
                f"antidote would prune what {begun[0]} takes off the adapter: leave one out"
            )
        return self

    @model_validator(mode="after")
    def rounded_weights_stay(self) -> Self:
        """Refuse what would move rounded weights once more, or cannot see that they moved."""
        rounding = next((each.method for each in self.methods if each.rounds), None)
        for each in self.methods if rounding else ():
            if each.changes == "trained weights":
                raise ValueError(
                    f"{each.method} would move the weights from the steps that {rounding} rounds "
                    "them to: leave one out"
                )
            if each.changes == "gradient":
                raise ValueError(
                    f"{each.method} compares losses of weights that {rounding} rounds to the "
                    "same: leave one out"
                )
        return self

    @model_validator(mode="after")
    def experts_stay_routed(self) -> Self:
        """Refuse what takes experts for a plain adapter, and kinds of rows that are not two."""
        methods = self.all_methods()
        routed = next((each for each in methods if each.method == "loramoe"), None)
        if routed is None:
            return self
        if self.stages:
            raise ValueError("loramoe: no stage can go on with routed experts: leave stages out")
        for each in methods:
            if each.changes in ("adapter", "trained weights"):
                raise ValueError(
                    f"{each.method} changes a plain adapter, and loramoe trains experts behind a "
                    "router: leave one out"
                )
        if routed.apart and (not isinstance(self.balance, dict) or len(self.balance) != 2):
            raise ValueError(
                "loramoe keeps the experts of two kinds of rows apart: give balance a mapping of "
                "two names, or set apart: 0"
            )
        return self

    @model_validator(mode="after")
    def mixes_once(self) -> Self:
        """Refuse an export that is mixed twice, and shares of sources beside those of exports."""
        names = [each.export for each in self.mix]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"mix: {', '.join(twice)} stands there twice: give it one share")
        if self.balance and (self.mix or self.stages):
            what = "stages" if self.stages else "mix"
            raise ValueError(f"balance weighs the sources of one export: leave it out, or {what}")
        return self

    @model_validator(mode="after")
    def stages_can_follow(self) -> Self:
        """Refuse what is said twice, and stages that one method would spoil for another."""
        fields = type(self).model_fields
        said = [name for name in OF_STAGES if getattr(self, name) != fields[name].default]
        if self.stages and said:
            raise ValueError(f"each stage has its own {' and '.join(said)}: give them there")
        for number, stage in enumerate(self.stages, start=1):
            self.of_stage(stage)
            parts = {each.changes: each.method for each in stage.methods}
            if self.tune != "full" and number > 1 and "adapter" in parts:
                raise ValueError(
                    f"{parts['adapter']} begins an adapter: stage {number} goes on with one"
                )
            if number > 1 and (names := [e.method for e in stage.methods if e.compares_with_base]):
                raise ValueError(
                    f"{names[0]} compares with the model without its adapter, which stage {number} "
                    "goes on with: train it by itself, with adapter:DIRECTORY of the stages before "
                    "as its model"
                )
            if number < len(self.stages) and (
                names := [e.method for e in stage.methods if e.rounds]
            ):
                raise ValueError(f"{names[0]} rounds what is written: it belongs to the last stage")
            if number < len(self.stages) and "trained weights" in parts:
                raise ValueError(
                    f"{parts['trained weights']} finishes a training: it belongs to the last stage"
                )
        return self

    @model_validator(mode="after")
    def soup_is_of_several(self) -> Self:
        """Refuse a soup of one, or of what has no mean."""
        if self.soup is None:
            return self
        if self.stages:
            raise ValueError("soup: is of trainings without stages: leave one out")
        if self.soup_size() < 2:
            raise ValueError("soup: is of at least two: give seeds, learning_rates or trainings")
        if self.soup.trainings and (self.soup.seeds or self.soup.learning_rates or self.methods):
            raise ValueError(
                "soup: trains nothing where it names trainings: leave seeds, learning_rates and "
                "methods out"
            )
        for each in self.methods:
            if each.no_mean:
                raise ValueError(f"soup: {each.method} {each.no_mean}")
        return self

    def soup_size(self) -> int:
        """How many trainings its soup is the mean of."""
        assert self.soup is not None
        named = {each.training for each in self.soup.trainings}
        return len(named) or len(self.members())

    def members(self) -> list[Self]:
        """The settings of each training of its soup; of those that are there already, none."""
        assert self.soup is not None
        if self.soup.trainings:
            return []
        return [
            self.model_copy(update={"soup": None, "seed": seed, "learning_rate": rate})
            for seed in dict.fromkeys(self.soup.seeds or (self.seed,))
            for rate in dict.fromkeys(self.soup.learning_rates or (self.learning_rate,))
        ]

    def of_stage(self, stage: TrainStage) -> Self:
        """The settings of one stage, as those of a training of its own."""
        said = self.model_dump(exclude={"stages", *OF_STAGES})
        said |= stage.model_dump(exclude={"learning_rate"})
        if stage.learning_rate is not None:
            said["learning_rate"] = stage.learning_rate
        return self.model_validate(said)

    @model_serializer(mode="wrap")
    def without_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """All settings, without later ones that are not used: they change no identity."""
        dumped: dict[str, Any] = dump(self)
        fields = type(self).model_fields
        unused = {name for name in ADDED if getattr(self, name) == fields[name].default}
        return {name: value for name, value in dumped.items() if name not in unused}

    def scores(self) -> tuple[str, ...]:
        """Scores that its methods read, each once."""
        return tuple(dict.fromkeys(name for each in self.all_methods() for name in each.scores()))

    def other_exports(self) -> list[str]:
        """Names of the exports that it reads beside its own, each once."""
        mixed = [*self.mix, *(each for stage in self.stages for each in stage.mix)]
        mixed += [each for method in self.all_methods() for each in method.looks_at().values()]
        return list(dict.fromkeys(each.export for each in mixed if each.export != OWN))

    def all_methods(self) -> list[Method]:
        """Its methods, and those of its stages, in their order."""
        return [*self.methods, *(each for stage in self.stages for each in stage.methods)]
