"""The PSF of an image made from its stars in the window: shown first, then taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deblend import Observation, TangentWcs, make_source
from deblend.observe import full_width_half_maximum, gaussian_psf
from napari_deblend.actions import perform
from napari_deblend.widgets.star_psf import sheet

pytestmark = pytest.mark.gui

PLACES = ((30.3, 28.6), (78.4, 31.2), (36.1, 74.8), (82.7, 80.4), (56.2, 54.9))
WIDTH = 3.6
"""Full width of the stars; the PSF that the image comes with is narrower [pix]."""


def starry() -> Observation:
    y, x = np.mgrid[:112, :116]
    sigma = WIDTH / 2.3548
    sky = sum(np.exp(-0.5 * ((x - a) ** 2 + (y - b) ** 2) / sigma**2) for a, b in PLACES)
    images = np.array([1.0, 1.4])[:, None, None] * 3000 / (2 * np.pi * sigma**2) * sky
    images = images + np.random.default_rng(5).normal(size=images.shape)
    wcs = TangentWcs((150.1, 2.2), (30.0, 28.0), ((-0.2, 0.0), (0.0, 0.2)))
    return Observation.from_arrays(
        images, gaussian_psf(3.0), np.ones_like(images), channels=list("gr"), name="sky", wcs=wcs
    )


@pytest.fixture
def widget(viewer: Any) -> Any:
    from napari_deblend.widgets.dock import DeblendWidget

    widget = DeblendWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Deblend")
    widget.bench.open([starry()])
    yield widget
    widget.bench.close()


def test_the_selected_sources_make_the_psf_and_it_is_taken(
    widget: Any, wait: Callable[..., None], tmp_path: Any
) -> None:
    bench, panel = widget.bench, widget.observations.star_psf
    sources = [make_source("point", x, y, n_channels=2, flux=[10.0, 10.0], radius=9) for x, y in PLACES[:4]]
    bench.document.add(*sources)
    bench.document.select([s.id for s in sources])
    before = bench.document.observations[0]
    widget.observations.stars_button.click()
    wait(lambda: panel.isVisible())
    assert panel.found.used.shape == (2, 4) and "PSF from 4 stars given" in panel.words.text()
    assert bench.document.observations[0] is before, "it is only shown"
    assert panel.picture.pixmap().width() > 100
    assert panel.minimumSizeHint().width() <= widget.observations.minimumSizeHint().width(), "nothing is cut off"
    assert panel.take_button.mapTo(widget, panel.take_button.rect().bottomRight()).x() < widget.width() - 10
    bench.viewer.window._qt_window.grab().save(str(tmp_path / "window.png"))
    panel.take_button.click()
    after = bench.document.observations[0]
    assert not panel.isVisible() and len(bench.document.scene) == 4
    assert full_width_half_maximum(after.psf[0]) == pytest.approx(WIDTH, rel=0.05)
    assert any("PSF from 4 stars" in note for note in after.notes)
    np.testing.assert_allclose(after.images, before.images)
    # the machine goes on with it: stars of the right PSF leave nothing
    wait(lambda: bench.frame is not None and bench.frame.revision == bench.document.revision)


def test_without_a_selection_stars_are_found_and_may_be_left(widget: Any, wait: Callable[..., None]) -> None:
    bench, panel = widget.bench, widget.observations.star_psf
    before = bench.document.observations[0]
    perform(bench, "psf_from_stars")
    wait(lambda: panel.isVisible())
    assert "PSF from 5 stars found in the image" in panel.words.text()
    panel.samples.setValue(2)
    wait(lambda: panel.found.oversampling == 2)
    panel.leave_button.click()
    assert not panel.isVisible() and bench.document.observations[0] is before


def test_a_psf_too_narrow_for_its_pixels_is_told_with_the_remedy(widget: Any, wait: Callable[..., None]) -> None:
    notes = widget.observations.kernel_notes
    assert not notes.isVisible()
    sky = starry()
    widget.bench.open([sky.with_psf(gaussian_psf(1.3))])
    wait(lambda: notes.isVisible())
    assert "give an oversampled PSF" in notes.text()
    widget.bench.open([sky])
    wait(lambda: not notes.isVisible())


def test_an_image_without_stars_says_so(
    viewer: Any, bench: Any, make_observation: Callable[..., Observation], wait: Callable[..., None]
) -> None:
    told: list[str] = []
    bench.told.connect(told.append)
    perform(bench, "psf_from_stars")
    assert "No images are open" in told[-1]
    empty = make_observation()
    empty = Observation.from_arrays(
        np.random.default_rng(1).normal(size=empty.images.shape), empty.psf, empty.weights, channels=empty.channels
    )
    bench.open([empty])
    perform(bench, "psf_from_stars")
    wait(lambda: any("no star is bright enough" in sentence for sentence in told))


def test_the_sheet_has_a_block_for_every_band() -> None:
    from deblend.observe import psf_from_stars

    found = psf_from_stars(starry(), *np.array(PLACES).T)
    picture = sheet(found)
    assert picture.shape == (4 * 59, 6 * 59, 3) and picture.dtype == np.uint8
