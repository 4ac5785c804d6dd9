"""Priors of single numbers: each is the density that it is called by, in fits, Gaussian errors, refits and chains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from deblend import Color, LogNormal, Normal, Parameter, Scene, SizeMagnitude, Status, Uniform, compilations, sample
from deblend.io import Session, read_session, write_session
from deblend.program.arrays import GroupParameters
from deblend.program.beliefs import (
    belief_energy,
    belief_gradient,
    lower_beliefs,
    measure_energy,
    no_beliefs,
)
from deblend.render import KINDS
from deblend.scene import Prior, Source, make_source

NOISE = np.array([1.0, 0.8])
SERSIC = KINDS["sersic"]


def believing(source: Source, name: str, prior: Prior | None, index: int = 0) -> Source:
    """Return a source with a prior of its center, its spectrum, or of a parameter of its shape."""
    component = source.components[0]
    if name == "center":
        return replace(source, center=source.center.believed(prior, index))
    if name == "flux":
        component = replace(component, spectrum=component.spectrum.believed(prior, index))
    else:
        changed = {name: component.morphology.parameters[name].believed(prior, index)}
        component = replace(component, morphology=component.morphology.with_parameters(**changed))
    return replace(source, components=(component,))


def galaxy() -> Source:
    return make_source("sersic", 20.0, 24.0, n_channels=2, flux=(300.0, 500.0), half_light_radius=2.0, radius=12)


def magnitude(flux: np.ndarray) -> np.ndarray:
    return 31.4 - 2.5 * np.log10(flux)


SIZE = SizeMagnitude(size=2.5, magnitude=25.0, slope=-0.1, deviation=0.2, channel=1)
U = np.linspace(1.2, 3.9, 7)
FLUXES = np.linspace(60.0, 900.0, 7)
CASES: dict[str, tuple[str, Prior, int, np.ndarray]] = {
    # -ln of the density of the coordinate that chains move through: index, ln of the size, fluxes
    "index, normal": ("index", Normal(2.0, 0.4), 0, stats.norm(2.0, 0.4).logpdf(U)),
    "index, log-normal": ("index", LogNormal(2.0, 0.3), 0, stats.lognorm(0.3, scale=2.0).logpdf(U)),
    "size, normal": ("half_light_radius", Normal(2.0, 0.4), 0, stats.norm(2.0, 0.4).logpdf(U) + np.log(U)),
    "size, log-normal": ("half_light_radius", LogNormal(2.0, 0.3), 0, stats.norm(np.log(2), 0.3).logpdf(np.log(U))),
    "size, uniform": ("half_light_radius", Uniform(1.0, 4.0), 0, np.log(U)),
    "size at a magnitude": (
        "half_light_radius",
        SIZE,
        0,
        stats.norm(np.log10(2.5) - 0.1 * (magnitude(np.array(500.0)) - 25.0), 0.2).logpdf(np.log10(U)),
    ),
    "flux, normal": ("flux", Normal(400.0, 90.0), 0, stats.norm(400.0, 90.0).logpdf(FLUXES)),
    "flux, log-normal": ("flux", LogNormal(400.0, 0.5), 1, stats.lognorm(0.5, scale=400.0).logpdf(FLUXES)),
    "color": (
        "flux",
        Color(1, 0.6, 0.3),
        0,
        stats.norm(0.6, 0.3).logpdf(magnitude(FLUXES) - magnitude(np.array(500.0))) - np.log(FLUXES),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_prior_is_the_density_that_it_is_called_by(case: str, double: None) -> None:
    """And its gradient is that of the energy, at 7 places of the number that it is of."""
    name, prior, index, expected = CASES[case]
    source = believing(galaxy(), name, prior, index)
    beliefs = no_beliefs(7, SERSIC.n_theta + 2, np.float64)
    for slot in range(7):
        lower_beliefs(beliefs, slot, source, 0, (24, 20), NOISE)
    theta = np.tile([0.1, -0.2, 1.5, np.log(2.0), 0.1, 0.2], (7, 1))
    flux = np.tile(np.array([300.0, 500.0]) / NOISE, (7, 1))
    if name == "flux":
        flux[:, index] = FLUXES / NOISE[index]
    else:
        theta[:, 3 if name == "half_light_radius" else 2] = np.log(U) if name == "half_light_radius" else U
    p = GroupParameters(jnp.array(theta), jnp.array(flux), None, jnp.zeros((7, 2, 3)))

    def energy(p: GroupParameters) -> Any:
        return 0.5 * jnp.sum(belief_energy(SERSIC, beliefs, p)) + measure_energy(SERSIC, beliefs, p)[0]

    each = [
        float(energy(jax.tree.map(lambda a, k=k: jnp.tile(a[k], (7, *[1] * (a.ndim - 1))), p))) / 7 for k in range(7)
    ]
    np.testing.assert_allclose(np.diff(each), -np.diff(expected), atol=1e-9)
    slope = jax.grad(lambda p: energy(p._replace(aspect=p.aspect)))(p)
    found = [
        a + b for a, b in zip(belief_gradient(SERSIC, beliefs, p), measure_energy(SERSIC, beliefs, p)[1:], strict=True)
    ]
    np.testing.assert_allclose(found[0], slope.theta, atol=1e-9)
    np.testing.assert_allclose(found[1], slope.flux, atol=1e-9)


def test_priors_that_make_no_sense_are_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Parameter(1.0).believed(Normal(1.0, 0.0))
    with pytest.raises(ValueError, match="above 0"):
        LogNormal(-1.0, 0.1)
    with pytest.raises(ValueError, match="lower one first"):
        Uniform(2.0, 1.0)
    with pytest.raises(ValueError, match="leaves nothing"):
        Parameter(1.0, lower=0.5, upper=4.0).believed(Uniform(5.0, 6.0))
    with pytest.raises(ValueError, match="no closed form"):
        Parameter(1.0).believed("normal")  # type: ignore[arg-type]

    def refused(source: Source) -> str:
        with pytest.raises(ValueError) as caught:
            lower_beliefs(no_beliefs(1, SERSIC.n_theta + 2, np.float32), 0, source, 0, (24, 20), NOISE)
        return str(caught.value)

    assert "normal or a uniform" in refused(believing(galaxy(), "center", LogNormal(1.0, 0.1)))
    assert "one of size and magnitude" in refused(believing(galaxy(), "half_light_radius", Color(1, 0.0, 0.1)))
    assert "0 to 1" in refused(believing(galaxy(), "flux", Color(2, 0.0, 0.1)))
    offsets = galaxy().channel_offsets.believed(Normal(0.0, 1.0))
    assert "channel offsets" in refused(replace(galaxy(), channel_offsets=offsets))
    # between the bounds of a uniform prior, and compared with it
    size = galaxy().components[0].morphology.parameters["half_light_radius"].believed(Uniform(2.5, 4.0))
    assert size.value == 2.5 and not size.is_like(replace(size, priors=()))


@pytest.fixture(scope="module")
def pair(systems: Any) -> Scene:
    """Two faint stars a pixel and a half apart, of which fluxes alone are free, each with a prior."""
    scene = systems.empty()
    for x in (20.2, 21.7):
        scene = scene.add(make_source("point", x, 24.4, n_channels=2, flux=(60.0, 60.0), radius=12))
    priors = (Normal(75.0, 5.0), Normal(50.0, 4.0)), (Normal(52.0, 6.0), None)
    return scene.with_sources(
        systems.with_spectrum(s.with_status(Status.FIXED), replace(s.components[0].spectrum, priors=own))
        for s, own in zip(scene.sources, priors, strict=True)
    )


@pytest.mark.parametrize("method", ["gaussian", "rto", "nuts"])
def test_all_methods_have_the_exact_posterior_of_a_linear_scene_with_priors(
    systems: Any, pair: Scene, method: str
) -> None:
    """Within 4.5 Monte-Carlo errors; priors that other numbers take later compile nothing."""
    from deblend import Program

    observation = systems.observe(pair)
    program = Program([observation], pair)
    n = 240 if method == "nuts" else 60
    sampling = sample(pair, [observation], method, n, 5, program)
    drawn = np.stack([draw.scene.fluxes for draw in sampling])
    worth = n / 4 if method == "nuts" else n
    columns = [column[0].on((2, 48, 48)) for column in program.columns()]

    def exact(scene: Scene, channel: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and deviation of the fluxes [nJy], by the inverse of the dense matrix."""
        noise = systems.noise[channel]
        design = np.stack([column[channel].ravel() for column in columns]).astype(float) / noise
        said = [source.components[0].spectrum.prior(channel) for source in scene.sources]
        normal = [prior for prior in said if isinstance(prior, Normal)]
        assert len(normal) == sum(prior is not None for prior in said)
        precision = np.array([prior.deviation**-2.0 if isinstance(prior, Normal) else 0.0 for prior in said])
        mean = np.array([prior.mean if isinstance(prior, Normal) else 0.0 for prior in said])
        covariance = np.linalg.inv(design @ design.T + np.diag(precision))
        alone = np.sqrt(np.diagonal(np.linalg.inv(design @ design.T)))
        deviation = np.sqrt(np.diagonal(covariance))
        assert np.all(deviation < 0.95 * alone), "priors have something to say"
        image = observation.images[channel].ravel() / noise
        return covariance @ (design @ image + precision * mean), deviation

    for channel in range(2):
        best, deviation = exact(pair, channel)
        off = (drawn[:, :, channel].mean(axis=0) - best) / deviation
        assert np.all(np.abs(off) < 4.5 / np.sqrt(worth))
        ratio = drawn[:, :, channel].std(axis=0, ddof=1) / deviation
        assert np.all(np.abs(ratio - 1) < 4.5 / np.sqrt(2 * worth))
    before = compilations()
    other = pair.with_sources([believing(pair.sources[0], "flux", Normal(200.0, 3.0)), pair.sources[1]])
    moved = [d.scene.fluxes[0, 0] for d in sample(other, [observation], method, 4, 5, program)]
    assert compilations() == before
    best, deviation = exact(other, 0)
    assert best[0] > 150.0
    # the last of every chain: these begin three errors away
    assert np.mean(moved) == pytest.approx(best[0], abs=4.5 * deviation[0] / (1 if method == "nuts" else 2))


