"""Flux units. Inside the engine there is one: nJy per pixel (AB magnitude 31.4 is 1 nJy)."""

from __future__ import annotations

import math

AB_ZERO_POINT_NJY = 31.4
"""AB magnitude of a flux of 1 nJy [mag]: 2.5 log10(3631 Jy / 1 nJy) = 31.400."""


def njy_per_count(zero_point: float) -> float:
    """Return the flux of one image count [nJy], for an AB zero point [mag] of those counts."""
    return float(10.0 ** (0.4 * (AB_ZERO_POINT_NJY - zero_point)))


def zero_point_from_fluxmag0(fluxmag0: float) -> float:
    """Return the AB zero point [mag], where `fluxmag0` is the counts of a source of magnitude 0."""
    if not fluxmag0 > 0:
        raise ValueError(f"FLUXMAG0 must be positive, got {fluxmag0}.")
    return 2.5 * math.log10(fluxmag0)


def ab_magnitude(flux_njy: float) -> float:
    """Return the AB magnitude [mag] of a flux [nJy]; NaN where the flux is not positive."""
    return AB_ZERO_POINT_NJY - 2.5 * math.log10(flux_njy) if flux_njy > 0 else math.nan
