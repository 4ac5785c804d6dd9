"""Starting profiles, and objects that no source stands for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import galsim
import numpy as np
import pytest

from deblend import Observation, empty_scene, fit, make_source, scene_from_positions, unlisted
from deblend.detect import stacked, start_source
from deblend.detect.profile import Round, peeled, round_psf
from deblend.detect.sizes import faint_half_light_radius
from deblend.detect.stack import cutout, distances, rings
from deblend.observe import gaussian_psf
from deblend.program import Program
from deblend.scene import PROFILE_SIGMAS, filling
from deblend.sky import TangentWcs

SIZE = 80


def seen(*sources: Any, noise: float = 1.0, seed: int = 0) -> Observation:
    """Return two bands of a scene with white noise."""
    blank = np.zeros((2, SIZE, SIZE))
    options = {"channels": ["g", "r"], "name": "test"}
    dark = Observation.from_arrays(blank, gaussian_psf(3.5), np.full_like(blank, noise**-2.0), **options)
    model = Program([dark], empty_scene([dark]).add(*sources)).model()
    noisy = model + noise * np.random.default_rng(seed).normal(size=blank.shape)
    return Observation.from_arrays(noisy, gaussian_psf(3.5), np.full_like(blank, noise**-2.0), **options)


def galaxy(x: float, y: float, flux: float, size: float) -> Any:
    return make_source("galaxy", x, y, n_channels=2, flux=(flux, flux), half_light_radius=size, radius=25)


def test_rings_have_the_medians_of_their_pixels() -> None:
    box = np.random.default_rng(1).normal(size=(15, 15))
    around, distance = rings(7), distances(7)
    for radius, median in enumerate(around.medians(box)):
        inside = np.floor(distance + 0.5) == radius
        assert median == pytest.approx(np.median(box[inside]))
        assert around.counts[radius] == inside.sum()
        assert around.radius[radius] == pytest.approx(np.median(distance[inside]))


def test_a_cutout_is_undefined_off_the_image() -> None:
    picture = np.arange(20.0).reshape(4, 5)
    box = cutout(picture, 0.2, 3.1, 1)
    np.testing.assert_array_equal(np.isnan(box), [[True, False, False], [True, False, False], [True, True, True]])
    assert box[1, 1] == picture[3, 0]
    assert np.all(np.isnan(cutout(picture, 50.0, 50.0, 2)))


def test_a_psf_is_about_its_round_gaussians() -> None:
    psf = gaussian_psf(4.0)
    found = round_psf(psf)
    assert found.flux.sum() == pytest.approx(1.0)
    middle = psf.shape[0] // 2
    np.testing.assert_allclose(found.at(np.arange(8.0)), psf[middle, middle : middle + 8], atol=0.03 * psf.max())


def test_light_behind_a_psf_adds_variances() -> None:
    both = Round(np.array([2.0]), np.array([3.0])).behind(Round(np.array([0.5]), np.array([4.0])))
    np.testing.assert_allclose((both.flux, both.variance), [[1.0], [7.0]])


@pytest.mark.parametrize("size", [1.2, 3.0, 6.0])
def test_a_profile_starts_at_about_the_size_of_its_galaxy(size: float) -> None:
    observation = seen(galaxy(40.3, 39.8, 40000.0, size), noise=1.0)
    source = scene_from_positions([observation], [40.0], [40.0]).sources[0]
    # the guess counts the widths of a mixture; the truth's own is compared with
    truth = galaxy(40, 40, 1, size).components[0].morphology.half_light_radius_guess
    assert source.components[0].morphology.half_light_radius_guess == pytest.approx(truth, rel=0.35)
    assert (source.x, source.y) == source.anchor == (40.0, 40.0)


def test_a_bright_neighbour_does_not_make_a_profile_wide() -> None:
    """Its halo lies under the faint galaxy; the light of others is taken off before the rings are looked at."""
    observation = seen(galaxy(30.0, 40.0, 200000.0, 4.0), galaxy(47.0, 40.0, 4000.0, 1.2))
    pair = scene_from_positions([observation], [30.0, 47.0], [40.0, 40.0]).sources[1]
    alone = scene_from_positions([observation], [47.0], [40.0]).sources[0]
    sizes = [s.components[0].morphology.half_light_radius_guess for s in (pair, alone)]
    assert sizes[0] < 0.9 * sizes[1]


def test_without_light_a_profile_stays_what_it_was() -> None:
    observation = seen(galaxy(20.0, 20.0, 5000.0, 2.0))
    blank = make_source("galaxy", 60.0, 60.0, n_channels=2)
    (same,) = peeled(stacked([observation]), [blank]).sources
    before, after = (s.components[0].morphology.amplitudes.value for s in (blank, same))
    np.testing.assert_allclose(after, before / before.sum(), atol=5e-3)


def test_objects_that_no_position_stands_for_are_named() -> None:
    observation = seen(galaxy(25.0, 25.0, 8000.0, 1.5), galaxy(55.0, 50.0, 3000.0, 1.5))
    missing = unlisted([observation], [25.4], [24.8])
    assert len(missing) == 1
    np.testing.assert_allclose((missing.x[0], missing.y[0]), (55.0, 50.0), atol=0.5)
    assert missing.snr[0] > 50
    assert len(unlisted([observation], [25.0, 55.0], [25.0, 50.0])) == 0
    assert len(unlisted([observation], [], [])) == 2


def test_a_source_does_not_take_the_light_of_an_object_without_one() -> None:
    """A galaxy of signal to noise 60, 13 px from an equal one that is not in the list, keeps its own flux."""
    observation = seen(galaxy(30.0, 40.0, 1500.0, 1.5), galaxy(43.0, 40.0, 1500.0, 1.5), seed=3)
    scene = scene_from_positions([observation], [30.0], [40.0])
    amplitudes = scene.sources[0].components[0].morphology.amplitudes.value
    reaching = 5.0 * np.asarray(PROFILE_SIGMAS) > 13.0
    assert np.all(amplitudes[reaching] == 0) and np.all(amplitudes[~reaching] > 0)
    found = fit(scene, [observation]).run().scene.sources[0]
    np.testing.assert_allclose(found.flux, 1500.0, rtol=0.15)
    # what is left out stays out
    assert np.all(found.components[0].morphology.amplitudes.value[reaching] == 0)


def halo_with_companions(seed: int = 4) -> tuple[Observation, np.ndarray, np.ndarray]:
    """Return a flat galaxy of index 1.5 and half-light radius 18 px, with three small ones on its light, and where and
    how bright all of them are; drawn by GalSim."""
    side, fluxes = 160, np.array([60000.0, 1500.0, 800.0, 2500.0])
    places = np.array([[79.3, 80.6], [104.0, 93.0], [66.0, 112.0], [45.0, 62.0]])
    psf, scale = galsim.Gaussian(fwhm=3.5), 1.0
    large = galsim.Sersic(1.5, half_light_radius=18.0).shear(q=0.7, beta=35 * galsim.degrees)
    small = [galsim.Exponential(half_light_radius=r) for r in (1.5, 2.0, 2.5)]
    image = np.zeros((side, side))
    for flux, (x, y), light in zip(fluxes, places, [large, *small], strict=True):
        drawn = (
            galsim.Convolve(light, psf)
            .withFlux(flux)
            .drawImage(nx=side, ny=side, scale=scale, offset=(x - (side - 1) / 2, y - (side - 1) / 2))
        )
        image += drawn.array
    images = image + np.random.default_rng(seed).normal(size=(2, side, side))
    observation = Observation.from_arrays(
        images, gaussian_psf(3.5), np.ones_like(images), channels=["g", "r"], name="test"
    )
    return observation, places, fluxes


def test_companions_of_a_large_galaxy_are_sized_without_its_light() -> None:
    observation, places, _ = halo_with_companions()
    scene = scene_from_positions([observation], places[:, 0], places[:, 1], solve=False)
    large, *small = (source.components[0] for source in scene.sources)
    # its profile is wide enough for all of its light
    assert large.radius >= 45 and large.morphology.scale * PROFILE_SIGMAS[-1] >= 16.0
    for component in small:
        assert component.radius <= 31 and component.morphology.scale <= max(filling(component.radius), 1.0)


def test_companions_of_a_large_galaxy_keep_their_fluxes() -> None:
    """Started as large as the light they lie on, they took 2 to 10 times their own flux of it."""
    observation, places, fluxes = halo_with_companions()
    state = fit(scene_from_positions([observation], places[:, 0], places[:, 1]), [observation]).run()
    ratios = state.scene.fluxes.mean(axis=1) / fluxes
    assert 0.85 < ratios[0] < 1.1
    np.testing.assert_allclose(ratios[1:], 1.0, atol=0.35)
    assert state.chi2 < 1.1


@pytest.mark.parametrize("kind", ["galaxy", "sersic"])
def test_a_source_placed_on_a_large_one_is_sized_without_its_light(kind: str) -> None:
    """As by a click, whatever the large one is taken for; and one that is placed on a star beside it."""
    observation, places, _ = halo_with_companions()
    empty = empty_scene([observation])
    (x, y), *others = places.tolist()
    large = make_source(kind, x, y, n_channels=2, half_light_radius=18.0, radius=63)
    star = make_source("point", *others[0], n_channels=2)
    for placed_x, placed_y in others:
        by_itself = start_source([observation], empty, placed_x, placed_y)
        placed = start_source([observation], empty, placed_x, placed_y, among=[large, star])
        assert placed.radius < by_itself.radius and placed.radius <= 19
        sizes = [s.components[0].morphology.half_light_radius_guess for s in (placed, by_itself)]
        assert sizes[0] < 0.8 * sizes[1]
    # the large one itself keeps its size among its companions
    small = [make_source("galaxy", *place, n_channels=2) for place in others]
    assert start_source([observation], empty, x, y, among=small).radius >= 45


def test_two_telescopes_size_companions_without_the_large_galaxy() -> None:
    """What the blurred one shows of the halo, too, makes no companion's box as large as the halo is."""
    sharp, places, _ = halo_with_companions()
    wcs = TangentWcs((150.0, 2.0), (79.5, 79.5), ((-0.1, 0.0), (0.0, 0.1)))
    coarse = TangentWcs((150.0, 2.0), (39.5, 39.5), ((-0.2, 0.0), (0.0, 0.2)))
    binned = sharp.images[:1].reshape(1, 80, 2, 80, 2).sum(axis=(2, 4))
    blurred = Observation.from_arrays(binned, gaussian_psf(2.0), np.full_like(binned, 0.25), channels=["i"], wcs=coarse)
    observations = [replace(sharp, wcs=wcs), blurred]
    scene = scene_from_positions(observations, places[:, 0], places[:, 1], solve=False)
    large, *small = (source.radius for source in scene.sources)
    assert max(small) <= 40 < 60 <= large


