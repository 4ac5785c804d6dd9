"""Known stars: points of fixed positions, whose fluxes are all that a fit has to find.

A catalog tells where stars are far better than a crowded image does. So they are no sources: nobody edits them one by
one, they have no shape, and they are drawn, solved for and measured all together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from deblend.sky import AB_ZERO_POINT_NJY, Channel, PixelAffine, PixelGrid

OFF_THE_GRID = 3.0
"""How far outside of the grid a known star may lie whose light still reaches it [pix]."""
MAS_PER_RADIAN = 180.0 / np.pi * 3.6e6
MAGNITUDE = 0.4 * np.log(10.0)
"""Relative change of a flux that is a magnitude."""

PerChannel = Float[np.ndarray, "star channel"]


@dataclass(frozen=True, eq=False)
class StarField:
    """Known stars on the pixels of a scene."""

    names: tuple[str, ...]
    x: PerChannel
    """Where each channel sees them, 0-based [pix of the scene's grid]; those of one time are the same."""
    y: PerChannel
    flux: PerChannel
    """[nJy]; NaN where it has never been solved for."""
    magnitudes: PerChannel
    """AB magnitudes of a catalog; NaN where it has none."""
    magnitude_scatter: float | None = None
    """Standard deviation of the prior of fluxes around these magnitudes [mag]; None for no prior."""
    is_variable: bool = False
    """Whether each star has a flux of its own at every epoch; otherwise those of one passband are the same."""

    def __post_init__(self) -> None:
        shapes = {np.shape(values) for values in (self.x, self.y, self.flux, self.magnitudes)}
        if len(shapes) != 1 or len(self.names) != len(self.x):
            raise ValueError(
                f"Known stars need x, y, flux and magnitudes of one shape (star, channel), and as many names: got "
                f"{', '.join(map(str, sorted(shapes)))} and {len(self.names)} names."
            )
        if not (np.all(np.isfinite(self.x)) and np.all(np.isfinite(self.y))):
            raise ValueError("Known stars need a place in every channel; some of x, y are no numbers.")
        if self.magnitude_scatter is not None and not self.magnitude_scatter > 0:
            raise ValueError(f"The scatter of magnitudes must be positive, got {self.magnitude_scatter}.")

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def at(
        cls,
        x: Sequence[float] | np.ndarray,
        y: Sequence[float] | np.ndarray,
        n_channels: int,
        names: Sequence[str] = (),
    ) -> StarField:
        """Return stars that stand still at pixels (x, y) of a scene, 0-based, with fluxes still to be solved for."""
        columns, rows = (np.repeat(np.asarray(axis, float)[:, None], n_channels, axis=1) for axis in (x, y))
        unknown = np.full((len(x), n_channels), np.nan)
        return cls(tuple(names) or numbered(len(x)), columns, rows, unknown, unknown)

    @property
    def is_solved(self) -> bool:
        """Whether every star has a flux in every channel."""
        return bool(np.all(np.isfinite(self.flux)))

    @property
    def expected(self) -> PerChannel:
        """Fluxes that the magnitudes say [nJy]; NaN where there is none."""
        return np.asarray(10.0 ** (-0.4 * (self.magnitudes - AB_ZERO_POINT_NJY)))

    @property
    def expected_scatter(self) -> PerChannel:
        """Standard deviations of the prior around them [nJy]; infinite where there is none."""
        if self.magnitude_scatter is None:
            return np.full(self.flux.shape, np.inf)
        return np.where(np.isfinite(self.magnitudes), MAGNITUDE * self.magnitude_scatter * self.expected, np.inf)

    def with_flux(self, flux: PerChannel) -> StarField:
        """Return the stars with other fluxes [nJy]."""
        return replace(self, flux=np.asarray(flux, float))

    def moved(self, affine: PixelAffine) -> StarField:
        """Return the stars on other pixels of the same sky."""
        y, x = affine(self.y, self.x)
        return replace(self, x=np.asarray(x), y=np.asarray(y))

    def on(self, shape: tuple[int, int]) -> StarField:
        """Return those whose light reaches a grid of this shape (height, width) in a channel at least."""
        height, width = shape
        off = np.maximum(np.maximum(-self.x, self.x - (width - 1)), np.maximum(-self.y, self.y - (height - 1)))
        kept = np.flatnonzero(off.min(axis=1, initial=np.inf) <= OFF_THE_GRID)
        parts = {name: getattr(self, name)[kept] for name in ("x", "y", "flux", "magnitudes")}
        return replace(self, names=tuple(self.names[k] for k in kept), **parts)


@dataclass(frozen=True, eq=False)
class StarCatalog:
    """Known stars on the sky, as a catalog has them."""

    ra: Float[np.ndarray, " star"]
    """At the reference epoch [deg, ICRS]."""
    dec: Float[np.ndarray, " star"]
    names: tuple[str, ...] = ()
    pm_ra: Float[np.ndarray, " star"] | None = None
    """Proper motion along right ascension, cos δ included [mas/yr]; None where stars are taken to stand still."""
    pm_dec: Float[np.ndarray, " star"] | None = None
    reference_epoch: Float[np.ndarray, " star"] | float = 2000.0
    """When they were there [Julian year]."""
    magnitudes: Mapping[str, Float[np.ndarray, " star"]] = field(default_factory=dict)
    """AB magnitudes by band; NaN where there is none."""
    notes: tuple[str, ...] = ()
    """A sentence for everything that was assumed."""

    def __len__(self) -> int:
        return len(self.ra)

    def sky_at(self, year: float | None) -> tuple[Float[np.ndarray, " star"], Float[np.ndarray, " star"]]:
        """Return right ascension and declination [deg] at a time [Julian year], or at the reference epoch for None.

        Stars move along great circles (ESA 1997, The Hipparcos and Tycho Catalogues, volume 1, section 1.5.5, without
        parallax and radial motion).
        """
        if year is None or self.pm_ra is None or self.pm_dec is None:
            return self.ra, self.dec
        ra, dec = np.radians(self.ra), np.radians(self.dec)
        passed = (year - np.asarray(self.reference_epoch, float)) / MAS_PER_RADIAN
        east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)])
        north = np.stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
        start = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
        x, y, z = start + passed * (np.nan_to_num(self.pm_ra) * east + np.nan_to_num(self.pm_dec) * north)
        return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))

    def on(self, grid: PixelGrid, channels: Sequence[Channel]) -> StarField:
        """Return the stars whose light reaches a grid, where each channel sees them at its time.

        A channel without an epoch sees them at the reference epoch. Raises ValueError where the grid has no WCS.
        """
        if grid.wcs is None:
            raise ValueError(
                "A star catalog gives ra and dec, and the images have no WCS; give pixels with StarField.at instead."
            )
        shape = (len(self), len(channels))
        x, y, magnitudes = np.zeros(shape), np.zeros(shape), np.full(shape, np.nan)
        years = [channel.julian_year for channel in channels]
        for year in dict.fromkeys(years):
            mine = [index for index, other in enumerate(years) if other == year]
            column, row = grid.wcs.sky_to_pixel(*self.sky_at(year))
            x[:, mine], y[:, mine] = column[:, None], row[:, None]
        for index, channel in enumerate(channels):
            if channel.band in self.magnitudes:
                magnitudes[:, index] = self.magnitudes[channel.band]
        names = self.names or numbered(len(self))
        return StarField(names, x, y, np.full(shape, np.nan), magnitudes).on(grid.shape)


def numbered(count: int) -> tuple[str, ...]:
    """Return names for stars that have none."""
    return tuple(f"star {k + 1}" for k in range(count))
