"""Resampling: images on other pixels are right to rounding, whatever the geometry, and so is the transpose.

Measured against the functions themselves and against GalSim, for every pair of rotation, scale and flip.
"""

from __future__ import annotations

from itertools import product

import galsim
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend import Observation, Program, empty_scene, make_source
from deblend.observe.resampling import plan, resample, resample_adjoint, spectrum, spectrum_adjoint, tables
from deblend.program.operator import render
from deblend.program.pictures import pictures_of
from deblend.sky import Channel, PixelAffine, TangentWcs

ANGLES = (0, 30, 45, 90, 137)
SCALES = (1.0, 1.7, 3.1, 5.6)
GEOMETRIES = list(product(ANGLES, SCALES, (1, -1)))
EXTENT = (121, 135)
FINE = 0.03
"""Pixels of the sharp telescope [arcsec]."""


def matrix_of(angle: float, scale: float, flip: int) -> np.ndarray:
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return scale * rotation @ np.diag([1.0, flip])


def affine_of(angle: float, scale: float, flip: int, rng: np.random.Generator) -> tuple[PixelAffine, tuple[int, int]]:
    """Return a map whose pixels lie around the middle of the image, off its own, and how many of them there are."""
    matrix = matrix_of(angle, scale, flip)
    shape = int(100 / scale), int(108 / scale)
    middle = np.array(EXTENT) / 2 - matrix @ (np.array(shape) / 2)
    return PixelAffine.of(matrix, middle + rng.uniform(-0.5, 0.5, 2)), shape


def resampled(image: np.ndarray, affine: PixelAffine, shape: tuple[int, int], dtype: type = np.float32) -> np.ndarray:
    layout = plan(affine, shape, EXTENT, guard=10)
    waves = spectrum(layout, image[None].astype(dtype), np)
    return resample(layout, tables(layout, affine, dtype), waves, None, np)[0]


def moments(picture: np.ndarray) -> tuple[float, np.ndarray]:
    y, x = np.indices(picture.shape)
    total = float(picture.sum())
    return total, np.array([(picture * y).sum(), (picture * x).sum()]) / total


@pytest.mark.parametrize(("angle", "scale", "flip"), GEOMETRIES)
def test_gaussians_are_seen_as_they_are(angle: float, scale: float, flip: int, rng: np.random.Generator) -> None:
    """Errors of 2e-5 of the peak are allowed; they come from rounding to single precision."""
    affine, shape = affine_of(angle, scale, flip, rng)
    width = max(1.6, 0.6 * scale)

    def sky(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        spots = ((55.3, 64.8, 1.0), (67.9, 71.2, 0.4))
        return sum(a * np.exp(-0.5 * ((y - cy) ** 2 + (x - cx) ** 2) / width**2) for cy, cx, a in spots)

    expected = sky(*affine(*np.indices(shape)))
    found = resampled(sky(*np.indices(EXTENT)), affine, shape)
    assert np.abs(found - expected).max() < 2e-5
    (flux, center), (true_flux, true_center) = moments(found.astype(float)), moments(expected)
    assert flux == pytest.approx(true_flux, rel=1e-5)
    np.testing.assert_allclose(center, true_center, atol=1e-4)


@pytest.mark.parametrize("index", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("angle", "scale", "flip"), GEOMETRIES[::13])
def test_galaxies_behind_a_model_psf_are_seen_as_they_are(
    angle: float, scale: float, flip: int, index: float, rng: np.random.Generator
) -> None:
    """The image is every eighth pixel of a fine one, which GalSim also samples at the other pixels."""
    affine, shape = affine_of(angle, scale, flip, rng)
    exact = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-6, kvalue_accuracy=1e-8, maximum_fft_size=16384)
    galaxy = galsim.Sersic(n=index, half_light_radius=3.0, trunc=25.0, gsparams=exact)
    sky = galsim.Convolve(galaxy, galsim.Gaussian(sigma=0.9), gsparams=exact).shift(0.31, -0.22)

    def seen(matrix: np.ndarray, size: tuple[int, int], middle: np.ndarray) -> np.ndarray:
        (yy, yx), (xy, xx) = matrix
        wcs = galsim.JacobianWCS(xx, xy, yx, yy)
        image = galsim.ImageD(size[1], size[0])
        offset = galsim.PositionD(middle[1] - (size[1] - 1) / 2, middle[0] - (size[0] - 1) / 2)
        sky.drawImage(image, wcs=wcs, method="sb", offset=offset)
        return image.array

    center = np.array([60.0, 67.0])
    image = seen(np.eye(2), EXTENT, center)
    expected = seen(affine.array, shape, np.array(affine.inverse(*center)))
    # at 0.9 px a Gaussian still has 2e-2 of its power where waves end: what lies beyond is not in the samples
    assert np.abs(resampled(image, affine, shape) - expected).max() < 2e-5 * image.max() + _aliased(sky)


