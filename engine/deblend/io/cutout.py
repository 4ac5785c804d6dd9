"""Cut-outs: one box of sky, or of the first image's pixels, cut from every image by its own WCS.

A box on the sky is square along the pixels of the first image. Every other image gives the smallest box of its own
pixels that covers the same sky. There is no margin beyond it: each pixel that is read counts in the fit, and light
there would need sources of its own; a person who wants the neighbours of an edge asks for a larger box.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io.fits import Header
from astropy.wcs import WCS
from jaxtyping import Float

from deblend.io.world import mended
from deblend.observe import Observation
from deblend.sky import PixelBox, celestial_wcs, sky_to_plane

FORMS = '"RA DEC SIZE" (150.1 2.2 30, or 10:00:24 +02:12:00 30arcsec, or 150.1 2.2 300px) or X0:X1,Y0:Y1 in pixels'
"""How a cut-out is said, for messages and help."""
MISSED = 0.01
"""A place that comes back from an image so far from itself is not on it [arcsec]."""
_PIXELS = re.compile(r"\s*([-+]?\d+)\s*:\s*([-+]?\d+)\s*,\s*([-+]?\d+)\s*:\s*([-+]?\d+)\s*")
_SIZE = re.compile(r"([-+.\deE]*\d\.?)\s*([a-zA-Zµ\"'″′]*)")
_SIGNS = {"": "arcsec", '"': "arcsec", "″": "arcsec", "'": "arcmin", "′": "arcmin"}
_SEXAGESIMAL = re.compile(r"[:hms]")


@dataclass(frozen=True)
class SkyCutout:
    """A square on the sky, along the pixels of the first image."""

    ra: float
    """Of its middle [deg, ICRS]."""
    dec: float
    side: float
    """[arcsec], or pixels of the first image."""
    in_pixels: bool = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.ra) and -90.0 <= self.dec <= 90.0):
            raise ValueError(f"A cut-out needs a place on the sky, got RA {self.ra}, Dec {self.dec} [deg].")
        if not (self.side > 0 and np.isfinite(self.side)):
            raise ValueError(f"A cut-out needs a size above 0, got {self.side}.")

    def __str__(self) -> str:
        return f"RA {self.ra:.6f}, Dec {self.dec:.6f}, {self.side:g} {'px' if self.in_pixels else 'arcsec'}"


@dataclass(frozen=True)
class PixelCutout:
    """A box of pixels of the first image."""

    box: PixelBox

    def __str__(self) -> str:
        return str(self.box)


Cutout = SkyCutout | PixelCutout


def cutout_from_text(text: str) -> Cutout:
    """Return what is said as "RA DEC SIZE" or "X0:X1,Y0:Y1" (0-based, ends not included).

    Coordinates are degrees, or sexagesimal with hours first, as astropy reads them; a size without a unit is in arcsec.
    Raises ValueError, with both forms, where it is neither.
    """
    pixels = _PIXELS.fullmatch(text)
    try:
        if pixels:
            x0, x1, y0, y1 = (int(number) for number in pixels.groups())
            return PixelCutout(PixelBox((x0, x1), (y0, y1)))
        words = text.replace(",", " ").split()
        # a unit may stand by itself
        n_size = 2 if len(words) > 3 and not any(letter.isdigit() for letter in words[-1]) else 1
        side, in_pixels = _size("".join(words[-n_size:]))
        ra, dec = _place(words[:-n_size])
        return SkyCutout(ra, dec, side, in_pixels)
    except ValueError as error:
        raise ValueError(f"cut-out {text!r}: {str(error).rstrip('.')}; say {FORMS}.") from error


def as_cutout(said: str | Cutout) -> Cutout:
    """Return a cut-out that may be said in words; raises ValueError as `cutout_from_text` does."""
    return cutout_from_text(said) if isinstance(said, str) else said


def _size(word: str) -> tuple[float, bool]:
    found = _SIZE.fullmatch(word)
    if found is None:
        raise ValueError(f"{word!r} is no size")
    value, unit = float(found[1]), found[2]
    if unit.lower() in ("px", "pix", "pixel", "pixels"):
        return value, True
    try:
        return float((value * units.Unit(_SIGNS.get(unit, unit))).to_value(units.arcsec)), False
    except units.UnitConversionError:
        raise ValueError(f"{unit!r} is no angle") from None


def _place(words: list[str]) -> tuple[float, float]:
    if len(words) < 2:
        raise ValueError("it needs a right ascension, a declination and a size")
    said = " ".join(words)
    hours = len(words) > 2 or _SEXAGESIMAL.search(said)
    place = SkyCoord(said, unit=(units.hourangle if hours else units.deg, units.deg), frame="icrs")
    return float(place.ra.deg), float(place.dec.deg)


class Scissors:
    """Cuts the same box from one image after the other; the first one that it sees decides which sky that is."""

    def __init__(self, cutout: Cutout) -> None:
        self._cutout = cutout
        self._first: _Cut | None = None

    def __call__(self, header: Header | Mapping[str, Any], shape: tuple[int, int], where: str) -> PixelBox:
        """Return the box to cut from an image of `shape` (height, width) with this header.

        Raises ValueError, naming the image as `where`, where the cut-out misses it or cannot be placed in it.
        """
        wcs = _wcs_of(header, where)
        wanted: PixelBox | None
        if self._first is None:
            first = self._wanted(wcs, where)
            wanted, self._first = first, _Cut(first, shape, where, _outline_on_sky(first, wcs))
        else:
            wanted = self._first.in_image(wcs, shape, where)
        box = wanted.within(shape) if wanted is not None else None
        if box is None:
            raise ValueError(f"{where}: the cut-out ({self._cutout}) misses this image, {_extent(wcs, shape)}.")
        return box

    def _wanted(self, wcs: WCS | None, where: str) -> PixelBox:
        cutout = self._cutout
        if isinstance(cutout, PixelCutout):
            return cutout.box
        if wcs is None:
            raise ValueError(
                f"{where}: has no WCS in right ascension and declination, so no sky can be cut from it; give the "
                "cut-out in pixels, as X0:X1,Y0:Y1."
            )
        x, y = _pixels(wcs, np.array([cutout.ra]), np.array([cutout.dec]))
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise ValueError(f"{where}: the cut-out ({cutout}) misses this image, {_extent(wcs, None)}.")
        return PixelBox.around(
            float(x[0]), float(y[0]), cutout.side if cutout.in_pixels else cutout.side / _scale(wcs, x, y)
        )


def cut_out(observations: Sequence[Observation], cutout: str | Cutout) -> tuple[Observation, ...]:
    """Return the same box of sky of every observation, by its own WCS, as files are cut.

    Raises ValueError, naming the observation, where the cut-out misses one, or leaves a band of it no usable pixel.
    """
    boxes = boxes_in(observations, cutout)
    pieces = tuple(observation.piece(box) for observation, box in zip(observations, boxes, strict=True))
    for piece in pieces:
        for channel, weights in zip(piece.channels, piece.weights, strict=True):
            if not weights.any():
                raise ValueError(
                    f"{piece.name}: band {channel.band} has no usable pixel in the cut-out; cut elsewhere."
                )
    return pieces


def boxes_in(observations: Sequence[Observation], cutout: str | Cutout) -> tuple[PixelBox, ...]:
    """Return the box that is cut from every observation; raises ValueError, naming it, where one is missed."""
    scissors = Scissors(as_cutout(cutout))
    headers = [Header() if o.wcs is None else o.wcs.to_header() for o in observations]
    return tuple(scissors(header, o.shape, o.name) for header, o in zip(headers, observations, strict=True))


@dataclass(frozen=True)
class _Cut:
    """The box of the first image and the sky it covers."""

    box: PixelBox
    shape: tuple[int, int]
    where: str
    sky: tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]] | None

    def in_image(self, wcs: WCS | None, shape: tuple[int, int], where: str) -> PixelBox | None:
        """Return the box of another image that covers the same sky, None where its projection does not reach there."""
        if self.sky is None or wcs is None:
            if shape == self.shape:
                return self.box
            raise ValueError(
                f"{where}: the cut-out of {self.where} cannot be found in it, since one of the two has no WCS and they "
                "are not of one shape; cut them by themselves."
            )
        x, y = _pixels(wcs, *self.sky)
        return PixelBox.covering(x, y) if np.isfinite(x).all() and np.isfinite(y).all() else None


def _wcs_of(header: Header | Mapping[str, Any], where: str) -> WCS | None:
    try:
        # as it is read: a distortion that is misread would put the box elsewhere
        wcs = celestial_wcs(mended(Header(header))[0])
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    # other axes are left aside when images are read, too
    return wcs if wcs is not None and wcs.wcs.ctype[0].startswith(("RA", "DEC")) else None


def _pixels(wcs: WCS, ra: np.ndarray, dec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (x, y) of sky positions [deg], distortions included; NaN where the projection does not reach."""
    order = (ra, dec) if wcs.wcs.lng == 0 else (dec, ra)
    x, y = wcs.all_world2pix(*order, 0, tolerance=1e-6, quiet=True)
    if wcs.has_distortion:
        # far from the image a distortion's polynomial folds back, and its inverse is a place that is another's
        back_ra, back_dec = _sky(wcs, x, y)
        east, north = sky_to_plane(back_ra, back_dec, (float(ra[0]), float(dec[0])))
        wanted_east, wanted_north = sky_to_plane(ra, dec, (float(ra[0]), float(dec[0])))
        is_there = np.hypot(east - wanted_east, north - wanted_north) < MISSED
        x, y = np.where(is_there, x, np.nan), np.where(is_there, y, np.nan)
    return x, y


