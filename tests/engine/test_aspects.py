"""What a channel sees other than the others: aspects of a picture, and gradients of color."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from deblend import Parameter, Status, make_source
from deblend.program.aspects import aspects, aspects_adjoint, aspects_change, outward, per_channel

SIDE = 21


@pytest.fixture
def picture() -> Any:
    y, x = np.mgrid[-10:11, -10:11]
    light = np.exp(-0.5 * (x**2 + 1.5 * y**2 + 0.4 * x * y) / 5.0)
    return jnp.asarray(light / light.sum(), jnp.float32)


@pytest.fixture
def out() -> Any:
    return outward(SIDE, jnp.float32(1.0))


def test_no_aspect_changes_the_flux_and_a_tilt_moves_light_outward(picture: Any, out: Any) -> None:
    seen = per_channel(picture, jnp.array([[0.0, 0.0, 0.0], [0.1, -0.05, 0.3]], jnp.float32), out)
    np.testing.assert_allclose(np.asarray(seen).sum(axis=(1, 2)), 1.0, atol=1e-6)
    y, x = np.mgrid[-10:11, -10:11]
    size = [float((np.asarray(light) * (x**2 + y**2)).sum()) for light in per_channel(picture, TILTS, out)]
    assert size[0] < size[1] < size[2]
    # about a power of the radius: ln of the ratio is linear in ln r, with the slope that was asked for
    ratio = np.log(np.asarray(per_channel(picture, TILTS, out)[2]) / np.asarray(picture))
    slope = np.polyfit(np.asarray(out).ravel(), ratio.ravel(), 1)[0]
    assert slope == pytest.approx(0.1, abs=0.01)


TILTS = np.array([[0.0, 0.0, -0.1], [0.0, 0.0, 0.0], [0.0, 0.0, 0.1]], np.float32)


def test_a_change_of_the_picture_changes_its_aspects(picture: Any, out: Any) -> None:
    rng = np.random.default_rng(0)
    change = jnp.asarray(rng.normal(size=(SIDE, SIDE)), jnp.float32)
    _, expected = jax.jvp(lambda p: aspects(p, out), (picture,), (change,))
    np.testing.assert_allclose(aspects_change(picture, change, out), expected, atol=1e-4)
    lights = jnp.asarray(rng.normal(size=(3, SIDE, SIDE)), jnp.float32)
    across = float(jnp.vdot(lights, aspects_change(picture, change, out)))
    assert float(jnp.vdot(aspects_adjoint(picture, lights, out), change)) == pytest.approx(across, rel=1e-4)


def with_gradients(source: Any, gradients: Any) -> Any:
    """Return a galaxy whose channels fall off differently."""
    component = replace(source.components[0], color_gradients=Parameter(np.asarray(gradients, float)))
    return replace(source, components=(component,))


def test_a_gradient_of_a_bright_galaxy_is_found_and_its_fluxes_are_right(systems: Any) -> None:
    """Channels of signal to noise over 300; their difference is what data see, its prior of 0.1 pulls it a little."""
    truth = systems.scene(("galaxy", 24.0, 24.0, (20000.0, 30000.0), {"half_light_radius": 3.0}))
    bluer = truth.with_sources([with_gradients(truth.sources[0], [0.08, -0.08])])
    found = systems.fit(truth, [systems.observe(bluer, 1)], tolerance=1e-3).run().scene.sources[0]
    between = found.components[0].color_gradients.value
    assert between[0] - between[1] == pytest.approx(0.16, abs=0.03)
    np.testing.assert_allclose(found.flux, truth.sources[0].flux, rtol=0.01)


def test_gradients_go_through_the_program_and_back_and_are_held_where_they_are_locked(systems: Any) -> None:
    source = with_gradients(make_source("galaxy", 20.0, 21.0, n_channels=2, flux=(500.0, 600.0)), [0.1, -0.2])
    program = systems.program([systems.blank()], systems.empty().add(source))
    back = program.snapshot()(program.parameters).sources[0].components[0]
    np.testing.assert_allclose(back.color_gradients.value, [0.1, -0.2], atol=1e-7)
    locked = source.with_status(Status.LOCKED)
    assert locked.components[0].color_gradients.status is Status.LOCKED
    star = make_source("point", 20.0, 21.0, n_channels=2, flux=(500.0, 600.0))
    held = systems.program([systems.blank()], systems.empty().add(locked, star)).data.groups
    assert not any(np.any(group.aspect_free[..., 2]) for group in held)