def _aliased(sky: galsim.GSObject) -> float:
    """Return how much of its peak a sky may change for waves beyond those of the pixels."""
    k = np.linspace(np.pi, 4 * np.pi, 400)
    beyond = np.array([abs(sky.kValue(v, 0.0)) for v in k])
    return float(np.trapezoid(beyond * k, k) / (2 * np.pi))


@pytest.mark.parametrize(("angle", "scale", "flip"), GEOMETRIES[::3])
@pytest.mark.parametrize("xp", [np, jnp])
def test_the_transpose_is_one(angle: float, scale: float, flip: int, xp: object, rng: np.random.Generator) -> None:
    affine, shape = affine_of(angle, scale, flip, rng)
    layout = plan(affine, shape, EXTENT, guard=10, highest=(0.31, 0.22))
    table = tables(layout, affine)
    sky, image = (rng.normal(size=(2, *size)).astype(np.float32) for size in (EXTENT, shape))
    move = np.array([0.3, -0.2], np.float32)
    forward = np.asarray(resample(layout, table, spectrum(layout, sky, xp), move, xp), float)
    back = np.asarray(spectrum_adjoint(layout, resample_adjoint(layout, table, image, move, xp), xp), float)
    assert (forward * image).sum() == pytest.approx((sky * back).sum(), rel=1e-5, abs=1e-5 * np.linalg.norm(forward))


def test_a_move_is_a_move_of_all_pixels(rng: np.random.Generator) -> None:
    affine, shape = affine_of(33.0, 2.2, -1, rng)
    moved = PixelAffine.of(affine.array, np.add(affine.offset, (0.7, -1.3)))
    y, x = np.indices(EXTENT)
    image = np.exp(-0.5 * ((y - 60) ** 2 + (x - 66) ** 2) / 4.0)
    layout = plan(affine, shape, EXTENT, guard=10)
    waves = spectrum(layout, image[None], np)
    by_move = resample(layout, tables(layout, affine, np.float64), waves, np.array([0.7, -1.3]), np)
    np.testing.assert_allclose(
        by_move, resample(layout, tables(layout, moved, np.float64), waves, None, np), atol=1e-12
    )


def telescope(name: str, wcs: TangentWcs, shape: tuple[int, int], width: float, side: int) -> Observation:
    """Return an observation of an empty sky, behind a Gaussian PSF of a full width [arcsec]."""
    pixel = galsim.JacobianWCS(*np.asarray(wcs.matrix).ravel())
    stamp = galsim.Gaussian(fwhm=width).drawImage(galsim.ImageD(side, side), wcs=pixel).array
    images = np.zeros((1, *shape))
    return Observation.from_arrays(
        images, stamp, np.ones_like(images), channels=[Channel(name, "i")], name=name, wcs=wcs
    )


