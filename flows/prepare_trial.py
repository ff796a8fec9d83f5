"""What a trial needs before anything is trained: its items, its arms, its plan, and what it costs.

What is wrong is told here: files of items are read before the recipe is run, and every arm is cut
to the budget before one is trained.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fine_tune.mixture import pin_exports
from fine_tune.outcome import place_of_training
from fine_tune.report import read_train_report
from fine_tune.settings import TrainSettings
from flows.begin_run import RunState
from flows.draw_arms import DrawnRows, TrialError, draw_arms, store_arm
from flows.recipe.trial import Trial
from pipeline.measuring.rows import tokenizer_of
from pipeline.trials.evaluations import (
    TrialItems,
    render_questions,
)
from pipeline.trials.questions import TrialQuestion, read_questions
from scorers.measures.models.loading import resolve_model
from storage.conversations import Conversation
from storage.database import read_workspace
from storage.examples import read_examples
from storage.selections import (
    read_run_selections,
    read_selection,
)
from storage.trial_items import Replicate, plan_identity

LONGEST_ITEM = 2048

Questions = Mapping[str, tuple[list[TrialQuestion], Counter[str]]]


@dataclass(frozen=True, slots=True)
class PlannedTraining:
    """One training of an arm."""

    replicate: Replicate
    export: Path
    folder: Path
    settings: TrainSettings

    @property
    def done(self) -> bool:
        """Whether it was done before."""
        return read_train_report(self.folder) is not None


@dataclass(frozen=True, slots=True)
class PreparedTrial:
    """A trial that can begin."""

    trial: Trial
    state: RunState
    trainings: Sequence[TrainSettings]
    """One for each learning rate."""
    arms: Mapping[str, Sequence[DrawnRows]]
    """Trained arm → its draws; of others the one."""
    evaluations: Sequence[TrialItems]
    fingerprint: str
    """Of the model before training."""

    @property
    def plan(self) -> dict[str, Any]:
        """What is written down before."""
        trial = self.trial
        return {
            "run": self.state.run.run_id,
            "model": self.fingerprint,
            "arms": {
                name: [each.selection_id for each in drawn] for name, drawn in self.arms.items()
            },
            "untrained": self.untrained,
            "trainings": [each.model_dump(mode="json") for each in self.trainings],
            "looks": trial.looks,
            "evaluations": {each.name: each.evaluation_id for each in self.evaluations},
            "against": trial.against,
            "primary": trial.decides,
            "smallest_effect": trial.smallest_effect,
            "level": trial.level,
        }

    @property
    def measured(self) -> list[TrialItems]:
        """The evaluations that are made here: of others samples are read."""
        return [each for each in self.evaluations if each.settings.samples is None]

    @property
    def plan_id(self) -> str:
        """Its hash."""
        return plan_identity(self.plan)

    @property
    def untrained(self) -> list[str]:
        """Arms that are not trained."""
        return [name for name, arm in self.trial.arms.items() if not arm.trained]

    def trained(self, seeds: int) -> list[PlannedTraining]:
        """Every training up to a look, seed by seed, so that each look begins with what it adds."""
        model, found = self.state.placed.target, []
        for seed in range(seeds):
            for name, draws in self.arms.items():
                drawn = draws[seed % len(draws)]
                for training in self.trainings:
                    own = training.model_copy(update={"seed": training.seed + seed})
                    settings = pin_exports(own, drawn.export)
                    folder = place_of_training(drawn.export, model, settings)
                    replicate = Replicate(
                        name,
                        folder.name.partition("-")[2],  # adapter-TRIAL
                        training.learning_rate,
                        seed,
                        drawn.export_id,
                    )
                    found.append(PlannedTraining(replicate, drawn.export, folder, settings))
        return found

    def replicates(self, seeds: int) -> list[Replicate]:
        """The same with the models that are not trained."""
        bare = [Replicate(name, self.fingerprint[:16], None, 0, None) for name in self.untrained]
        return [*bare, *(each.replicate for each in self.trained(seeds))]


def read_files(trial: Trial) -> Questions:
    """The items of every file of a trial.

    Raises:
        UnreadableSourceError: if one has none.
    """
    return {
        name: read_questions(each) for name, each in trial.evaluate.items() if not each.held_out
    }


def prepare_trial(trial: Trial, state: RunState, files: Questions) -> PreparedTrial:
    """Draw and export every arm, and render every item.

    Raises:
        TrialError: if an arm cannot be compared.
        UnreadableSourceError: if an evaluation has no items.
    """
    trainings = trial.trainings(state.recipe.train)
    if single_only(trainings[0]):
        raise TrialError(
            "the recipe trains in stages, as a soup or on a mix, and arms are compared by single "
            "trainings: give the trial a train block of its own"
        )
    evaluations = render_all(trial, state, files)
    arms = {}
    with read_workspace(state.run.workspace) as con:
        rows_of = draw_arms(con, trial, state)
    for name, draws in rows_of.items():
        arms[name] = [store_arm(state, name, rows, turns) for rows, turns in draws]
    fingerprint = resolve_model(state.placed.target).fingerprint
    return PreparedTrial(trial, state, trainings, arms, evaluations, fingerprint)


def single_only(training: TrainSettings) -> bool:
    """Whether a training trains more than the rows of one export."""
    return bool(training.stages or training.soup or training.mix)


def render_all(trial: Trial, state: RunState, files: Questions) -> list[TrialItems]:
    """The evaluations as the target reads them."""
    tokenizer = tokenizer_of(state.placed.measure.tokens.model)
    longest = state.placed.measure.tokens.max_tokens or LONGEST_ITEM
    found = []
    for name, settings in trial.evaluate.items():
        read = files[name] if name in files else held_out_questions(state)
        found.append(render_questions(name, settings, read, tokenizer, longest))
    return found


def held_out_questions(state: RunState) -> tuple[list[TrialQuestion], Counter[str]]:
    """The rows that a run holds out, each up to its last trained turn."""
    with read_workspace(state.run.workspace) as con:
        aside = read_run_selections(con, state.run.run_id)["held_out"].selection_id
        examples = read_examples(con, read_selection(con, aside)[0])
    questions = []
    for position, each in enumerate(examples, start=1):
        assert each.response_at is not None  # what has no response is not held out
        whole = Conversation(each.messages[: each.response_at + 1], each.tools)
        questions.append(TrialQuestion(position, None, whole))
    return questions, Counter()
