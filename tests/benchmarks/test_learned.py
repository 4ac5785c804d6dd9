"""How learned priors are compared: blends behind several PSFs, the network of one pass, errors of held-out galaxies."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tests.conftest import PROJECT

sys.path[:0] = [str(PROJECT / "benchmarks"), str(PROJECT / "sample_data")]

expectation, learned, learned_blends, learned_rows, one_pass = (
    importlib.import_module(name) for name in ("expectation", "learned", "learned_blends", "learned_rows", "one_pass")
)


@pytest.mark.parametrize("psf", learned_blends.PSFS)
def test_truth_renders_to_the_images_within_noise(psf: str) -> None:
    blend = learned_blends.make(learned_blends.generated, 3, 1, learned_blends.PSFS[psf])
    assert abs(blend.chi2_of_truth - 1.0) < 4.0 * np.sqrt(2.0 / blend.images.size)
    np.testing.assert_allclose(blend.templates.sum(axis=(2, 3)), 1.0)
    assert blend.psf.sum(axis=(1, 2)) == pytest.approx(1.0)


def test_blends_are_the_same_ones_behind_every_psf() -> None:
    """Fluxes, places and noise stay; what is seen behind a wider PSF is that behind a narrower one, blurred."""
    narrow, wide = (learned_blends.make(learned_blends.generated, 3, 2, s) for s in (1.5, 2.1))
    np.testing.assert_array_equal(narrow.flux, wide.flux)
    np.testing.assert_array_equal([narrow.x, narrow.y], [wide.x, wide.y])
    noises = [b.images - b.truth.sum(axis=0) for b in (narrow, wide)]
    np.testing.assert_allclose(*noises, atol=1e-9)
    blurred = gaussian_filter(narrow.truth[:, 2], (0, *[np.sqrt(2.1**2 - 1.5**2)] * 2), mode="constant")
    middle = (slice(None), slice(8, 32), slice(8, 32))
    assert np.abs(blurred - wide.truth[:, 2])[middle].max() < 0.02 * wide.truth[:, 2].max()


def test_scores_of_the_truth_and_what_a_psf_costs() -> None:
    """Fluxes a tenth off behind another PSF are told as that, blend by blend."""
    by_psf: dict[str, dict[str, list]] = {}
    for psf, factor in ((learned.TRAINING, 1.0), ("wider", 1.1)):
        blends = [learned_blends.make(learned_blends.generated, 3, k, 1.5) for k in range(2)]
        light = [learned_rows.Light(factor * blend.truth, 1.0) for blend in blends]
        by_psf[psf] = {"truth": [learned.result_of(b, each) for b, each in zip(blends, light, strict=True)]}
    statistic = learned.STATISTICS[learned.MEAN_ERROR]
    value, _ = learned.paired(by_psf["wider"]["truth"], by_psf[learned.TRAINING]["truth"], statistic)
    assert value == pytest.approx(0.1)
    head, _, row = learned.table(by_psf).splitlines()
    assert "mean ΔF/F, 2.1 px | 2.1 px, paired" in head
    assert "0.000 ± 0.000 | 0.100 ± 0.000 | +0.100 ± 0.000 | 1.000, 1.000 | 1.000, 1.000" in row


def test_fluxes_of_known_pictures_are_found_and_not_negative() -> None:
    blend = learned_blends.make(learned_blends.generated, 3, 4, 1.5)
    columns = np.array(blend.templates)
    clean = blend.truth.sum(axis=0)
    np.testing.assert_allclose(learned_rows.solved_fluxes(columns, clean), blend.flux, rtol=1e-6)
    without = clean - 1.5 * blend.truth[0]
    assert np.all(learned_rows.solved_fluxes(columns, without) >= 0)


def test_the_network_of_one_pass_learns_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few steps on a few blends make the loss less; what is read again gives the same light, in any unit."""
    for name, small in (("WIDTH", 8), ("N_TRUNK", 1), ("BATCH", 8)):
        monkeypatch.setattr(one_pass, name, small)
    monkeypatch.setattr(one_pass, "WEIGHTS", tmp_path / "weights.safetensors")
    pictures, fluxes = one_pass.lessons(8)
    images, truth = one_pass.batch(pictures, fluxes, np.random.default_rng(0))
    assert images.max(axis=(1, 2, 3)) == pytest.approx(1.0)
    networks = one_pass.new_networks(jax.random.key(0))
    optimizer = one_pass.optimizer_of(1e-2, 40)
    state, losses = optimizer.init(one_pass.eqx.filter(networks, one_pass.eqx.is_array)), []
    for _ in range(40):
        networks, state, loss = one_pass._learn(optimizer, networks, state, images, truth)
        losses.append(float(loss))
    assert losses[-1] < 0.8 * losses[0]
    one_pass.keep(networks[0], 1.0)
    blend = learned_blends.make(learned_blends.generated, 3, 0, 1.5)
    light = one_pass.parted(one_pass.kept(), blend.images)
    assert light.shape == blend.truth.shape and np.all(light > 0)
    np.testing.assert_allclose(one_pass.parted(networks[0], 3.0 * blend.images), 3.0 * light, rtol=1e-4)


