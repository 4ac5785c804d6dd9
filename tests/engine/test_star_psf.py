"""A PSF from stars of the image, against the one that GalSim drew them with."""

from __future__ import annotations

import galsim
import numpy as np
import pytest

from deblend import Observation
from deblend.observe import find_stars, full_width_half_maximum, gaussian_psf, psf_from_stars
from deblend.observe.effective_psf import Moffat
from deblend.observe.psf import native_psf

SIZE = 360
EXACT = galsim.GSParams(folding_threshold=1e-4, maxk_threshold=1e-4)


def moffat(width: float) -> galsim.GSObject:
    return galsim.Moffat(beta=3.2, fwhm=width, gsparams=EXACT).shear(g1=0.05, g2=-0.03)


def with_spikes(width: float) -> galsim.GSObject:
    """Return a PSF that is no Moffat: an elongated halo holds a tenth of the light."""
    return 0.9 * moffat(width) + 0.1 * galsim.Gaussian(fwhm=2.5 * width, gsparams=EXACT).shear(g1=0.5)


def flux_of(psf: galsim.GSObject, snr: float) -> float:
    """Return the flux of a star of a signal to noise, in noise of 1 per pixel."""
    stamp = psf.drawImage(galsim.ImageD(61, 61), scale=1.0).array
    return float(snr / np.sqrt((stamp**2).sum()))


def draw(image: galsim.ImageD, profile: galsim.GSObject, y: float, x: float, half: int = 45) -> None:
    box = galsim.BoundsI(int(x) - half + 1, int(x) + half + 1, int(y) - half + 1, int(y) + half + 1)
    stamp = profile.drawImage(image=galsim.ImageD(box), scale=1.0, center=galsim.PositionD(x + 1, y + 1))
    both = box & image.bounds
    image[both] += stamp[both]


