"""Whole scenes drawn under a prior of pictures: pictures by diffusion, spectra given them; how it is asked for."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend import PowerLaw, Samples, Sampling, Scene, Status, compilations, sample
from deblend.infer.conjugate_gradients import conjugate_gradients
from deblend.infer.diffusion.known_prior import gaussian_of_generated, known_prior
from deblend.infer.diffusion.pictured import centers_of, unmoved_pixels
from deblend.infer.diffusion.scene_chain import SceneChain
from deblend.infer.diffusion.spectra import drawn_fluxes
from deblend.priors import GaussianPrior, NoDensityError, packaged_path, read_model, write_model
from deblend.render import shift_matrix

N_DRAWS = 12
TRUTH = np.array([(900.0, 1300.0), (700.0, 500.0), (300.0, 420.0)])


@pytest.fixture(scope="module")
def prior() -> GaussianPrior:
    """The Gaussian of galaxies, which compiles in no time."""
    return gaussian_of_generated(32)


@pytest.fixture(scope="module")
def scene(systems: Any) -> Scene:
    """Two galaxies that overlap, and a star on the wing of one."""
    return systems.scene(
        ("galaxy", 20.3, 22.4, tuple(TRUTH[0]), {"half_light_radius": 2.6}),
        ("galaxy", 27.1, 25.8, tuple(TRUTH[1]), {"half_light_radius": 2.0}),
        ("point", 32.2, 30.4, tuple(TRUTH[2])),
    )


@pytest.fixture(scope="module")
def drawn(systems: Any, scene: Scene, prior: GaussianPrior) -> tuple[Sampling, Samples, np.ndarray, list[float]]:
    """Draws, what they say, the numbers of each, and χ² of each."""
    program = systems.program([systems.observe(scene, seed=3)], scene)
    sampling = sample(scene, program.observations, "diffusion", N_DRAWS, 1, program, prior=prior)
    samples, chi2 = Samples(program), []
    for draw in sampling:
        samples.add(draw)
        with program.standing_at(draw.scene):
            chi2.append(program.chi2)
    return sampling, samples, samples.fluxes, chi2


def test_draws_explain_the_data_around_the_truth(
    drawn: tuple[Sampling, Samples, np.ndarray, list[float]], scene: Scene
) -> None:
    """χ² of 4608 pixels is known to 0.02; the scatter of 12 draws, to a fifth, and is of the order of the noise: of a
    star alone 8 nJy, more for what is larger and overlaps."""
    sampling, samples, fluxes, chi2 = drawn
    np.testing.assert_allclose(chi2, 1.0, atol=0.08)
    assert np.all(np.abs(fluxes.mean(axis=0) - TRUTH) < 5.0 * fluxes.std(axis=0) + 0.02 * TRUTH)
    assert np.all(fluxes.std(axis=0, ddof=1) > 4.0) and np.all(fluxes.std(axis=0, ddof=1) < 0.15 * TRUTH)
    x, y = (samples.quantities[name].value for name in ("x", "y"))
    places = np.array([(s.x, s.y) for s in scene.sources])
    assert np.abs(x.mean(axis=0) - places[:, 0]).max() < 0.3 and np.abs(y.mean(axis=0) - places[:, 1]).max() < 0.3
    assert np.all(x[:, :2].std(axis=0) > 0) and np.ptp(x[:, 2]) == 0, "a star stays where it was fitted"
    assert samples.deviation(0).max() > 0 and samples.mean(1).sum() > 0
    assert sampling.is_calibrated and sampling.doubts == []


def test_draws_are_repeated_by_their_seed_and_go_on_after_a_stop(
    drawn: tuple[Sampling, Samples, np.ndarray, list[float]],
    systems: Any,
    scene: Scene,
    prior: GaussianPrior,
) -> None:
    """And a stop from another thread is heard within half a second; nothing compiles anew."""
    program = systems.program([systems.observe(scene, seed=3)], scene)
    again = sample(scene, program.observations, "diffusion", 10_000, 1, program, prior=prior)
    first = next(again).scene.fluxes
    before, asked = compilations(), []

    def stop() -> None:
        time.sleep(0.3)
        asked.append(time.monotonic())
        again.cancel()

    threading.Thread(target=stop).start()
    found = [first, *(draw.scene.fluxes for draw in again)]
    assert time.monotonic() - asked[0] < 0.5
    again.resume()
    found.append(next(again).scene.fluxes)
    assert compilations() == before
    n = min(len(found), N_DRAWS)
    np.testing.assert_allclose(np.array(found)[:n], drawn[2][:n], rtol=1e-4)


def test_what_is_fixed_stays(systems: Any, scene: Scene, prior: GaussianPrior) -> None:
    held = scene.sources[1].with_status(Status.FIXED)
    fixed = scene.with_sources((scene.sources[0], held, scene.sources[2]))
    program = systems.program([systems.observe(scene, seed=3)], fixed)
    draw = next(sample(fixed, program.observations, "diffusion", 1, 1, program, prior=prior))
    before, after = (s.components[0].morphology.parameters for s in (held, draw.scene.sources[1]))
    assert all(np.array_equal(after[name].value, p.value) for name, p in before.items()), "a galaxy of a held shape"
    np.testing.assert_allclose(draw.scene.fluxes[1], TRUTH[1])
    assert np.all(np.abs(draw.scene.fluxes[[0, 2]] - TRUTH[[0, 2]]) > 0.01)


def test_what_it_does_not_know_is_told(systems: Any, scene: Scene, prior: GaussianPrior) -> None:
    observations = [systems.blank()]

    def asked(changed: Scene, **options: Any) -> Sampling:
        return sample(changed, observations, "diffusion", 2, **{"prior": prior, **options})

    with pytest.raises(ValueError, match="no galaxy that the learned prior could draw"):
        asked(replace(scene, sources=scene.sources[2:]))
    lawful = scene.with_sources((scene.sources[0].following(PowerLaw()), *scene.sources[1:]))
    with pytest.raises(ValueError, match="spectra that follow a law"):
        asked(lawful)
    galaxy = scene.sources[0]
    gray = systems.with_spectrum(galaxy, galaxy.components[0].spectrum.with_status(Status.FIXED))
    doubts = asked(scene.with_sources((gray, *scene.sources[1:])))._sampler.doubts
    assert len(doubts) == 1 and "fluxes that are fixed" in doubts[0]
    large = systems.with_morphology(
        systems.scene(("sersic", 20.0, 20.0, (900.0, 900.0))).sources[0],
        half_light_radius=scene.sources[0].center.at(9.0),
    )
    assert any("larger" in doubt for doubt in asked(scene.add(large))._sampler.doubts)
    with pytest.raises(ValueError, match="does not take a learned prior"):
        sample(scene, observations, "gaussian", 2, prior=prior)
    with pytest.raises(NoDensityError, match="NUTS accepts or refuses a step by the density"):
        sample(scene, observations, "nuts", 2, prior=packaged_path())
    with pytest.raises(ValueError, match="this prior is no denoiser"):
        asked(scene, prior=packaged_path("pixelcnn"))


def test_a_prior_that_has_learned_on_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under its old name, as by a training that was broken off and gone on with."""
    monkeypatch.setattr("deblend.infer.diffusion.known_prior.gaussian_of_draws", lambda _: None)
    path, packaged = tmp_path / "mine.safetensors", read_model(packaged_path())[0]
    seen = []
    for scale in (1.0, 0.5):
        scaled = jax.tree.map(lambda part, s=scale: s * part if eqx.is_array(part) else part, packaged)
        write_model(path, scaled, {})
        seen.append(known_prior(path).prior.network.enter.weight)
    np.testing.assert_allclose(seen[1], 0.5 * seen[0], rtol=1e-2)


