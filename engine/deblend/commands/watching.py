"""What a person sees of long work and can do about it: how long it takes, how far it is, and Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Clock:
    """Seconds per phase by the wall, and of the fit by the processor too."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        wall, process = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - wall
        if name == "fit":
            self.seconds["fit_cpu"] = self.seconds.get("fit_cpu", 0.0) + time.process_time() - process


@contextmanager
def told_of(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Give a function that shows how many of how many parts of a work are done."""
    from tqdm import tqdm

    with tqdm(desc=what, disable=quiet, file=sys.stderr) as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield tell


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C ask for an end after the present iteration; a second one ends at once.

    Gives a function that tells whether it was asked for. Signals reach the main thread only; elsewhere nothing
    can ask.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def handler(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = signal.signal(signal.SIGINT, handler)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
