"""Workers of a Dask cluster: the same tasks, sent to whoever is free.

Dask is looked for when a cluster is asked for; nothing else here needs it (`pip install "napari-deblend[distributed]"`,
and dask-jobqueue for Slurm). Workers need this package, but none of the files: tasks hold their pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from deblend.batch.fitting import fit_blends
from deblend.batch.task import Frame, Result
from deblend.batch.workers import AHEAD, AbstractWorkers, Chunk, Stop, lost

WAIT = 0.5
"""How often is looked whether a person wants to stop [s]."""
MEMORY = "3GB"
"""Of a worker on a Slurm cluster."""
KILLED = "the workers that fitted it died; they may have had too little memory"


class Cluster(AbstractWorkers):
    """Workers of a Dask cluster."""

    def __init__(self, where: str, count: int = 1) -> None:
        """Find a cluster, or start one: "tcp://HOST:PORT" is a scheduler that runs, "local" are `count` processes here,
        and "slurm" as many jobs of the user's default partition (see dask-jobqueue for how these are set up).

        Raises ValueError with a sentence where Dask is missing, or the scheduler cannot be reached.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise ValueError(
                'A cluster needs Dask; install it (pip install "napari-deblend[distributed]"), or leave --cluster out.'
            ) from error
        self._started: Any = None
        if where == "local":
            from distributed import LocalCluster

            self._started = LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None)
        elif where == "slurm":
            self._started = _slurm(count)
        elif "://" not in where:
            raise ValueError(f"{where!r} is no cluster; say tcp://HOST:PORT, local or slurm.")
        try:
            self._client = Client(where if self._started is None else self._started, timeout=30)
        except OSError as error:
            raise ValueError(f"{where}: no Dask scheduler answers there ({error}); check address and port.") from error

    def results(self, chunks: Iterable[Chunk], frame: Frame, stop: Stop) -> Iterator[Result]:
        from distributed import wait

        waiting: dict[Any, Chunk] = {}
        coming, is_over = iter(chunks), False
        while waiting or not is_over:
            # jobs of a queue come and go
            room = AHEAD * max(len(self._client.scheduler_info(n_workers=-1)["workers"]), 1)
            while not is_over and len(waiting) < room:
                chunk = None if stop() else next(coming, None)
                if chunk is None:
                    is_over = True
                else:
                    waiting[self._client.submit(fit_blends, chunk, frame, pure=False)] = chunk
            if not waiting:
                continue
            try:
                done = wait(list(waiting), timeout=WAIT, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                continue
            for future in done:
                chunk = waiting.pop(future)
                # a failing blend is a result; what fails as a whole has lost its workers
                yield from future.result() if future.status == "finished" else (lost(task, KILLED) for task in chunk)

    def close(self) -> None:
        self._client.close()
        if self._started is not None:
            self._started.close()


def _slurm(count: int) -> Any:
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise ValueError("Slurm needs dask-jobqueue; install it (pip install dask-jobqueue).") from error
    cluster = SLURMCluster(cores=1, processes=1, memory=MEMORY)
    cluster.scale(jobs=count)
    return cluster
