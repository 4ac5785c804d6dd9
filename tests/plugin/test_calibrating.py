"""How images are off: ticked in the window, found by the fit, told in milliarcseconds, and taken back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from deblend import make_source
from napari_deblend.actions import perform
from napari_deblend.runner import Phase
from tests.plugin.conftest import STARS

pytestmark = pytest.mark.gui


def test_a_sky_that_is_not_zero_is_found(
    bench: Any, make_observation: Callable[..., Any], qtbot: Any, settle: Any, wait: Any
) -> None:
    observation = make_observation()
    raised = replace(observation, images=observation.images + np.array([0.0, 0.0, 2.0])[:, None, None])
    bench.open([raised])
    _, widget = bench.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    bench.document.add(*(make_source("gaussian", x, y, n_channels=3) for x, y, _ in STARS))
    settle(bench)
    part = widget.fitting.calibrating
    box = part.form["background"].native
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=box.rect().center().__class__(8, box.height() // 2))
    assert [c.background.is_free for c in bench.document.scene.calibrations] == [True] * 3
    assert bench.document.undo_label == "Fit how images are off"
    settle(bench)
    perform(bench, "fit_or_pause")
    wait(lambda: bench.frame is not None and bench.frame.sentence and bench.phase is Phase.IDLE)
    levels = [float(c.background.value) for c in bench.document.scene.calibrations]
    # 3900 pixels of noise 1 know it to 0.02
    np.testing.assert_allclose(levels, [0.0, 0.0, 2.0], atol=0.1)
    assert "HSC i: background 2" in part.found.text() or "HSC i: background 1.9" in part.found.text()
    bench.document.undo()
    bench.document.undo()
    assert bench.document.scene.calibrations == ()
    assert not part.form["background"].value
    assert part.found.text() == ""
