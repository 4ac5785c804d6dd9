"""One checklist for every kind of morphology: adding a kind to the registry puts it through all of it."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm
from scipy.special import gammainc, gammaincinv

from deblend.priors.tables import learned_tables, packaged_decoder
from deblend.program.layout import GroupLayout
from deblend.program.pictures import picture_of
from deblend.render import KINDS, kind_of
from deblend.render.tables import GalaxyTables
from deblend.scene import MODEL_PSF_SIGMA, MORPHOLOGIES, start_morphology

SIDE, RADIUS = 31, 15
VARIANCE = MODEL_PSF_SIGMA**2

every_kind = pytest.mark.parametrize("kind", KINDS)


def theta_of(kind: str, offset: tuple[float, float] = (0.3, -0.2), eta: tuple[float, float] = (0.3, -0.2)) -> Any:
    """Return the numbers behind a morphology of half-light radius 1.6 px; `offset` is (y, x)."""
    morphology = start_morphology(kind, 1.6, RADIUS)
    theta = list(offset)
    for name, size in KINDS[kind].parameters:
        value = np.broadcast_to(morphology.parameters[name].value, size)
        theta += list(eta if name == "ellipticity" else np.log(value) if name in KINDS[kind].logarithmic else value)
    return np.array(theta)


def pixels_of(kind: str) -> Any:
    """Return a lumpy picture where the kind has pixels."""
    if KINDS[kind].pixels is None:
        return None
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    smooth = np.exp(-0.5 * ((y - 1) ** 2 / 5.0 + (x + 2) ** 2 / 3.0)) + np.exp(-0.5 * (y**2 + x**2) / 9.0)
    return smooth - 0.4 if KINDS[kind].is_correction else smooth


def plainly(kind: str, theta: Any, pixels: Any, radius: Any) -> Any:
    one = jnp.ones((), jnp.asarray(theta).dtype)
    shape = one, 0.3 * one, radius, VARIANCE * one
    return picture_of(GroupLayout(kind, SIDE), jnp.asarray(theta), pixels, *shape, tables_of(kind, one.dtype))


def tables_of(kind: str, dtype: Any) -> GalaxyTables | None:
    if not KINDS[kind].has_tables:
        return None
    classes = learned_tables(np.dtype(dtype)) if KINDS[kind].is_learned else None
    decoder = packaged_decoder(np.dtype(dtype)) if KINDS[kind].is_decoded else None
    return jax.tree.map(jnp.asarray, GalaxyTables(classes, decoder))


@cache
def compiled(kind: str) -> Any:
    return jax.jit(partial(plainly, kind))


@cache
def derivative_of(kind: str) -> Any:
    return jax.jit(jax.jacfwd(partial(plainly, kind)))


def drawn(kind: str, theta: Any, pixels: Any = None, radius: int = RADIUS) -> Any:
    return compiled(kind)(theta, pixels, radius)


@every_kind
def test_every_morphology_has_a_kind_that_draws_all_of_its_parameters(kind: str) -> None:
    morphology = start_morphology(kind, 1.6, RADIUS)
    assert kind_of(morphology) is KINDS[kind]
    expected = {name for name, _ in KINDS[kind].parameters} | ({KINDS[kind].pixels} - {None})
    assert set(morphology.parameters) == expected
    assert len(theta_of(kind)) == KINDS[kind].n_theta == len(KINDS[kind].trust)
    assert set(KINDS) == set(MORPHOLOGIES)


@every_kind
def test_it_compiles_once_whatever_the_values(kind: str) -> None:
    pixels = pixels_of(kind)
    for theta, radius in ((theta_of(kind), RADIUS), (theta_of(kind, (0.0, 0.0), (0.0, 0.0)), 4)):
        picture = drawn(kind, theta.astype(np.float32), pixels, radius)
        assert picture.shape == (SIDE, SIDE) and picture.dtype == jnp.float32
        assert np.all(np.isfinite(picture)) and float(jnp.abs(picture).max()) > 0
    before = compiled(kind)._cache_size()
    drawn(kind, 1.1 * theta_of(kind).astype(np.float32), pixels, 6)
    assert compiled(kind)._cache_size() == before


@every_kind
def test_many_at_once_are_as_one_by_one(kind: str) -> None:
    pixels = pixels_of(kind)
    thetas = np.stack([theta_of(kind, (dy, 0.4), (0.1, dy)) for dy in (-1.2, 0.0, 0.7)])
    together = jax.vmap(lambda t: drawn(kind, t, pixels))(thetas)
    for theta, picture in zip(thetas, together, strict=True):
        np.testing.assert_allclose(picture, drawn(kind, theta, pixels), atol=1e-5 * float(picture.max()))


@every_kind
@pytest.mark.usefixtures("double")
def test_its_derivative_is_that_of_finite_differences(kind: str) -> None:
    theta, pixels = theta_of(kind), pixels_of(kind)
    derivative = derivative_of(kind)(theta, pixels, RADIUS)
    assert derivative.dtype == jnp.float64
    names = ["center", "center", *(name for name, size in KINDS[kind].parameters for _ in range(size))]
    for entry, name in enumerate(names):
        if name == "size_class":
            assert not np.any(derivative[..., entry]), "a number that is chosen has no derivative"
            continue
        step = np.zeros_like(theta)
        step[entry] = 1e-5
        measured = (drawn(kind, theta + step, pixels) - drawn(kind, theta - step, pixels)) / 2e-5
        largest = float(jnp.abs(derivative[..., entry]).max())
        assert largest > 0, "a parameter that changes nothing"
        np.testing.assert_allclose(derivative[..., entry], measured, atol=1e-5 * largest)


@every_kind
@pytest.mark.usefixtures("double")
def test_its_derivative_is_defined_where_it_is_round_and_centered(kind: str) -> None:
    derivative = derivative_of(kind)(theta_of(kind, (0.0, 0.0), (0.0, 0.0)), pixels_of(kind), RADIUS)
    assert np.all(np.isfinite(derivative))
    for axis in (0, 1):
        assert float(jnp.abs(derivative[..., axis]).max()) > 1e-4, "the center cannot be fitted"


@every_kind
def test_moved_by_whole_pixels_it_is_the_same_picture(kind: str) -> None:
    # pixels that correct a profile stay on the box's grid, so here they are not used
    pixels = None if KINDS[kind].pixels is None else np.zeros((SIDE, SIDE))
    if pixels is not None and not KINDS[kind].is_correction:
        pixels = pixels_of(kind)
    here = np.asarray(drawn(kind, theta_of(kind, (0.3, -0.2)), pixels))
    there = np.asarray(drawn(kind, theta_of(kind, (2.3, -3.2)), pixels))
    inner = slice(6, SIDE - 6)
    # a picture of sum 1 is the brighter the more of its wings the box cuts off
    tolerance = 5e-4 if KINDS[kind].is_learned else 2e-4
    np.testing.assert_allclose(
        np.roll(here, (2, -3), (0, 1))[inner, inner], there[inner, inner], atol=tolerance * here.max()
    )


@every_kind
def test_its_center_is_where_it_is_said_to_be(kind: str) -> None:
    pixels = None
    if KINDS[kind].pixels is not None:
        y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
        pixels = np.zeros((SIDE, SIDE)) if KINDS[kind].is_correction else np.exp(-0.5 * (y**2 + x**2) / 4.0)
    picture = np.asarray(drawn(kind, theta_of(kind, (0.37, -0.61), (0.0, 0.0)), pixels), np.float64)
    index = np.arange(SIDE) - SIDE // 2
    total = picture.sum()
    # wings that a box around another place cuts off pull at the mean; a network's galaxies have no symmetry, and those
    # that it learned of lay 0.12 pixels off
    tolerance = {"de-vaucouleurs": 0.03, "spline": 0.01, "vae": 0.12}.get(kind, 5e-3)
    assert picture.sum(axis=1) @ index / total == pytest.approx(0.37, abs=tolerance)
    assert picture.sum(axis=0) @ index / total == pytest.approx(-0.61, abs=tolerance)


@every_kind
@pytest.mark.parametrize("radius", [8, RADIUS])
def test_its_flux_is_one(kind: str, radius: int) -> None:
    picture = drawn(kind, theta_of(kind), pixels_of(kind), radius)
    # what has flux 1 by itself loses what is outside of its box, 2 % at most at five half-light radii, but the wings of
    # a bulge hold more
    tolerance = 1e-5 if not KINDS[kind].is_normalised else {"de-vaucouleurs": 0.005, "spline": 0.06}.get(kind, 0.02)
    expected = enclosed(4.0, 1.6, radius) if kind == "de-vaucouleurs" else 1.0
    assert float(jnp.sum(picture)) == pytest.approx(expected, abs=tolerance)


def enclosed(index: float, half_light_radius: float, radius: int) -> float:
    """Return the share of a Sérsic profile inside of a box, at the offset and ellipticity of `theta_of`.

    Seen from the center of a round profile, light ends at some distance in every direction: within r of it lies
    γ(2n, b r^(1/n)) of that direction's share (Ciotti 1991). An ellipse is a round one in other coordinates.
    """
    (off_y, off_x), (plus, cross) = (0.3, -0.2), (0.3, -0.2)
    angle = np.linspace(0.0, 2.0 * np.pi, 4000, endpoint=False)
    root = expm(0.5 * np.array([[plus, cross], [cross, -plus]]))
    x, y = root @ np.stack([np.cos(angle), np.sin(angle)])
    edges = radius + 0.5 - np.sign(x) * off_x, radius + 0.5 - np.sign(y) * off_y
    ends = np.minimum(edges[0] / np.abs(x), edges[1] / np.abs(y)) / half_light_radius
    scale = gammaincinv(2.0 * index, 0.5)
    return float(np.mean(gammainc(2.0 * index, scale * ends ** (1.0 / index))))


@every_kind
def test_nothing_is_drawn_outside_of_the_box_in_use(kind: str) -> None:
    picture = np.asarray(drawn(kind, theta_of(kind), pixels_of(kind), 6))
    outside = np.ones((SIDE, SIDE), bool)
    outside[RADIUS - 6 : RADIUS + 7, RADIUS - 6 : RADIUS + 7] = False
    assert np.all(picture[outside] == 0) and np.any(picture[~outside] > 0)


@pytest.mark.parametrize("kind", ["gaussian", "sersic", "galaxy"])
def test_ellipticity_is_an_axis_ratio_and_an_angle(kind: str) -> None:
    """exp(-|η|) and ½ atan2(η2, η1) from x, as the scene says; the PSF's variance is taken off the second moments."""
    size, angle = 0.7, np.radians(35.0)
    theta = theta_of(kind, (0.0, 0.0), (size * np.cos(2 * angle), size * np.sin(2 * angle)))
    if kind == "sersic":
        theta[2] = 0.5
    if kind == "galaxy":
        theta[2:8] = np.log([1e-9, 1.0, 1.0, 1e-9, 1e-9, 1e-9])
    pixels = None if kind != "galaxy" else np.zeros((SIDE, SIDE))
    picture = np.asarray(drawn(kind, theta, pixels), np.float64)
    y, x = np.mgrid[-RADIUS : RADIUS + 1, -RADIUS : RADIUS + 1]
    xx, yy, xy = ((picture * m).sum() / picture.sum() for m in (x * x - VARIANCE, y * y - VARIANCE, x * y))
    assert 0.5 * np.arctan2(2 * xy, xx - yy) == pytest.approx(angle, abs=0.01)
    half, split = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    assert np.sqrt((half - split) / (half + split)) == pytest.approx(np.exp(-size), rel=0.02)