def test_a_prior_that_has_not_passed_shows_no_errors(
    drawn: tuple[Sampling, Samples, np.ndarray, list[float]],
) -> None:
    sampling, *_ = drawn
    withheld = Samples(sampling.program, is_calibrated=False)
    sampling.n_draws += 2
    for draw in sampling:
        withheld.add(draw)
    catalog = withheld.catalog()
    assert np.all(np.isfinite(catalog["flux_total_p50"])) and catalog.meta["calibrated"] is False
    for column in ("flux_total_p16", "flux_total_p84", "flux_total_std", "x_std"):
        assert np.all(np.isnan(catalog[column]))
    assert np.all(np.isnan(catalog["covariance"])) and not withheld.kept().is_calibrated


# -- its parts -------------------------------------------------------------------------------------------------


def test_fluxes_given_pictures_are_of_their_gaussian_within_bounds() -> None:
    """4000 draws know means to 1.6 % of a deviation, variances to 2.2 %; of a cut Gaussian, by its own moments."""
    rng = np.random.default_rng(0)
    gram = np.array([[[4.0, 2.0], [2.0, 3.0]]])
    right = gram @ np.array([1.0, 2.0])
    free, open_ = np.ones((2, 1)), (np.full((2, 1), -np.inf), np.full((2, 1), np.inf))
    draws = np.array([drawn_fluxes(gram, right, np.zeros((2, 1)), free, open_, rng)[:, 0] for _ in range(4000)])
    np.testing.assert_allclose(draws.mean(axis=0), (1.0, 2.0), atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), np.linalg.inv(gram[0]), atol=0.035)
    # one that the data want far below its bound: an exponential of mean 1 / (slope at the bound)
    far = np.array([[[1.0]]])
    zero, some = np.zeros((1, 1)), (np.zeros((1, 1)), np.full((1, 1), np.inf))
    cut = [drawn_fluxes(far, np.array([[-9.0]]), zero, np.ones((1, 1)), some, rng)[0, 0] for _ in range(2000)]
    assert np.mean(cut) == pytest.approx(1.0 / 9.1, rel=0.1) and min(cut) >= 0.0
    held = drawn_fluxes(gram, right, np.full((2, 1), 7.0), np.array([[0.0], [1.0]]), open_, rng)
    assert held[0, 0] == 7.0 and held[1, 0] != 7.0


