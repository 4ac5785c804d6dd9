"""Kinds of constraint: what each asks of a component, in the words a window shows, and how a solver takes it.

Adding one means an entry here and its operator in `deblend.constraints`; it is offered to people once a solver takes it
(`is_wired`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

import numpy as np

INWARD_WEIGHTS = ("nearest", "flat", "angle")
"""How the neighbours inward of a pixel count for its monotonicity."""
NORMALIZATIONS = ("spectrum", "sum", "peak", "interval")
"""What is 1: the sum of the spectrum, the sum of the pixels, the brightest pixel; or pixels lie between 0 and 1."""


class Target(Enum):
    """What a constraint changes."""

    PIXELS = "pixels"
    SPECTRUM = "spectrum"
    BOTH = "both"


class Handling(Enum):
    """How a solver takes a constraint."""

    RESIDUAL = "smooth residual"
    """As one more term of the sum of squares."""
    PROXIMAL = "proximal operator"
    """As an operator applied to the parameters; projections and bounds are such."""


@dataclass(frozen=True)
class Setting:
    """A further number, or choice, that a constraint may be given."""

    name: str
    default: float | str | tuple[float, ...]
    """A tuple has an entry per channel; an empty one stands for no bound."""
    help: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class ConstraintInfo:
    """What is known of a kind of constraint."""

    label: str
    help: str
    """One sentence."""
    target: Target
    handling: Handling
    strength: float = 1.0
    """The default."""
    greatest_strength: float = np.inf
    """1 for projections, whose strength is the share of the way that they go."""
    settings: tuple[Setting, ...] = ()
    is_wired: bool = True
    """Whether the solvers take it; what they do not take is not offered."""


class ConstraintKind(Enum):
    """What a constraint asks of a component."""

    POSITIVITY = "positivity"
    """No pixel emits negative light."""
    CORRECTION = "correction"
    """The free-form correction stays within a fraction (the strength) of the profile's own brightness."""
    SYMMETRY = "symmetry"
    """The morphology looks the same turned by 180° about the center; soft."""
    MONOTONICITY = "monotonicity"
    """The morphology does not brighten away from the center; soft."""
    LEARNED_PRIOR = "learned-prior"
    """The morphology looks like learned galaxies of its size do."""
    BOUNDS = "bounds"
    NORMALIZATION = "normalization"
    CENTER_ON = "center-on"
    SYMMETRIC = "symmetric"
    SYMMETRIC_MINIMUM = "symmetric-minimum"
    MONOTONIC = "monotonic"
    MONOTONIC_CUT = "monotonic-cut"
    MONOTONIC_MASK = "monotonic-mask"
    CONNECTED = "connected"
    L0 = "l0"
    L1 = "l1"
    STARLET_SPARSITY = "starlet-sparsity"
    TOTAL_VARIATION = "total-variation"
    NOISE_THRESHOLD = "noise-threshold"
    HISTOGRAM_THRESHOLD = "histogram-threshold"
    COLOR_BOUNDS = "color-bounds"
    BAND_RATIOS = "band-ratios"
    UNLIKE_NEIGHBORS = "unlike-neighbors"

    @property
    def info(self) -> ConstraintInfo:
        """What is known of it."""
        return CONSTRAINT_INFO[self]


ACTING_ORDER = (
    ConstraintKind.TOTAL_VARIATION,
    ConstraintKind.STARLET_SPARSITY,
    ConstraintKind.L1,
    ConstraintKind.SYMMETRIC,
    ConstraintKind.SYMMETRIC_MINIMUM,
    ConstraintKind.MONOTONIC,
    ConstraintKind.MONOTONIC_CUT,
    ConstraintKind.NOISE_THRESHOLD,
    ConstraintKind.L0,
    ConstraintKind.BOUNDS,
    ConstraintKind.CENTER_ON,
    ConstraintKind.CONNECTED,
)
"""What acts on the picture of a component, one after another, in the usual order.

Those that level or shrink come first, then shapes, then what is to be dark, then bounds: in this order none undoes what
another did, since every later one keeps a symmetric picture symmetric, and all but thresholds keep one monotonic that
falls from its center."""


