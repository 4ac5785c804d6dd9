"""What operators ask of components: from the constraints that a person set to data.

Operators of one component act one after another, in the order that its constraints are in.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from deblend.program.arrays import Asked, Tether
from deblend.render import kind_of
from deblend.scene import ACTING_ORDER, INWARD_WEIGHTS, Component, Constraint, ConstraintKind, acting_order

PIXEL_KINDS = ACTING_ORDER
"""What acts on the picture of a component. Normalization to an interval acts as bounds.

The monotonic mask and the gap in the histogram are not among them: a trace of light decides what happens to all of it,
and the splitting does not settle."""
SPECTRUM_KINDS = (ConstraintKind.COLOR_BOUNDS, ConstraintKind.BAND_RATIOS)
"""What acts on its fluxes."""
NORMS = (ConstraintKind.TOTAL_VARIATION, ConstraintKind.STARLET_SPARSITY, ConstraintKind.L1)
"""Penalties with a weight, rather than sets."""
LEAST_SHARE = 1e-3
"""A weaker share than this is none."""


def is_asked(component: Component) -> bool:
    """Tell whether operators ask anything of a component that is on."""
    return any(_strength(component, kind) > 0 for kind in (*_pixel_kinds(component), *SPECTRUM_KINDS))


def nothing_asked(n_slots: int, n_channels: int, dtype: np.dtype) -> Asked:
    """Return data of slots that nothing is asked of."""
    kinds = n_slots, len(PIXEL_KINDS)
    no_bounds = np.array([-np.inf, np.inf], dtype)
    return Asked(
        strength=np.zeros(kinds, dtype),
        order=np.tile(np.arange(len(PIXEL_KINDS), dtype=np.int32), (n_slots, 1)),
        tolerance=np.zeros(kinds, dtype),
        weights=np.zeros(kinds, np.int32),
        pixel_bounds=np.tile(no_bounds, (n_slots, 1)),
        of_spectrum=np.zeros((n_slots, len(SPECTRUM_KINDS)), dtype),
        reference=np.zeros(n_slots, np.int32),
        ratio_bounds=np.tile(np.array([0.0, np.inf], dtype)[:, None], (n_slots, 1, n_channels)),
        ratios=np.ones((n_slots, n_channels), dtype),
    )


def loose(has_pixels: bool, channels: tuple[int, int], side: int, dtype: np.dtype) -> Tether:
    """Return tethers that hold nothing, for (slots, channels)."""
    light, multiplier = (np.zeros((channels[0], side, side), dtype) if has_pixels else None for _ in range(2))
    flux, of_flux, stiffness = (np.zeros(channels, dtype) for _ in range(3))
    return Tether(light, multiplier, np.zeros(channels[0], dtype), flux, of_flux, stiffness)


def lower_asked(asked: Asked, slot: int, component: Component, noise: Float[np.ndarray, " channel"]) -> None:
    """Write what operators ask of a component into a slot.

    `noise` is the unit of flux of every channel [nJy]. Raises ValueError for settings that do not fit the channels.
    """
    for part, idle in zip(asked, nothing_asked(1, len(noise), asked.strength.dtype), strict=True):
        # what was asked of whom was in the slot before is no longer said
        part[slot] = idle[0]
    order = acting_order(c.kind for c in component.morphology.constraints)
    asked.order[slot] = [PIXEL_KINDS.index(kind) for kind in order]
    for kind in _pixel_kinds(component):
        place = PIXEL_KINDS.index(kind)
        asked.strength[slot, place] = _strength(component, kind)
        constraint = _constraint(component, kind)
        names = {setting.name for setting in kind.info.settings}
        if "tolerance" in names:
            asked.tolerance[slot, place] = constraint.setting("tolerance")
        if "weights" in names:
            asked.weights[slot, place] = INWARD_WEIGHTS.index(str(constraint.setting("weights")))
    asked.pixel_bounds[slot] = _pixel_bounds(component)
    for place, kind in enumerate(SPECTRUM_KINDS):
        asked.of_spectrum[slot, place] = _strength(component, kind)
    if asked.of_spectrum[slot, 0] > 0:
        _lower_colors(asked, slot, _constraint(component, SPECTRUM_KINDS[0]), noise)
    if asked.of_spectrum[slot, 1] > 0:
        given = _per_channel(_constraint(component, SPECTRUM_KINDS[1]), "ratios", 1.0, len(noise))
        if not (np.all(given >= 0) and np.all(np.isfinite(given)) and np.any(given > 0)):
            raise ValueError(f"'ratios' of band-ratios are finite, not negative, and not all 0; got {tuple(given)}.")
        asked.ratios[slot] = given / noise / np.max(given / noise)


def check_asked(component: Component) -> None:
    """Raise ValueError where settings of a component's constraints do not fit its channels."""
    n_channels = len(component.spectrum.value)
    lower_asked(nothing_asked(1, n_channels, np.dtype(np.float32)), 0, component, np.ones(n_channels))


