"""The compiled part of NUTS: draws of one chain, a few at a time.

Trajectories are integrated as the flow of a unit Gaussian, which is a rotation and exact, between kicks by what the
posterior has besides it (a splitting; Shahbaba et al. 2014). In whitened coordinates little is left for the kicks, so
that a step may be a quarter turn and more, whatever the number of dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from deblend.infer.chart import Chart, Charted, numbers_of, with_numbers, within
from deblend.infer.posterior import Anchor, energy_at
from deblend.program.arrays import ProblemData
from deblend.program.compiled import compiled, register

# blackjax computes as it is imported, which starts JAX's threads: before anybody could have them give way
if TYPE_CHECKING:
    from blackjax.mcmc.integrators import IntegratorState

MOST_DOUBLINGS = 8
"""Of a trajectory: 255 steps."""
MOST_AT_ONCE = 32
"""Draws in one call."""


class Place(NamedTuple):
    """Where a chain stands."""

    position: Float[Any, " coordinate"]
    log_density: Float[Any, ""]
    slope: Float[Any, " coordinate"]


class Stretch(NamedTuple):
    """A piece of a chain; what is beyond the draws that were asked for is 0."""

    place: Place
    """Behind the last draw."""
    positions: Float[Array, "draw coordinate"]
    acceptance: Float[Array, " draw"]
    """Mean probability of acceptance along each trajectory."""
    diverged: Int[Array, " draw"]
    steps: Int[Array, " draw"]
    """Gradients that each draw took."""


def log_density_of(
    charted: Charted, data: ProblemData, anchor: Anchor, chart: Chart
) -> Callable[[Float[Array, " coordinate"]], Float[Array, ""]]:
    """Return ln of the density of coordinates, but for a constant."""
    layout = charted.layout

    @jax.custom_vjp
    def energy(x: Float[Array, " number"]) -> Float[Array, ""]:
        return forward(x)[0]

    def forward(x: Float[Array, " number"]) -> tuple[Any, Any]:
        everything = jnp.append(numbers_of(anchor.parameters, jnp), 0.0).at[chart.place].set(x)
        value, gradient = energy_at(layout, data, with_numbers(anchor.parameters, everything[:-1]), anchor)
        return value, jnp.append(numbers_of(gradient, jnp), 0.0)[chart.place]

    energy.defvjp(forward, lambda slope, change: (change * slope,))
    used = jnp.any(chart.matrix != 0, axis=0)

    def log_density(z: Float[Array, " coordinate"]) -> Float[Array, ""]:
        x, log_slope = within(chart, chart.origin + chart.matrix @ z, jnp)
        # coordinates of no meaning are a unit Gaussian
        idle = 0.5 * jnp.sum(jnp.where(used, 0.0, z) ** 2)
        return -energy(x) + jnp.sum(chart.share * log_slope) - idle

    return log_density


def rotating(
    log_density: Callable[..., Any], kinetic_energy: Callable[..., Any]
) -> Callable[[IntegratorState, Any], IntegratorState]:
    """Return the integrator: half a kick by what is not the unit Gaussian's, a rotation, half a kick."""
    from blackjax.mcmc.integrators import IntegratorState

    value_and_slope = jax.value_and_grad(log_density)

    def advance(state: IntegratorState, angle: Any) -> IntegratorState:
        z, p, _, slope = state
        p = p + 0.5 * angle * (slope + z)
        cosine, sine = jnp.cos(angle), jnp.sin(angle)
        z, p = cosine * z + sine * p, cosine * p - sine * z
        value, slope = value_and_slope(z)
        return IntegratorState(z, p + 0.5 * angle * (slope + z), value, slope)

    return advance


def stretch(
    charted: Charted,
    data: ProblemData,
    anchor: Anchor,
    chart: Chart,
    place: Place,
    key: Int[Array, " 2"],
    first: Any,
    count: Any,
    angle: Any,
) -> Stretch:
    """Return the next `count` draws of a chain, of which the first has the number `first`."""
    from blackjax.mcmc.hmc import HMCState
    from blackjax.mcmc.nuts import build_kernel

    log_density = log_density_of(charted, data, anchor, chart)
    kernel = build_kernel(rotating)
    mass = jnp.ones_like(place.position)

    def body(number: Any, so_far: Stretch) -> Stretch:
        at = HMCState(*so_far.place)
        own = jax.random.fold_in(key, first + number)
        new, info = kernel(own, at, log_density, angle, mass, MOST_DOUBLINGS)
        return Stretch(
            Place(new.position, new.logdensity, new.logdensity_grad),
            so_far.positions.at[number].set(new.position),
            so_far.acceptance.at[number].set(info.acceptance_rate),
            so_far.diverged.at[number].set(info.is_divergent.astype(jnp.int32)),
            so_far.steps.at[number].set(jnp.asarray(info.num_integration_steps, jnp.int32)),
        )

    n = MOST_AT_ONCE
    dtype = place.position.dtype
    counts = jnp.zeros(n, jnp.int32)
    start = Stretch(place, jnp.zeros((n, place.position.shape[0]), dtype), jnp.zeros(n, dtype), counts, counts)
    result: Stretch = lax.fori_loop(0, count, body, start)
    return result


register(Chart, Place, Stretch)
compiled_stretch = compiled(stretch)
