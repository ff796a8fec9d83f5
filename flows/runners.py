"""Where a run's tasks are done: threads of its own process, or an existing Dask or Ray cluster.

Prefect sends the tasks; here is which of its runners does, how many are under way at a time, and in
which order their results are taken. Dask and Ray are imported only by a run that uses them.
"""

import socket
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from itertools import islice
from queue import SimpleQueue
from typing import Any, ClassVar, Literal, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from prefect import Task
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_API_URL
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from pipeline.extras import MissingExtraError, install_extra
from scorers.measures.models.devices import usable_devices

RunnerName = Literal["threads", "dask", "ray"]

MOST_TASKS = 16
"""Threads for tasks; how many there are at a time is decided by what there is to compute on."""

TASKS_FOR_A_WORKER = 2
"""One that is computed and one that waits; few, so that a kill finds little begun."""

REACH_SECONDS = 10
"""For a cluster to answer."""

ADDRESSES = {
    "dask": "tcp://HOST:8786, the address of its scheduler",
    "ray": "ray://HOST:10001, HOST:6379, or auto on a machine of the cluster",
}

Piece = TypeVar("Piece")
Result = TypeVar("Result")


class ClusterError(ValueError):
    """The cluster is not named, cannot be reached, or has no workers."""

    exit_code: ClassVar[int] = 2


def find_runner(runner: RunnerName, cluster: str | None) -> TaskRunner[Any]:
    """The task runner of a run; all but threads need the address of an existing cluster.

    Raises:
        ClusterError: if the cluster cannot be used; the message says what to do.
        MissingExtraError: if the package for it is not installed.
    """
    if runner == "threads":
        if cluster:
            raise ClusterError(f"--cluster {cluster} needs --runner dask or --runner ray")
        return ThreadPoolTaskRunner(max_workers=MOST_TASKS)
    if not cluster:
        raise ClusterError(
            f"--runner {runner} works on an existing cluster: give --cluster {ADDRESSES[runner]}"
        )
    if find_spec(f"prefect_{runner}") is None:
        raise MissingExtraError(
            f"--runner {runner} needs prefect-{runner}: {install_extra(runner)}, here and on every "
            "worker"
        )
    if not PREFECT_API_URL.value():
        raise ClusterError(
            f"--runner {runner} needs a Prefect server that every worker reaches: start one with "
            "`prefect server start --host ADDRESS` and set PREFECT_API_URL=http://ADDRESS:4200/api"
        )
    knock(runner, cluster)
    return dask_runner(cluster) if runner == "dask" else ray_runner(cluster)


def knock(runner: RunnerName, cluster: str) -> None:
    """See whether something listens at the address, which Dask and Ray take long to say.

    Raises:
        ClusterError: if nothing does, or the address is none.
    """
    if (runner, cluster) == ("ray", "auto"):
        return  # Ray finds the address in a file of its own
    try:
        # Without a scheme urlsplit takes HOST for one, and 6379 for a path.
        parts = urlsplit(cluster if "://" in cluster else f"tcp://{cluster}")
        host, port = parts.hostname, parts.port  # .port raises where it is no number
    except ValueError:
        host = port = None
    if not host or not port:
        raise ClusterError(f"--cluster {cluster} is no address: give {ADDRESSES[runner]}")
    try:
        socket.create_connection((host, port), timeout=REACH_SECONDS).close()
    except OSError as error:
        raise unreachable(runner, cluster, error) from error


def unreachable(runner: RunnerName, cluster: str, error: Exception) -> ClusterError:
    """What to say of a cluster that does not answer."""
    return ClusterError(
        f"no {runner.title()} cluster answers at {cluster} ({type(error).__name__}: {error}): "
        f"start it, or give --cluster {ADDRESSES[runner]}"
    )


def dask_runner(cluster: str) -> TaskRunner[Any]:
    """Prefect's runner for a Dask cluster with workers."""
    from distributed import Client
    from prefect_dask import DaskTaskRunner

    try:
        # Not the default client: that is to be the one of Prefect's runner.
        with Client(cluster, timeout=REACH_SECONDS, set_as_default=False) as client:
            workers = len(client.nthreads())
    except (OSError, TimeoutError, ValueError) as error:
        raise unreachable("dask", cluster, error) from error
    if not workers:
        raise no_workers("dask", cluster, f"dask worker {cluster} --nthreads 1")
    runner: TaskRunner[Any] = DaskTaskRunner(address=cluster)
    return runner


