"""All constraints by their kind, each as one function of one component.

A proximal operator takes a component and gives another one; a residual gives pixels for the sum of squares. Both get
their `strength` and the `Facts` they may need as arrays, so that nothing that an edit changes is a Python value; both
are written for one component and are mapped over slots. A solver that takes steps of its own length multiplies
strengths that are thresholds (those without an upper limit) by that length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from deblend.constraints.bounds import bounded, bright_at_center, positive
from deblend.constraints.colors import of_band_ratios, within_colors
from deblend.constraints.flood import connected, monotonic_part
from deblend.constraints.inward import inward_weights_about
from deblend.constraints.monotonicity import cut_outward, monotonicity_residual, nearest_monotonic
from deblend.constraints.normalization import normalized
from deblend.constraints.sparsity import hard_threshold, soft_threshold, sparse_in_starlets
from deblend.constraints.stealing import likeness, sharing_residual
from deblend.constraints.symmetry import symmetric, symmetric_minimum, symmetry_residual
from deblend.constraints.threshold import without_detached_values, without_faint
from deblend.constraints.total_variation import smooth_in_patches
from deblend.render.starlet import scale_weights
from deblend.scene import INWARD_WEIGHTS, NORMALIZATIONS, ConstraintKind


class Appearance(NamedTuple):
    """What a proximal operator changes."""

    spectrum: Float[Array, " band"]
    pixels: Float[Array, "side side"]


class Facts(NamedTuple):
    """What an operator may ask about its component; all of it is data."""

    center: Float[Array, "2"]
    """Offset (y, x) from the middle pixel [pix]."""
    noise: Float[Array, " band"]
    """Standard deviation of a pixel in each band, in the unit of spectrum ⊗ pixels."""
    pixel_bounds: Float[Array, "2"]
    flux_bounds: Float[Array, "2 band"]
    weights: Int[Array, ""]
    """A place in `INWARD_WEIGHTS`."""
    tolerance: Float[Array, ""]
    """A fraction for `MONOTONIC` and `MONOTONIC_CUT`, in units of the noise for `MONOTONIC_MASK`."""
    normalization: Int[Array, ""]
    """A place in `NORMALIZATIONS`."""
    reference: Int[Array, ""]
    """The band that ratios are relative to."""
    ratio_bounds: Float[Array, "2 band"]
    ratios: Float[Array, " band"]
    lagged: Float[Array, "side side"]
    """The pixels that a residual's tolerance comes from [noise units]."""
    neighbor: Appearance
    """Another component on the same pixels; in residuals its pixels are in units of the noise."""


class ProximalOperator(Protocol):
    """Returns a component that meets a constraint, or nearer to that; for a strength of 0 the one that was given."""

    def __call__(self, appearance: Appearance, facts: Facts, strength: Float[Array, ""]) -> Appearance: ...


class Residual(Protocol):
    """Returns what a component's pixels [noise units] add to the residuals; 0 for a strength of 0."""

    def __call__(
        self, appearance: Appearance, facts: Facts, strength: Float[Array, ""]
    ) -> Float[Array, "side side"]: ...


def plain_facts(n_bands: int, side: int, dtype: np.dtype | type = np.float32) -> Facts:
    """Return facts of a centered component without bounds, in noise of 1 and next to a dark one, as NumPy arrays."""
    ones, zeros = np.ones(n_bands, dtype), np.zeros((side, side), dtype)
    dark: Any = (ones, zeros)
    fields: dict[str, Any] = {
        "center": np.zeros(2, dtype),
        "noise": ones,
        "pixel_bounds": np.array([-np.inf, np.inf], dtype),
        "flux_bounds": np.stack([-np.inf * ones, np.inf * ones]).astype(dtype),
        "weights": np.asarray(INWARD_WEIGHTS.index("angle"), np.int32),
        "tolerance": np.zeros((), dtype),
        "normalization": np.asarray(NORMALIZATIONS.index("sum"), np.int32),
        "reference": np.zeros((), np.int32),
        "ratio_bounds": np.stack([0.0 * ones, np.inf * ones]).astype(dtype),
        "ratios": ones,
        "lagged": zeros,
        "neighbor": Appearance(*dark),
    }
    return Facts(**fields)


def pixel_noise(spectrum: Float[Array, " band"], noise: Float[Array, " band"]) -> Float[Array, ""]:
    """Return the standard deviation of a pixel of S from all bands, 1 / √(Σ_c A_c² / σ_c²); 0 for no spectrum."""
    depth = jnp.sum((spectrum / noise) ** 2)
    return jnp.where(depth > 0, 1.0 / jnp.sqrt(jnp.where(depth > 0, depth, 1.0)), 0.0)


PixelOperator = Callable[[Float[Array, "side side"], Facts, Float[Array, ""]], Float[Array, "side side"]]


def _of_pixels(operator: PixelOperator) -> ProximalOperator:
    """Return an operator on pixels as one on a component."""
    return lambda appearance, facts, strength: appearance._replace(pixels=operator(appearance.pixels, facts, strength))


def _in_noise(operator: Callable[..., Float[Array, "side side"]]) -> ProximalOperator:
    """Return an operator on pixels, whose strength is in their unit, as one with a strength in units of the noise."""

    def act(appearance: Appearance, facts: Facts, strength: Float[Array, ""]) -> Appearance:
        threshold = strength * pixel_noise(appearance.spectrum, facts.noise)
        return appearance._replace(pixels=operator(appearance.pixels, threshold))

    return act


