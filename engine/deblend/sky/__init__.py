"""Where light lands: pixel grids, world coordinates, flux units."""

from deblend.sky.channels import Channel
from deblend.sky.grid import PixelGrid
from deblend.sky.units import AB_ZERO_POINT_NJY, ab_magnitude, njy_per_count, zero_point_from_fluxmag0
from deblend.sky.wcs import TangentWcs, plane_to_sky, sky_to_plane

__all__ = [
    "AB_ZERO_POINT_NJY",
    "Channel",
    "PixelGrid",
    "TangentWcs",
    "ab_magnitude",
    "njy_per_count",
    "plane_to_sky",
    "sky_to_plane",
    "zero_point_from_fluxmag0",
]