def wide_and_faint(size: float, snr: float, seed: int) -> tuple[Observation, float]:
    """Return an exponential galaxy in the middle of the image whose light lies below the noise of a pixel, and its
    flux; drawn by GalSim."""
    light = galsim.Exponential(half_light_radius=size).shear(q=0.7, beta=35 * galsim.degrees)
    drawn = galsim.Convolve(light, galsim.Gaussian(fwhm=3.5)).drawImage(nx=SIZE + 1, ny=SIZE + 1, scale=1.0).array
    flux = snr / float(np.sqrt((drawn**2).sum()))
    images = flux * drawn[None] + np.random.default_rng(seed).normal(size=(1, SIZE + 1, SIZE + 1))
    return Observation.from_arrays(images, gaussian_psf(3.5), np.ones_like(images)), flux


@pytest.mark.parametrize("size", [6.0, 9.0])
def test_a_size_is_read_off_below_the_noise(size: float) -> None:
    """Of 12 galaxies of signal to noise 20: each is off by some 25 %, their median by 9 % of that."""
    found = []
    for seed in range(12):
        observation, _ = wide_and_faint(size, 20.0, seed)
        assert observation.images.max() < 6
        found.append(faint_half_light_radius(stacked([observation]).signal_to_noise, 40.0, 40.0))
    seen = np.hypot(size, 1.1774 * 3.5 / 2.355)
    assert np.median(found) == pytest.approx(seen, rel=0.25)
    assert np.all(np.array(found) < 2.5 * seen)


def test_a_blank_or_masked_sky_has_no_faint_source() -> None:
    noise = np.random.default_rng(3).normal(size=(200, 200))
    places = np.random.default_rng(4).uniform(20.0, 180.0, (60, 2))
    assert all(faint_half_light_radius(noise, x, y) == 0 for x, y in places)
    noise[:, 100:] = 0
    assert all(faint_half_light_radius(noise, 100.0, y) == 0 for _, y in places)


def test_a_wide_faint_galaxy_keeps_its_flux() -> None:
    """In the box of a small one it lost a quarter. Each flux is uncertain by 8 %, the mean of 8 by 3 %."""
    ratios = []
    for seed in range(8):
        observation, flux = wide_and_faint(9.0, 30.0, seed)
        start = scene_from_positions([observation], [40.0], [40.0])
        assert start.sources[0].radius > 20
        ratios.append(fit(start, [observation]).run().scene.fluxes[0, 0] / flux)
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.1)
