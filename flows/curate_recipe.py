"""The flow that is given a recipe as a whole: the form in the UI, written when this is imported."""

from pathlib import Path

from prefect import flow

from flows.curate_dataset import ON_THREADS, curate
from flows.recipe.check import check_given
from flows.recipe.schema import Recipe
from flows.run_names import name_curation
from flows.stages import StageName


@flow(
    name="curate-recipe", flow_run_name=name_curation, task_runner=ON_THREADS, persist_result=False
)
def curate_recipe(recipe: Recipe, base: str = ".", until: StageName = "train") -> None:
    """Run a recipe that is given as a whole: the form in the UI.

    Args:
        recipe: what to do.
        base: directory on the worker that the recipe's relative paths start from.
        until: the last stage to run.
    """
    curate.fn(check_given(recipe, Path(base)), base, until, wait=True)