def test_pixels_around_a_center_are_the_picture(prior: GaussianPrior) -> None:
    """Galaxies behind the model PSF, moved by band-limited interpolation and back."""
    picture = np.asarray(prior.mean)[1:, 1:]
    moved = np.asarray(shift_matrix(jnp.float32(0.4), 31)) @ picture @ np.asarray(shift_matrix(jnp.float32(-0.3), 31)).T
    centers = centers_of(moved[None])
    assert centers[0] == pytest.approx(centers_of(picture[None])[0] + (0.4, -0.3), abs=0.02)
    kept = np.asarray(unmoved_pixels(jnp.asarray(moved[None]), jnp.asarray(centers, jnp.float32)))[0]
    back = (np.asarray(shift_matrix(jnp.float32(offset), 31)) for offset in centers[0])
    rows, columns = back
    np.testing.assert_allclose(rows @ kept @ columns.T, moved, atol=0.005 * moved.max())


def test_what_is_seen_of_modes_makes_iterations_few(
    drawn: tuple[Sampling, Samples, np.ndarray, list[float]],
) -> None:
    chain = drawn[0].sampler._chain  # type: ignore[attr-defined]
    assert isinstance(chain, SceneChain)
    problem = chain._problem()
    reference, operator, sigma = problem.reference, problem.operator, jnp.float32(0.3)
    assert reference is not None and problem.nearness is not None

    def product(u: Any) -> Any:
        seen = operator(sigma**2 * jax.vmap(reference.shrunk, (0, None))(operator.transposed(u), sigma))
        return jax.tree.map(jnp.add, u, seen)

    def left(inverse: Any) -> float:
        solved, _ = conjugate_gradients(product, inverse, problem.data, 0.0, 6)
        off = jax.tree.map(jnp.subtract, problem.data, product(solved))
        return float(sum(jnp.linalg.norm(part) for part in off) / sum(jnp.linalg.norm(part) for part in problem.data))

    assert left(problem.nearness.inverse(sigma)) < 0.02 * left(lambda u: u)


def test_the_prior_of_the_package_is_known_with_its_gaussian() -> None:
    known = known_prior(None)
    assert known.prior.shape == known.reference.shape and known.psf_sigma == pytest.approx(0.8)
    assert bool(known.doubt) != known.is_calibrated
    assert "error bars" in known.doubt or known.is_calibrated
