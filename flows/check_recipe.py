"""Read a recipe and find everything that is wrong with it before any work, all at once."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from flows.recipe import MODEL_KEYS, Recipe, place_sources
from pipeline.contamination.evaluations import first_rows
from pipeline.contamination.settings import CheckSettings, EvaluationSettings
from pipeline.generate import GenerateSettings
from pipeline.ingest import SourceSettings, bound_rows, bound_tokens
from pipeline.measure import embeddings_name, ratings_name
from pipeline.measuring.embeddings import ComparedField
from pipeline.measuring.preferences import PreferenceSettings
from pipeline.measuring.ratings import RatingSettings, as_number
from pipeline.measuring.samples import SampleSettings
from pipeline.measuring.tags import TagSettings
from pipeline.measuring.turn_ratings import TurnQuestion
from pipeline.readers import UnreadableSourceError, find_format
from pipeline.score import ScoreSettings, find_scorer, measure_name
from pipeline.selection.clear_repair import ClearRepair
from pipeline.selection.dmt import DMT
from pipeline.selection.instag import InsTag
from pipeline.selection.language import Language
from pipeline.selection.s2l import S2L
from pipeline.selection.source_names import has_name
from pipeline.selection.spend import COLUMNS
from pipeline.selection.step import Filter, RankStep
from pipeline.settings import TARGET
from pipeline.shapes import SHAPES
from scorers import SCORERS, scorer_settings
from scorers.measures.models import WHEEL_MODELS
from storage.table_queries import TableQueryError, check_database

MEASURE_BLOCKS = {
    "losses": "measure.losses",
    "trajectories": "measure.trajectories",
    "judgements": "measure.confidence",
    "ratings": "measure.ratings",
    "turn_ratings": "measure.turn_ratings",
    "tags": "measure.tags",
    "preferences": "measure.preferences",
    "context": "measure.context",
    "cappy": "measure.cappy",
    "embeddings": "measure.embeddings",
    "gradients": "measure.gradients",
}
"""Measure → the block of the recipe that asks for it."""


LOOKED_AT = 100
"""Rows of an evaluation set that are read to see which fields it has."""


class RecipeError(ValueError):
    """A recipe cannot be run; `problems` has every reason found."""

    def __init__(self, recipe: str, problems: list[str]) -> None:
        self.problems = problems
        listed = "\n".join(f"  - {problem}" for problem in problems)
        noun = "problem" if len(problems) == 1 else "problems"
        super().__init__(f"{recipe} has {len(problems)} {noun}:\n{listed}")


def load_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe, with its target resolved and its paths still as written.

    Args:
        path: of the file.
        changes: settings to use in place of the file's, as PLACE=VALUE.

    Raises:
        RecipeError: if anything is wrong with it; every problem found is in the message.
    """
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(str(path), ["there is no such file"]) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"it is not YAML: {one_line(error)}"]) from None
    if not isinstance(value, dict):
        raise RecipeError(str(path), ["it must be a mapping of blocks; see docs/recipes.md"])
    for change in changes:
        put_setting(value, change, path)
    recipe, problems = validate(value)
    problems += find_problems(recipe, path.parent)
    if problems:
        raise RecipeError(str(path), problems)
    return Recipe.model_validate(recipe).with_target()


def put_setting(recipe: dict[str, Any], change: str, path: Path) -> None:
    """Put PLACE=VALUE, such as `select.steps.0.at_most=0.9`, into a recipe as it was written.

    Raises:
        RecipeError: if there is no such place.
    """
    place, equals, value = change.partition("=")
    *blocks, last = place.split(".")
    inner: Any = recipe
    try:
        for name in blocks:
            inner = inner[int(name)] if isinstance(inner, list) else inner.setdefault(name, {})
        inner[int(last) if isinstance(inner, list) else last] = yaml.safe_load(value)
    except (AttributeError, IndexError, TypeError, ValueError, yaml.YAMLError):
        equals = ""
    if not equals:
        raise RecipeError(
            str(path), [f"{change!r} sets nothing: write PLACE=VALUE, as in seed=3"]
        ) from None


def check_given(recipe: Recipe, base: Path) -> Recipe:
    """Check a recipe that came from no file, its target resolved in what is returned.

    Args:
        recipe: well-formed.
        base: directory that its relative paths start from.

    Raises:
        RecipeError: if anything is wrong with it; every problem found is in the message.
    """
    blocks = {name: getattr(recipe, name) for name in Recipe.model_fields}
    if problems := find_problems(blocks, base):
        raise RecipeError(recipe.name, problems)
    return recipe.with_target()


