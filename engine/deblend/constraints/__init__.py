"""What a constraint does to a component; each a pure function of arrays, each switchable as data.

By theme: `bounds`, `normalization`, `symmetry`, `monotonicity` (with `inward`), `flood` (connected, monotonic mask),
`sparsity`, `total_variation`, `threshold`, `colors`, `stealing`; `registry` has them all by their kind. What has no
formula is solved by its `dual`.
"""

from deblend.constraints.bounds import bounded, bright_at_center, positive
from deblend.constraints.colors import of_band_ratios, ratios_of_colors, within_colors
from deblend.constraints.flood import connected, monotonic_mask, monotonic_part
from deblend.constraints.inward import inward_weights, inward_weights_about
from deblend.constraints.monotonicity import cut_outward, monotonicity_residual, nearest_monotonic
from deblend.constraints.normalization import normalized
from deblend.constraints.registry import (
    PROXIMAL_OPERATORS,
    RESIDUALS,
    Appearance,
    Facts,
    ProximalOperator,
    Residual,
    pixel_noise,
    plain_facts,
)
from deblend.constraints.sparsity import hard_threshold, soft_threshold, sparse_in_starlets, starlet_threshold
from deblend.constraints.stealing import likeness, sharing_residual
from deblend.constraints.symmetry import (
    symmetric,
    symmetric_minimum,
    symmetry_residual,
    turned,
    turned_about,
)
from deblend.constraints.threshold import without_detached_values, without_faint
from deblend.constraints.total_variation import smooth_in_patches, total_variation

__all__ = [
    "PROXIMAL_OPERATORS",
    "RESIDUALS",
    "Appearance",
    "Facts",
    "ProximalOperator",
    "Residual",
    "bounded",
    "bright_at_center",
    "connected",
    "cut_outward",
    "hard_threshold",
    "inward_weights",
    "inward_weights_about",
    "likeness",
    "monotonic_mask",
    "monotonic_part",
    "monotonicity_residual",
    "nearest_monotonic",
    "normalized",
    "of_band_ratios",
    "pixel_noise",
    "plain_facts",
    "positive",
    "ratios_of_colors",
    "sharing_residual",
    "smooth_in_patches",
    "soft_threshold",
    "sparse_in_starlets",
    "starlet_threshold",
    "symmetric",
    "symmetric_minimum",
    "symmetry_residual",
    "total_variation",
    "turned",
    "turned_about",
    "within_colors",
    "without_detached_values",
    "without_faint",
]
