"""Galaxies at random, and what is learned from them: truth against GalSim, covariances against dense algebra."""

from __future__ import annotations

import json
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import galsim
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from deblend.priors import PARTS, SizeClass, draw_galaxy, draw_picture, learned_classes, pictures
from deblend.priors import classes as classes_
from deblend.priors.gaussians import round_blobs, sersic
from deblend.priors.population import SHARES
from deblend.scene import LEARNED_RADII, N_MODES

SIDE, SIGMA = 31, 0.8


def as_galsim(blobs: Any, size: float) -> Any:
    """Return the same sum of Gaussians, by GalSim [pix]."""
    parts = []
    for flux, (y, x), ((yy, xy), (_, xx)) in zip(blobs.flux, blobs.center, blobs.covariance, strict=True):
        root = galsim.Gaussian(sigma=1.0, flux=flux)
        # any root of the covariance will do: a Gaussian is round before it
        ((a, b), (c, d)) = np.linalg.cholesky(np.array([[xx, xy], [xy, yy]]) + 1e-12 * np.eye(2))
        parts.append(root.transform(a, b, c, d).withFlux(flux).shift(x, y).dilate(size))
    return galsim.Sum(parts)


@pytest.mark.parametrize("kind", SHARES)
def test_a_galaxy_is_drawn_as_galsim_draws_it(kind: str) -> None:
    galaxy = draw_galaxy(np.random.default_rng(3), kind)
    expected = galsim.Convolve(as_galsim(galaxy, 2.3), galsim.Gaussian(sigma=SIGMA)).shift(-0.6, 0.3)
    image = expected.drawImage(nx=SIDE, ny=SIDE, scale=1.0, method="no_pixel").array
    picture = galaxy.drawn(SIDE, 2.3, SIGMA, (0.3, -0.6))
    assert galaxy.total == pytest.approx(1.0) and set(galaxy.part) <= set(range(len(PARTS)))
    np.testing.assert_allclose(picture, image, atol=2e-3 * image.max())


@pytest.mark.parametrize("index", [1.0, 2.5, 4.0])
def test_a_sersic_profile_is_that_of_galsim(index: float) -> None:
    profile = galsim.Sersic(n=index, half_light_radius=2.0, trunc=24.0)
    image = galsim.Convolve(profile, galsim.Gaussian(sigma=SIGMA)).drawImage(
        nx=SIDE, ny=SIDE, scale=1.0, method="no_pixel"
    )
    picture = sersic(index, 2.0, 0).drawn(SIDE, 1.0, SIGMA)
    np.testing.assert_allclose(picture, image.array, atol=0.03 * image.array.max())


def test_a_seed_gives_the_same_galaxies_and_another_one_others() -> None:
    one, same, other = (np.array(list(islice(pictures(seed, SIDE, SIGMA, (1.2, 4.0)), 5))) for seed in (4, 4, 5))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert np.all(one >= 0)
    np.testing.assert_allclose(one.sum(axis=(1, 2)), 1.0, rtol=1e-6)


def test_a_galaxy_has_its_center_and_size_where_it_was_asked_for() -> None:
    y, x = np.indices((61, 61)) - 30
    away = np.hypot(y, x)
    for seed in range(6):
        galaxy = draw_galaxy(np.random.default_rng(seed))
        place = galaxy.mode(0.7)
        blurred = galaxy.shifted(*-place).drawn(61, 6.0, 4.2)
        assert np.unravel_index(np.argmax(blurred), blurred.shape) == (30, 30)
        picture = draw_picture(np.random.default_rng(seed), 61, SIGMA, (4.0, 4.0001))
        assert picture[away <= 4.0].sum() == pytest.approx(0.5, abs=0.12)


def test_an_off_center_blob_is_found_by_mean_shift() -> None:
    two = round_blobs(np.array([1.0, 3.0]), np.array([[0.0, 0.0], [5.0, -4.0]]), np.array([0.5, 0.5]), 3)
    np.testing.assert_allclose(two.mode(0.5, (4.5, -4.5)), (5.0, -4.0), atol=1e-2)
    np.testing.assert_allclose(two.mode(0.5), (0.0, 0.0), atol=1e-2)


# -- size classes ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> SizeClass:
    """A class of 7² pixels and four modes, small enough for dense algebra."""
    rng = np.random.default_rng(2)
    spread = rng.uniform(0.05, 0.1, (7, 7))
    basis = np.linalg.qr(rng.normal(size=(49, 4)))[0].T * np.array([[3.0], [2.0], [1.0], [0.5]])
    return SizeClass(rng.normal(size=(7, 7)), basis.reshape(4, 7, 7) * spread, spread)


def test_its_log_density_is_that_of_the_dense_gaussian(small: SizeClass) -> None:
    dense = multivariate_normal(small.mean.ravel(), small.covariance())
    for seed in range(3):
        picture = small.draw(np.random.default_rng(seed))
        assert small.log_density(picture) == pytest.approx(dense.logpdf(picture.ravel()), abs=1e-6)


