"""What a recipe measures and scores: whether every number that is read will be there."""

from collections.abc import Container, Iterator
from pathlib import Path

from fine_tune.four_bits import MissingLibraryError, require_library
from fine_tune.mixture import UnknownExportError, find_export
from fine_tune.named_trainings import find_training
from flows.recipe.schema import Recipe
from pipeline.measuring.catalogue import MEASURES
from pipeline.measuring.measures.embeddings import ComparedField, embeddings_name
from pipeline.measuring.measures.losses import LossSettings
from pipeline.measuring.measures.ratings import as_number, ratings_name
from pipeline.scoring.stage import LOSS, TEXTS_BY_NAME, ScoreSettings, find_scorer, measure_name
from scorers import SCORERS, TEXT, scorer_settings
from scorers.names import did_you_mean
from scorers.reductions import OF_TURNS
from storage.workspace import Workspace


def measure_problems(recipe: Recipe) -> Iterator[str]:
    """Two blocks that a run could not tell apart."""
    texts = [block.of for block in recipe.measure.embeddings]
    for text in sorted({text for text in texts if texts.count(text) > 1}):
        yield f"measure.embeddings: two blocks embed {text!r}; a run has one for each text"
    names = [block.name for block in recipe.measure.ratings]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"measure.ratings: two blocks are called {name!r}; give each a name of its own"
    cappy = recipe.measure.cappy
    if cappy and cappy.samples and not recipe.measure.confidence:
        yield "measure.cappy.samples: no answers are sampled: add the block measure.confidence"


def score_problems(recipe: Recipe) -> Iterator[str]:
    """Scores that do not exist, are set wrongly, or read what is not measured."""
    labels: set[str] = set()
    for number, score in enumerate(recipe.scores):
        where = f"scores.{number}"
        if score.label in labels:
            yield f"{where}: a second score called {score.label!r}; give it a name of its own"
        labels.add(score.label)
        try:
            scorer = find_scorer(score.scorer)
            scorer_settings(scorer, score.settings)
        except ValueError as error:
            yield f"{where}: {error}"
            continue
        if score.part and scorer.reads != (LOSS,):
            yield f"{where}.part: {score.scorer} has no parts; perplexity and grape have"
        if score.reduction and not OF_TURNS.keys() >= set(scorer.reads):
            yield f"{where}.reduction: {score.scorer} reads no losses of turns: leave it out"
        if scorer.targets and not recipe.targets:
            yield f"{where}: {score.scorer} compares rows with targets: add the block targets"
        yield from unmeasured(recipe, where, score)
        if recipe.measure.losses is not None:
            yield from untold_losses(recipe.measure.losses, where, score)


def unmeasured(recipe: Recipe, where: str, score: ScoreSettings) -> Iterator[str]:
    """Say so if a score reads what is not measured, or does not say which of several."""
    if not find_scorer(score.scorer).measure:
        yield from untold_text(where, score)
        return
    measured, measure = recipe.measure.names(), find_scorer(score.scorer).measure
    if find_scorer(score.scorer).blocks:
        yield from unmeasured_blocks(where, score, measured)
        return
    if measure_name(score) in measured:
        return
    prefix, block = f"{measure}_", f"measure.{MEASURES[measure].block}"
    named = [name.removeprefix(prefix) for name in measured if name.startswith(prefix)]
    if measure in measured:
        yield f"{where}.of: {score.scorer} reads {block}, which is one block: leave `of` out"
    elif named:
        problem = f"no block {score.of!r} in" if score.of else "missing; name a block of"
        yield f"{where}.of: {problem} {block}. {did_you_mean(score.of, named)}"
    else:
        yield f"{where}: {score.scorer} reads {measure}: add the block {block}"


def untold_losses(losses: LossSettings, where: str, score: ScoreSettings) -> Iterator[str]:
    """Say so if a score reads what the losses are measured without."""
    if score.scorer == "entropy" and losses.endpoint:
        yield f"{where}: measure.losses asks an endpoint, which tells no entropies"
    if score.scorer == "el2n" and not losses.el2n:
        yield f"{where}: el2n is kept where it is asked for: add el2n: true to measure.losses"


def unmeasured_blocks(where: str, score: ScoreSettings, measured: Container[str]) -> Iterator[str]:
    """Say so if a score that reads several blocks lacks one, or names one."""
    scorer = find_scorer(score.scorer)
    block = f"measure.{MEASURES[scorer.measure].block}"
    if score.of:
        yield f"{where}.of: {score.scorer} reads all of its texts: leave `of` out"
    for name in scorer.blocks:
        if f"{scorer.measure}_{name}" not in measured:
            yield f"{where}: {score.scorer} reads {block}: add a block with of: {name}"


def untold_text(where: str, score: ScoreSettings) -> Iterator[str]:
    """Say so if a score of texts names a text that there is not, or one where it has no choice."""
    reads = find_scorer(score.scorer).reads
    if score.of and TEXT not in reads:
        yield f"{where}.of: {score.scorer} reads {' and '.join(reads)}: leave `of` out"
    elif score.of not in TEXTS_BY_NAME:
        known = [name for name in TEXTS_BY_NAME if name]
        yield f"{where}.of: no text {score.of!r}. {did_you_mean(score.of, known)}"


