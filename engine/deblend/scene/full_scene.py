"""Light that covers the whole scene: low surface brightness, intracluster light, cirrus, what lies behind everything.

Such light has no center and no edge, so it is no source. A component of it has one spectrum, and a smooth picture:
cubic B-splines on a coarse grid over the scene, whose coefficients are not negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.interpolate import BSpline

ROUGHNESS = 3.0
"""How far the coefficients of three neighbours are expected off a line: standard deviation, in units of the noise of a
pixel, all channels together."""
LEAST_SPACING = 4.0
"""Of coefficients: closer ones would follow galaxies [pix]."""
FEWEST_INTERVALS = 12
"""How many intervals the longer side has unless a spacing is given that says otherwise."""
DEFAULT_SPACING = 16.0
"""The least spacing that is taken where none is given [pix]."""
MOST_COEFFICIENTS = 32
"""Along an axis; what they weigh together is inverted as one matrix."""
DEGREE = 3


@dataclass(frozen=True, eq=False)
class FullScene:
    """One component of light that covers the whole scene."""

    name: str
    coefficients: Float[np.ndarray, "row column"]
    """Of B-splines along y and x; not negative. Their picture has the sum 1 on the grid of the scene."""
    spectrum: Float[np.ndarray, " channel"]
    """Light on the grid of the scene [nJy]; NaN where it has never been solved for."""
    spacing: float
    """How far coefficients were asked to lie apart [pix]; intervals are as near to that as the grid allows."""
    roughness: float = ROUGHNESS
    is_fixed: bool = False
    """Whether it stays as it is in a fit."""

    def __post_init__(self) -> None:
        if min(self.coefficients.shape) <= DEGREE or max(self.coefficients.shape) > MOST_COEFFICIENTS:
            raise ValueError(
                f"Light over the whole scene needs {DEGREE + 1} to {MOST_COEFFICIENTS} coefficients along each axis, "
                f"got {self.coefficients.shape}; choose another spacing."
            )
        if np.any(self.coefficients < 0):
            raise ValueError("Coefficients of light over the whole scene must not be negative.")
        if not (self.roughness > 0 and np.isfinite(self.roughness)):
            raise ValueError(f"The roughness of light over the whole scene must be above 0, got {self.roughness}.")

    @classmethod
    def flat(
        cls,
        shape: tuple[int, int],
        n_channels: int,
        spacing: float | None = None,
        name: str = "full scene",
        roughness: float = ROUGHNESS,
    ) -> FullScene:
        """Return light of one brightness all over a grid of this shape (height, width), still to be solved for.

        Without a `spacing` [pix], it is 16 pixels, or more on larger grids. Raises ValueError for one that is too small
        or too large for the grid.
        """
        if spacing is None:
            spacing = max(DEFAULT_SPACING, max(shape) / FEWEST_INTERVALS)
        if not LEAST_SPACING <= spacing <= max(shape):
            raise ValueError(
                f"The spacing of light over the whole scene must lie between {LEAST_SPACING:g} pixels and the side of "
                f"the scene ({max(shape)} pixels), got {spacing:g}."
            )
        intervals = [max(round((n - 1) / spacing), 1) for n in shape]
        if max(intervals) + DEGREE > MOST_COEFFICIENTS:
            least = (max(shape) - 1) / (MOST_COEFFICIENTS - DEGREE)
            raise ValueError(
                f"A spacing of {spacing:g} pixels is too small for a scene of {shape[1]} x {shape[0]} pixels: give "
                f"{np.ceil(least):g} or more."
            )
        rows, columns = (n + DEGREE for n in intervals)
        flat = np.full((rows, columns), 1.0 / (shape[0] * shape[1]))
        return cls(name, flat, np.full(n_channels, np.nan), float(spacing), roughness)

    @property
    def is_solved(self) -> bool:
        """Whether it has a flux in every channel."""
        return bool(np.all(np.isfinite(self.spectrum)))

    def picture(self, shape: tuple[int, int]) -> Float[np.ndarray, "y x"]:
        """Return where its light is on the grid of the scene, of this shape; its sum is 1."""
        rows, columns = (
            splines(count, n, np.arange(n)) for count, n in zip(self.coefficients.shape, shape, strict=True)
        )
        result: Float[np.ndarray, "y x"] = rows @ self.coefficients @ columns.T
        return result

    def with_spectrum(self, spectrum: Float[np.ndarray, " channel"]) -> FullScene:
        """Return it with other fluxes [nJy]."""
        return replace(self, spectrum=np.asarray(spectrum, float))

    def on(self, shape: tuple[int, int], scale: float) -> FullScene:
        """Return light to be solved for on another grid, on which the present pixels are `scale` wide."""
        spacing = float(np.clip(self.spacing * scale, LEAST_SPACING, max(shape)))
        try:
            flat = FullScene.flat(shape, len(self.spectrum), spacing, self.name, self.roughness)
        except ValueError:
            # too fine for so large a grid
            flat = FullScene.flat(shape, len(self.spectrum), None, self.name, self.roughness)
        return replace(flat, is_fixed=self.is_fixed)


def splines(count: int, size: int, places: Sequence[float] | np.ndarray) -> Float[np.ndarray, "place spline"]:
    """Return the values at places [pix] of cubic B-splines that cover pixels 0 to `size` - 1 evenly; they sum to 1.

    Beyond the first and the last pixel light goes on as it is there.
    """
    intervals = count - DEGREE
    knots = np.arange(-DEGREE, intervals + DEGREE + 1, dtype=float)
    inside = np.clip(np.asarray(places, float), 0.0, size - 1.0) * (intervals / max(size - 1, 1))
    inside = np.clip(inside, 0.0, intervals * (1.0 - 1e-12))
    return np.asarray(BSpline.design_matrix(inside, knots, DEGREE).toarray())