def validate(value: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Validate a recipe; return the blocks that are right, and what is wrong with the others.

    An unknown key is looked past, so that the rest of its block is checked too.
    """
    problems: list[str] = []
    for _ in range(2):  # the second time without the unknown keys
        try:
            recipe = Recipe.model_validate(value)
            return {name: getattr(recipe, name) for name in Recipe.model_fields}, problems
        except ValidationError as error:
            details = error.errors()
        problems += [describe_error(detail) for detail in details if not follows(detail, details)]
        unknown = [detail["loc"] for detail in details if detail["type"] == "extra_forbidden"]
        for location in unknown:
            remove_key(value, location)
        if not unknown:
            break
    wrong = {detail["loc"][0] for detail in details}
    given = {name: each for name, each in value.items() if name not in wrong}
    blocks = {name: block(name, each) for name, each in given.items()}
    defaults = {
        name: field.default
        for name, field in Recipe.model_fields.items()
        if name not in wrong and not field.is_required()
    }
    return defaults | blocks, list(dict.fromkeys(problems))


def follows(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Whether an error only says that a list lost its wrong items, which are named themselves."""
    place = detail["loc"]
    inner = (each["loc"] for each in details if len(each["loc"]) > len(place))
    return detail["type"] == "too_short" and any(loc[: len(place)] == place for loc in inner)


def block(name: str, value: object) -> object:
    """One block of a recipe, validated by itself."""
    field = Recipe.model_fields[name]
    kind: Any = Annotated[(field.annotation, field)]
    return TypeAdapter(kind).validate_python(value)


def remove_key(value: object, location: tuple[int | str, ...]) -> None:
    """Delete the key at a location; a step that is a union's tag is no key and is passed over."""
    for step in location[:-1]:
        if isinstance(value, list) and isinstance(step, int):
            value = value[step]
        elif isinstance(value, dict):
            value = value.get(step, value)
    if isinstance(value, dict):
        value.pop(location[-1], None)


def describe_error(detail: ErrorDetails) -> str:
    """One validation error in one line, with the nearest right name for a wrong one."""
    where = ".".join(str(step) for step in detail["loc"])
    if detail["type"] == "extra_forbidden":
        known = keys_at(Recipe.model_json_schema(), detail["loc"][:-1])
        return f"{where}: unknown key.{nearest(str(detail['loc'][-1]), known)}"
    if detail["type"] == "union_tag_invalid":
        context = detail["ctx"]
        known = re.findall(r"'([^']+)'", context["expected_tags"])
        return f"{where}: no method named {context['tag']!r}.{nearest(context['tag'], known)}"
    if detail["type"] == "missing":
        return f"{where}: missing; it must be given"
    return f"{where}: {detail['msg'].removeprefix('Value error, ')}"


def nearest(name: str, known: list[str]) -> str:
    """Name the nearest of the names that exist, and all of them."""
    near = get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{hint} There are: {', '.join(sorted(known))}."


def keys_at(schema: dict[str, Any], location: tuple[int | str, ...]) -> list[str]:
    """The keys that the block at a location can have, from the JSON schema."""
    places = [schema]
    for step in location:
        places = [each for place in places for each in step_into(schema, place, step)]
    keys = [key for place in places for key in expand(schema, place)]
    return sorted({name for place in keys for name in place.get("properties", {})})


def expand(schema: dict[str, Any], place: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A part of the schema with references and alternatives followed."""
    if "$ref" in place:
        yield from expand(schema, schema["$defs"][place["$ref"].rsplit("/", 1)[-1]])
        return
    yield place
    for each in [*place.get("anyOf", ()), *place.get("oneOf", ())]:
        yield from expand(schema, each)


def step_into(
    schema: dict[str, Any], place: dict[str, Any], step: int | str
) -> Iterator[dict[str, Any]]:
    """The parts of the schema one step down; a union's tag picks the alternative of that tag."""
    for part in expand(schema, place):
        tags = part.get("discriminator", {}).get("mapping", {})
        if step in tags:
            yield {"$ref": tags[step]}
        elif isinstance(step, int) and "items" in part:
            yield part["items"]
        elif step in part.get("properties", {}):
            yield part["properties"][step]


def find_problems(blocks: Mapping[str, Any], base: Path) -> list[str]:
    """What is wrong with blocks that are each valid: with what they name, and with each other."""
    checks = (
        (source_problems, {"sources", "targets"}),
        (model_problems, set(Recipe.model_fields)),
        (measure_problems, {"measure"}),
        (score_problems, {"scores", "measure", "targets"}),
        (rating_problems, {"scores", "measure"}),
        (indicator_problems, {"scores", "indicator"}),
        (dedupe_problems, {"scores", "measure", "dedupe"}),
        (check_problems, {"measure", "check"}),
        (select_problems, {"scores", "measure", "select"}),
        (repair_problems, {"generate", "measure", "dedupe", "select"}),
        (budget_problems, {"sources", "generate", "select"}),
        (share_problems, {"scores", "select"}),
        (named_source_problems, {"sources", "generate", "select"}),
        (train_problems, {"measure", "train"}),
        (license_problems, {"sources", "licenses"}),
    )
    sources = place_sources(blocks.get("sources", ()), base)
    check = blocks["check"].placed(base) if blocks.get("check") else None
    targets = place_sources(blocks.get("targets", ()), base)
    placed = {"sources": sources, "targets": targets, "check": check}
    recipe = Recipe.model_construct(**{**blocks, **placed})
    found = [
        problem for check, needed in checks if needed <= set(blocks) for problem in check(recipe)
    ]
    return found + list(unknown_sources(blocks))


def unknown_sources(blocks: Mapping[str, Any]) -> Iterator[str]:
    """Steps that name a source the recipe does not have, by paths as they are written."""
    if not {"sources", "select"} <= set(blocks):
        return
    known = [source.path for source in blocks["sources"]]
    for number, step in enumerate(blocks["select"].steps):
        named = step.named_sources() if isinstance(step, Filter) else ()
        for path in named:
            if path not in known:
                where = f"select.steps.{number}"
                yield f"{where}: {path!r} is no source of this recipe.{nearest(path, known)}"


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


def source_problems(recipe: Recipe) -> Iterator[str]:
    """Sources that are not there, or cannot be read as what they are said to be."""
    places = {f"sources.{number}": each for number, each in enumerate(recipe.sources)}
    places |= {f"targets.{number}": each for number, each in enumerate(recipe.targets)}
    for where, source in places.items():
        shape = source.shape
        if shape is not None and shape not in SHAPES:
            yield f"{where}.shape: no shape named {shape!r}.{nearest(shape, list(SHAPES))}"
        if source.query is not None:
            yield from query_problems(where, source)
            continue
        files = source.files()
        if not files:
            yield f"{where}.path: nothing is at {source.path}"
        for file in files:
            try:
                find_format(file, source.format)
            except UnreadableSourceError as error:
                folder = Path(source.path).is_dir() and file != source.path
                hint = f". To read some files only: {source.path}/**/*.jsonl" if folder else ""
                yield f"{where}.path: {error}{hint}"


def query_problems(where: str, source: SourceSettings) -> Iterator[str]:
    """A database that cannot be asked. The query itself is asked when the run starts."""
    try:
        check_database(source.path)
    except TableQueryError as error:
        yield f"{where}.path: {error}"
    if source.format is not None:
        yield f"{where}.format: a query's answer has no format; leave it out"


def model_problems(recipe: Recipe) -> Iterator[str]:
    """Embedded models that do not exist, and models that no block names."""
    for where, name in named_models(recipe.model_dump(), ""):
        wheel = name.removeprefix("wheel:")
        if wheel != name and wheel not in WHEEL_MODELS:
            yield f"{where}: no model {name!r}.{nearest(wheel, list(WHEEL_MODELS))}"
    for where, block in endpoint_blocks(recipe):
        if block.endpoint and block.model == TARGET:
            yield f"{where}.model: missing; name the model that the endpoint serves"


def endpoint_blocks(
    recipe: Recipe,
) -> Iterator[
    tuple[
        str,
        GenerateSettings
        | SampleSettings
        | RatingSettings
        | TurnQuestion
        | TagSettings
        | PreferenceSettings,
    ]
]:
    """Each block that can name an endpoint, with its place."""
    for number, generator in enumerate(recipe.generate):
        yield f"generate.{number}", generator
    if recipe.measure.confidence:
        yield "measure.confidence.samples", recipe.measure.confidence.samples
    if recipe.measure.preferences:
        yield "measure.preferences", recipe.measure.preferences
    for number, ratings in enumerate(recipe.measure.ratings):
        yield f"measure.ratings.{number}", ratings
    if recipe.measure.tags:
        yield "measure.tags", recipe.measure.tags
    if recipe.measure.turn_ratings:
        yield "measure.turn_ratings.complexity", recipe.measure.turn_ratings.complexity
        yield "measure.turn_ratings.quality", recipe.measure.turn_ratings.quality


def named_models(value: object, where: str) -> Iterator[tuple[str, str]]:
    """Each place of a recipe that names a model, with the name."""
    inside: Mapping[object, object] = value if isinstance(value, dict) else {}
    inside = dict(enumerate(value)) if isinstance(value, list | tuple) else inside
    for key, each in inside.items():
        place = f"{where}.{key}".removeprefix(".")
        if key in MODEL_KEYS and isinstance(each, str):
            yield place, each
        yield from named_models(each, place)


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
        if scorer.targets and not recipe.targets:
            yield f"{where}: {score.scorer} compares rows with targets: add the block targets"
        yield from unmeasured(recipe, where, score)
        losses = recipe.measure.losses
        if score.scorer == "entropy" and losses is not None and losses.endpoint:
            yield f"{where}: measure.losses asks an endpoint, which tells no entropies"


def unmeasured(recipe: Recipe, where: str, score: ScoreSettings) -> Iterator[str]:
    """Say so if a score reads what is not measured, or does not say which of several."""
    measured, measure = recipe.measure.names(), find_scorer(score.scorer).measure
    if measure_name(score) in measured:
        return
    prefix, block = f"{measure}_", MEASURE_BLOCKS.get(measure, "measure.tokens")
    named = [name.removeprefix(prefix) for name in measured if name.startswith(prefix)]
    if measure in measured:
        yield f"{where}.of: {score.scorer} reads {block}, which is one block: leave `of` out"
    elif named:
        problem = f"no block {score.of!r} in" if score.of else "missing; name a block of"
        yield f"{where}.of: {problem} {block}.{nearest(score.of, named)}"
    else:
        yield f"{where}: {score.scorer} reads {measure}: add the block {block}"


def rating_problems(recipe: Recipe) -> Iterator[str]:
    """Expected marks of options that are no numbers."""
    blocks = {ratings_name(block.name): block for block in recipe.measure.ratings}
    for number, score in enumerate(recipe.scores):
        if score.scorer not in SCORERS or measure_name(score) not in blocks:
            continue
        block = blocks[measure_name(score)]
        words = [option for option in block.options if as_number(option) is None]
        if words:
            yield (
                f"scores.{number}: an expected mark needs options that are numbers, and "
                f"{block.name!r} of measure.ratings has {words[0]!r}"
            )


def unknown_score(recipe: Recipe, where: str, name: str | None) -> Iterator[str]:
    """Say so if a block names a score that the recipe does not have."""
    labels = [score.label for score in recipe.scores]
    if name is not None and name not in labels:
        yield f"{where}: {name!r} is not among the scores of this recipe.{nearest(name, labels)}"


def indicator_problems(recipe: Recipe) -> Iterator[str]:
    """A tag by a score that the recipe does not have, or by a label."""
    if recipe.indicator is None:
        return
    yield from unknown_score(recipe, "indicator.score", recipe.indicator.score)
    if recipe.indicator.score in {score.label for score in recipe.scores if is_label(score.scorer)}:
        yield f"indicator.score: {recipe.indicator.score!r} is a cluster's label and bounds nothing"


def missing_embeddings(recipe: Recipe, where: str, of: ComparedField) -> Iterator[str]:
    """Say so if a block compares embeddings that are not measured."""
    if of == "hidden":
        if recipe.measure.losses is None or not recipe.measure.losses.vectors:
            yield f"{where}: compares hidden states: add vectors: true to measure.losses"
    elif embeddings_name(of) not in recipe.measure.names():
        yield f"{where}: compares embeddings: add {{of: {of}}} to measure.embeddings"


def dedupe_problems(recipe: Recipe) -> Iterator[str]:
    """Deduplication by scores or embeddings that the recipe does not have."""
    for number, step in enumerate(recipe.dedupe):
        yield from unknown_score(recipe, f"dedupe.{number}.keep", step.keep)
        embedded = step.embedded()
        if embedded:
            yield from missing_embeddings(recipe, f"dedupe.{number}", embedded)


def select_problems(recipe: Recipe) -> Iterator[str]:
    """Steps that name scores or embeddings that the recipe does not have, or rank by a label."""
    labels = {score.label for score in recipe.scores if is_label(score.scorer)}
    for number, step in enumerate(recipe.select.steps):
        where = f"select.steps.{number}"
        for score in step.scores():
            yield from unknown_score(recipe, f"{where}.score", score)
            if score in labels and not isinstance(step, S2L):
                yield f"{where}.score: {score!r} is a cluster's label and ranks nothing; use s2l"
        if isinstance(step, Language) and recipe.measure.language is None:
            yield f"{where}: needs the language of rows: add language: {{}} to measure"
        if isinstance(step, InsTag) and recipe.measure.tags is None:
            yield f"{where}: picks by tags: add the block measure.tags"
        compared = step.compared() if isinstance(step, RankStep) else None
        if compared:
            yield from missing_embeddings(recipe, where, compared)


def repair_problems(recipe: Recipe) -> Iterator[str]:
    """Repairs without what chooses between them and the rows, and the other way round."""
    repairs = [n for n, block in enumerate(recipe.generate) if block.method == "repair"]
    choosing = [n for n, step in enumerate(recipe.select.steps) if isinstance(step, ClearRepair)]
    needing = ["measure.preferences"] if recipe.measure.preferences else []
    needing += [f"select.steps.{n}" for n in choosing]
    for where in needing if not repairs else ():
        yield f"{where}: nothing is repaired: add a block {{method: repair}} to generate"
    for n in repairs[1:]:
        yield f"generate.{n}: a second block of repairs; a run has one"
    if repairs and not choosing:
        yield f"generate.{repairs[0]}: rows and their repairs would both stay: add clear_repair"
    if repairs and recipe.dedupe:
        yield (
            "dedupe: would take a row for a copy of its repair: leave it out of a recipe that "
            "repairs"
        )


def budget_problems(recipe: Recipe) -> Iterator[str]:
    """A budget that the sources cannot fill, as far as that can be told without reading them."""
    last = recipe.select.steps[-1]
    files = [(file, source.format) for source in recipe.sources for file in source.files()]
    if not isinstance(last, RankStep) or not files:
        return
    growth = 1 + sum(block.answers for block in recipe.generate)  # each row may be answered anew
    where = f"select.steps.{len(recipe.select.steps) - 1}.budget"
    bounds = [bound_rows(file, format) for file, format in files]
    most = growth * sum(bound or 0 for bound in bounds)
    if last.budget.rows and None not in bounds and last.budget.rows > most:
        grown = " and the answers to them" if recipe.generate else ""
        yield f"{where}.rows: {last.budget.rows} is more than the {most} rows of the sources{grown}"
    sizes = [bound_tokens(file, format) for file, format in files]
    if last.budget.loss_tokens and None not in sizes and not recipe.generate:
        most = sum(size or 0 for size in sizes)
        if last.budget.loss_tokens > most:
            yield (
                f"{where}.loss_tokens: {last.budget.loss_tokens} is more than the sources can "
                f"hold: they have {most} bytes"
            )


def check_problems(recipe: Recipe) -> Iterator[str]:
    """Evaluation sets that are not there, and rules that could find nothing."""
    check = recipe.check
    if check is None:
        return
    names = [each.name for each in check.against if each.name]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"check.against: two sets are called {name!r}; give each a name of its own"
    for number, each in enumerate(check.against):
        yield from evaluation_problems(f"check.against.{number}", each)
    yield from rule_problems(recipe, check)


def rule_problems(recipe: Recipe, check: CheckSettings) -> Iterator[str]:
    """Rules that contradict themselves, or compare what is not measured."""
    for number, block in enumerate(check.ngrams):
        if block.threshold is not None and block.rule == "any":
            yield f"check.ngrams.{number}.threshold: belongs to `rule: coverage`; name it as well"
    rules = [block.matching.name for block in check.ngrams]
    for rule in sorted({rule for rule in rules if rules.count(rule) > 1}):
        yield f"check.ngrams: two blocks are the rule {rule!r}; leave one out"
    if not check.ngrams and not check.short and check.semantic is None:
        yield "check: no rule is left; give ngrams, short or semantic"
    texts = {block.of for block in recipe.measure.embeddings}
    if check.semantic and check.semantic.text not in texts:
        yield (
            "check.semantic: compares embeddings: add "
            f"{{of: {check.semantic.text}}} to measure.embeddings"
        )


def evaluation_problems(where: str, evaluation: EvaluationSettings) -> Iterator[str]:
    """A set that is not there, or has not the fields that are named."""
    if evaluation.shape is not None and evaluation.shape not in SHAPES:
        shapes = nearest(evaluation.shape, list(SHAPES))
        yield f"{where}.shape: no shape named {evaluation.shape!r}.{shapes}"
    if evaluation.answer and not evaluation.prompt:
        yield f"{where}.answer: names a field, so name the one of the prompt too"
    files = evaluation.source.files()
    if not files:
        yield f"{where}.path: nothing is at {evaluation.path}"
    for file in files:
        try:
            kind = find_format(file, evaluation.format)
            rows = [] if kind == "hub" else first_rows(evaluation, file, LOOKED_AT)
        except UnreadableSourceError as error:
            yield f"{where}.path: {error}"
            continue
        fields = {field for row in rows for field in row.value}
        for key, field in (("prompt", evaluation.prompt), ("answer", evaluation.answer)):
            if field and fields and field not in fields:
                yield (
                    f"{where}.{key}: no field {field!r} in the first {LOOKED_AT} rows of {file}."
                    f"{nearest(field, sorted(fields))}"
                )


def share_problems(recipe: Recipe) -> Iterator[str]:
    """Shares by what groups no rows."""
    last = recipe.select.steps[-1]
    if not isinstance(last, RankStep) or last.shares is None or last.shares.by in COLUMNS:
        return
    labels = [score.label for score in recipe.scores if is_label(score.scorer)]
    if last.shares.by not in labels:
        yield (
            f"select.steps.{len(recipe.select.steps) - 1}.shares.by: {last.shares.by!r} is not a "
            f"column, nor a score of this recipe whose values are labels."
            f"{nearest(last.shares.by, [*COLUMNS, *labels])}"
        )


def named_source_problems(recipe: Recipe) -> Iterator[str]:
    """Steps that name sources which the recipe does not have."""
    paths = [file for source in recipe.sources for file in source.files()]
    if any(source.query is not None for source in recipe.sources):
        return  # the answer to a query lies in the workspace, under a name of its own
    paths += ["generated"] if recipe.generate else []
    for number, step in enumerate(recipe.select.steps):
        named: tuple[tuple[str, tuple[str, ...]], ...] = ()
        if isinstance(step, DMT):
            named = (("specialised", step.specialised),)
        elif isinstance(step, RankStep) and step.shares and step.shares.by == "source":
            named = (("shares.quotas", tuple(step.shares.quotas or ())),)
        for key, names in named:
            for name in names:
                if not any(has_name(path, name) for path in paths):
                    where = f"select.steps.{number}.{key}"
                    yield f"{where}: no source is called {name!r}.{nearest(name, paths)}"


def is_label(scorer: str) -> bool:
    """Whether a scorer gives labels instead of a ranking."""
    return scorer in SCORERS and SCORERS[scorer].unit == "label"


def license_problems(recipe: Recipe) -> Iterator[str]:
    """Licences that no source has, so that nothing could be chosen."""
    licenses = {source.license for source in recipe.sources}
    wanted = recipe.licenses
    if wanted is not None and wanted.action == "remove" and not wanted.allows(licenses):
        yield (
            f"licenses.allowed: no source has one of these, so no row could be chosen; the sources "
            f"have: {', '.join(sorted(licenses))}"
        )


def train_problems(recipe: Recipe) -> Iterator[str]:
    """Training that would meet rows longer than it may read, or in another template."""
    if recipe.train and recipe.measure.tokens.template != "chat":
        yield (
            "train: trains on the model's chat template, but measure.tokens.template is "
            f"{recipe.measure.tokens.template}: give the target a chat template, or leave train out"
        )
    limit = recipe.train.max_length if recipe.train else None
    longest = recipe.measure.tokens.max_tokens
    if limit is not None and limit < longest:
        yield (
            f"train.max_length: {limit} tokens, but measure.tokens.max_tokens lets rows of "
            f"{longest} through: make them equal"
        )


def one_line(error: Exception) -> str:
    """An error's text without line breaks."""
    return " ".join(str(error).split())
