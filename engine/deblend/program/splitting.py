"""What a splitting adds to the sum of squares: tethers of light and fluxes to what constraints allow.

A constraint with a proximal operator is put onto a copy z of what it acts on, and the copy is tied to the thing itself
by an augmented Lagrangian (ADMM: Boyd et al. 2011, Foundations and Trends in Machine Learning 3, 1). Here that is the
light of a component in units of the noise, x = |f| S with f its fluxes and S its picture of sum 1, and f itself.
Between steps z ← prox(x + u) and u ← u + x - z; within a step the tether is one more residual, √ρ (x - z + u), as
smooth as the data. Light rather than S, because the sum of S is fixed: thresholds and norms of S alone would mean
nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from deblend.program.arrays import GroupParameters, Parameters, ProblemData, Tether
from deblend.program.pictures import Linearization, Pictures, light_of

TINY = 1e-20


class Pull(NamedTuple):
    """What a tether adds to Jᵀ r, or to Jᵀ J v."""

    light: Float[Array, "slot side side"] | None
    """On the picture."""
    flux: Float[Array, "slot channel"]


def amplitude_of(flux: Float[Array, "*stack channel"]) -> Float[Array, "*stack"]:
    """Return |f|, how bright a component is in units of the noise; smooth at 0."""
    return jnp.sqrt(jnp.sum(flux**2, axis=-1) + TINY)


def pulls(data: ProblemData, parameters: Parameters, lines: tuple[Linearization, ...]) -> tuple[Pull | None, ...]:
    """Return the gradients of the tethers of every group; None where there are none."""
    result: list[Pull | None] = []
    for d, p, line in zip(data.groups, parameters.groups, lines, strict=True):
        if d.tether is None:
            result.append(None)
            continue
        off, off_flux = _off(d.tether, p.flux, line.picture)
        result.append(_pull(d.tether, p, line, off, off_flux))
    return tuple(result)


def pull_products(
    data: ProblemData, parameters: Parameters, lines: tuple[Linearization, ...], v: Parameters, changes: Pictures
) -> tuple[Pull | None, ...]:
    """Return the products of the tethers' normal matrices with v, given how the pictures change with it."""
    result: list[Pull | None] = []
    for d, p, line, change, own in zip(data.groups, parameters.groups, lines, changes, v.groups, strict=True):
        if d.tether is None:
            result.append(None)
            continue
        moved = None
        if d.tether.light is not None:
            amplitude = amplitude_of(p.flux)
            brighter = jnp.sum(p.flux * own.flux, axis=1) / amplitude
            moved = amplitude[:, None, None] * change + brighter[:, None, None] * line.picture
        result.append(_pull(d.tether, p, line, moved, own.flux))
    return tuple(result)


def with_light(
    lights: tuple[Float[Array, "slot side side"] | None, ...], own: tuple[Pull | None, ...]
) -> tuple[Float[Array, "slot side side"] | None, ...]:
    """Return what acts on pictures together with the light of tethers."""
    result = []
    for light, pull in zip(lights, own, strict=True):
        added = None if pull is None else pull.light
        result.append(light if added is None else added if light is None else light + added)
    return tuple(result)


def with_flux(gradient: Parameters, own: tuple[Pull | None, ...]) -> Parameters:
    """Return a gradient, or a product, with what tethers add to the fluxes."""
    groups = tuple(
        g if pull is None else g._replace(flux=g.flux + pull.flux) for g, pull in zip(gradient.groups, own, strict=True)
    )
    return gradient._replace(groups=groups)


def tether_energy(
    tether: Tether, flux: Float[Array, "slot channel"], pictures: Float[Array, "slot side side"]
) -> Float[Array, " slot"]:
    """Return ½ ρ |x - z + u|² of every slot."""
    off, off_flux = _off(tether, flux, pictures)
    energy = 0.5 * jnp.sum(tether.flux_stiffness * off_flux**2, axis=1)
    if off is not None:
        energy += 0.5 * tether.stiffness * light_of(off**2)
    return energy


def _off(tether: Tether, flux: Any, pictures: Any) -> tuple[Any, Any]:
    """Return x - z + u, of light and of fluxes."""
    off = None
    if tether.light is not None:
        off = amplitude_of(flux)[:, None, None] * pictures - tether.light + tether.multiplier
    return off, flux - tether.flux + tether.flux_multiplier


def _pull(tether: Tether, p: GroupParameters, line: Linearization, off: Any, off_flux: Any) -> Pull:
    """Return ρ times the transpose of how light and fluxes change, applied to `off`."""
    flux = tether.flux_stiffness * off_flux
    if off is None:
        return Pull(None, flux)
    amplitude = amplitude_of(p.flux)
    along = tether.stiffness / amplitude * light_of(off * line.picture)
    light = (tether.stiffness * amplitude)[:, None, None] * off
    return Pull(light, flux + along[:, None] * p.flux)
