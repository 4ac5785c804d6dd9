"""Folders that work is kept in while it goes on, and what is found there when a process was killed.

A folder is of one window. It goes when its work was saved; the last ones that were not are kept, to be offered.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import platformdirs
import psutil

from deblend.guard import parsed_json
from deblend.io import Journal, Session, read_journal
from deblend.replacing import replacing
from napari_deblend.remembered import FOLDER_VARIABLE

ABOUT = "about.json"
MOST_KEPT = 10
"""How many works that were not saved are kept; older ones go."""


@dataclass(frozen=True)
class KeptWork:
    """Work that was not saved."""

    folder: Path
    title: str
    """What it is, as a person would say it."""
    time: float
    """When it was kept last [s since 1970]."""

    @property
    def when(self) -> str:
        """The time, as a person says it."""
        then, now = datetime.fromtimestamp(self.time), datetime.now()
        if then.date() == now.date():
            return f"today at {then:%H:%M}"
        return f"on {then.day} {then:%B %Y at %H:%M}"

    def read(self) -> Session:
        """Return the work; raises ValueError with a sentence where nothing of it can be read."""
        session = read_journal(self.folder)
        if session is None:
            raise ValueError(f"{self.folder}: nothing of the work that was kept there is whole.")
        return session

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@dataclass(frozen=True)
class _About:
    """What a folder says of itself."""

    title: str
    process: int
    started: float
    """When that process was started: its number may be another one's by now [s since 1970]."""
    is_closed: bool = False
    """Whether the window was closed and the work not saved."""

    @property
    def checked(self) -> _About:
        """Itself; raises TypeError where somebody else has written it."""
        numbers = isinstance(self.process, int) and isinstance(self.started, int | float)
        if not (isinstance(self.title, str) and numbers and isinstance(self.is_closed, bool)):
            raise TypeError("This says nothing of a work.")
        return self

    @property
    def is_in_use(self) -> bool:
        if self.is_closed:
            return False
        try:
            return abs(psutil.Process(self.process).create_time() - self.started) < 2.0
        except (psutil.Error, OverflowError):
            return False


class WorkInProgress:
    """The folder and the journal of one work; the first entry makes them. Any thread may call it."""

    def __init__(self, former: KeptWork | None = None) -> None:
        self._former = former
        """What goes on here: it goes once it is kept here."""
        self._journal: Journal | None = None
        self._folder: Path | None = None
        self._is_over = False
        self._lock = threading.Lock()

    def keep(self, session: Session) -> None:
        """Keep the work as it is; nothing happens where it is over.

        Raises TypeError where something of it cannot be written, OSError where the disk refuses.
        """
        with self._lock:
            if self._is_over:
                return
            if self._journal is None or self._folder is None:
                folder = new_folder()
                self._journal, self._folder = Journal(folder), folder
            self._journal.keep(session)
            say_what(self._folder, title_of(session))
            if self._former is not None:
                self._former.discard()
                self._former = None

    def end(self, title: str, is_saved: bool) -> None:
        """Let go of it; what was not saved is offered later."""
        with self._lock:
            self._is_over = True
            if self._journal is not None:
                self._journal.close()
            if self._former is not None and is_saved:
                self._former.discard()
            if self._folder is None:
                return
            if is_saved:
                shutil.rmtree(self._folder, ignore_errors=True)
            else:
                say_what(self._folder, title, is_closed=True)


def home() -> Path:
    """Return where the folders are."""
    base = os.environ.get(FOLDER_VARIABLE) or platformdirs.user_state_dir("napari-deblend", appauthor=False)
    return Path(base) / "work"


def new_folder() -> Path:
    """Return a name for the folder of a new work."""
    stamp = f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}"
    taken = len(list(home().glob(f"{stamp}*"))) if home().is_dir() else 0
    return home() / (f"{stamp}-{taken}" if taken else stamp)


def say_what(folder: Path, title: str, is_closed: bool = False) -> None:
    """Have a folder say whose work it holds."""
    about = _About(title, os.getpid(), psutil.Process().create_time(), is_closed)
    with replacing(folder / ABOUT) as part:
        part.write_text(json.dumps(asdict(about)), encoding="utf-8")


def not_saved() -> list[KeptWork]:
    """Return all work that was not saved, of windows that are no more; the latest first.

    Of more than ten the oldest go.
    """
    found = []
    for path in home().glob(f"*/{ABOUT}"):
        try:
            about = _About(**parsed_json(path.read_text(encoding="utf-8"))).checked
        except (OSError, ValueError, TypeError):
            continue
        if not about.is_in_use:
            found.append(KeptWork(path.parent, about.title, path.stat().st_mtime))
    found.sort(key=lambda work: work.time, reverse=True)
    for work in found[MOST_KEPT:]:
        work.discard()
    return found[:MOST_KEPT]


def title_of(session: Session) -> str:
    """Return what a person would call the work."""
    seen = ", ".join(observation.name for observation in session.observations)
    n = len(session.scene.sources)
    return f"{seen}: {n} source{'s' * (n != 1)}"
