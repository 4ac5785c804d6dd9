"""Constraints without a derivative, in second-order steps: a splitting (ADMM), with nothing to set.

Every step of a solver sees tethers (`program.splitting`) as residuals. Between steps `updated` puts the operators onto
what the components have become, and makes the tethers new. How stiff they are starts at the data's own curvature, so
that neither outweighs the other, and rises where more is missing than still moves (residual balancing in relative
terms: Wohlberg 2017, arXiv:1704.06209; it only rises, since a step of the solver does not end at its minimum). For sets
that are not convex this is a heuristic; tethers that become ever stiffer end it where they are met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from deblend.infer.operators import allowed_flux, allowed_light, norms
from deblend.infer.preconditioner import local_energies, local_weights
from deblend.program import Program
from deblend.program.arrays import Asked, Parameters, ProblemData, Tether
from deblend.program.compiled import compiled, register
from deblend.program.layout import GroupLayout, Layout
from deblend.program.pictures import group_pictures, light_of, over_slots, reach_mask
from deblend.program.splitting import amplitude_of, tether_energy
from deblend.render import KINDS

FIRST_STIFFNESS = 1.0
"""In units of the data's curvature."""
STIFFEST = 1e4
"""In that unit; so that a residual can still be told from rounding."""
IMBALANCE, ADAPTED = 1.5, 2.0
"""Of the relative primal and dual residuals, from where on tethers become stiffer, and by how much."""
SETTLING, GROWTH = 15, 1.25
"""Steps after which tethers of components that do not meet their constraints become stiffer with every step."""
CLOSE, CLOSE_IN_LIGHT = 0.3, 2e-3
"""A component meets its constraints when its light is no further from what they allow than that many times the noise,
as the data see it, or than this fraction of its light."""


class Sight(NamedTuple):
    """What the components of a group look like, and how well data hold them."""

    pictures: Float[Array, "slot side side"]
    """Per unit flux."""
    energy: Float[Array, "slot channel"]
    """Curvature of ½ χ² for a pixel of light."""
    depth: Float[Array, "slot channel"]
    """Curvature of ½ χ² for a flux."""


class Reach(NamedTuple):
    """How far light of the components of a group is free."""

    radius: Int[Array, " slot"]
    """Of the box [pix]."""
    pixels: Int[Array, " slot"]
    """Of the box of free pixels [pix]."""
    support: UInt8[Array, "slot side side"] | None


class Report(NamedTuple):
    """What tethers are like at one point."""

    distance: Float[Array, ""]
    """How far light and fluxes are from what is allowed, relative to what counts as close; the largest of a group."""
    before: Float[Array, ""]
    """½ ρ |x - z + u|² of the tethers that held until now."""
    after: Float[Array, ""]
    """The same of the new ones."""
    norms: Float[Array, ""]
    """What norms add to the loss."""


@dataclass(frozen=True, eq=False)
class Split:
    """Where a splitting stands; NumPy and JAX arrays, so that it can be kept and resumed."""

    tethers: tuple[Tether | None, ...]
    members: tuple[tuple[tuple[str, int], ...], ...]
    """Id of the source and index of the component in every slot."""
    merit: float
    """The loss with the tethers, which a step lowers."""
    distance: float
    """1 where all constraints are just met closely enough."""
    age: int
    """Steps since the tethers were first made."""

    @property
    def is_met(self) -> bool:
        """Whether constraints are met."""
        return self.distance <= 1.0


def sights(layout: Layout, data: ProblemData, parameters: Parameters) -> tuple[Sight | None, ...]:
    """Return what the components of every group look like; None where nothing is asked of the group."""
    around = local_weights(data)
    result: list[Sight | None] = []
    for group, d, p, weights, energy in zip(
        layout.groups, data.groups, parameters.groups, around, local_energies(data, around), strict=True
    ):
        if d.asked is None:
            result.append(None)
            continue
        pictures = group_pictures(group, d, p, data.psf_variance, data.learned)
        # |K * S|² of two Gaussians: areas add up, and these are the inverses of areas
        spread = 1.0 / jnp.maximum(light_of(pictures**2), 1e-12)
        depth = weights / (weights / energy + spread[:, None])
        result.append(Sight(pictures, energy, depth))
    return tuple(result)