@pytest.mark.parametrize("width", [1.2, 1.6])
def test_a_star_behind_a_narrow_psf_wants_finer_pixels(width: float) -> None:
    """Half of what a star off the middle of a pixel errs by goes, at least; a stamp cannot tell what is between."""
    psf = galsim.Moffat(beta=3.5, fwhm=width)
    wcs = TangentWcs((150.0, 2.0), (16.0, 16.0), ((-0.1, 0.0), (0.0, 0.1)))
    stamp = psf.drawImage(galsim.ImageD(25, 25), scale=1.0).array
    images = np.zeros((1, 33, 33))
    seen = Observation.from_arrays(images, stamp, np.ones_like(images), channels=["i"], name="sharp", wcs=wcs)
    expected = psf.drawImage(galsim.ImageD(33, 33), scale=1.0, offset=(0.3, -0.2)).array
    errors = []
    for oversampling in (1, None):
        scene = empty_scene([seen], oversampling=oversampling)
        y, x = seen.grid.affine_to(scene.grid)(15.8, 16.3)
        scene = scene.add(make_source("point", float(x), float(y), n_channels=1, flux=[1.0], radius=15))
        errors.append(np.abs(Program([seen], scene).model()[0] - expected).max() / expected.max())
    assert scene.grid.shape == (66, 66)
    assert errors[1] < min(0.5 * errors[0], 0.06)


@pytest.mark.parametrize("angle", ANGLES)
def test_the_whole_chain_against_galsim(angle: float) -> None:
    """One galaxy on fine pixels, as coarser, turned telescopes see it: ≤ 1e-3 of its peak, on both of two ways."""
    place, radius = (0.41, -0.27), 6.0
    fine = TangentWcs((150.0, 2.0), (115.0, 110.0), tuple(map(tuple, matrix_of(0, FINE, 1))))
    seen = [telescope("sharp", fine, (221, 231), 3.6 * FINE, 31)]
    for scale, flip in zip(SCALES, (1, -1, 1, -1), strict=True):
        (height, width), pixels = (int(190 / scale), int(196 / scale)), scale * FINE
        middle = (width - 1) / 2 + 0.13, (height - 1) / 2 - 0.31
        turned = TangentWcs((150.0, 2.0), middle, tuple(map(tuple, matrix_of(angle, pixels, flip))))
        seen.append(telescope(f"{scale} {flip}", turned, (height, width), 3.6 * pixels, 31))
    scene = empty_scene(seen)
    x, y = scene.grid.wcs.plane_to_pixel(*place)
    flux = np.full(len(seen), 1000.0)
    size = {"half_light_radius": radius, "radius": 63}
    source = make_source("sersic", float(x), float(y), n_channels=len(seen), flux=flux, **size)
    program = Program(seen, scene.add(source))
    data, parameters = (jax.tree.map(jnp.asarray, tree) for tree in (program.data, program.parameters))
    pictures = jax.jit(pictures_of, static_argnums=0)(program.layout, data, parameters)
    canvases = jax.jit(render, static_argnums=0)(program.layout, data, parameters, pictures)

    index = float(source.components[0].morphology.parameters["index"].value)
    galaxy = galsim.Sersic(n=index, half_light_radius=radius * FINE, flux=1000.0)
    for k, observation in enumerate(seen):
        wcs, (height, width) = observation.wcs, observation.shape
        own_x, own_y = wcs.plane_to_pixel(*place)
        image = galsim.ImageD(width, height)
        galsim.Convolve(galaxy, galsim.Gaussian(fwhm=3.6 * wcs.pixel_scale)).drawImage(
            image,
            wcs=galsim.JacobianWCS(*np.asarray(wcs.matrix).ravel()),
            offset=(float(own_x) - (width - 1) / 2, float(own_y) - (height - 1) / 2),
        )
        expected, found = image.array, program.model(k)[0].astype(float)
        assert np.abs(found - expected).max() < 1e-3 * expected.max(), observation.name
        (flux, center), (true_flux, true_center) = moments(found), moments(expected)
        assert flux == pytest.approx(true_flux, rel=3e-4), observation.name
        np.testing.assert_allclose(center, true_center, atol=3e-3, err_msg=observation.name)
        whole = np.asarray(canvases[k])[0] * program.noise[k]
        np.testing.assert_allclose(whole, found, atol=2e-5 * expected.max(), err_msg=observation.name)