def field(
    psf: galsim.GSObject, rng: np.random.Generator, count: int = 10, snr: float = 300.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return a sky of stars that stand apart, at fractions of pixels, in noise of 1; and their places (y, x)."""
    image = galsim.ImageD(SIZE, SIZE, scale=1.0)
    places: list[np.ndarray] = []
    while len(places) < count:
        place = rng.uniform(30, SIZE - 30, 2)
        if all(np.hypot(*(place - other)) > 40 for other in places):
            places.append(place)
            draw(image, psf * flux_of(psf, snr), *place)
    return image.array + rng.normal(size=(SIZE, SIZE)), np.array(places)


def seen(image: np.ndarray, weights: np.ndarray | None = None) -> Observation:
    weights = np.ones_like(image) if weights is None else weights
    return Observation.from_arrays(image, gaussian_psf(3.0), weights, channels=["i"], name="sky")


def truth(psf: galsim.GSObject, side: int, oversampling: int) -> np.ndarray:
    whole = galsim.Convolve(psf, galsim.Pixel(1.0))
    stamp: np.ndarray = whole.drawImage(galsim.ImageD(side, side), scale=1 / oversampling, method="no_pixel").array
    return stamp / stamp.sum()


@pytest.mark.parametrize("make", [moffat, with_spikes], ids=["Moffat", "spikes"])
@pytest.mark.parametrize(("width", "oversampling"), [(3.0, 1), (2.0, 2), (1.6, 3)])
def test_ten_stars_make_the_psf_to_a_hundredth(
    make: object, width: float, oversampling: int, rng: np.random.Generator
) -> None:
    psf = make(width)  # type: ignore[operator]
    image, places = field(psf, rng)
    clicks = places + rng.uniform(-0.8, 0.8, places.shape)
    found = psf_from_stars(seen(image), clicks[:, 1], clicks[:, 0], oversampling=oversampling)
    stamp = found.psf[0]
    expected = truth(psf, len(stamp), oversampling)
    assert found.oversampling == oversampling and found.used.all()
    assert np.abs(stamp - expected).max() < 0.01 * expected.max()
    assert full_width_half_maximum(stamp) == pytest.approx(full_width_half_maximum(expected), rel=0.01)
    # 300 of signal to noise let a place be known to 0.01 px and a flux to 0.4 %
    assert np.hypot(found.y - places[:, 0], found.x - places[:, 1]).max() < 0.05
    assert np.abs(found.flux[0] / flux_of(psf, 300.0) - 1.0).max() < 0.02


def test_neighbours_cosmic_rays_and_masked_pixels_do_no_harm(rng: np.random.Generator) -> None:
    psf = moffat(3.0)
    image, places = field(psf, rng)
    sky = galsim.ImageD(np.zeros((SIZE, SIZE)))
    for y, x in places[:5]:
        draw(sky, psf * flux_of(psf, 60.0), y + 7.3, x - 6.1)
    image += sky.array
    rows, columns = np.floor(places + 0.5).astype(int).T
    image[rows[5:8] - 4, columns[5:8] + 3] += 400.0
    weights = np.ones_like(image)
    weights[rows + 2, columns - 3] = 0.0
    image[rows + 2, columns - 3] = 1e6
    found = psf_from_stars(seen(image, weights), places[:, 1], places[:, 0])
    expected = truth(psf, found.psf.shape[1], 1)
    assert np.abs(found.psf[0] - expected).max() < 0.012 * expected.max()
    assert np.isnan(found.residuals[0, 5:8]).sum() > 3
    assert np.nanmax(np.abs(found.residuals)) < 0.2


def test_what_is_no_star_is_left_out_and_said(rng: np.random.Generator) -> None:
    psf = moffat(3.0)
    image, places = field(psf, rng, count=9)
    sky = galsim.ImageD(np.zeros((SIZE, SIZE)))
    galaxy = galsim.Convolve(galsim.Exponential(half_light_radius=4.0, flux=3 * flux_of(psf, 300.0)), psf)
    empty = np.array([15.0, 15.0])
    double = places[0]
    draw(sky, galaxy, 300.0, 20.0)
    draw(sky, psf * flux_of(psf, 250.0), double[0] + 2.2, double[1] + 1.9)
    image += sky.array
    chosen = np.concatenate([places, [[300.0, 20.0]], [empty]])
    found = psf_from_stars(seen(image), chosen[:, 1], chosen[:, 0])
    assert not found.used[0, [0, 9, 10]].any() and found.used[0, 1:9].all()
    assert "3 of 11 stars are left out" in " ".join(found.notes)
    expected = truth(psf, found.psf.shape[1], 1)
    assert np.abs(found.psf[0] - expected).max() < 0.012 * expected.max()


def test_stars_are_found_among_galaxies(rng: np.random.Generator) -> None:
    psf = moffat(3.0)
    image, places = field(psf, rng, count=12, snr=200.0)
    sky = galsim.ImageD(np.zeros((SIZE, SIZE)))
    for _ in range(40):
        size = rng.uniform(1.5, 6.0)
        galaxy = galsim.Exponential(half_light_radius=size, flux=flux_of(psf, rng.uniform(50, 400)))
        draw(sky, galsim.Convolve(galaxy.shear(g1=rng.uniform(-0.4, 0.4)), psf), *rng.uniform(10, SIZE - 10, 2))
    image += sky.array
    weights = np.ones_like(image)
    bright = np.floor(places[0] + 0.5).astype(int)
    weights[bright[0] - 1 : bright[0] + 2, bright[1] - 1 : bright[1] + 2] = 0.0
    stars = find_stars(seen(image, weights))
    distance = np.hypot(stars.y[:, None] - places[:, 0], stars.x[:, None] - places[:, 1])
    assert (distance.min(axis=1) < 0.5).mean() >= 0.8, "most of what is chosen are stars"
    assert len(stars) >= 4 and distance[:, 0].min() > 5.0
    assert stars.width == pytest.approx(3.4, rel=0.15)
    found = psf_from_stars(seen(image, weights))
    expected = truth(psf, found.psf.shape[1], 1)
    assert np.abs(found.psf[0] - expected).max() < 0.015 * expected.max()
    assert "found in the image" in found.notes[0]


def test_an_observation_takes_the_psf_of_its_stars(rng: np.random.Generator) -> None:
    psf = moffat(2.0)
    image, places = field(psf, rng)
    before = seen(image)
    found = psf_from_stars(before, places[:, 1], places[:, 0], oversampling=2)
    after = before.with_psf(found.psf, found.oversampling, found.notes)
    assert after.psf_oversampling == 2
    np.testing.assert_allclose(after.images, before.images)
    np.testing.assert_allclose(after.psf[0], native_psf(found.psf[0], 2), atol=1e-6)
    assert any("PSF from 10 stars given" in note for note in after.notes)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "no star is bright enough"),
        ({"x": [100.0], "y": [100.0]}, "none of the 1 stars serves"),
        ({"x": [1e4], "y": [3.0]}, "None of the stars' places is on the image"),
        ({"x": [10.0], "y": [3.0], "oversampling": 9}, "1 to 4 samples per pixel, got 9"),
    ],
)
def test_without_stars_it_is_said(options: dict[str, object], said: str, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=said):
        psf_from_stars(seen(rng.normal(size=(200, 200))), **options)


def test_a_moffat_is_that_of_galsim_over_pixels() -> None:
    profile = Moffat(2.0, 3.0, 0.1, -0.06)
    offset = np.arange(-20.0, 21.0)
    stamp = profile(*np.meshgrid(offset, offset, indexing="ij"))
    shape = galsim.Moffat(beta=3.0, scale_radius=2.0, gsparams=EXACT).shear(e1=0.1, e2=-0.06)
    expected = shape.drawImage(galsim.ImageD(41, 41), scale=1.0).array
    np.testing.assert_allclose(stamp, expected, atol=1e-3 * expected.max())
    again = Moffat.of(profile.numbers)
    np.testing.assert_allclose(again.numbers, profile.numbers)
    assert again.e1 == pytest.approx(0.1) and again.e2 == pytest.approx(-0.06)