def split_group(
    group: GroupLayout,
    asked: Asked,
    tether: Tether,
    flux: Float[Array, "slot channel"],
    theta: Float[Array, "slot theta"],
    reach: Reach,
    count: Any,
    sight: Sight,
    growth: Any,
) -> tuple[Tether, Report]:
    """Return the tethers of a group for the next step. `reach` is how far light is free."""
    used = (jnp.arange(group.capacity) < count).astype(flux.dtype)
    before = tether_energy(tether, flux, sight.pictures)
    fluxes, off = _split_flux(asked, tether, flux, sight)
    new = tether._replace(**fluxes)
    loss = jnp.zeros_like(used)
    if KINDS[group.kind].pixels:
        pictures, off_light, loss = _split_light(group, asked, tether, flux, theta, reach, count, sight, growth)
        new, off = new._replace(**pictures), jnp.maximum(off, off_light)
    after = tether_energy(new, flux, sight.pictures)
    totals = (jnp.sum(used * part) for part in (before, after, loss))
    return new, Report(jnp.max(used * off), *totals)


def _split_flux(asked: Asked, tether: Tether, flux: Any, sight: Sight) -> tuple[dict[str, Any], Any]:
    """Return new tethers of fluxes, and how far off these are."""
    is_asked = jnp.any(asked.of_spectrum > 0, axis=1)
    is_new = jnp.all(tether.flux_stiffness == 0, axis=1)
    # in the metric of the data constraints leave nothing to be balanced
    stiffness = jnp.where(is_new[:, None], jnp.maximum(sight.depth, 1e-12), tether.flux_stiffness)
    reached = flux + tether.flux_multiplier
    allowed = jax.vmap(allowed_flux)(reached, asked, jnp.maximum(sight.depth, 1e-12), stiffness)
    multiplier = jnp.where(is_new[:, None], 0.0, reached - allowed)

    noise, whole = (jnp.sqrt(jnp.sum(sight.depth * f**2, axis=1)) for f in (flux - allowed, flux))
    off = jnp.where(is_asked, noise / (CLOSE + CLOSE_IN_LIGHT * whole), 0.0)
    on = is_asked[:, None]
    fields = {
        "flux": jnp.where(on, allowed, flux),
        "flux_multiplier": jnp.where(on, multiplier, 0.0),
        "flux_stiffness": jnp.where(on, stiffness, 0.0),
    }
    return fields, off


def _split_light(
    group: GroupLayout,
    asked: Asked,
    tether: Tether,
    flux: Any,
    theta: Any,
    reach: Reach,
    count: Any,
    sight: Sight,
    growth: Any,
) -> tuple[dict[str, Any], Any, Any]:
    """Return new tethers of light, how far off it is, and the loss of norms."""
    amplitudes = amplitude_of(flux)

    def one(slot: Any, carry: Any) -> Any:
        own = jax.tree.map(lambda part: part[slot], asked)
        amplitude = amplitudes[slot]
        spectrum = flux[slot] / amplitude
        natural = jnp.maximum(jnp.sum(spectrum**2 * sight.energy[slot]), 1e-6)
        light = amplitude * sight.pictures[slot]
        old, pushed, stiffness = tether.light[slot], tether.multiplier[slot], tether.stiffness[slot]  # type: ignore[index]
        is_asked, is_new = jnp.any(own.strength > 0), stiffness == 0
        stiffness = jnp.where(is_new, FIRST_STIFFNESS * natural, stiffness)
        reached = light + pushed
        far = jax.tree.map(lambda part: part[slot], reach)
        mask = reach_mask(group.side, far.radius, far.pixels, far.support, light.dtype)
        allowed = allowed_light(reached, spectrum, amplitude, theta[slot, :2], own, natural, stiffness)
        # where pixels are not free nothing can follow
        allowed = jnp.where((mask > 0) & is_asked, allowed, reached)
        multiplier = jnp.where(is_new | ~is_asked, 0.0, reached - allowed)
        missing, moved, held = (_length(x) for x in (light - allowed, allowed - old, multiplier))
        primal = missing / jnp.maximum(_length(light), 1e-12)
        dual = jnp.where(is_new, primal, moved / jnp.maximum(held, 1e-12))
        factor = jnp.where(primal > IMBALANCE * dual, ADAPTED, 1.0)
        unit = jnp.sqrt(natural) / (CLOSE + CLOSE_IN_LIGHT * jnp.sqrt(natural) * _length(light))
        factor = jnp.where(unit * missing > 1.0, jnp.maximum(factor, growth), factor)
        stiffer = jnp.minimum(stiffness * factor, jnp.maximum(STIFFEST * natural, stiffness))
        new = (
            allowed,
            multiplier * stiffness / stiffer,
            jnp.where(is_asked, stiffer, 0.0),
            jnp.where(is_asked, unit * missing, 0.0),
            norms(light, own.strength),
        )
        return jax.tree.map(lambda stack, value: stack.at[slot].set(value), carry, new)

    zeros = jnp.zeros_like(amplitudes)
    start = (jnp.zeros_like(sight.pictures), jnp.zeros_like(sight.pictures), zeros, zeros, zeros)
    light, multiplier, stiffness, off, loss = over_slots(count, one, start)
    return {"light": light, "multiplier": multiplier, "stiffness": stiffness}, off, loss


