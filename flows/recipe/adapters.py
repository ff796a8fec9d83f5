"""The makers of a recipe as a run takes them: with one model each, and that in its place."""

from collections.abc import Sequence

from fine_tune.files import ADAPTER_FOLDER, MODEL_FOLDER
from pipeline.generation.catalogue import Generator
from scorers.measures.models.loading import ADAPTER, MissingModelError
from storage.database import read_workspace
from storage.selections import read_adapters
from storage.workspace import Workspace

LAST = "last"


def place_adapters(
    workspace: Workspace, blocks: Sequence[Generator], recipe: str
) -> tuple[Generator, ...]:
    """The blocks, for each teacher one, with the folders of the adapters that they name.

    A folder is left as it is. A block that reads what others made knows which those are.

    Args:
        workspace: whose trials are meant.
        blocks: of the recipe.
        recipe: its name. Its own trainings are not looked at: what it trains now would otherwise
            be what it generates with the next time, and no run would ever find its work done.

    Raises:
        MissingModelError: if no training has the name, or several do.
    """
    placed: list[Generator] = []
    for given in blocks:
        alone = [with_adapter_folder(workspace, block, recipe) for block in given.by_teacher()]
        placed += [block.placed_behind(placed) for block in alone]
    return tuple(placed)


def with_adapter_folder(workspace: Workspace, block: Generator, recipe: str) -> Generator:
    """A block with the folder of the adapter that it names, if it names one."""
    if not block.model.startswith(ADAPTER) or "/" in block.model:  # a slash: a folder already
        return block
    return block.model_copy(update={"model": find_adapter(workspace, block.model, recipe)})


def find_adapter(workspace: Workspace, model: str, recipe: str) -> str:
    """The reference to the folder of one training's adapter."""
    name = model.removeprefix(ADAPTER)
    with read_workspace(workspace) as con:
        found = read_adapters(con, not_of=recipe)
    # A training of all weights has none.
    found = [each for each in found if not (workspace.directory / each[1] / MODEL_FOLDER).is_dir()]
    fitting = found[:1] if name == LAST else [each for each in found if each[0].startswith(name)]
    if len(fitting) != 1:
        known = ", ".join(trial for trial, _ in found) or "none"
        raise MissingModelError(
            f"{model}: {len(fitting)} trainings of other recipes in {workspace.directory} are "
            f"called so. There are: {known}. Run the recipe that trains first"
        )
    return f"{ADAPTER}{(workspace.directory / fitting[0][1] / ADAPTER_FOLDER).resolve()}"
