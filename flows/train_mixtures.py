"""The flow that finds which exports to train beside a task's own, by training on mixtures of them.

Each training is one of fine_tune's, in the workspace's models/: a mixture that was trained already,
by a recipe or by an earlier search, is not trained again, and a search that was killed goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from prefect import flow

from fine_tune.mixed_export import OWN, MixedExport
from fine_tune.mixture import find_export, pin_exports
from fine_tune.outcome import place_of_training, recipe_settings, with_template_of
from fine_tune.prepared_rows import load_split
from fine_tune.settings import TrainSettings
from fine_tune.trial_steps import TrainPlan, count_steps, plan_training
from flows.fine_tune_export import train_export
from flows.progress import say
from flows.run_names import name_mixtures
from pipeline.advice.mixture_search import (
    Added,
    Gain,
    MixtureSearch,
    bound_mixtures,
    compare_seeds,
    search_mixtures,
)
from scorers.measures.models.loading import resolve_model
from storage.exports_manifest import ExportManifest, Split, read_manifest

TRIED_ROWS = 24
"""Rows that the steps of a training are tried on."""


@dataclass(frozen=True, slots=True)
class Mixtures:
    """What is to be tried."""

    export: Path
    """Of the task; its held-out rows are what is compared on."""
    added: tuple[MixedExport, ...]
    seeds: int
    """Trainings of each mixture."""
    settings: TrainSettings
    """Of every training, but for its rows and its seed; each takes as many steps."""

    @property
    def names(self) -> list[str]:
        """Of the exports that can be added."""
        return [each.export for each in self.added]

    def trained(self, added: Added, seed: int) -> TrainSettings:
        """The settings of one training; without anything added a plain one."""
        mix = tuple(each for each in self.added if each.export in added)
        mixed = (MixedExport(), *mix) if mix else ()
        given = {**self.settings.model_dump(), "mix": mixed, "seed": self.settings.seed + seed}
        return pin_exports(TrainSettings.model_validate(given), self.export)

    def count_trainings(self) -> tuple[int, int]:
        """At least, and at most: those of the search, and the last ones."""
        fewest, most = (each * self.seeds for each in bound_mixtures(len(self.added)))
        return fewest, most + 2 * self.seeds


@dataclass(frozen=True, slots=True)
class FoundMixture:
    """What a search came to."""

    search: MixtureSearch
    alone: tuple[float, ...]
    """Held-out losses of the task alone, with seeds that chose nothing; none where it is best."""
    mixed: tuple[float, ...]
    """The same of the best mixture."""
    gain: Gain | None
    """None where the task alone is best."""


def plan_mixtures(
    export: Path, added: Sequence[MixedExport], seeds: int, steps: int | None
) -> Mixtures:
    """Look over the exports of a search, before anything is trained.

    Args:
        export: folder of the task's export, whose recipe says how to train.
        added: exports that can be added, by their folders or names.
        seeds: trainings of each mixture.
        steps: optimizer steps of each training; None: those of the task alone.

    Raises:
        UnknownExportError: if an export is not found.
        ValueError: if the search could not be compared, or measured by what it trained.
    """
    settings = recipe_settings(export)
    if settings.stages or settings.soup or settings.mix:
        raise ValueError(
            f"the recipe of {export} trains in stages, as a soup or on a mix, and mixtures are "
            "compared by single trainings: leave that out of its train block"
        )
    manifest = read_manifest(export)
    if not manifest.counts("validation").rows:
        raise ValueError(
            f"mixtures are compared by held-out losses, and {export} has no validation split: set "
            "select.held_out in its recipe"
        )
    names = [each.export for each in added]
    if OWN in names or len({*names}) < len(names):
        raise ValueError(f"each export can be added once, and {OWN} is there: got {names}")
    for name in names:
        require_unseen(export, find_export(name, export.resolve().parent))
    whole = steps or count_steps(manifest.trained()["train"].rows, settings)
    each = settings.model_copy(update={"max_steps": whole})
    return Mixtures(export, tuple(added), seeds, each)


def require_unseen(export: Path, other: Path) -> None:
    """See that what a task is measured by is not among the rows that would be added.

    Raises:
        ValueError: if it is.
    """
    if seen := ids_of(export, "validation") & ids_of(other, "train"):
        raise ValueError(
            f"{len(seen)} held-out rows of {export.name} are trained rows of {other.name}: a "
            "mixture of them would be measured by what it has learnt. Leave one of the two out, or "
            "take the sources of one out of the other's recipe"
        )


def ids_of(export: Path, split: Split) -> set[str]:
    """The examples of a split."""
    with TemporaryDirectory(prefix="sluice-") as cache:
        return set(load_split(export, split, Path(cache))["example_id"])


def time_one(plan: Mixtures) -> TrainPlan:
    """What one training costs, by some steps of it on the task's own rows."""
    manifest = read_manifest(plan.export)
    folders = [find_export(name, plan.export.resolve().parent) for name in plan.names]
    longest = max(mean_tokens(each) for each in (manifest, *map(read_manifest, folders)))
    with TemporaryDirectory(prefix="sluice-") as cache:
        own = load_split(plan.export, "train", Path(cache))
        columns = own.select_columns(["prompt", "completion", "tools"])
        rows = [*columns.select(range(min(TRIED_ROWS, len(own))))]
    model = resolve_model(model_of(plan.export)).path
    return plan_training(model, rows, longest, manifest.trained()["train"].rows, plan.settings)


def mean_tokens(manifest: ExportManifest) -> float:
    """Tokens of a trained row of an export, prompt and response."""
    counts = manifest.trained()["train"]
    return (counts.prompt_tokens + counts.loss_tokens) / counts.rows


def model_of(export: Path) -> str:
    """The model that an export's tokens were counted for."""
    return with_template_of(export, read_manifest(export).model.reference)


@flow(name="train-mixtures", flow_run_name=name_mixtures, persist_result=False)
def train_mixtures(plan: Mixtures, at_most: int | None = None) -> FoundMixture:
    """Train on mixtures until none is better, and compare the best with the task alone.

    Args:
        plan: what plan_mixtures found to be sound.
        at_most: mixtures that may be trained; None: as many as it takes.
    """

    def losses_of(added: Added) -> list[float]:
        found = [train_for_loss(plan, added, seed) for seed in range(plan.seeds)]
        say(f"mixture: {called(added)}: {sum(found) / len(found):.4f} nats per held-out token")
        return found

    search = search_mixtures(plan.names, losses_of, at_most)
    if not search.best.added:
        return FoundMixture(search, (), (), None)
    fresh = range(plan.seeds, 2 * plan.seeds)
    alone = tuple(train_for_loss(plan, (), seed) for seed in fresh)
    mixed = tuple(train_for_loss(plan, search.best.added, seed) for seed in fresh)
    return FoundMixture(search, alone, mixed, compare_seeds(alone, mixed))


def train_for_loss(plan: Mixtures, added: Added, seed: int) -> float:
    """Train once, or find that it was done; held-out nats per token of the task."""
    settings, model = plan.trained(added, seed), model_of(plan.export)
    output = place_of_training(plan.export, model, settings)
    report = train_export(plan.export, model, output, settings)
    assert report.heldout_after is not None  # plan_mixtures has seen that there are such rows
    return report.heldout_after.nats_per_token


def called(added: Added) -> str:
    """A mixture, in words."""
    return " + ".join([OWN, *added])