def _lower_colors(asked: Asked, slot: int, constraint: Constraint, noise: Float[np.ndarray, " channel"]) -> None:
    reference = float(constraint.setting("reference"))  # type: ignore[arg-type]
    if reference not in range(len(noise)):
        raise ValueError(f"'reference' of color-bounds is a channel from 0 to {len(noise) - 1}, got {reference:g}.")
    asked.reference[slot] = int(reference)
    lower = _per_channel(constraint, "lower", 0.0, len(noise))
    upper = _per_channel(constraint, "upper", np.inf, len(noise))
    if not np.all(lower <= upper):
        raise ValueError(f"'lower' of color-bounds must not exceed 'upper', got {tuple(lower)} and {tuple(upper)}.")
    asked.ratio_bounds[slot] = np.stack([lower, upper]) * noise[int(reference)] / noise


def _per_channel(constraint: Constraint, name: str, default: float, n_channels: int) -> Float[np.ndarray, " channel"]:
    given = constraint.setting(name)
    values = np.asarray(given, float) if given else np.full(n_channels, default)
    if values.shape != (n_channels,):
        raise ValueError(
            f"{name!r} of {constraint.kind.value} needs a number for each of {n_channels} channels, got {values.size}."
        )
    return values


def _pixel_kinds(component: Component) -> tuple[ConstraintKind, ...]:
    """Return which kinds can act on the picture of a component."""
    return PIXEL_KINDS if kind_of(component.morphology).pixels else ()


def _pixel_bounds(component: Component) -> tuple[float, float]:
    """Return the least and the largest share of the light that a pixel may hold.

    Bounds of a parameter are those of pixels where these are the light; what corrects a profile is in other units.
    """
    kind, lower, upper = kind_of(component.morphology), -np.inf, np.inf
    bounds, interval = (
        component.morphology.constraint(k) for k in (ConstraintKind.BOUNDS, ConstraintKind.NORMALIZATION)
    )
    if bounds is not None and bounds.active and kind.pixels and not kind.is_correction:
        pixels = component.morphology.parameters[kind.pixels]
        lower, upper = pixels.lower, pixels.upper
    if interval is not None and interval.active and interval.setting("of") == "interval":
        lower, upper = max(lower, 0.0), min(upper, 1.0)
    return lower, upper


def _constraint(component: Component, kind: ConstraintKind) -> Constraint:
    found = component.morphology.constraint(kind)
    return Constraint(kind, 0.0) if found is None else found


def _strength(component: Component, kind: ConstraintKind) -> float:
    if kind is ConstraintKind.BOUNDS and np.all(np.isinf(_pixel_bounds(component))):
        return 0.0
    both = ConstraintKind.BOUNDS, ConstraintKind.NORMALIZATION
    found = [component.morphology.constraint(k) for k in (both if kind is ConstraintKind.BOUNDS else (kind,))]
    strength = max((c.strength for c in found if c is not None and c.active), default=0.0)
    is_share = np.isfinite(kind.info.greatest_strength)
    return 0.0 if is_share and strength < LEAST_SHARE else strength
