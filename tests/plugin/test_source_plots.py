"""Plots of the chosen source: by key, right, live during a fit, and asleep while nobody looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt

from deblend import FitSettings
from napari_deblend.actions import perform
from napari_deblend.source_look import SourceLook

pytestmark = pytest.mark.gui


@pytest.fixture
def plots(opened: Any, make_hands: Any, wait: Callable[..., None]) -> Any:
    """The plots, unfolded by the key, of the second source."""
    _, widget = opened.viewer.window.add_plugin_dock_widget("napari-deblend", "Deblend")
    assert not widget._plots_fold.isExpanded()
    make_hands(opened).key(Qt.Key.Key_A, Qt.KeyboardModifier.AltModifier)
    assert widget._plots_fold.isExpanded()
    opened.document.select([opened.document.scene.sources[1].id])
    wait(lambda: opened.source_looks.look is not None)
    return widget.source_plots


def shown(plot: Any) -> tuple[np.ndarray, np.ndarray]:
    return plot.points.getOriginalDataset()


def test_the_spectrum_has_the_fluxes_by_wavelength_with_errors(plots: Any, opened: Any) -> None:
    source, observation = opened.document.scene.sources[1], opened.document.observations[0]
    x, y = shown(plots.spectrum)
    np.testing.assert_allclose(y, source.flux, rtol=1e-5)
    assert np.all(np.diff(x) > 50) and 400 < x[0] < 550, "g, r, i in nm"
    picture = opened.runner._machine.shown.component(1, 0)
    shape = picture / source.flux[:, None, None]
    expected = 1.0 / np.sqrt((observation.weights * shape**2).sum(axis=(1, 2)))
    np.testing.assert_allclose(opened.source_looks.look.flux_error, expected, rtol=1e-3)


def test_profile_and_growth_are_of_the_image_less_all_others(plots: Any, opened: Any) -> None:
    source, machine = opened.document.scene.sources[1], opened.runner._machine
    observation = opened.document.observations[0]
    own = observation.images - machine.shown.model(0) + machine.shown.component(1, 0)
    plots.tabs.setCurrentWidget(plots.profile)
    radius, light = shown(plots.profile)
    near = np.hypot(*(np.indices(observation.shape) - np.array([source.y, source.x])[:, None, None])) < 1.0
    band = opened.layers.band
    assert light[0] == pytest.approx(own[band][near].mean(), rel=1e-4)
    assert radius[0] < observation.wcs.pixel_scale
    plots.tabs.setCurrentWidget(plots.growth)
    edge, inside = shown(plots.growth)
    # further out is light of the others, whose profiles are not theirs
    assert inside[edge < 2.1][-1] == pytest.approx(250.0 * (0.6, 1.0, 1.4)[band], rel=0.2), (
        "the light of the second star"
    )
    opened.viewer.dims.set_current_step(opened.viewer.dims.ndim - 3, 0)
    assert "in g" in plots.heading.text() or "in HSC g" in plots.heading.text()


def test_it_follows_a_fit_and_sleeps_when_folded_away(
    plots: Any, opened: Any, make_hands: Any, wait: Callable[..., None], qtbot: Any
) -> None:
    looks: list[SourceLook] = []
    opened.source_looks.changed.connect(lambda: looks.append(opened.source_looks.look))
    before = opened.document.scene.sources[1].flux
    opened.settings = FitSettings(max_iterations=100_000, tolerance=1e-30)
    perform(opened, "fit_or_pause")
    wait(lambda: len(looks) >= 3 or opened.frame.sentence)
    if opened.runner.is_running:
        perform(opened, "cancel_fit")
    wait(lambda: opened.frame.sentence)
    assert np.any(opened.document.scene.sources[1].flux != before)
    wait(lambda: looks and np.allclose(looks[-1].flux, opened.document.scene.sources[1].flux, rtol=1e-5))
    np.testing.assert_allclose(shown(plots.spectrum)[1], looks[-1].flux)
    make_hands(opened).key(Qt.Key.Key_A, Qt.KeyboardModifier.AltModifier)
    # what was asked for before it was folded may still come
    wait(lambda: not opened.runner.is_asked)
    qtbot.wait(1000)
    looks.clear()
    opened.document.move({opened.document.scene.sources[0].id: (22.0, 22.0)})
    wait(lambda: opened.frame.revision == opened.document.revision)
    assert not looks


def test_without_a_source_it_says_what_to_do(plots: Any, opened: Any, wait: Callable[..., None]) -> None:
    opened.document.select(())
    wait(lambda: "Select a source" in plots.heading.text())
    assert len(shown(plots.spectrum)[0] if shown(plots.spectrum)[0] is not None else []) == 0
