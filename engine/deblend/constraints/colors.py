"""Colors: spectra whose ratios of fluxes are known, exactly or within bounds."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from deblend.constraints.strength import leaned


def ratios_of_colors(colors: Float[Array, " band"]) -> Float[Array, " band"]:
    """Return flux ratios A_c / A_r for colors m_c − m_r [mag]: 10^(−0.4 (m_c − m_r)). Infinite colors give 0 and ∞."""
    return 10.0 ** (-0.4 * colors)


def within_colors(
    spectrum: Float[Array, " band"],
    reference: Int[Array, ""],
    lower: Float[Array, " band"],
    upper: Float[Array, " band"],
    weights: Float[Array, " band"],
    strength: Float[Array, ""],
) -> Float[Array, " band"]:
    """Return argmin_a Σ_c w_c (a_c − A_c)² among all a with l_c a_r ≤ a_c ≤ u_c a_r and a_r ≥ 0.

    Bounds are ratios of flux to that of the `reference` band r, from 0 to ∞ (its own are of no account); weights are
    inverse variances of the fluxes, or ones. The set is a convex cone, and the projection is exact: given a_r the
    others are cut to their intervals, and what is left is a convex function of a_r, whose derivative is made of
    straight pieces, so that its root is found from their corners (as for the simplex: Held, Wolfe & Crowder 1974,
    Math. Programming 6, 62). A strength below 1 goes that share of the way.
    """
    is_reference = jnp.arange(len(spectrum)) == reference
    lower = jnp.where(is_reference, 1.0, jnp.maximum(lower, 0.0))
    upper = jnp.where(is_reference, 1.0, jnp.maximum(upper, lower))
    has_upper = jnp.isfinite(upper)
    upper = jnp.where(has_upper, upper, 0.0)

    def is_cut(a: Float[Array, ""]) -> tuple[Float[Array, " band"], Float[Array, " band"]]:
        return lower * a > spectrum, has_upper & (spectrum > upper * a)

    def slope(a: Float[Array, ""]) -> Float[Array, ""]:
        raised, lowered = is_cut(a)
        rises = jnp.where(raised, weights * lower * (lower * a - spectrum), 0.0)
        falls = jnp.where(lowered, weights * upper * (upper * a - spectrum), 0.0)
        return jnp.sum(rises + falls)

    corners = jnp.concatenate([_ratio(spectrum, lower), _ratio(spectrum, upper), jnp.zeros_like(spectrum[:1])])
    slopes = jnp.stack([slope(corner) for corner in corners])
    before = jnp.max(jnp.where(slopes <= 0, corners, 0.0))
    after = jnp.min(jnp.where(slopes >= 0, corners, jnp.inf))
    # which bounds are met does not change between two corners
    raised, lowered = is_cut(jnp.where(jnp.isfinite(after), 0.5 * (before + after), before + 1.0))
    pulls = jnp.where(raised, weights * lower, 0.0) + jnp.where(lowered, weights * upper, 0.0)
    stiffness = jnp.where(raised, weights * lower**2, 0.0) + jnp.where(lowered, weights * upper**2, 0.0)
    root = jnp.sum(pulls * spectrum) / jnp.where(jnp.sum(stiffness) > 0, jnp.sum(stiffness), 1.0)
    base = jnp.clip(root, before, after)
    bounded = jnp.minimum(jnp.maximum(spectrum, lower * base), jnp.where(has_upper, upper * base, jnp.inf))
    return leaned(spectrum, bounded, strength)


def of_band_ratios(
    spectrum: Float[Array, " band"],
    ratios: Float[Array, " band"],
    weights: Float[Array, " band"],
    strength: Float[Array, ""],
) -> Float[Array, " band"]:
    """Return argmin_a Σ_c w_c (a_c − A_c)² among all a = t ρ with t ≥ 0: t = max(0, Σ w ρ A / Σ w ρ²).

    `ratios` are ρ, of any scale; weights are inverse variances of the fluxes, or ones. The projection onto a ray, which
    is a measurement of flux with a known spectrum. A strength below 1 goes that share of the way. (Parikh & Boyd 2014,
    section 6.2.)
    """
    stiffness = jnp.sum(weights * ratios**2)
    amplitude = jnp.sum(weights * ratios * spectrum) / jnp.where(stiffness > 0, stiffness, 1.0)
    return leaned(spectrum, jnp.maximum(amplitude, 0.0) * ratios, strength)


def _ratio(spectrum: Float[Array, " band"], bounds: Float[Array, " band"]) -> Float[Array, " band"]:
    """Return where a bound starts to be met; 0 where there is none."""
    return jnp.where(bounds > 0, jnp.maximum(spectrum, 0.0) / jnp.where(bounds > 0, bounds, 1.0), 0.0)