def _length(picture: Float[Array, "side side"]) -> Float[Array, ""]:
    return jnp.sqrt(jnp.sum(picture**2))


register(Sight, Report, Reach)
compiled_sights = compiled(sights)
compiled_split = compiled(split_group)


def tethered(data: ProblemData, split: Split | None) -> ProblemData:
    """Return the data with the tethers of a splitting."""
    if split is None:
        return data
    groups = (d._replace(tether=t) for d, t in zip(data.groups, split.tethers, strict=True))
    return data._replace(groups=tuple(groups))


def started(program: Program, data: ProblemData, parameters: Parameters, loss: float, last: Split | None) -> Any:
    """Return the loss without tethers and a splitting at `parameters`, where something is asked of the layout.

    `loss` is that with the program's own tethers, which hold nothing. Components that were held by the `last` one
    are held as they were.
    """
    if not any(group.is_split for group in program.layout.groups):
        return loss, None
    members = tuple(tuple((s.id, k) for s, k in group) for group in program.members)
    tethers = tuple(
        None if d.tether is None else _carried(d.tether, own, last) for d, own in zip(data.groups, members, strict=True)
    )
    nothing = Split(tethers, members, loss, np.inf, 0)
    return updated(program, tethered(data, nothing), parameters, loss, nothing, before=0.0)


def updated(
    program: Program, data: ProblemData, parameters: Parameters, merit: float, split: Split, before: float | None = None
) -> tuple[float, Split]:
    """Return the loss without tethers, and the splitting for the next step.

    `merit` is the loss with the tethers of `split`, which are in the data; `before` is what they add to it, where that
    is known.
    """
    layout = program.layout
    seen = compiled_sights(layout, data, parameters)
    growth = np.asarray(GROWTH if split.age > SETTLING else 1.0, program.dtype)
    tethers: list[Tether | None] = []
    reports: list[Report] = []
    for group, d, p, sight in zip(layout.groups, data.groups, parameters.groups, seen, strict=True):
        if sight is None or d.asked is None:
            tethers.append(None)
            continue
        reach = Reach(d.radius, d.pixel_radius, d.support)
        tether, report = compiled_split(group, d.asked, d.tether, p.flux, p.theta, reach, d.count, sight, growth)
        tethers.append(tether)
        reports.append(report)
    distance = max((float(r.distance) for r in reports), default=0.0)
    held, after, loss = (sum(float(r[k]) for r in reports) for k in (1, 2, 3))
    base = merit - (held if before is None else before)
    return base + loss, Split(tuple(tethers), split.members, base + after, distance, split.age + 1)


def _carried(tether: Tether, members: tuple[tuple[str, int], ...], last: Split | None) -> Tether:
    """Return tethers with those of components that were held before."""
    if last is None:
        return tether
    known = {key: (g, slot) for g, keys in enumerate(last.members) for slot, key in enumerate(keys)}
    result: Tether = jax.tree.map(np.array, tether)
    for slot, key in enumerate(members):
        group, place = known.get(key, (0, 0))
        old = last.tethers[group] if key in known else None
        if old is None or (old.light is None) is not (result.light is None):
            continue
        if old.light is not None and result.light is not None and old.light.shape[1:] != result.light.shape[1:]:
            continue
        for mine, theirs in zip(result, old, strict=True):
            if mine is not None:
                mine[slot] = np.asarray(theirs)[place]
    return result
