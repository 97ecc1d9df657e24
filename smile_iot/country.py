"""A job of one task a site, on this process, on workers of this machine or on a cluster (decision 0024).

Workers are Dask's (the extra ``country``): ``workers`` of this machine, or those of a ``scheduler`` that an operator
runs (``dask scheduler``, Kubernetes, SLURM). A worker opens the stored readings itself, so a cluster must reach them: the
time series, or a shared folder. A worker that dies has its task done again by another; the answer is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from telemetry.errors import ConfigError

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def each_site(
    work: Callable[[Task], Answer], tasks: Sequence[Task], *, workers: int = 1, scheduler: str = ""
) -> Iterator[Answer]:
    """The answers as they are ready, in no order. Raises what the work raises."""
    if workers <= 1 and not scheduler:
        yield from map(work, tasks)
        return
    client, cluster = _client(workers, scheduler)
    try:
        from distributed import as_completed

        # pure=False: a task is named by its place, so that no answer of an earlier job is taken for it.
        waiting = client.map(work, tasks, pure=False)
        for done in as_completed(waiting, loop=client.loop):
            yield done.result()
            done.release()
    finally:
        client.close()
        if cluster is not None:
            cluster.close()


def _client(workers: int, scheduler: str) -> tuple[Any, Any]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        advice = "pip install 'smile-iot[server,country]', or leave --workers and --scheduler out"
        raise ConfigError("--workers", "Dask is not installed", advice=advice) from error
    if scheduler:
        try:
            return Client(scheduler, timeout="10s", set_as_default=False), None
        except OSError as error:
            raise ConfigError("--scheduler", f"{scheduler}: {error}") from error
    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
    return Client(cluster, set_as_default=False), cluster
