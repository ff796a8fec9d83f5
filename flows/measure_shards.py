"""One measure of a run: a task for each shard, on whatever the run's tasks are done."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import takewhile

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.artifacts import ProgressArtifact, artifact_key
from flows.progress import counted, say
from flows.runners import do_all
from pipeline.measuring.measure import MeasureJob
from pipeline.measuring.shard_work import MeasuredShard, Shard, measure_shard
from pipeline.measuring.shards import commit_measured, committing_together, cut_shards
from storage.measurements import MeasureKey
from storage.workspace import Workspace


@task(task_run_name="{label}", cache_policy=NO_CACHE, persist_result=False)
def measure(shard: Shard, label: str) -> MeasuredShard:
    """Ask a model about one shard."""
    return measure_shard(shard)


def measure_job(
    workspace: Workspace,
    recipe: str,
    name: str,
    job: MeasureJob,
    sizes: MeasureKey,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Do one measure: cut what is missing, a task for each shard, commit as they finish.

    Args:
        workspace: where it is done.
        recipe: its name, for the page.
        name: of the measure in the run.
        job: what is wanted of which examples.
        sizes: key of the token counts.
        stop: asked before each shard; what is under way then is still committed.

    Returns:
        How many examples were asked about.
    """
    cut = cut_shards(workspace, job.measure, job.ids, sizes, job.again)
    part = "" if len(job.ids) == job.pool else f", a part of the pool of {job.pool}"
    asked = f"{cut.rows} to ask for{' again' if job.again else ''}{job.note}"
    say(f"measure: {name} of {len(job.ids)} rows{part}; {asked}")
    if not cut.rows:
        return 0

    progress = ProgressArtifact(artifact_key(recipe, "measuring", name), f"measuring {name}")
    done = 0
    with counted("rows") as work, counted("steps") as steps:
        # A shard that is a whole training tells of its steps.
        telling = replace(cut, measure=job.measure.telling(steps.at))
        labelled = (
            (shard, f"measure {name} {number} of {len(cut)}, {shard.rows} rows")
            for number, shard in enumerate(telling, start=1)  # it writes inputs as it goes
        )
        wanted = takewhile(lambda _: not stop(), labelled)
        measured = do_all(measure, wanted, anywhere=job.measure.anywhere())
        work.at(f"measure: {name}", done, cut.rows)  # the first shard may take minutes
        again: list[MeasuredShard] = []
        with committing_together(partial(commit_measured, workspace, job.measure)) as commit:
            # Again: at the end, together, for old files are copied once for all.
            take = again.append if job.again else commit  # here: one process writes
            for shard, result in measured:
                take(result)
                done += shard.rows
                progress.at(done, cut.rows)
                work.at(f"measure: {name}", done, cut.rows)
    if again:
        commit_measured(workspace, job.measure, again, again=True)
    return done
