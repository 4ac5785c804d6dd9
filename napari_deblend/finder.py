"""A second, small thread for what needs no compiled program: reading files, finding peaks.

It answers while the machine compiles, which the threshold slider lives from. The newest wish of each name wins, the
answer waits in a mailbox, and the thread ends by itself when nothing is asked for a while.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from napari_deblend.runner import ERROR, Mailbox, sentence_of

logger = logging.getLogger(__name__)

PATIENCE = 3.0
"""How long the thread waits for the next job before it ends [s]."""


class Finder:
    """Does the newest job of each name, one after the other, in a thread."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self._wake = threading.Condition()
        self._jobs: dict[str, Callable[[], Any]] = {}
        self._stop = False
        self._thread: threading.Thread | None = None

    def submit(self, name: str, job: Callable[[], Any]) -> None:
        """Have a job done; its result is posted under `name`."""
        with self._wake:
            if self._stop:
                return
            self._jobs[name] = job
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="deblend finder", daemon=False)
                self._thread.start()
            self._wake.notify()

    def close(self, wait: bool = True) -> None:
        """End the thread after the job that it is in."""
        with self._wake:
            self._stop = True
            thread = self._thread
            self._wake.notify()
        if wait and thread is not None:
            thread.join()

    @property
    def is_busy(self) -> bool:
        """Whether something is being done, was a moment ago, or waits to be taken: a slow window may come late."""
        return self._thread is not None or not self.mailbox.is_empty

    def _work(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: bool(self._jobs) or self._stop, timeout=PATIENCE)
                if self._stop or not self._jobs:
                    self._thread = None
                    return
                name = next(iter(self._jobs))
                job = self._jobs.pop(name)
            try:
                self.mailbox.post(name, job())
            except Exception as error:
                logger.exception("A job of the finder met an error.")
                self.mailbox.post(ERROR, (name, sentence_of(error)))