def test_its_draws_have_its_covariance(small: SizeClass) -> None:
    rng = np.random.default_rng(1)
    draws = np.array([small.draw(rng).ravel() for _ in range(20000)])
    measured, expected = np.cov(draws.T), small.covariance()
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    # an entry is known to 1/√20000 = 0.007
    assert np.abs((measured - expected) / scale).max() < 0.04


@pytest.mark.parametrize("sigma", [0.03, 0.3])
def test_it_denoises_exactly(small: SizeClass, sigma: float) -> None:
    """E[x | y] = μ + C (C + σ²)⁻¹ (y - μ)."""
    noisy = small.draw(np.random.default_rng(3)) + sigma * np.random.default_rng(4).normal(size=(7, 7))
    covariance = small.covariance()
    off = np.linalg.solve(covariance + sigma**2 * np.eye(49), (noisy - small.mean).ravel())
    expected = small.mean + (covariance @ off).reshape(7, 7)
    np.testing.assert_allclose(small.denoised(noisy, sigma), expected, atol=1e-9)


def test_learning_from_a_picture_is_learning_from_its_eight_symmetries() -> None:
    moments = classes_._Moments()
    stack = np.array(list(islice(classes_.members(4, 7), 40)))
    for picture in stack:
        moments.add(picture)
    learned = moments.size_class()
    turned = [f(each) for each in (stack, stack.transpose(0, 2, 1)) for f in (lambda p: p, lambda p: p[:, ::-1])]
    every = np.concatenate([*turned, *(p[:, :, ::-1] for p in turned)])
    np.testing.assert_allclose(learned.mean, every.mean(axis=0), atol=1e-12)
    added = classes_.RELATIVE_SCATTER**2 * learned.mean**2 + classes_.FLOOR**2
    variance = learned.spread**2 + np.sum(learned.modes**2, axis=0)
    np.testing.assert_allclose(variance, every.var(axis=0) + added, rtol=1e-6)
    # 64 modes tell most of what forty galaxies differ in
    flat = every.reshape(len(every), -1) - learned.mean.ravel()
    some = np.argsort(-learned.mean.ravel())[:60]
    dense = flat[:, some].T @ flat[:, some] / len(flat) + np.diag(added.ravel()[some])
    modes = learned.modes.reshape(N_MODES, -1)[:, some]
    low = modes.T @ modes + np.diag(learned.spread.ravel()[some] ** 2)
    scale = np.sqrt(np.outer(np.diag(dense), np.diag(dense)))
    assert np.abs((low - dense) / scale).max() < 0.25 and np.abs((low - dense) / scale).mean() < 0.03
    gram = np.einsum("kyx,lyx->kl", learned.modes / learned.spread**2, learned.modes)
    assert np.abs(gram - np.diag(learned.weight)).max() < 1e-8 * learned.weight.max()


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "classes.npz"
    known = list(learned_classes())
    classes_.write(path, known, {"name": "test"})
    again = classes_.read(path)
    for old, new in zip(known, again, strict=True):
        np.testing.assert_allclose(new.mean, old.mean, rtol=2e-3, atol=1e-9)
        # modes may be rotated where several tell as much: what they make together is the same
        there, here = (np.sum(c.modes**2, axis=0) for c in (old, new))
        np.testing.assert_allclose(here, there, rtol=1e-2, atol=1e-3 * there.max())


@pytest.mark.parametrize("damage", ["text", "absent", "another"])
def test_what_is_no_file_of_classes_is_refused_in_a_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "mine.npz"
    if damage == "text":
        path.write_text("no arrays")
    if damage == "another":
        np.savez(path, other=np.zeros(3))
    with pytest.raises(ValueError, match=r"mine\.npz: these are no learned galaxies .*learn_galaxies\.py"):
        classes_.read(path)


def test_what_is_shipped_is_small_described_and_ordered_by_size() -> None:
    folder = files("deblend.priors")
    path = Path(str(folder / classes_.PACKAGED))
    card = json.loads(path.with_suffix(".json").read_text())
    assert path.stat().st_size <= 1_500_000
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype == np.float16 for name in file.files)
    assert card["galaxies_per_class"] >= 5000 and card["symmetries"] == 8
    assert f"--seed {card['seed']}" in card["made_by"]
    y, x = np.indices(learned_classes()[0].mean.shape) - classes_.SIDE // 2
    sizes = [float((np.hypot(y, x) * c.mean).sum() / c.mean.sum()) for c in learned_classes()]
    assert len(sizes) == len(LEARNED_RADII) and np.all(np.diff(sizes) > 0)


@pytest.mark.parametrize("number", [1, 4, 7])
def test_the_shipped_covariance_tells_more_of_new_galaxies_than_its_diagonal_would(number: int) -> None:
    own, plain = [], []
    each = learned_classes()[number]
    total = each.spread**2 + np.sum(each.modes**2, axis=0)
    for picture in islice(classes_.members(number, 12345), 25):
        own.append(each.log_density(picture))
        plain.append(float(-0.5 * np.sum((picture - each.mean) ** 2 / total + np.log(2 * np.pi * total))))
    assert np.mean(own) > np.mean(plain) + 0.2 * classes_.SIDE**2
