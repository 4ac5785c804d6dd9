"""All that an image may be off by at once: moved, blurred, above a sky, with a PSF that varies and noise that goes
together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deblend import Observation, Program, Scene, empty_scene, fit, make_source, measure
from deblend.observe import NoiseCorrelation, PsfField, gaussian_psf
from tests.engine.noises import lags, native_correlated, native_kernel

SIDE = 56
BANDS = ("g", "i")
SHIFT = (0.31, -0.24)
"""Of the second band, (x, y) [pix]."""
SKY = 1.5
"""Of the second band [nJy/pix]."""
WIDER = 1.05
"""How much wider the PSF of the second band is than it is said."""
STARS = ((11.3, 12.6, 1500.0, 1800.0), (43.2, 14.1, 1300.0, 1500.0), (14.7, 43.5, 1400.0, 1600.0))
GALAXY = (39.4, 40.7, 1500.0, 1700.0)
"""x, y [pix] and fluxes [nJy]."""


def field(wider: float) -> PsfField:
    """Return PSFs that grow by a fifth from one corner to the other; those of the second band times `wider`."""
    corners = np.array([(x, y) for y in (0.0, SIDE - 1.0) for x in (0.0, SIDE - 1.0)])
    widths = 2.6 + 0.5 * corners.mean(axis=1) / (SIDE - 1)
    stamps = [[gaussian_psf(width), gaussian_psf(1.15 * wider * width)] for width in widths]
    return PsfField.from_stamps(corners, stamps, BANDS)[0]


def observation(images: np.ndarray, wider: float = 1.0) -> Observation:
    return Observation.from_arrays(images, field(wider), np.ones_like(images), channels=BANDS)


def scene(shift: tuple[float, float] = (0.0, 0.0)) -> Scene:
    made = empty_scene([observation(np.zeros((2, SIDE, SIDE)))])
    for x, y, *flux in STARS:
        made = made.add(make_source("point", x + shift[0], y + shift[1], n_channels=2, flux=flux))
    x, y, *flux = GALAXY
    options = {"flux": flux, "half_light_radius": 2.2, "radius": 15}
    return made.add(make_source("gaussian", x + shift[0], y + shift[1], n_channels=2, **options))


def painted() -> np.ndarray:
    """Return what is seen without noise; nothing of it knows of calibrations."""
    blank = observation(np.zeros((2, SIDE, SIDE)), WIDER)
    at_place, moved = (np.asarray(Program([blank], made).model(), float) for made in (scene(), scene(SHIFT)))
    return np.stack([at_place[0], moved[1] + SKY])


def test_a_shift_a_sky_and_a_psf_are_found_where_the_psf_varies_and_noise_is_correlated() -> None:
    """Shifts within 3 of their errors, all else within 4; χ² of 6272 pixels within 5 of its spread, √(2 / n)."""
    rng = np.random.default_rng(12)
    noise = np.stack([native_correlated(rng, SIDE) for _ in BANDS])
    known = NoiseCorrelation.of_lags(np.repeat(lags(native_kernel()), 2, axis=0))
    seen = replace(observation(painted() + noise), noise_correlation=known)
    start = scene().with_sources(s.moved(s.x + 0.1, s.y - 0.1) for s in scene().sources)
    running = fit(start.calibrating("shift", "background", "psf_growth"), [seen])
    assert running.program.layout.observations[0].n_cells > 1, "the PSF varies"
    assert running.program.layout.observations[0].is_correlated and running.program.layout.is_calibrated
    best = running.run()
    assert best.chi2 == pytest.approx(1.0, abs=5 * np.sqrt(2 / seen.n_unmasked))
    table = measure(best.scene, [seen]).calibration
    assert table is not None
    off = {
        name: (float(table[name][1].value) - true, float(table[f"{name}_err"][1].value))
        for name, true in (("shift_x", SHIFT[0]), ("shift_y", SHIFT[1]), ("background", SKY))
    }
    for name in ("shift_x", "shift_y"):
        assert abs(off[name][0]) < 3 * off[name][1] < 0.1
    assert abs(off["background"][0]) < 4 * off["background"][1] < 0.4
    for axes in ("xx", "yy"):
        found, error = (float(table[f"psf_growth_{axes}{end}"][1].value) for end in ("", "_err"))
        assert abs(found - (WIDER**2 - 1.0)) < max(4 * error, 0.015)
        assert 0.001 < error < 0.03