def test_errors_of_means_are_free_of_the_scatter_of_draws() -> None:
    rng = np.random.default_rng(1)
    off = 0.3 + 0.5 * rng.normal(size=(4, 500, 8, 8))
    found = expectation._mean_square(off)
    # 32,000 pixels of variance 0.25 / 4
    assert found.mean() == pytest.approx(0.09, abs=4 * np.sqrt(2 * 0.0625**2 + 4 * 0.09 * 0.0625) / np.sqrt(32000))
    assert np.mean(off.mean(axis=0) ** 2) > 0.14


def test_a_known_prior_is_as_good_as_its_posterior_says() -> None:
    """Galaxies of a Gaussian: means under it are off by the trace of the posterior, and under a wrong one by more."""
    side, noise = 8, 0.1
    rng = np.random.default_rng(2)
    mean = np.zeros((side, side), np.float32)
    modes = 0.5 * rng.normal(size=(2, side, side)).astype(np.float32)
    prior = expectation.GaussianPrior(mean, modes, np.full((side, side), 0.05, np.float32))
    truth = np.tensordot(rng.normal(size=(400, 2)), modes, axes=1) + 0.05 * rng.normal(size=(400, side, side))
    point = np.zeros((3, 3))
    point[1, 1] = 1.0
    images = (truth + noise * rng.normal(size=truth.shape)).astype(np.float32)
    held_out = expectation.HeldOut(expectation.Observed(images, point, noise, np.ones(400)), truth)
    covariance = prior.covariance()
    exact = np.trace(covariance - covariance @ np.linalg.inv(covariance + noise**2 * np.eye(side**2)) @ covariance)
    own = held_out.errors(prior, prior, 0).mean()
    assert own == pytest.approx(exact / side**2, rel=0.04)
    wrong = expectation.GaussianPrior(mean, 0.1 * modes, np.full((side, side), 0.05, np.float32))
    assert held_out.errors(wrong, wrong, 0).mean() > 1.5 * own


def test_how_far_of_the_way_laps_have_come() -> None:
    samples = np.zeros((1, 4, 4))
    levels = {"first": 0.04, "lap 1": 0.03, "of the package": 0.02}
    rows = [expectation.Row(name, np.full(5, level**2), samples) for name, level in levels.items()]
    said = expectation.report(rows, 9)
    assert "| lap 1 | 0.0300 ± 0.0000 | 0.50 ± 0.00 |" in said
    assert said.splitlines()[-1].startswith("| of the package | 0.0200")


def test_stamps_of_other_pixels_keep_their_light_and_their_middle() -> None:
    y, x = np.indices((40, 44))
    stamp = np.exp(-0.5 * ((y - 18) ** 2 + (x - 25) ** 2) / 3.0**2)
    small = expectation.binned(expectation.on_canvas(stamp, 1e-6, np.random.default_rng(0)))
    assert small.shape == (expectation.SIDE, expectation.SIDE)
    assert small.sum() == pytest.approx(stamp.sum(), rel=1e-3)
    assert np.unravel_index(np.argmax(small), small.shape) == (16, 16)
    psf = expectation.binned_psf(np.exp(-0.5 * ((y - 18.3) ** 2 + (x - 22.4) ** 2) / 2.5**2))
    middle = np.array(psf.shape) // 2
    assert psf.shape[0] == psf.shape[1] and psf.shape[0] % 2 == 1
    np.testing.assert_allclose(expectation.ndimage.center_of_mass(psf), middle, atol=0.02)
    rng = np.random.default_rng(3)
    assert expectation.background(2.0 * rng.normal(size=(64, 64))) == pytest.approx(2.0, rel=0.2)