def acting_order(kinds: Iterable[ConstraintKind]) -> tuple[ConstraintKind, ...]:
    """Return `ACTING_ORDER` with these kinds in the order in which they are given, at the places that they have there.

    The others stay where they are.
    """
    given = [kind for kind in kinds if kind in ACTING_ORDER]
    ordered = iter(given)
    return tuple(next(ordered) if kind in given else kind for kind in ACTING_ORDER)


def offered_constraints() -> tuple[ConstraintKind, ...]:
    """Return the kinds that a person can choose: those that the solvers take."""
    return tuple(kind for kind in ConstraintKind if kind.info.is_wired)


_PIXELS, _SPECTRUM, _BOTH = Target
_RESIDUAL, _PROXIMAL = Handling
_WEIGHTS = Setting(
    "weights", "angle", "Which neighbours nearer to the center a pixel is compared with.", choices=INWARD_WEIGHTS
)
_REFERENCE = Setting("reference", 0.0, "Number of the channel that the ratios are relative to.")

CONSTRAINT_INFO: dict[ConstraintKind, ConstraintInfo] = {
    ConstraintKind.POSITIVITY: ConstraintInfo("Positive", "No pixel emits negative light.", _PIXELS, _PROXIMAL),
    ConstraintKind.CORRECTION: ConstraintInfo(
        "Correction",
        "The free-form correction stays within this fraction of the profile's own brightness.",
        _PIXELS,
        _RESIDUAL,
        strength=0.3,
    ),
    ConstraintKind.SYMMETRY: ConstraintInfo(
        "Symmetric (soft)",
        "The source is asked to look the same turned by 180° about its center.",
        _PIXELS,
        _RESIDUAL,
        strength=0.5,
    ),
    ConstraintKind.MONOTONICITY: ConstraintInfo(
        "Monotonic (soft)",
        "The source is asked not to brighten away from its center.",
        _PIXELS,
        _RESIDUAL,
        strength=0.03,
    ),
    ConstraintKind.LEARNED_PRIOR: ConstraintInfo(
        "Learned prior",
        "The source is asked to look like learned galaxies of its size, more or less so by this factor on a scatter.",
        _PIXELS,
        _RESIDUAL,
        strength=0.2,
    ),
    ConstraintKind.BOUNDS: ConstraintInfo(
        "Bounds",
        "Pixels, as shares of the light, and fluxes stay between the bounds of their parameters.",
        _BOTH,
        _PROXIMAL,
        greatest_strength=1.0,
    ),
    ConstraintKind.NORMALIZATION: ConstraintInfo(
        "Normalization",
        "What is 1 on the way of AdaProx and Optax: it conditions their steps; the light that is best stays the same.",
        _BOTH,
        _PROXIMAL,
        greatest_strength=1.0,
        settings=(Setting("of", "sum", "What is made 1.", choices=NORMALIZATIONS),),
    ),
    ConstraintKind.CENTER_ON: ConstraintInfo(
        "Center lit", "The central pixel never goes dark.", _PIXELS, _PROXIMAL, greatest_strength=1.0
    ),
    ConstraintKind.SYMMETRIC: ConstraintInfo(
        "Symmetric",
        "The source is averaged with itself turned by 180° about its center, by this share.",
        _PIXELS,
        _PROXIMAL,
        greatest_strength=1.0,
    ),
    ConstraintKind.SYMMETRIC_MINIMUM: ConstraintInfo(
        "Symmetric (lesser)",
        "Of two pixels opposite about the center both get the lesser light, as in SDSS.",
        _PIXELS,
        _PROXIMAL,
        greatest_strength=1.0,
    ),
    ConstraintKind.MONOTONIC: ConstraintInfo(
        "Monotonic",
        "The source is replaced by the nearest one that does not brighten away from its center.",
        _PIXELS,
        _PROXIMAL,
        greatest_strength=1.0,
        settings=(_WEIGHTS, Setting("tolerance", 0.0, "By which fraction light has to fall from pixel to pixel.")),
    ),
    ConstraintKind.MONOTONIC_CUT: ConstraintInfo(
        "Monotonic (cut)",
        "From the center outward no pixel may outshine those inside of it; light is only taken.",
        _PIXELS,
        _PROXIMAL,
        greatest_strength=1.0,
        settings=(_WEIGHTS, Setting("tolerance", 0.0, "By which fraction light has to fall from pixel to pixel.")),
    ),
    ConstraintKind.MONOTONIC_MASK: ConstraintInfo(
        "Monotonic (mask)",
        "Only pixels are kept that light reaches from the center without rising on the way.",
        _PIXELS,
        _PROXIMAL,
        greatest_strength=1.0,
        settings=(Setting("tolerance", 0.0, "By how much light may rise at a step, in units of the noise."),),
        is_wired=False,
    ),
    ConstraintKind.CONNECTED: ConstraintInfo(
        "Connected",
        "Only lit pixels are kept that hang together with the center, side by side.",
        _PIXELS,
        _PROXIMAL,
        greatest_strength=1.0,
    ),
    ConstraintKind.L0: ConstraintInfo(
        "Few pixels (L0)", "Pixels fainter than this many times the noise are dark.", _PIXELS, _PROXIMAL
    ),
    ConstraintKind.L1: ConstraintInfo(
        "Little light (L1)",
        "Light costs this much per pixel and unit of noise; faint pixels go dark.",
        _PIXELS,
        _PROXIMAL,
        strength=0.1,
    ),
    ConstraintKind.STARLET_SPARSITY: ConstraintInfo(
        "Few structures (starlets)",
        "Structures cost this much per unit of noise, coarse ones less; faint ones go.",
        _PIXELS,
        _PROXIMAL,
        strength=0.1,
    ),
    ConstraintKind.TOTAL_VARIATION: ConstraintInfo(
        "Few edges (total variation)",
        "Differences of neighbors cost this much per unit of noise; bumps are leveled, edges kept.",
        _PIXELS,
        _PROXIMAL,
        strength=0.1,
    ),
    ConstraintKind.NOISE_THRESHOLD: ConstraintInfo(
        "Above the noise",
        "Pixels fainter than this many times the noise in every band are dark, as in the LSST pipeline.",
        _PIXELS,
        _PROXIMAL,
        strength=0.25,
    ),
    ConstraintKind.HISTOGRAM_THRESHOLD: ConstraintInfo(
        "Above the gap",
        "Pixels below the last gap in the histogram of their brightness are dark.",
        _PIXELS,
        _PROXIMAL,
        greatest_strength=1.0,
        is_wired=False,
    ),
    ConstraintKind.COLOR_BOUNDS: ConstraintInfo(
        "Colors within bounds",
        "Ratios of flux to that of a reference channel stay between bounds.",
        _SPECTRUM,
        _PROXIMAL,
        greatest_strength=1.0,
        settings=(
            _REFERENCE,
            Setting("lower", (), "Least ratio of each channel; nothing for none."),
            Setting("upper", (), "Largest ratio of each channel; nothing for none."),
        ),
    ),
    ConstraintKind.BAND_RATIOS: ConstraintInfo(
        "Fixed colors",
        "Fluxes keep the given ratios to one another.",
        _SPECTRUM,
        _PROXIMAL,
        greatest_strength=1.0,
        settings=(Setting("ratios", (), "Flux of each channel, on any scale; nothing for equal ones."),),
    ),
    ConstraintKind.UNLIKE_NEIGHBORS: ConstraintInfo(
        "Unlike its neighbors",
        "Where neighbors of one color overlap, the fainter gives way, so that none takes the other's light.",
        _BOTH,
        _RESIDUAL,
        strength=0.3,
        is_wired=False,
    ),
}
