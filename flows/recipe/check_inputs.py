"""What a recipe takes from outside: sources, evaluation sets, models and licences."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from flows.recipe.schema import MODEL_KEYS, Recipe
from pipeline.contamination.evaluations import first_rows
from pipeline.contamination.settings import CheckSettings, EvaluationSettings
from pipeline.documents.kinds import SUFFIXES, kind_of
from pipeline.generation.few_shot import ExamplesError
from pipeline.generation.maker_block import PromptingBlock
from pipeline.generation.sandbox import NoSandboxError
from pipeline.generation.templates import prompt_fault
from pipeline.ingest.readers import UnreadableSourceError, find_format
from pipeline.ingest.shapes import SHAPES
from pipeline.ingest.stage import SourceSettings
from pipeline.measuring.endpoint import AskedBlock
from pipeline.measuring.stage import try_template
from pipeline.settings import TARGET
from scorers.measures.models.loading import (
    TEMPLATE,
    WHEEL_MODELS,
    MissingModelError,
    read_template,
)
from scorers.names import did_you_mean
from storage.table_queries import TableQueryError, check_database

LOOKED_AT = 100
"""Rows of an evaluation set that are read to see which fields it has."""


def source_problems(recipe: Recipe) -> Iterator[str]:
    """Sources that are not there, or cannot be read as what they are said to be."""
    invents = any(each.needs == "nothing" for each in recipe.generate)
    if not (recipe.sources or recipe.documents or invents):
        yield "sources: missing; give sources of rows, or documents"
    indices = {f"sources.{number}": each for number, each in enumerate(recipe.sources)}
    indices |= {f"targets.{number}": each for number, each in enumerate(recipe.targets)}
    for where, source in indices.items():
        shape = source.shape
        if shape is not None and shape not in SHAPES:
            yield f"{where}.shape: no shape named {shape!r}. {did_you_mean(shape, SHAPES)}"
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


def document_problems(recipe: Recipe) -> Iterator[str]:
    """Documents that are not there, or of no kind that is read."""
    for number, block in enumerate(recipe.documents):
        files = block.files()
        if not files:
            yield f"documents.{number}.path: nothing is at {block.path}"
        elif not any(kind_of(file) for file in files):
            yield (
                f"documents.{number}.path: no file at {block.path} has one of the suffixes "
                f"{', '.join(SUFFIXES)}"
            )


def maker_problems(recipe: Recipe) -> Iterator[str]:
    """Makers that are given nothing to work on."""
    for number, block in enumerate(recipe.generate):
        where = f"generate.{number}: {block.method}"
        if block.needs == "passages" and not recipe.documents:
            yield (
                f"{where} works on passages of documents, and not on rows: give documents, or name "
                "a maker that works on rows"
            )
        from_sources = block.needs == "rows" and not block.reads
        if from_sources and recipe.documents and not recipe.sources:
            yield (
                f"{where} works on rows of sources, and there are documents alone: give sources, "
                "or name a maker that works on passages, and what is to read its rows behind it, "
                "with `reads: [METHOD]`"
            )


def reading_problems(recipe: Recipe) -> Iterator[str]:
    """Makers that are to read what no maker before them makes."""
    for number, block in enumerate(recipe.generate):
        before = {each.method for each in recipe.generate[:number]}
        for name in block.reads:
            if block.needs != "rows":
                yield f"generate.{number}.reads: {block.method} works on no rows; leave this out"
            elif name not in before:
                yield f"generate.{number}.reads: {why_not_read(recipe, number, name)}"


def why_not_read(recipe: Recipe, number: int, name: str) -> str:
    """Why a block cannot read what a method makes that no block before it has."""
    methods = [each.method for each in recipe.generate]
    if name not in methods:
        return f"no maker {name!r} is in generate. {did_you_mean(name, methods[:number])}"
    if name == methods[number] and name not in methods[number + 1 :]:
        return f"{name} would read what it makes itself, without an end; name one before it"
    return f"{name} comes behind it, and has made nothing by then: put it before this one"


def verifier_problems(recipe: Recipe) -> Iterator[str]:
    """Verifiers of made answers that need what is not there."""
    for number, block in enumerate(recipe.generate):
        for place, verifier in enumerate(getattr(block, "verify", ())):
            try:
                verifier.require()
            except (NoSandboxError, UnreadableSourceError, MissingModelError) as error:
                yield f"generate.{number}.verify.{place}: {error}"
            if block.needs == "rows" and getattr(verifier, "against", "") == "passage":
                yield (
                    f"generate.{number}.verify.{place}.against: {block.method} works on rows, "
                    "which have no passage; set `against: prompt`"
                )


def prompt_problems(recipe: Recipe) -> Iterator[str]:
    """Prompts of makers whose files have no place for what is asked about."""
    for number, block in enumerate(recipe.generate):
        names = block.sent_prompts() if isinstance(block, PromptingBlock) else ()
        for name in names:
            if fault := prompt_fault(name):
                yield f"generate.{number}: {block.method}: {fault}"


def example_problems(recipe: Recipe) -> Iterator[str]:
    """Files of examples, and others that a maker names, that are not there or are none."""
    for number, block in enumerate(recipe.generate):
        for each in block.by_teacher():
            try:
                each.examples()
            except ExamplesError as error:
                yield f"generate.{number}.few_shot: {error}"
        try:
            block.require()
        except UnreadableSourceError as error:
            yield f"generate.{number}: {error}"


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
        if wheel != name and wheel not in WHEEL_MODELS:  # other names are looked up by the run
            yield f"{where}: no model {name!r}. {did_you_mean(wheel, WHEEL_MODELS)}"
    for where, block in endpoint_blocks(recipe):
        if block.endpoint and block.model == TARGET:
            yield f"{where}.model: missing; name the model that the endpoint serves"


def template_problems(recipe: Recipe) -> Iterator[str]:
    """A chat template that is not there, is none, or cannot write a question and its answer."""
    if recipe.chat_template is None:
        return
    try:
        read_template(Path(recipe.chat_template))
        told = try_template(f"{recipe.target}{TEMPLATE}{recipe.chat_template}")
    except MissingModelError:
        return  # said by who looks for it
    except ValueError as error:
        told = str(error)
    if told:
        yield f"chat_template: {told}"


def endpoint_blocks(recipe: Recipe) -> Iterator[tuple[str, AskedBlock]]:
    """Each block that can name an endpoint, with its place."""
    for number, generator in enumerate(recipe.generate):
        yield f"generate.{number}", generator
        for place, teacher in enumerate(generator.teachers):
            yield f"generate.{number}.teachers.{place}", teacher
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
    inside = dict(enumerate(value)) if isinstance(value, list | tuple) else inside  # by its index
    for key, each in inside.items():
        place = f"{where}.{key}".removeprefix(".")
        if key in MODEL_KEYS and isinstance(each, str):
            yield place, each
        yield from named_models(each, place)


def license_problems(recipe: Recipe) -> Iterator[str]:
    """Licences that no source has, or what a maker makes, so that none of it could be chosen."""
    licenses = {source.license for source in recipe.sources}
    wanted = recipe.licenses
    if wanted is None or wanted.action == "report":
        return
    for number, block in enumerate(recipe.generate):
        for each in block.by_teacher() if block.writes else ():
            stated = each.license or "unknown"
            if not wanted.allows([stated]):
                yield (
                    f"generate.{number}.license: that of {each.shown_model} is {stated}, which is "
                    "not among licenses.allowed, so that no row it makes could be chosen; state "
                    "the licence of what the model writes, or allow it"
                )
    licenses |= {block.license for block in recipe.documents}
    if licenses and not wanted.allows(licenses):
        yield (
            f"licenses.allowed: no source has one of these, so no row could be chosen; the sources "
            f"{'and documents ' if recipe.documents else ''}have: {', '.join(sorted(licenses))}"
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
        told = did_you_mean(evaluation.shape, SHAPES)
        yield f"{where}.shape: no shape named {evaluation.shape!r}. {told}"
    if evaluation.answer and not evaluation.prompt:
        yield f"{where}.answer: names a field, so name the one of the prompt too"
    files = evaluation.source.files()
    if not files:
        yield f"{where}.path: nothing is at {evaluation.path}"
    for file in files:
        try:
            kind = find_format(file, evaluation.format)
            # A set of the Hub is not read here: a check of a recipe goes to no network.
            rows = [] if kind == "hub" else first_rows(evaluation, file, LOOKED_AT)
        except UnreadableSourceError as error:
            yield f"{where}.path: {error}"
            continue
        fields = {field for row in rows for field in row.value}
        for key, field in (("prompt", evaluation.prompt), ("answer", evaluation.answer)):
            if field and fields and field not in fields:
                yield (
                    f"{where}.{key}: no field {field!r} in the first {LOOKED_AT} rows of {file}."
                    f" {did_you_mean(field, fields)}"
                )
