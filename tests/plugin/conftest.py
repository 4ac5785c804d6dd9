"""Real viewers under Xvfb, a small blend to work on, and hands: a mouse and keys that act on the real window."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from deblend import Observation
from deblend.observe import gaussian_psf
from deblend.sky import TangentWcs
from napari_deblend import garbage

STARS = ((20.0, 24.0, 400.0), (34.0, 30.0, 250.0), (47.0, 41.0, 600.0))
"""x, y [px] and flux [nJy] of what the small blend holds."""


def _observation(
    size: tuple[int, int] = (60, 66), bands: str = "gri", seed: int = 3, name: str = "HSC", sky: bool = True
) -> Observation:
    """Return noisy round blobs with a PSF of 3.5 px, noise 1 nJy, on a rotated sky."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width]
    sigma = 2.2
    image = sum(f / (2 * np.pi * sigma**2) * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 2 / sigma**2) for a, b, f in STARS)
    colors = np.linspace(0.6, 1.4, len(bands))[:, None, None]
    images = colors * image + rng.normal(size=(len(bands), height, width))
    wcs = TangentWcs((150.1, 2.2), (30.0, 28.0), ((-0.16, 0.05), (0.05, 0.16))) if sky else None
    psf = [gaussian_psf(3.5)] * len(bands)
    return Observation.from_arrays(images, psf, np.ones_like(images), channels=list(bands), name=name, wcs=wcs)


@pytest.fixture(scope="session", autouse=True)
def _garbage_is_looked_for_as_tests_say() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(garbage, "spare", lambda window: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def _what_is_old_is_no_garbage() -> None:
    """Every viewer that closes collects garbage several times, which takes seconds each where libraries and compiled
    code hold millions of objects: have it looked for among what the tests of one file make."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


@pytest.fixture
def make_observation() -> Callable[..., Observation]:
    """A function that makes small blends: of other size, bands, noise, name, or without a sky."""
    return _observation


@pytest.fixture
def observation() -> Observation:
    """Three stars in g, r and i."""
    return _observation()


@pytest.fixture
def wait(qtbot: Any) -> Callable[..., None]:
    """Let the window live until something holds; fails after `timeout` seconds."""

    def until(condition: Callable[[], object], timeout: float = 240.0) -> None:
        qtbot.waitUntil(lambda: bool(condition()), timeout=round(1000 * timeout))

    return until


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Iterator[Any]:
    """A shown viewer; its work ends with the test."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 900)
    yield viewer


@pytest.fixture
def bench(viewer: Any) -> Iterator[Any]:
    """The workbench of the viewer, without the widget."""
    from napari_deblend.keys import bind
    from napari_deblend.workbench import Workbench

    bench = Workbench.of(viewer)
    bind(bench)
    yield bench
    bench.close()


@pytest.fixture
def settle(wait: Callable[..., None]) -> Callable[[Any], None]:
    """Wait until the picture of a workbench is the answer to its last edit."""

    def until_answered(bench: Any) -> None:
        failures: list[str] = []

        def note(job: str, sentence: str) -> None:
            failures.append(sentence)

        bench.failed.connect(note)
        wait(lambda: failures or (bench.frame is not None and bench.frame.revision == bench.document.revision))
        bench.failed.disconnect(note)
        assert not failures

    return until_answered


@pytest.fixture
def opened(bench: Any, observation: Observation, settle: Callable[[Any], None]) -> Any:
    """The workbench with the small blend and its three sources, all fluxes solved."""
    from deblend import make_source

    bench.open([observation])
    sources = [make_source("point", x, y, n_channels=3) for x, y, _ in STARS]
    bench.document.add(*sources)
    bench.document.select(())
    settle(bench)
    return bench


class Hands:
    """Presses, moves and releases at places of the image, through the window's own event queue."""

    def __init__(self, bench: Any, qtbot: Any) -> None:
        from napari_deblend.compat import main_window

        self._bench = bench
        self._qtbot = qtbot
        self._canvas = main_window(bench.viewer)._qt_viewer.canvas
        self.native = self._canvas.native

    def place(self, x: float, y: float) -> Any:
        """Return the point of the canvas where pixel (x, y) of the scene is."""
        from qtpy.QtCore import QPoint

        world = self._bench.markers.layer.data_to_world((y, x))
        view = self._canvas.view
        column, row = (view.transform * view.scene.transform).map([world[1], world[0]])[:2]
        return QPoint(round(float(column)), round(float(row)))

    def press(self, x: float, y: float, modifier: Any = None) -> None:
        self._qtbot.mousePress(self.native, self._left, self._modifier(modifier), self.place(x, y))

    def release(self, x: float, y: float, modifier: Any = None) -> None:
        self._qtbot.mouseRelease(self.native, self._left, self._modifier(modifier), self.place(x, y))

    def move(self, x: float, y: float, pause: int = 8) -> None:
        """Move with the left button held; napari listens to at most one move in 5 ms, so pause [ms] after it."""
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        place = QPointF(self.place(x, y))
        event = QMouseEvent(
            QEvent.Type.MouseMove, place, place, Qt.MouseButton.NoButton, self._left, Qt.KeyboardModifier.NoModifier
        )
        QApplication.sendEvent(self.native, event)
        if pause:
            self._qtbot.wait(pause)

    def hover(self, x: float, y: float) -> None:
        """Move without a button held."""
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        place, none = QPointF(self.place(x, y)), Qt.MouseButton.NoButton
        event = QMouseEvent(QEvent.Type.MouseMove, place, place, none, none, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(self.native, event)
        self._qtbot.wait(8)

    def click(self, x: float, y: float, modifier: Any = None) -> None:
        self.press(x, y, modifier)
        self.release(x, y, modifier)

    def drag(self, start: tuple[float, float], end: tuple[float, float], steps: int = 6) -> None:
        self.press(*start)
        for part in np.linspace(0.0, 1.0, steps + 1)[1:]:
            self.move(*(np.array(start) + part * (np.array(end) - np.array(start))))
        self.release(*end)

    def key(self, key: Any, modifier: Any = None) -> None:
        """Press a key while the canvas has the focus."""
        self.native.setFocus()
        self._qtbot.keyClick(self.native, key, self._modifier(modifier))

    @property
    def _left(self) -> Any:
        from qtpy.QtCore import Qt

        return Qt.MouseButton.LeftButton

    @staticmethod
    def _modifier(modifier: Any) -> Any:
        from qtpy.QtCore import Qt

        return Qt.KeyboardModifier.NoModifier if modifier is None else modifier


@pytest.fixture
def hands(opened: Any, qtbot: Any) -> Hands:
    qtbot.wait(50)
    return Hands(opened, qtbot)


@pytest.fixture
def make_hands(qtbot: Any) -> Callable[[Any], Hands]:
    """Hands for any workbench."""
    return lambda bench: Hands(bench, qtbot)


class GapMeter:
    """Measures how long the window's event loop is away: a timer that should fire every few milliseconds."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.gaps: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)

    def start(self) -> None:
        self.gaps.clear()
        self._last = time.perf_counter()
        self._timer.start(2)

    def stop(self) -> np.ndarray:
        """Return the gaps [ms]."""
        self._timer.stop()
        return 1000.0 * np.array(self.gaps)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append(now - self._last)
        self._last = now


@pytest.fixture
def gap_meter(qtbot: Any) -> GapMeter:
    return GapMeter()
