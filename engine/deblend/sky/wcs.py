"""World coordinates: a gnomonic tangent plane with an affine map from pixels.

Every image is described by where it touches the sky (the tangent point) and by the affine map from its
pixels to that plane, in arcsec east and north. For a TAN header, in CD, PC+CDELT or rotated form, the
description is exact; any other projection is replaced by the affine that fits it best over the image,
and the largest residual is kept, to be shown.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.io.fits import Header
from astropy.wcs import WCS, FITSFixedWarning
from jaxtyping import Float

ARCSEC_PER_DEGREE = 3600.0
RADIANS_PER_ARCSEC = np.pi / 180.0 / ARCSEC_PER_DEGREE
EXACT = 1e-3
"""A map that is nowhere off by more is the file's own [pix]."""

Matrix = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class TangentWcs:
    """Pixels (x, y), 0-based, to the plane that touches the sky at `center`.

    (east, north) [arcsec] = `matrix` · ((x, y) - `reference`).
    """

    center: tuple[float, float]
    """Right ascension and declination of the tangent point [deg, ICRS]."""
    reference: tuple[float, float]
    """Pixel (x, y), 0-based, that lies on the tangent point [pix]."""
    matrix: Matrix
    """Pixel offsets (x, y) to (east, north) [arcsec/pix]."""
    residual: float = 0.0
    """Largest distance between this map and the file's own projection over the image [pix]."""

    def __post_init__(self) -> None:
        determinant = np.linalg.det(np.asarray(self.matrix))
        if not np.isfinite(determinant) or determinant == 0:
            raise ValueError(
                f"The WCS matrix {self.matrix} [arcsec/pix] is singular; check the CD or PC and CDELT cards."
            )

    @property
    def pixel_scale(self) -> float:
        """Side of a square pixel of the same area [arcsec]."""
        return float(np.sqrt(abs(np.linalg.det(np.asarray(self.matrix)))))

    def pixel_to_plane(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return (east, north) of the tangent point [arcsec] at pixels (x, y)."""
        dx, dy = np.asarray(x, float) - self.reference[0], np.asarray(y, float) - self.reference[1]
        (xx, xy), (yx, yy) = self.matrix
        return xx * dx + xy * dy, yx * dx + yy * dy

    def plane_to_pixel(self, east: Any, north: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels (x, y) at (east, north) of the tangent point [arcsec]."""
        (xx, xy), (yx, yy) = np.linalg.inv(np.asarray(self.matrix))
        east, north = np.asarray(east, float), np.asarray(north, float)
        return xx * east + xy * north + self.reference[0], yx * east + yy * north + self.reference[1]

    def pixel_to_sky(self, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return right ascension and declination [deg] at pixels (x, y), 0-based."""
        return plane_to_sky(*self.pixel_to_plane(x, y), self.center)

    def sky_to_pixel(self, ra: Any, dec: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return pixels (x, y), 0-based, at right ascension and declination [deg]."""
        return self.plane_to_pixel(*sky_to_plane(ra, dec, self.center))

    def affine_in(self, center: tuple[float, float], shape: tuple[int, int]) -> Float[np.ndarray, "3 3"]:
        """Return the affine from pixels (y, x) to (north, east) [arcsec] of the plane that touches at `center`.

        Array order on both sides, as a picture of `shape` (height, width) [pix] is placed in a window.
        """
        height, width = shape
        x = np.array([0.0, width - 1.0, 0.0, width - 1.0])
        y = np.array([0.0, 0.0, height - 1.0, height - 1.0])
        east, north = sky_to_plane(*self.pixel_to_sky(x, y), center)
        design = np.column_stack([y, x, np.ones(4)])
        rows, *_ = np.linalg.lstsq(design, np.column_stack([north, east]), rcond=None)
        affine = np.eye(3)
        affine[:2] = rows.T
        return affine

    def shifted(self, x: float, y: float) -> TangentWcs:
        """Return the same sky on an image whose pixel (0, 0) is this one's pixel (x, y)."""
        reference = (self.reference[0] - x, self.reference[1] - y)
        return TangentWcs(self.center, reference, self.matrix, self.residual)

    def refined(self, factor: int) -> TangentWcs:
        """Return the same sky on an image whose pixels are each cut into `factor`² ones."""
        reference = tuple((r + 0.5) * factor - 0.5 for r in self.reference)
        return TangentWcs(self.center, (reference[0], reference[1]), _as_tuple(np.asarray(self.matrix) / factor))

    def is_same_grid(self, other: TangentWcs | None, tolerance: float = 0.01) -> bool:
        """Tell whether the other image's pixels lie on these, to `tolerance` [pix] near the reference."""
        if other is None:
            return False
        x = self.reference[0] + np.array([0.0, 100.0, 0.0])
        y = self.reference[1] + np.array([0.0, 0.0, 100.0])
        other_x, other_y = other.sky_to_pixel(*self.pixel_to_sky(x, y))
        return bool(np.all(np.hypot(other_x - x, other_y - y) < tolerance))

    def to_header(self) -> Header:
        """Return the FITS cards of this map: TAN, CD form, 1-based reference pixel."""
        header = Header()
        header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
        header["CUNIT1"], header["CUNIT2"] = "deg", "deg"
        header["CRVAL1"], header["CRVAL2"] = self.center
        header["CRPIX1"], header["CRPIX2"] = self.reference[0] + 1.0, self.reference[1] + 1.0
        (xx, xy), (yx, yy) = self.matrix
        header["CD1_1"], header["CD1_2"] = xx / ARCSEC_PER_DEGREE, xy / ARCSEC_PER_DEGREE
        header["CD2_1"], header["CD2_2"] = yx / ARCSEC_PER_DEGREE, yy / ARCSEC_PER_DEGREE
        header["RADESYS"] = "ICRS"
        return header

    @classmethod
    def from_header(cls, header: Header | Mapping[str, Any], shape: tuple[int, int]) -> TangentWcs | None:
        """Read the celestial WCS of an image of `shape` (height, width); None where the header has none.

        Raises ValueError where the header has celestial axes that cannot be used.
        """
        wcs = celestial_wcs(header)
        if wcs is None:
            return None
        try:
            return cls._from_astropy(wcs, shape)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise ValueError(f"The WCS of the header cannot be used: {error}") from error

    @classmethod
    def of(cls, wcs: TangentWcs | WCS | Header | None, shape: tuple[int, int]) -> TangentWcs | None:
        """Return this description of what says where an image of `shape` (height, width) is on the sky.

        Raises ValueError for axes that are not equatorial or cannot be used, TypeError for anything else.
        """
        if wcs is None or isinstance(wcs, TangentWcs):
            return wcs
        if isinstance(wcs, Header):
            return cls.from_header(wcs, shape)
        if not isinstance(wcs, WCS):
            raise TypeError(f"A WCS is one of astropy, a FITS header or a TangentWcs, not a {type(wcs).__name__}.")
        if not wcs.has_celestial:
            return None
        axes = list(wcs.celestial.wcs.ctype)
        if not (axes[0].startswith("RA--") and axes[1].startswith("DEC-")):
            raise ValueError(f"The WCS has the axes {axes[0]} and {axes[1]}; RA and DEC are needed, in this order.")
        try:
            return cls._from_astropy(wcs.celestial, shape)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise ValueError(f"The WCS cannot be used: {error}") from error

    @classmethod
    def fitted(cls, pixel_to_sky: Callable[..., Any], shape: tuple[int, int]) -> TangentWcs:
        """Return the affine map that fits a projection best over an image of `shape` (height, width).

        `pixel_to_sky` takes pixels (x, y), 0-based, and returns right ascension and declination [deg]. Raises
        ValueError where it gives no numbers somewhere on the image.
        """
        height, width = shape
        middle = ((width - 1) / 2.0, (height - 1) / 2.0)
        ra0, dec0 = pixel_to_sky(np.array([middle[0]]), np.array([middle[1]]))
        center = (float(ra0[0]), float(dec0[0]))
        y, x = np.meshgrid(np.linspace(0, height - 1, 9), np.linspace(0, width - 1, 9), indexing="ij")
        ra, dec = (np.asarray(angle, float) for angle in pixel_to_sky(x.ravel(), y.ravel()))
        if not (np.isfinite(ra).all() and np.isfinite(dec).all()):
            raise ValueError("parts of the image have no place on the sky")
        east, north = sky_to_plane(ra, dec, center)
        design = np.column_stack([x.ravel() - middle[0], y.ravel() - middle[1], np.ones(x.size)])
        rows, *_ = np.linalg.lstsq(design, np.column_stack([east, north]), rcond=None)
        matrix = rows[:2].T
        offset = np.linalg.solve(matrix, rows[2])
        local = cls(center, (middle[0] - float(offset[0]), middle[1] - float(offset[1])), _as_tuple(matrix))
        return replace(local, residual=local.distance_from(pixel_to_sky, shape))

    def distance_from(self, pixel_to_sky: Callable[..., Any], shape: tuple[int, int]) -> float:
        """Return the largest distance between this map and another over an image of `shape` [pix]."""
        y, x = np.meshgrid(np.linspace(0, shape[0] - 1, 9), np.linspace(0, shape[1] - 1, 9), indexing="ij")
        local_x, local_y = self.sky_to_pixel(*pixel_to_sky(x.ravel(), y.ravel()))
        return float(np.max(np.hypot(local_x - x.ravel(), local_y - y.ravel())))

    @classmethod
    def _from_astropy(cls, wcs: WCS, shape: tuple[int, int]) -> TangentWcs:
        def pixel_to_sky(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
            ra, dec = wcs.all_pix2world(x, y, 0)
            return ra, dec

        if list(wcs.wcs.ctype) == ["RA---TAN", "DEC--TAN"] and not wcs.has_distortion:
            matrix = wcs.pixel_scale_matrix * ARCSEC_PER_DEGREE
            reference = (float(wcs.wcs.crpix[0]) - 1.0, float(wcs.wcs.crpix[1]) - 1.0)
            exact = cls((float(wcs.wcs.crval[0]), float(wcs.wcs.crval[1])), reference, _as_tuple(matrix))
            # a TAN with PV cards is a TPV in disguise, and LONPOLE may turn one
            if exact.distance_from(pixel_to_sky, shape) < EXACT:
                return exact
        return cls.fitted(pixel_to_sky, shape)


def celestial_wcs(header: Header | Mapping[str, Any]) -> WCS | None:
    """Return the celestial WCS of a header with all its distortions, as astropy has it; None where there is none.

    Raises ValueError where the header has celestial axes that cannot be used.
    """
    with warnings.catch_warnings():
        # astropy mends dates and units that do not concern where light lands
        warnings.simplefilter("ignore", FITSFixedWarning)
        try:
            wcs = WCS(header if isinstance(header, Header) else Header(header), naxis=2)
            return wcs.celestial if wcs.has_celestial else None
        except (ValueError, np.linalg.LinAlgError) as error:
            raise ValueError(f"The WCS of the header cannot be used: {error}") from error


def moved_header(header: Header, x: int, y: int) -> Header:
    """Return the header of the piece of an image that begins at pixel (x, y), 0-based: its CRPIX are moved.

    Distortions (SIP, TPV) are written around CRPIX and stay as they are; so do alternate WCS, which move too.
    """
    moved = header.copy()
    for axis, corner in ((1, x), (2, y)):
        if f"CTYPE{axis}" in moved:
            moved.setdefault(f"CRPIX{axis}", 0.0)
        for key in [k for k in moved if re.fullmatch(rf"CRPIX{axis}[A-Z]?", k)]:
            moved[key] = float(moved[key]) - corner
    return moved


def _as_tuple(matrix: np.ndarray) -> Matrix:
    return (float(matrix[0, 0]), float(matrix[0, 1])), (float(matrix[1, 0]), float(matrix[1, 1]))


def sky_to_plane(ra: Any, dec: Any, center: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return (east, north) [arcsec] on the plane that touches at `center` (gnomonic projection).

    Calabretta & Greisen 2002, section 5.1.3.
    """
    ra, dec = np.radians(np.asarray(ra, float)), np.radians(np.asarray(dec, float))
    ra0, dec0 = np.radians(center)
    cosine = np.sin(dec0) * np.sin(dec) + np.cos(dec0) * np.cos(dec) * np.cos(ra - ra0)
    east = np.cos(dec) * np.sin(ra - ra0) / cosine
    north = (np.cos(dec0) * np.sin(dec) - np.sin(dec0) * np.cos(dec) * np.cos(ra - ra0)) / cosine
    return east / RADIANS_PER_ARCSEC, north / RADIANS_PER_ARCSEC


def plane_to_sky(east: Any, north: Any, center: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return right ascension (0 to 360) and declination [deg] of a point on the plane touching at `center`."""
    xi, eta = np.asarray(east, float) * RADIANS_PER_ARCSEC, np.asarray(north, float) * RADIANS_PER_ARCSEC
    ra0, dec0 = np.radians(center)
    denominator = np.cos(dec0) - eta * np.sin(dec0)
    ra = ra0 + np.arctan2(xi, denominator)
    dec = np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(xi, denominator))
    return np.degrees(ra) % 360.0, np.degrees(dec)
