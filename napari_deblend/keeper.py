"""Keeps the work while it goes on, in a thread of its own: a crash loses the last few seconds, a closed window nothing.

Whatever changes is in the journal a moment later. Saving writes a session file; work that was not saved is offered when
the next window opens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QTimer

from deblend import Scene
from deblend.io import DataFile, DataNotFoundError, Reading, Session, changes_of, read_session, write_session
from napari_deblend.compat import main_window
from napari_deblend.document import Change
from napari_deblend.finder import Finder
from napari_deblend.kept_work import KeptWork, WorkInProgress, title_of
from napari_deblend.runner import ERROR

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench

logger = logging.getLogger(__name__)

DELAY = 2000
"""From a change to when it is kept, at most [ms]."""
LOOK = 100
"""How often an answer of the thread is looked for [ms]."""
KEPT, SAVED, READ = "kept", "saved", "read"
"""Names of the thread's jobs."""


class Keeper:
    """Keeps the work of one workbench."""

    lost = Signal(Path)
    """A session cannot be opened, since the images that it refers to are not where they were."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._thread = Finder()
        self._work = WorkInProgress()
        self._is_closing = False
        self._told = ""
        """Why the work could not be kept, as it was told last."""
        self.path: Path | None = None
        """The file that the work was saved to, or came from."""
        self._files: tuple[DataFile, ...] = ()
        """Where the images of the session came from that was opened."""
        self._reading: Reading | None = None
        """How they were read."""
        self.holds_images = True
        """Whether the file holds the images, or refers to those that they were read from."""
        self._scene: Scene | None = None
        """The last one that was heard of."""
        self._changes = self._kept = self._saved = 0
        """How often the work has changed, up to now and up to when it was kept and saved."""
        self._timer = self._single_shot(self._keep_soon)
        self._look = self._single_shot(self._take)
        bench.document.scene_changed.connect(self._on_scene)
        bench.document.history_changed.connect(self._on_change)
        bench.sureness.ended.connect(self._on_change)

    def _single_shot(self, slot: Callable[[], None]) -> QTimer:
        timer = QTimer(main_window(self._bench.viewer))
        timer.setSingleShot(True)
        timer.timeout.connect(slot)
        return timer

    # what is asked for -------------------------------------------------------------------------------------------

    @property
    def is_saved(self) -> bool:
        """Whether a file holds the work as it is; so where nothing was done yet."""
        return self._saved == self._changes or not self._is_worth_it

    def begin(self, former: KeptWork | None = None) -> None:
        """Let go of the present work, as another takes its place; it is offered later where it was not saved."""
        self._end()
        self._work = WorkInProgress(former)
        self._files, self._reading = (), None
        self.path, self.holds_images = None, True
        self._saved = self._kept = self._changes

    def save(self, path: Path) -> None:
        """Write the work to a session file, with its images or with references to them as `holds_images` says; what
        becomes of it is told."""
        work, session, changes = self._work, self.session(), self._changes
        self._bench.tell(f"Saving {path.name}…")

        def job() -> tuple[WorkInProgress, Path, int, tuple[str, ...]]:
            notes = write_session(path, session)
            return work, path, changes, notes

        self._submit(SAVED, job)

    def open(self, path: Path | KeptWork, data: Path | None = None) -> None:
        """Go on with the work of a session file, or with work that was kept; the answer comes by and by.

        A session that refers to its images finds them where they were, or in the folder `data`.
        """
        self._bench.tell("Opening the session…")

        def job() -> tuple[Path | KeptWork, Session | DataNotFoundError, list[str]]:
            try:
                session = path.read() if isinstance(path, KeptWork) else read_session(path, data)
            except DataNotFoundError as error:
                return path, error, []
            return path, session, changes_of(session.files)

        self._submit(READ, job)

    def restore(self, session: Session, origin: Path | KeptWork, changes: Sequence[str] = ()) -> None:
        """Go on with a session that was read; `changes` say which of its files are other ones by now."""
        self.begin(origin if isinstance(origin, KeptWork) else None)
        self._files, self._reading, self.holds_images = session.files, session.reading, session.holds_images
        self._bench.settings = session.settings
        self._bench.request = None
        self._bench.rounds.wanted, self._bench.rounds.classifies = session.rounds, session.classifies
        self._bench.document.restore(session)
        self._bench.history.restore(session.runs)
        self._bench.sureness.restore(session.draws)
        if isinstance(origin, KeptWork):
            said = f"The work is as it was {origin.when}; Undo goes on from there, too."
        else:
            self.path = origin
            self._saved = self._changes
            said = f"Opened {origin.name}, with its history."
        self._bench.tell(" ".join((said, *changes)))

    def close(self) -> None:
        """Keep what is not kept yet, and end the thread; work that was not saved stays for the next window."""
        self._is_closing = True
        for timer in (self._timer, self._look):
            timer.stop()
        self._thread.close()
        self._take()
        self._end()

    # keeping -----------------------------------------------------------------------------------------------------

    @property
    def _is_worth_it(self) -> bool:
        document = self._bench.document
        return document.is_open and (bool(document.scene.sources) or document.undo_label is not None)

    def session(self) -> Session:
        """Return the work as it is, with its history; raises ValueError where nothing is open."""
        bench = self._bench
        session = bench.history.written(bench.document.session(bench.settings))
        request = bench.request
        files, reading = (self._files, self._reading) if request is None else (request.files, request.reading)
        session = replace(session, files=files, reading=reading, draws=bench.sureness.kept)
        session = replace(session, holds_images=self.holds_images)
        return replace(session, rounds=bench.rounds.wanted, classifies=bench.rounds.classifies)

    def _on_scene(self, change: Change) -> None:
        scene = self._bench.document.scene
        # the answer to a scene that is solved already is that scene
        if change is not Change.LIVE and scene is not self._scene:
            self._scene = scene
            self._on_change()

    def _on_change(self) -> None:
        self._changes += 1
        if not self._timer.isActive():
            self._timer.start(DELAY)

    def _keep_soon(self) -> None:
        if self._is_worth_it and self._kept != self._changes:
            work, session, changes = self._work, self.session(), self._changes

            def job() -> tuple[WorkInProgress, int]:
                work.keep(session)
                return work, changes

            self._submit(KEPT, job)

    def _submit(self, name: str, job: Callable[[], Any]) -> None:
        self._thread.submit(name, job)
        self._look.start(LOOK)

    def _take(self) -> None:
        for name, outcome in self._thread.mailbox.take().items():
            if name == ERROR:
                job, sentence = outcome
                self._say(f"The work could not be kept: {sentence}") if job == KEPT else self._bench.tell(sentence)
            elif name == KEPT:
                work, changes = outcome
                self._kept = changes if work is self._work else self._kept
            elif name == SAVED:
                work, path, changes, notes = outcome
                if work is self._work:
                    self.path, self._saved = path, changes
                self._bench.tell(" ".join((f"Saved as {path}.", *notes)))
            elif name == READ and not self._is_closing:
                origin, session, changes = outcome
                if isinstance(session, DataNotFoundError):
                    self._bench.tell(str(session))
                    self.lost.emit(origin)
                else:
                    self.restore(session, origin, changes)
        if self._thread.is_busy:
            self._look.start(LOOK)

    def _say(self, sentence: str) -> None:
        """Say what went wrong, once: it is tried again with every change."""
        if sentence != self._told:
            self._bench.tell(sentence)
        self._told = sentence

    def _end(self) -> None:
        """Finish the present work; what was not saved of it is kept first."""
        if not self._bench.document.is_open:
            return
        session = self.session()
        if not self.is_saved and self._kept != self._changes:
            try:
                self._work.keep(session)
            except (OSError, TypeError):
                logger.exception("The last of the work could not be kept.")
        self._work.end(title_of(session), self.is_saved)
