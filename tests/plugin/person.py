"""A scripted person at the real window: seeded random gestures by mouse and by name, undone and redone in fits."""

from __future__ import annotations

import gc
import logging
import random
import sys
import threading
import traceback
from collections.abc import Callable, Collection
from dataclasses import is_dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from napari_deblend.actions import perform

MOST_SOURCES = 8
BY_NAME = {
    "undo": 12, "redo": 8, "fit_or_pause": 8, "cancel_fit": 4, "step_fit": 3, "previous_state": 1, "next_state": 1,
    "go_back_to_run": 1, "compare_with_last_step": 1, "next_source": 5, "previous_source": 3, "select_all": 1,
    "delete_selected": 2, "duplicate_sources": 1, "merge_sources": 1, "split_sources": 1, "toggle_lock": 2,
    "toggle_limit": 1, "bound_colors": 1, "preset_galaxy": 1, "preset_star": 1, "preset_lsb": 1, "group_selected": 1,
    "ungroup_selected": 1, "nudge_left": 2, "nudge_right": 2, "nudge_up": 2, "nudge_down": 2, "uncover_all": 1,
    "blink": 1, "next_view": 3, "look_at_data": 2, "look_at_model": 2, "look_at_residual": 2, "look_at_component": 1,
    "look_at_chi2": 1, "toggle_panels": 1, "next_isolation": 1, "toggle_color": 1, "toggle_color_bar": 1,
    "toggle_flux": 1, "next_stretch": 1, "brighter": 1, "fainter": 1, "find_sources": 1, "find_missed": 1,
    "classify_sources": 1, "add_point": 1, "add_galaxy": 1, "show_parameters": 1, "show_constraints": 1,
}  # fmt: skip
"""How often each is done, next to the others."""
COMPILING = {
    *("find_missed", "classify_sources", "merge_sources", "split_sources", "add_galaxy", "preset_galaxy", "preset_lsb"),
    *("toggle_limit", "bound_colors", "find_sources", "next_isolation"),
}
"""What makes a new program."""
BY_MOUSE = {"click": 14, "drag": 14, "add": 8, "hover": 5, "wait": 12}


class Ears:
    """Hears whatever goes wrong, wherever: in slots of Qt, in threads, in napari, and what threads have logged."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._handler = logging.Handler(logging.ERROR)
        self._handler.emit = lambda record: self.heard.append(self._said(record))  # type: ignore[method-assign]

    @staticmethod
    def _said(record: logging.LogRecord) -> str:
        return f"{record.name}: {record.getMessage()} {_ends(record.exc_info[1] if record.exc_info else None)}"

    def __enter__(self) -> Ears:
        from napari.utils.notifications import notification_manager

        self._hooks = sys.excepthook, threading.excepthook
        sys.excepthook = self._hear
        threading.excepthook = lambda given: self.heard.append(f"in a thread: {_ends(given.exc_value)}")
        self._manager, self._known = notification_manager, len(notification_manager.records)
        logging.getLogger().addHandler(self._handler)
        return self

    def __exit__(self, *_: object) -> None:
        sys.excepthook, threading.excepthook = self._hooks
        logging.getLogger().removeHandler(self._handler)
        for notification in list(self._manager.records)[self._known :]:
            if str(notification.severity) in ("error", "NotificationSeverity.ERROR"):
                self.heard.append(f"napari: {notification.message}")

    def _hear(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self.heard.append(_ends(error))


def _ends(error: BaseException | None) -> str:
    """Return what an error is, and the last lines that led to it."""
    if error is None:
        return ""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return f"{error!r} at " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))


class Person:
    """Does gestures in the window of a workbench; the same ones for the same seed, as far as the scene is the same."""

    def __init__(
        self, bench: Any, hands: Any, wait: Callable[..., None], seed: int, without: Collection[str] = ()
    ) -> None:
        self.bench, self.hands, self.wait = bench, hands, wait
        self.rng = random.Random(seed)
        self.log: list[str] = []
        """What was done."""
        self.told: list[str] = []
        bench.failed.connect(lambda job, sentence: self.told.append(f"{job}: {sentence}"))
        choices = {name: weight for name, weight in {**BY_NAME, **BY_MOUSE}.items() if name not in without}
        self._names, self._weights = list(choices), list(choices.values())

    def begin(self) -> None:
        """Fit once, to the end: what a fit needs is compiled then."""
        perform(self.bench, "fit_or_pause")
        self.wait(lambda: self.bench.history.runs)

    def gesture(self) -> None:
        """Do one thing."""
        document = self.bench.document
        name = self.rng.choices(self._names, self._weights)[0]
        if len(document.scene) >= MOST_SOURCES and name in ("add", "duplicate_sources", "split_sources", "find_missed"):
            name = "delete_selected"
        if len(document.scene) < 2 and name in ("delete_selected", "merge_sources"):
            name = "add"
        self.log.append(name)
        if name in BY_NAME:
            perform(self.bench, name)
        else:
            getattr(self, f"_{name}")()
        self.hands._qtbot.wait(self.rng.choice((1, 5, 20, 60)))

    def rest(self) -> None:
        """End fits and gestures, and wait until the picture is the answer to the last edit."""
        bench = self.bench
        if self.bench.markers.is_adding:
            perform(bench, "toggle_adding")
        if bench.runner is not None and bench.runner.is_running:
            perform(bench, "cancel_fit")
        self.wait(lambda: not bench.runner.is_running and not bench.finder.is_busy)
        self.wait(lambda: bench.frame is not None and bench.frame.revision == bench.document.revision)
        self.hands._qtbot.wait(300)

    def _place(self) -> tuple[float, float]:
        height, width = self.bench.document.observations[0].shape
        return self.rng.uniform(4, width - 5), self.rng.uniform(4, height - 5)

    def _source_place(self) -> tuple[float, float]:
        sources = self.bench.document.scene.sources
        if not sources:
            return self._place()
        source = self.rng.choice(sources)
        return float(source.x), float(source.y)

    def _click(self) -> None:
        self.hands.click(*self._source_place())

    def _hover(self) -> None:
        self.hands.hover(*self._place())

    def _drag(self) -> None:
        x, y = self._source_place()
        dx, dy = self.rng.gauss(0, 4), self.rng.gauss(0, 4)
        self.hands.drag((x, y), (float(np.clip(x + dx, 2, 60)), float(np.clip(y + dy, 2, 55))), steps=4)

    def _add(self) -> None:
        perform(self.bench, "toggle_adding")
        self.hands.click(*self._place())
        if self.bench.markers.is_adding:
            perform(self.bench, "toggle_adding")

    def _wait(self) -> None:
        self.hands._qtbot.wait(self.rng.choice((50, 150, 400)))


def history_of(bench: Any) -> int:
    """Return what undo, redo and the fits that are kept hold of arrays, each counted once [bytes]."""
    seen: dict[int, Any] = {}

    def count(said: Any) -> int:
        if id(said) in seen:
            return 0
        seen[id(said)] = said
        if isinstance(said, np.ndarray):
            return int(said.nbytes)
        if isinstance(said, tuple | list):
            return sum(map(count, said))
        if is_dataclass(said) and not isinstance(said, type):
            return sum(count(value) for value in vars(said).values())
        return 0

    document = bench.document
    return count((document.session(bench.settings), tuple(bench.history.runs)))


def memory() -> int:
    """Return the memory that this process holds [bytes], once what is garbage is given back."""
    import ctypes

    import psutil

    gc.collect()
    if sys.platform.startswith("linux"):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(psutil.Process().memory_info().rss)
