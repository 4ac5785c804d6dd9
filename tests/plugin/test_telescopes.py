"""Two telescopes in one window: they lie on one another, are looked at one at a time, and share their sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deblend import Observation, TangentWcs, make_source
from deblend.observe import gaussian_psf
from napari_deblend.actions import perform
from napari_deblend.views import Role, View

pytestmark = pytest.mark.gui

SIGMA = 1.4
"""Width of every PSF [pix]."""
STAR = (150.1001, 2.2004)
"""Right ascension and declination of the one source [deg]."""


def telescope(name: str, bands: str, shape: tuple[int, int], scale: float, angle: float, seed: int) -> Observation:
    """Return images of one round source, on pixels of `scale` [arcsec] turned by `angle` [deg]."""
    turn = np.radians(angle)
    matrix = scale * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    wcs = TangentWcs((150.1, 2.2), (shape[1] / 2, shape[0] / 2), tuple(map(tuple, matrix)))
    x, y = wcs.sky_to_pixel(*STAR)
    rows, columns = np.indices(shape)
    star = np.exp(-0.5 * ((rows - y) ** 2 + (columns - x) ** 2) / SIGMA**2) / (2 * np.pi * SIGMA**2)
    images = 500.0 * star + np.random.default_rng(seed).normal(size=(len(bands), *shape))
    return Observation.from_arrays(
        images, gaussian_psf(2.3548 * SIGMA), np.ones_like(images), channels=list(bands), name=name, wcs=wcs
    )


@pytest.fixture
def both(bench: Any) -> Any:
    """The workbench with a coarse telescope of two bands and a sharp, turned one of one."""
    bench.open([telescope("HSC", "gi", (36, 40), 0.17, 0.0, 1), telescope("HST", "w", (90, 84), 0.06, 35.0, 2)])
    return bench


def brightest_in_world(bench: Any, k: int) -> np.ndarray:
    """Return (north, east) of the centroid of the light in a data layer [arcsec]."""
    layer = bench.layers.layer(Role.DATA, k)
    light = np.nan_to_num(np.asarray(layer.data)[0])
    light = np.where(light > 0.15 * light.max(), light, 0.0)
    rows, columns = np.indices(light.shape)
    place = (light * rows).sum() / light.sum(), (light * columns).sum() / light.sum()
    return np.asarray(layer.data_to_world((0, *place)))[-2:]


def test_the_same_source_lies_at_the_same_place(both: Any) -> None:
    """To a tenth of the sharp pixel plus what noise moves centroids by: 0.02 arcsec."""
    np.testing.assert_allclose(brightest_in_world(both, 0), brightest_in_world(both, 1), atol=0.02)


def test_one_is_looked_at_at_a_time(both: Any) -> None:
    shown = [layer.name for layer in both.layers if layer.visible]
    assert shown == ["HSC data in color"] and "HSC" in both.layers.caption
    perform(both, "next_telescope")
    assert [layer.name for layer in both.layers if layer.visible] == ["HST data"]
    assert both.layers.caption == "Data · HST · w [nJy/pix]"
    perform(both, "look_at_residual")
    assert [layer.name for layer in both.layers if layer.visible] == ["HST residual"]
    perform(both, "next_telescope")
    assert [layer.name for layer in both.layers if layer.visible] == ["HSC residual"]


def test_a_button_for_each(viewer: Any, both: Any) -> None:
    from napari_deblend.widgets.looking import LookingRow

    row = LookingRow(both)
    assert [button.text() for button in row.telescopes] == ["HSC", "HST"]
    row.telescopes[1].click()
    assert both.layers.seen_by == 1 and row.telescopes[1].isChecked() and not row.telescopes[0].isChecked()
    both.open([both.document.observations[0]])
    assert row.telescopes == []
    row.deleteLater()


def test_a_source_is_placed_on_the_sky_and_seen_by_both(
    both: Any, settle: Callable[[Any], None], wait: Callable[..., None]
) -> None:
    scene = both.document.scene
    assert scene.grid.wcs.pixel_scale == pytest.approx(0.06)
    x, y = scene.grid.wcs.sky_to_pixel(*STAR)
    both.document.add(make_source("point", float(x), float(y), n_channels=3))
    settle(both)
    marker = both.markers.layer.data_to_world(both.markers.layer.data[0])
    np.testing.assert_allclose(np.asarray(marker)[-2:], brightest_in_world(both, 1), atol=0.02)
    both.layers.look_at(View.RESIDUAL)
    for k in (0, 1):
        both.layers.look_through(k)
        wait(lambda k=k: np.any(both.layers.layer(Role.RESIDUAL, k).data))
        residual = np.asarray(both.layers.layer(Role.RESIDUAL, k).data)
        assert np.mean(residual**2) == pytest.approx(1.0, abs=0.2)
    own_x, own_y = both.document.observations[0].wcs.sky_to_pixel(*STAR)
    np.testing.assert_allclose(both.document.to_image(y, x), (own_y, own_x), atol=1e-3)
