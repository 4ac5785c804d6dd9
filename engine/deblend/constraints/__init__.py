"""What a constraint does to a morphology; each a few lines, each switchable as data."""

from deblend.constraints.monotonicity import inward_weights, monotonicity_residual
from deblend.constraints.symmetry import symmetry_residual, turned

__all__ = ["inward_weights", "monotonicity_residual", "symmetry_residual", "turned"]