def ray_runner(cluster: str) -> TaskRunner[Any]:
    """Prefect's runner for a Ray cluster; this process stays connected to it."""
    import ray
    from prefect_ray import RayTaskRunner

    if not ray.is_initialized():
        try:
            ray.init(
                address=cluster, namespace="prefect", log_to_driver=False, logging_level="ERROR"
            )
        except (ConnectionError, TimeoutError, ValueError, RuntimeError) as error:
            raise unreachable("ray", cluster, error) from error
    if not ray_slots():
        raise no_workers("ray", cluster, "ray start --address HOST:6379 --num-cpus 1")
    runner: TaskRunner[Any] = RayTaskRunner(address=cluster)
    return runner


def no_workers(runner: RunnerName, cluster: str, command: str) -> ClusterError:
    """What to say of a cluster with no one to work."""
    return ClusterError(f"the {runner.title()} cluster at {cluster} has no workers: `{command}`")


def ray_slots() -> int:
    """Tasks that a Ray cluster does at a time: one for each GPU, or core where there is none."""
    import ray

    resources = ray.cluster_resources()
    return int(resources.get("GPU") or resources.get("CPU") or 0)


def with_device() -> AbstractContextManager[None]:
    """Ask Ray for a GPU for each task that is sent meanwhile, where its cluster has any.

    Ray hides every GPU from a task that asked for none. Dask hides nothing.
    """
    if runner_in_use() != "ray":
        return nullcontext()
    import ray
    from prefect_ray.context import remote_options

    has_gpus = bool(ray.cluster_resources().get("GPU"))
    return remote_options(num_gpus=1) if has_gpus else nullcontext()


def runner_in_use() -> RunnerName:
    """Which runner the flow has that this is called in."""
    context = FlowRunContext.get()
    name = type(context.task_runner).__name__ if context else ""
    names: dict[str, RunnerName] = {"DaskTaskRunner": "dask", "RayTaskRunner": "ray"}
    return names.get(name, "threads")


def tasks_under_way() -> int:
    """How many tasks to have begun or waiting.

    On threads one for each device, and one more that prepares its input; on a cluster two for each
    task that its workers do at a time. A cluster is asked each time: workers come and go.
    """
    runner = runner_in_use()
    if runner == "threads":
        return len(usable_devices()) + 1
    if runner == "ray":
        return TASKS_FOR_A_WORKER * max(1, ray_slots())
    context: Any = FlowRunContext.get()
    threads: dict[str, int] = context.task_runner.client.nthreads()
    return TASKS_FOR_A_WORKER * max(1, sum(threads.values()))


def do_all(
    work: Task[[Piece, str], Result], pieces: Iterable[tuple[Piece, str]], anywhere: bool
) -> Iterator[tuple[Piece, Result]]:
    """Have pieces of work done; give each with its result as it is finished.

    A piece that takes long holds up no worker: others are begun while it is done.

    Args:
        work: does one piece, whose label is the name of its run.
        pieces: what to do, each with its label; taken only a little ahead of the work.
        anywhere: whether a worker of a cluster can do it; if not, it is done in this process.
    """
    if runner_in_use() != "threads" and not anywhere:
        yield from ((piece, work(piece, label)) for piece, label in pieces)
        return
    finished: SimpleQueue[PrefectFuture[Result]] = SimpleQueue()
    under_way: dict[UUID, Piece] = {}
    waiting = iter(pieces)
    while True:
        # Asked for again each time: workers come and go, and may be fewer than what is under way.
        for piece, label in islice(waiting, max(0, tasks_under_way() - len(under_way))):
            with with_device():
                future = work.submit(piece, label)
            under_way[future.task_run_id] = piece
            future.add_done_callback(finished.put)  # from whichever thread: hence a queue
        if not under_way:
            return
        future = finished.get()
        yield under_way.pop(future.task_run_id), future.result()  # raises what the task raised
