"""PSFs that vary over an image: every source is seen through the PSF of its own place."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend import Observation, Program, Scene, TangentWcs, empty_scene, fit, make_source
from deblend.observe import PsfField, gaussian_psf
from deblend.observe.psf import padded
from deblend.program.convolution import observe, observe_adjoint

SHAPE = (60, 64)
PLACES = ((10.4, 12.3), (52.7, 14.1), (31.2, 30.6), (12.1, 49.2), (54.3, 47.6))
FLUXES = (800.0, 1000.0)
BANDS = ("g", "r")
TURNED = TangentWcs((150.0, 2.0), (32.0, 30.0), ((-0.19, 0.08), (0.08, 0.19)))
STRAIGHT = TangentWcs((150.0, 2.0), (40.0, 40.0), ((-0.1, 0.0), (0.0, 0.1)))


def width(x: float, y: float) -> float:
    """Return the width of the PSF at a place: FWHM [pix]; it grows by half from one corner to the other."""
    return 2.6 + 0.8 * x / SHAPE[1] + 0.6 * y / SHAPE[0]


def field(n: int) -> PsfField:
    x, y = np.meshgrid(np.linspace(0, SHAPE[1] - 1, n), np.linspace(0, SHAPE[0] - 1, n))
    positions = np.stack([x.ravel(), y.ravel()], axis=1)
    stamps = [[gaussian_psf(width(*p)), gaussian_psf(1.1 * width(*p))] for p in positions]
    return PsfField.from_stamps(positions, stamps, BANDS)[0]


def observation(images: np.ndarray | None = None, cells: int = 5, wcs: TangentWcs | None = None) -> Observation:
    cube = np.zeros((2, *SHAPE)) if images is None else images
    return Observation.from_arrays(cube, field(cells), np.ones_like(cube), channels=BANDS, wcs=wcs)


def stars(observations: list[Observation]) -> Scene:
    scene = empty_scene(observations)
    to_scene = observations[0].grid.affine_to(scene.grid)
    n = len(scene.channels)
    for x, y in PLACES:
        row, column = to_scene(y, x)
        flux = np.resize(FLUXES, n)
        scene = scene.add(make_source("point", float(column), float(row), n_channels=n, flux=flux))
    return scene


def painted() -> np.ndarray:
    """Return the stars, each with the width of its own place: pixels integrate Gaussians."""
    images = np.zeros((2, *SHAPE))
    rows, columns = np.indices(SHAPE)
    for x, y in PLACES:
        for band, (flux, factor) in enumerate(zip(FLUXES, (1.0, 1.1), strict=True)):
            star = padded(gaussian_psf(factor * width(x, y)), 61)
            whole = np.zeros(SHAPE)
            # the stamp is a star on a pixel's middle; move it there by its waves
            y0, x0 = round(y), round(x)
            ky, kx = np.fft.fftfreq(61)[:, None], np.fft.fftfreq(61)[None]
            moved = np.fft.ifft2(np.fft.fft2(star) * np.exp(-2j * np.pi * (ky * (y - y0) + kx * (x - x0)))).real
            inside = (abs(rows - y0) <= 30) & (abs(columns - x0) <= 30)
            whole[inside] = moved[(rows - y0 + 30)[inside], (columns - x0 + 30)[inside]]
            images[band] += flux * whole
    return images


def test_every_star_has_the_psf_of_its_place() -> None:
    """Bilinear between cells: an error of second order in how the width changes from one to the next."""
    expected = painted()
    errors = []
    for cells in (2, 5):
        model = np.asarray(Program([observation(cells=cells)], stars([observation(cells=cells)])).model())
        errors.append(np.abs(model - expected).max() / expected.max())
    assert errors[1] < 5e-3
    assert errors[1] < 0.2 * errors[0]
    middle = Observation.from_arrays(np.zeros((2, *SHAPE)), observation().psf, np.ones((2, *SHAPE)), channels=BANDS)
    one = np.asarray(Program([middle], stars([middle])).model())
    assert np.abs(one - expected).max() > 0.1 * expected.max(), "one PSF for all would do as well"


def test_the_fit_sees_what_columns_show() -> None:
    data = observation(painted())
    scene = stars([data])
    first = next(fit(scene, [data]))
    drawn = np.asarray(Program([data], scene).model())
    assert np.abs(first.model() - drawn).max() < 1e-3 * drawn.max()


def test_fluxes_are_right_all_over_the_image() -> None:
    """Seven sigma is the chance of 1e-11; with one PSF, stars at the corners are off by ten times more."""
    noisy = painted() + np.random.default_rng(2).normal(size=(2, *SHAPE))
    data = observation(noisy)
    best = fit(stars([data]), [data]).run()
    errors = Program([data], best.scene).point_source_errors
    assert np.abs((best.scene.fluxes - FLUXES) / errors).max() < 7
    assert best.chi2 == pytest.approx(1.0, abs=0.07)


@pytest.mark.parametrize("pixels", ["same", "other"])
def test_the_adjoint_is_the_transpose(pixels: str, double: Any) -> None:
    seen = [observation(wcs=STRAIGHT)]
    if pixels == "other":
        sharp = Observation.from_arrays(
            np.zeros((1, 90, 90)), gaussian_psf(3.0), np.ones((1, 90, 90)), channels=["f"], name="sharp", wcs=STRAIGHT
        )
        seen = [sharp, observation(wcs=TURNED)]
    program = Program(seen, stars(seen), dtype=np.float64)
    layout, data = program.layout, program.data
    rng = np.random.default_rng(0)
    canvas = rng.normal(size=(len(layout.planes), *layout.canvas_shape))
    images = tuple(jnp.asarray(rng.normal(size=o.images.shape)) for o in data.observations)
    there = jax.jit(lambda c: observe(layout, data, c))(canvas)
    back = jax.jit(lambda u: observe_adjoint(layout, data, u))(images)
    margin = layout.margin
    inner = back[:, margin:-margin, margin:-margin]
    forward = sum(float(jnp.sum(a * b)) for a, b in zip(there, images, strict=True))
    size = float(np.sqrt(sum(jnp.sum(a**2) for a in there) * sum(jnp.sum(b**2) for b in images)))
    assert abs(forward - float(jnp.sum(canvas * inner))) < 1e-6 * size
    assert len(layout.planes) > layout.n_channels


def test_cells_beyond_the_image_cost_nothing() -> None:
    """A grid over a large mosaic of which a piece is open: only the cells around it count."""
    x, y = np.meshgrid(np.linspace(-400, 500, 10), np.linspace(-400, 500, 10))
    positions = np.stack([x.ravel(), y.ravel()], axis=1)
    stamps = [[gaussian_psf(2.6 + 0.001 * (p[0] + 400))] * 2 for p in positions]
    wide = PsfField.from_stamps(positions, stamps, BANDS)[0]
    data = Observation.from_arrays(np.zeros((2, *SHAPE)), wide, np.ones((2, *SHAPE)), channels=BANDS)
    layout = Program([data], stars([data])).layout
    assert layout.observations[0].n_cells <= 4