def _sky(wcs: WCS, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return right ascension and declination [deg] of pixels."""
    world = wcs.all_pix2world(x, y, 0)
    return (world[0], world[1]) if wcs.wcs.lng == 0 else (world[1], world[0])


def _outline_on_sky(box: PixelBox, wcs: WCS | None) -> tuple[np.ndarray, np.ndarray] | None:
    return None if wcs is None else _sky(wcs, *box.outline())


def _scale(wcs: WCS, x: np.ndarray, y: np.ndarray) -> float:
    """Return the side of a pixel at (x, y) [arcsec]."""
    ra, dec = _sky(wcs, x[0] + np.array([0.0, 1.0, 0.0]), y[0] + np.array([0.0, 0.0, 1.0]))
    east, north = sky_to_plane(ra, dec, (float(ra[0]), float(dec[0])))
    return float(np.sqrt(abs(east[1] * north[2] - east[2] * north[1])))


def _extent(wcs: WCS | None, shape: tuple[int, int] | None) -> str:
    """Return where an image lies, as the end of a sentence."""
    if shape is None:
        return "which lies on the other side of the sky"
    size = f"which has {shape[1]} × {shape[0]} px"
    if wcs is None:
        return size
    ra, dec = _sky(wcs, np.array([(shape[1] - 1) / 2.0]), np.array([(shape[0] - 1) / 2.0]))
    return f"{size} around RA {float(ra[0]) % 360.0:.5f}, Dec {float(dec[0]):.5f}"