def _inward(pixels: Float[Array, "side side"], facts: Facts) -> Float[Array, "8 side side"]:
    return inward_weights_about(pixels.shape[0], facts.center, facts.weights).astype(pixels.dtype)


def _bounds(appearance: Appearance, facts: Facts, strength: Float[Array, ""]) -> Appearance:
    lower, upper = (jnp.broadcast_to(bound, appearance.pixels.shape) for bound in facts.pixel_bounds)
    return Appearance(
        bounded(appearance.spectrum, facts.flux_bounds[0], facts.flux_bounds[1], strength),
        bounded(appearance.pixels, lower, upper, strength),
    )


def _normalization(appearance: Appearance, facts: Facts, strength: Float[Array, ""]) -> Appearance:
    return Appearance(*normalized(*appearance, facts.normalization, strength))


def _monotonic_mask(appearance: Appearance, facts: Facts, strength: Float[Array, ""]) -> Appearance:
    tolerance = facts.tolerance * pixel_noise(appearance.spectrum, facts.noise)
    return appearance._replace(pixels=monotonic_part(appearance.pixels, facts.center, tolerance, strength))


def _noise_threshold(appearance: Appearance, facts: Facts, strength: Float[Array, ""]) -> Appearance:
    return appearance._replace(pixels=without_faint(appearance.pixels, appearance.spectrum, facts.noise, strength))


def _starlet_sparsity(pixels: Float[Array, "side side"], threshold: Float[Array, ""]) -> Float[Array, "side side"]:
    return sparse_in_starlets(pixels, threshold * scale_weights(pixels.shape[0], pixels.dtype))


def _color_bounds(appearance: Appearance, facts: Facts, strength: Float[Array, ""]) -> Appearance:
    lower, upper = facts.ratio_bounds
    spectrum = within_colors(appearance.spectrum, facts.reference, lower, upper, facts.noise**-2, strength)
    return appearance._replace(spectrum=spectrum)


def _band_ratios(appearance: Appearance, facts: Facts, strength: Float[Array, ""]) -> Appearance:
    return appearance._replace(spectrum=of_band_ratios(appearance.spectrum, facts.ratios, facts.noise**-2, strength))


def _unlike_neighbors(appearance: Appearance, facts: Facts, strength: Float[Array, ""]) -> Float[Array, "side side"]:
    alike = likeness(appearance.spectrum, facts.neighbor.spectrum, facts.noise)
    return sharing_residual(appearance.pixels, facts.neighbor.pixels, alike, strength)


PROXIMAL_OPERATORS: dict[ConstraintKind, ProximalOperator] = {
    ConstraintKind.POSITIVITY: _of_pixels(lambda pixels, facts, strength: positive(pixels, strength)),
    ConstraintKind.BOUNDS: _bounds,
    ConstraintKind.NORMALIZATION: _normalization,
    ConstraintKind.CENTER_ON: _of_pixels(lambda pixels, facts, s: bright_at_center(pixels, facts.center, s)),
    ConstraintKind.SYMMETRIC: _of_pixels(lambda pixels, facts, s: symmetric(pixels, facts.center, s)),
    ConstraintKind.SYMMETRIC_MINIMUM: _of_pixels(lambda pixels, facts, s: symmetric_minimum(pixels, facts.center, s)),
    ConstraintKind.MONOTONIC: _of_pixels(
        lambda pixels, facts, s: nearest_monotonic(pixels, _inward(pixels, facts), facts.tolerance, s)
    ),
    ConstraintKind.MONOTONIC_CUT: _of_pixels(
        lambda pixels, facts, s: cut_outward(pixels, _inward(pixels, facts), facts.tolerance, s)
    ),
    ConstraintKind.MONOTONIC_MASK: _monotonic_mask,
    ConstraintKind.CONNECTED: _of_pixels(lambda pixels, facts, s: connected(pixels, facts.center, s)),
    ConstraintKind.L0: _in_noise(hard_threshold),
    ConstraintKind.L1: _in_noise(soft_threshold),
    ConstraintKind.STARLET_SPARSITY: _in_noise(_starlet_sparsity),
    ConstraintKind.TOTAL_VARIATION: _in_noise(smooth_in_patches),
    ConstraintKind.NOISE_THRESHOLD: _noise_threshold,
    ConstraintKind.HISTOGRAM_THRESHOLD: _of_pixels(lambda pixels, facts, s: without_detached_values(pixels, s)),
    ConstraintKind.COLOR_BOUNDS: _color_bounds,
    ConstraintKind.BAND_RATIOS: _band_ratios,
}

RESIDUALS: dict[ConstraintKind, Residual] = {
    # that of a correction is a prior of the program, with the profile's brightness in it
    ConstraintKind.SYMMETRY: lambda appearance, facts, s: symmetry_residual(appearance.pixels, facts.lagged, s),
    ConstraintKind.MONOTONICITY: lambda appearance, facts, s: monotonicity_residual(appearance.pixels, s),
    ConstraintKind.UNLIKE_NEIGHBORS: _unlike_neighbors,
}