def rating_problems(recipe: Recipe) -> Iterator[str]:
    """Expected marks of options that are no numbers."""
    blocks = {ratings_name(block.name): block for block in recipe.measure.ratings}
    for number, score in enumerate(recipe.scores):
        if score.scorer not in SCORERS or measure_name(score) not in blocks:
            continue  # both are said by score_problems
        block = blocks[measure_name(score)]
        words = [option for option in block.options if as_number(option) is None]
        if words:
            yield (
                f"scores.{number}: an expected mark needs options that are numbers, and "
                f"{block.name!r} of measure.ratings has {words[0]!r}"
            )


def indicator_problems(recipe: Recipe) -> Iterator[str]:
    """An indicator by a score that the recipe does not have, or by a label."""
    if recipe.indicator is None:
        return
    yield from unknown_score(recipe, "indicator.score", recipe.indicator.score)
    if recipe.indicator.score in {score.label for score in recipe.scores if is_label(score.scorer)}:
        yield f"indicator.score: {recipe.indicator.score!r} is a cluster's label and bounds nothing"


def dedupe_problems(recipe: Recipe) -> Iterator[str]:
    """Deduplication by scores or embeddings that the recipe does not have."""
    for number, step in enumerate(recipe.dedupe):
        for kept in step.keeps():
            if isinstance(kept, str):
                yield from unknown_score(recipe, f"dedupe.{number}.keep", kept)
        embedded = step.embedded()
        if embedded:
            yield from missing_embeddings(recipe, f"dedupe.{number}", embedded)


def unknown_score(recipe: Recipe, where: str, name: str | None) -> Iterator[str]:
    """Say so if a block names a score that the recipe does not have."""
    labels = [score.label for score in recipe.scores]
    if name is not None and name not in labels:
        told = did_you_mean(name, labels)
        yield f"{where}: {name!r} is not among the scores of this recipe. {told}"


def missing_embeddings(recipe: Recipe, where: str, of: ComparedField) -> Iterator[str]:
    """Say so if a block compares embeddings that are not measured."""
    losses = recipe.measure.losses
    if of == "hidden":
        if losses is None or not losses.vectors:
            yield f"{where}: compares hidden states: add vectors: true to measure.losses"
    elif of == "weighted":
        if losses is None or not losses.weighted_vectors:
            yield (
                f"{where}: compares weighted means of hidden states: add weighted_vectors: true to "
                "measure.losses"
            )
    elif embeddings_name(of) not in recipe.measure.names():
        yield f"{where}: compares embeddings: add {{of: {of}}} to measure.embeddings"


def is_label(scorer: str) -> bool:
    """Whether a scorer gives labels instead of a ranking."""
    return scorer in SCORERS and SCORERS[scorer].unit == "label"


def export_problems(recipe: Recipe) -> Iterator[str]:
    """Scores that rows are to have beside them, and the recipe does not make."""
    for name in recipe.export.scores:
        yield from unknown_score(recipe, "export.scores", name)


def train_problems(recipe: Recipe) -> Iterator[str]:
    """Training that would meet rows longer than it may read, or in another template."""
    if recipe.train and recipe.measure.tokens.template != "chat":
        yield (
            "train: trains on the model's chat template, but measure.tokens.template is "
            f"{recipe.measure.tokens.template}: give the target a chat template, or leave train out"
        )
    try:
        require_library(recipe.train.tune if recipe.train else "lora")
    except MissingLibraryError as error:
        yield f"train: {error}"
    for name in recipe.train.scores() if recipe.train else ():
        if name not in recipe.export.scores:
            yield f"train.methods: read the score {name!r}: add it to export.scores"
    for each in recipe.train.all_methods() if recipe.train else ():
        if each.pairs and not recipe.export.rejected:
            yield (
                f"train.methods: {each.method} reads rejected answers: name in export.rejected why "
                "the steps drop them, such as wrong_answer"
            )
    limit = recipe.train.max_length if recipe.train else None
    longest = recipe.measure.tokens.max_tokens
    if limit is not None and limit < longest:
        yield (
            f"train.max_length: {limit} tokens, but measure.tokens.max_tokens lets rows of "
            f"{longest} through: make them equal"
        )


def held_out_problems(recipe: Recipe) -> Iterator[str]:
    """Training that compares held-out losses, in a recipe that holds no rows out."""
    if recipe.train is None or recipe.select.held_out:
        return
    needing: list[str] = [
        each.method for each in recipe.train.methods if each.changes == "weights of tasks"
    ]
    if recipe.train.soup and recipe.train.soup.choose == "greedy":
        needing.append("a greedy soup")
    for name in needing:
        yield f"train: {name} compares held-out losses, and select.held_out is 0: raise it"


def soup_problems(recipe: Recipe) -> Iterator[str]:
    """Trainings that are to be averaged, and are not there."""
    soup = recipe.train.soup if recipe.train else None
    beside = Workspace(Path(recipe.workspace)).exports / recipe.name  # where its export will lie
    for named in soup.trainings if soup else ():
        try:
            find_training(named.training, beside)
        except ValueError as error:
            yield f"train: {error}"


def mix_problems(recipe: Recipe) -> Iterator[str]:
    """Exports and adapters that the training is to read, and that are not there."""
    exports = Workspace(Path(recipe.workspace)).exports
    for name in recipe.train.other_exports() if recipe.train else ():
        try:
            find_export(name, exports)
        except UnknownExportError as error:
            yield str(error)
    for method in recipe.train.all_methods() if recipe.train else ():
        try:
            method.pinned(lambda found: found)  # exports were looked for above
        except ValueError as error:
            yield f"train: {error}"
