"""What operators make of one group's components: all that is asked of each, one operator after another.

One operator of every kind is compiled, whatever is asked; what is off is skipped by the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from deblend.constraints import PROXIMAL_OPERATORS, Appearance, Facts, plain_facts, total_variation
from deblend.program.arrays import Asked
from deblend.program.asked import NORMS, PIXEL_KINDS, SPECTRUM_KINDS
from deblend.render.starlet import scale_weights, starlets
from deblend.scene import ConstraintKind


def share_at(strength: Any, natural: Any, stiffness: Any) -> Any:
    """Return the share of the way to a set that a step of length 1/ρ goes.

    A share s stands for the penalty ½ c s/(1 - s) d² with d the distance to the set and c the curvature of the data,
    `natural`; so what it leads to does not depend on the `stiffness` ρ. A share of 1 is the set itself.
    """
    strength = jnp.clip(strength, 0.0, 1.0)
    pull = natural * strength
    return pull / jnp.maximum(pull + stiffness * (1.0 - strength), 1e-30)


def allowed_light(
    light: Float[Array, "side side"],
    spectrum: Float[Array, " channel"],
    amplitude: Float[Array, ""],
    center: Float[Array, "2"],
    asked: Asked,
    natural: Float[Array, ""],
    stiffness: Float[Array, ""],
) -> Float[Array, "side side"]:
    """Return the light of one slot as its constraints allow it [noise units].

    `spectrum` has length 1; `amplitude` is what all of the light adds up to; `center` is the offset (y, x) from the
    middle pixel [pix]; `natural` and `stiffness` are as in `share_at`. `asked` are those of one slot.
    """
    side, n_channels = light.shape[0], len(spectrum)
    facts = _facts(n_channels, side, light.dtype)._replace(center=center, pixel_bounds=amplitude * asked.pixel_bounds)

    def acting(place: int) -> Callable[[Any], Any]:
        kind, strength = PIXEL_KINDS[place], asked.strength[place]
        own = facts._replace(tolerance=asked.tolerance[place], weights=asked.weights[place])
        if kind in NORMS:
            effective = strength / jnp.maximum(stiffness, 1e-30)
        elif np.isfinite(kind.info.greatest_strength):
            effective = share_at(strength, natural, stiffness)
        else:
            effective = strength
        return _on_light(PROXIMAL_OPERATORS[kind], spectrum, own, effective)

    choices = [lambda picture: picture, *map(acting, range(len(PIXEL_KINDS)))]

    def act(step: Any, picture: Any) -> Any:
        place = asked.order[step]
        return lax.switch(jnp.where(asked.strength[place] > 0, place + 1, 0), choices, picture)

    result: Float[Array, "side side"] = lax.fori_loop(0, len(PIXEL_KINDS), act, light)
    return result


def allowed_flux(
    flux: Float[Array, " channel"], asked: Asked, natural: Float[Array, " channel"], stiffness: Float[Array, " channel"]
) -> Float[Array, " channel"]:
    """Return fluxes of one slot [noise units] as constraints on its spectrum allow it, nearest in the tether's metric.

    All channels have one ratio of `natural` to `stiffness`.
    """
    facts = _facts(len(flux), 3, flux.dtype)._replace(
        noise=1.0 / jnp.sqrt(jnp.maximum(stiffness, 1e-30)),
        reference=asked.reference,
        ratio_bounds=asked.ratio_bounds,
        ratios=asked.ratios,
    )
    nothing = jnp.zeros((3, 3), flux.dtype)
    for place, kind in enumerate(SPECTRUM_KINDS):
        share = share_at(asked.of_spectrum[place], jnp.sum(natural), jnp.sum(stiffness))
        flux = jnp.where(share > 0, PROXIMAL_OPERATORS[kind](Appearance(flux, nothing), facts, share).spectrum, flux)
    return flux


def norms(light: Float[Array, "side side"], strength: Float[Array, " kind"]) -> Float[Array, ""]:
    """Return what the norms that are asked of light [noise units] add to the loss."""
    weights = scale_weights(light.shape[0], light.dtype)
    structures = weights[:, None, None] * starlets(light, len(weights))[:-1]
    values = {
        ConstraintKind.TOTAL_VARIATION: total_variation(light),
        ConstraintKind.STARLET_SPARSITY: jnp.sum(jnp.abs(structures)),
        ConstraintKind.L1: jnp.sum(jnp.abs(light)),
    }
    return jnp.asarray(sum(strength[PIXEL_KINDS.index(kind)] * value for kind, value in values.items()))


def _facts(n_channels: int, side: int, dtype: Any) -> Facts:
    facts: Facts = jax.tree.map(jnp.asarray, plain_facts(n_channels, side, dtype))
    return facts


def _on_light(operator: Any, spectrum: Any, facts: Facts, strength: Any) -> Any:
    return lambda light: operator(Appearance(spectrum, light), facts, strength).pixels
