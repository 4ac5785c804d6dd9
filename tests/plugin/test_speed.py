"""How it feels: an edit to a new picture, and the window's own breath while a fit runs.

The targets hold for an idle machine with two cores and software GL. Machines that tests run on are rarely idle, so here
times may be `SLACK` times as long, which still catches what makes the window slow; with DEBLEND_STRICT_TIMES set they
may not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from deblend import FitSettings, Observation, make_source
from napari_deblend.actions import perform
from napari_deblend.runner import Phase
from napari_deblend.views import Role, View

pytestmark = [pytest.mark.gui, pytest.mark.gl, pytest.mark.slow, pytest.mark.usefixtures("as_shipped")]

SLACK = 1.0 if os.environ.get("DEBLEND_STRICT_TIMES") else 6.0
EDIT_MEDIAN, EDIT_P95 = SLACK * 100.0, SLACK * 150.0
"""From the gesture to the repainted model [ms]."""
GAP_P99, OWN_P99 = SLACK * 80.0, SLACK * 25.0
"""Gaps of the window's event loop while a fit runs, and what of them is our own code [ms]."""
SIZE, N_SOURCES = 256, 20
CALM = 0.9
"""Share of a processor that a test must get for its times to mean anything."""


@pytest.fixture(autouse=True)
def calm() -> None:
    """Skip, visibly, where other work has the processors: the numbers would be of that work."""
    begin, used = time.perf_counter(), time.thread_time()
    while time.perf_counter() - begin < 0.5:
        pass
    share = (time.thread_time() - used) / (time.perf_counter() - begin)
    if share < CALM:
        pytest.skip(f"the machine is busy: this process gets {100 * share:.0f} % of one processor")


@pytest.fixture
def large(calm: None, bench: Any, make_observation: Callable[..., Observation], settle: Callable[[Any], None]) -> Any:
    """Five bands of 256×256 with twenty galaxies, solved and compiled."""
    observation = make_observation(size=(SIZE, SIZE), bands="grizy")
    bench.open([observation])
    rng = np.random.default_rng(11)
    places = rng.uniform(20, SIZE - 20, (N_SOURCES, 2))
    bench.document.add(*(make_source("galaxy", x, y, n_channels=5) for x, y in places))
    bench.document.select(())
    settle(bench)
    return bench


class Painted:
    """Waits until the canvas has drawn the answer to the newest edit."""

    def __init__(self, bench: Any, hands: Any, wait: Callable[..., None]) -> None:
        self._bench, self._wait = bench, wait
        self._drawn = 0
        hands._canvas.events.draw.connect(self._on_draw)

    def _on_draw(self, event: Any) -> None:
        self._drawn = self._bench.frame.revision if self._bench.frame is not None else 0

    def after(self, edit: Callable[[], None]) -> float:
        """Return how long an edit takes to be drawn [ms]."""
        begin = time.perf_counter()
        edit()
        while self._drawn < self._bench.document.revision:
            QApplication.processEvents()
            # Qt's own loop sleeps too: without it this one would keep the interpreter from the other thread
            time.sleep(0.0005)
            assert time.perf_counter() - begin < 60
        return 1000.0 * (time.perf_counter() - begin)


def test_the_model_repaints_with_new_fluxes_while_a_source_is_dragged(
    large: Any, make_hands: Any, wait: Callable[..., None]
) -> None:
    hands = make_hands(large)
    perform(large, "look_at_model")
    painted = Painted(large, hands, wait)
    source = large.document.scene.sources[3]
    hands.press(source.x, source.y)
    hands.move(source.x + 4.0, source.y)
    times = []
    for step in range(1, 41):
        x, y = source.x + 4.0 + 0.15 * step, source.y + 0.1 * step
        times.append(painted.after(lambda x=x, y=y: hands.move(x, y, pause=0)))
    hands.release(source.x + 10.0, source.y + 4.0)
    report("drag", times)
    assert np.median(times) <= EDIT_MEDIAN
    assert np.percentile(times, 95) <= EDIT_P95


@pytest.mark.parametrize("what", ["add", "delete", "nudge"])
def test_other_edits_repaint_as_fast(large: Any, make_hands: Any, wait: Callable[..., None], what: str) -> None:
    hands = make_hands(large)
    perform(large, "look_at_model")
    painted = Painted(large, hands, wait)
    large.kind = "galaxy"
    rng = np.random.default_rng(3)

    def edit() -> None:
        if what == "add":
            large.add_at(*rng.uniform(30, SIZE - 30, 2))
        elif what == "delete":
            large.document.delete([large.document.scene.sources[-1].id])
        else:
            large.document.select([large.document.scene.sources[2].id])
            perform(large, "nudge_up")

    for _ in range(2):
        painted.after(edit)
    times = [painted.after(edit) for _ in range(9 if what == "add" else 15)]
    report(what, times)
    assert np.median(times) <= EDIT_MEDIAN
    assert np.percentile(times, 95) <= EDIT_P95


def test_the_window_breathes_while_a_fit_runs(
    large: Any, wait: Callable[..., None], gap_meter: Any, qtbot: Any
) -> None:
    own: list[float] = []

    def timed(handle: Callable[[], None]) -> Callable[[], None]:
        def timed_handle() -> None:
            begin = time.perf_counter()
            handle()
            own.append(1000.0 * (time.perf_counter() - begin))

        return timed_handle

    large.layers.look_at(View.DATA, color=False)
    for role in (Role.MODEL, Role.RESIDUAL):
        large.layers.layer(role).visible = True
    assert sum(layer.visible for layer in large.layers) == 3
    _, _ = large.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    pulse = large.pulse
    for timer, handle in ((pulse._timer, pulse._on_timer), (pulse._lists_timer, pulse._refresh_lists)):
        timer.timeout.disconnect()
        timer.timeout.connect(timed(handle))
    large.settings = FitSettings(max_iterations=100_000, tolerance=1e-30)
    perform(large, "fit_or_pause")
    wait(lambda: large.frame.iteration >= 2 and large.phase is Phase.RUNNING)
    seen = large.frame.iteration
    own.clear()
    gap_meter.start()
    qtbot.wait(6000)
    gaps = gap_meter.stop()
    frames = large.frame.iteration - seen
    report("gaps", gaps)
    report("own", own)
    assert frames >= 3, "no pictures were streamed while measuring"
    assert np.percentile(gaps, 99) <= GAP_P99
    assert np.percentile(own, 99) <= OWN_P99
    perform(large, "cancel_fit")
    wait(lambda: large.phase is Phase.IDLE)


def report(what: str, times: Any) -> None:
    """Say the measurement, seen with `pytest -s`."""
    median, p95, p99, worst = np.percentile(times, [50, 95, 99, 100])
    print(f"\n{what}: median {median:.1f} ms, p95 {p95:.1f}, p99 {p99:.1f}, worst {worst:.1f}, of {len(times)}")
