"""Who fits the blends: this process, processes beside it, or the workers of a Dask cluster. The tasks are the same.

Tasks are handed out in small chunks, and never more of them than keep everyone busy, so that memory does not grow with
the field. Compiled code is kept on disk, and what one process has compiled the others load.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Self

from deblend.batch.fitting import fit_blends
from deblend.batch.task import Frame, Result, Task

AHEAD = 2
"""Chunks that wait for each worker."""
PATIENCE = 2.0
"""How often a worker looks whether its parent is still there [s]."""
DIED = "the process that fitted it died, twice; it may have had too little memory"

Chunk = tuple[Task, ...]
Stop = Callable[[], bool]


class AbstractWorkers(ABC):
    """Fits chunks of tasks, in any order."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    @abstractmethod
    def results(self, chunks: Iterable[Chunk], frame: Frame, stop: Stop) -> Iterator[Result]:
        """Yield results as they come. Chunks are taken one by one, when they are needed, and no more of them once
        `stop` says so."""

    @abstractmethod
    def close(self) -> None:
        """Send the workers home."""


class Here(AbstractWorkers):
    """This process."""

    def results(self, chunks: Iterable[Chunk], frame: Frame, stop: Stop) -> Iterator[Result]:
        for chunk in chunks:
            for task in chunk:
                if stop():
                    return
                yield from fit_blends((task,), frame)
            if stop():
                return

    def close(self) -> None:
        return None


class Processes(AbstractWorkers):
    """Processes on this machine."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = self._made()

    def _made(self) -> Executor:
        # JAX has threads, and a fork would copy their locks but not them
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._count, mp_context=context, initializer=_begin, initargs=(os.getpid(),))

    def results(self, chunks: Iterable[Chunk], frame: Frame, stop: Stop) -> Iterator[Result]:
        waiting: dict[Future[list[Result]], Chunk] = {}
        coming = iter(chunks)
        suspects: list[Task] = []
        is_over = False
        while waiting or not is_over:
            while not is_over and len(waiting) < self._count * AHEAD:
                chunk = None if stop() else next(coming, None)
                if chunk is None:
                    is_over = True
                else:
                    waiting[self._pool.submit(fit_blends, chunk, frame)] = chunk
            done, _ = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                chunk = waiting.pop(future)
                try:
                    yield from future.result()
                except BrokenProcessPool:
                    suspects += chunk
            if suspects:
                # nobody knows whose fault it was: all that were in work are tried again, each by itself
                suspects += [task for chunk in waiting.values() for task in chunk]
                waiting.clear()
                yield from self._one_by_one(suspects, frame)
                suspects.clear()

    def _one_by_one(self, tasks: Sequence[Task], frame: Frame) -> Iterator[Result]:
        self._renew()
        for task in tasks:
            try:
                yield from self._pool.submit(fit_blends, (task,), frame).result()
            except BrokenProcessPool:
                self._renew()
                yield lost(task, DIED)

    def _renew(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool = self._made()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def lost(task: Task, reason: str) -> Result:
    """Return what comes of a task whose worker has died."""
    corner, own = (task.box.x[0], task.box.y[0]), task.sources[: task.n_owned]
    return Result(task.number, task.tile, corner, task.box.shape[0], own, failure=reason)


def _begin(parent: int) -> None:
    """Leave Ctrl-C, which goes to all processes of a terminal, to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """End this process once its parent is gone: one that was killed cannot say so, and its pipes stay open."""
    while os.getppid() == parent:
        time.sleep(PATIENCE)
    os._exit(1)