def test_priors_are_kept_in_sessions_and_older_ones_open(systems: Any, tmp_path: Path) -> None:
    from deblend.io.session.plain import Reader, Writer

    scene = systems.scene(("sersic", 20.0, 24.0, (300.0, 500.0)))
    source = scene.sources[0]
    for name, prior, index in (
        ("center", Normal(20.0, 0.1), 0),
        ("half_light_radius", SIZE, 0),
        ("index", Uniform(0.6, 3.0), 0),
        ("flux", Color(1, 0.5, 0.1), 0),
        ("flux", LogNormal(480.0, 0.2), 1),
    ):
        source = believing(source, name, prior, index)
    path = tmp_path / "work.asdf"
    write_session(path, Session(scene.with_sources([source]), (systems.blank(),)))
    read = read_session(path).scene.sources[0]
    assert read.center.priors == source.center.priors
    assert read.components[0].spectrum.priors == source.components[0].spectrum.priors
    for name, parameter in source.components[0].morphology.parameters.items():
        assert parameter.is_like(read.components[0].morphology.parameters[name])
    # as a version that knew of no priors wrote it
    tree = Writer(lambda array: array.tolist()).tree(Parameter(2.0, lower=0.0))
    del tree["Parameter"]["priors"]
    assert Reader(np.asarray).object(tree).is_like(Parameter(2.0, lower=0.0))
