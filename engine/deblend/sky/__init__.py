"""Where light lands: pixel grids, world coordinates, flux units."""

from deblend.sky.affine import PixelAffine
from deblend.sky.box import PixelBox
from deblend.sky.channels import Channel, modified_julian_date, same_passbands
from deblend.sky.grid import Cover, PixelGrid, common_grid
from deblend.sky.passband import Passband
from deblend.sky.units import AB_ZERO_POINT_NJY, ab_magnitude, njy_per_count, zero_point_from_fluxmag0
from deblend.sky.wcs import TangentWcs, celestial_wcs, moved_header, plane_to_sky, sky_to_plane

__all__ = [
    "AB_ZERO_POINT_NJY",
    "Channel",
    "Cover",
    "Passband",
    "PixelAffine",
    "PixelBox",
    "PixelGrid",
    "TangentWcs",
    "ab_magnitude",
    "celestial_wcs",
    "common_grid",
    "modified_julian_date",
    "moved_header",
    "njy_per_count",
    "plane_to_sky",
    "same_passbands",
    "sky_to_plane",
    "zero_point_from_fluxmag0",
]
