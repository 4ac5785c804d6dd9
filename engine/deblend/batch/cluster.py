"""Workers of a Dask cluster: the same tasks, sent to whoever is free.

Dask is looked for when a cluster is asked for; nothing else needs it (`pip install "napari-deblend[distributed]"`).
Workers need this package, but none of the files: tasks hold their pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from deblend.batch.fitting import fit_blends
from deblend.batch.task import Frame, Result
from deblend.batch.workers import AHEAD, AbstractWorkers, Chunk, Stop, lost

WAIT = 0.5
"""How often is looked whether a person wants to stop [s]."""
JOB = {"cores": 1, "processes": 1, "memory": "3GB"}
"""What a job on a Slurm cluster asks for, where the user's settings of dask-jobqueue do not say."""
HERE = "127.0.0.1:0"
"""Where the dashboard of Dask processes on this machine is: seen from here alone, at a port that is free."""
KILLED = "the workers that fitted it died; they may have had too little memory"


class Cluster(AbstractWorkers):
    """Workers of a Dask cluster."""

    def __init__(self, where: str, count: int = 1) -> None:
        """Find a cluster, or start one: "tcp://HOST:PORT" is a scheduler that runs, "local" are `count` processes here,
        and "slurm" as many jobs, one worker each. Queue, account and time of jobs are those of dask-jobqueue's settings
        (`jobqueue: slurm:` in ~/.config/dask/*.yaml); a job that ends before the batch does is followed by another.

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

            self._started = LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=HERE)
        elif where == "slurm":
            self._started = _slurm()
            # unlike `scale`, this asks for new jobs where the time of others is over
            self._started.adapt(minimum_jobs=count, maximum_jobs=count)
        elif "://" not in where:
            raise ValueError(f"{where!r} is no cluster; say tcp://HOST:PORT, local or slurm.")
        try:
            self._client = Client(where if self._started is None else self._started, timeout=30)
        except OSError as error:
            raise ValueError(f"{where}: no Dask scheduler answers there ({error}); check address and port.") from error

    @property
    def dashboard(self) -> str:
        """Address of the page where Dask shows what its workers do; empty where its scheduler has none."""
        services = self._client.scheduler_info(n_workers=0).get("services", {})
        return str(self._client.dashboard_link) if "dashboard" in services else ""

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
                    waiting[self._submitted(chunk, frame)] = chunk
            if not waiting:
                continue
            try:
                done = wait(list(waiting), timeout=WAIT, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                continue
            for future in done:
                chunk = waiting.pop(future)
                if future.status == "finished":
                    yield from future.result()
                elif len(chunk) == 1:
                    # a failing blend is a result; what fails as a whole has lost its workers
                    yield lost(chunk[0], KILLED)
                else:
                    # nobody knows whose fault it was: each is tried again by itself
                    waiting |= {self._submitted((task,), frame): (task,) for task in chunk}

    def _submitted(self, chunk: Chunk, frame: Frame) -> Any:
        return self._client.submit(fit_blends, chunk, frame, pure=False)

    def close(self) -> None:
        self._client.close()
        if self._started is not None:
            self._started.close()


def _slurm() -> Any:
    """Return a scheduler in this process that hands jobs to Slurm, as soon as it is told how many."""
    import dask

    try:
        from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise ValueError(
            'Slurm needs dask-jobqueue; install it (pip install "napari-deblend[distributed]").'
        ) from error
    asked = {name: value for name, value in JOB.items() if dask.config.get(f"jobqueue.slurm.{name}", None) is None}
    return SLURMCluster(**asked)
