"""The unit of an image: from BUNIT, FLUXMAG0 or a zero point to nJy."""

from __future__ import annotations

import math
import re

from astropy import units

from deblend.io.fits_file import Cards
from deblend.sky import njy_per_count, zero_point_from_fluxmag0

ZERO_POINT_CARDS = ("MAGZERO", "MAGZPT", "MAGZP", "ZP", "ZEROPNT", "PHOTZP", "ABMAGZP")
"""Cards that hold the AB magnitude of one count [mag], in the order they are looked for."""
NJY_PER_NANOMAGGY = 3631.0
"""A nanomaggy is 1e-9 of the 3631 Jy of AB magnitude 0 [nJy]."""
NANOMAGGY_SURVEYS = ("LegacySurvey", "SDSS")
"""Surveys whose images are in nanomaggies where their headers say nothing, as those of cut-out services."""
UNKNOWN_UNIT = "image unit"
"""What the unit of an image is called that says nothing of it."""
_PER_PIXEL = re.compile(r"\s*(/\s*(pix|pixel)|\s(pix|pixel)\*{0,2}-1)$", re.IGNORECASE)
_SPELLINGS = {
    "njy": 1.0,
    "nanojy": 1.0,
    "nanojansky": 1.0,
    "ujy": 1e3,
    "µjy": 1e3,
    "microjy": 1e3,
    "microjansky": 1e3,
    "nanomaggy": NJY_PER_NANOMAGGY,
    "nanomaggies": NJY_PER_NANOMAGGY,
    "nmgy": NJY_PER_NANOMAGGY,
}


def calibrate(cards: Cards, survey: str | None = None) -> tuple[str, float, str | None]:
    """Return the unit of an image, its size [nJy], and a sentence on what was assumed; None where nothing was.

    A flux unit in BUNIT decides, or a surface brightness with the area of a pixel (PIXAR_SR); then FLUXMAG0 (counts of
    magnitude 0), then a zero point, then PHOTFLAM with PHOTPLAM (Hubble's inverse sensitivity and pivot wavelength),
    then what the survey is known to use.
    """
    text = cards.get("BUNIT")
    unit = str(text).strip() if text is not None else ""
    size = njy_per_unit(unit)
    if size is not None:
        return unit, size, None
    area = cards.number("PIXAR_SR")
    per_steradian = njy_per_steradian(unit)
    if per_steradian is not None and area is not None and area[1] > 0:
        size = per_steradian * area[1]
        return unit, size, f"one {unit} is {size:.5g} nJy in a pixel (PIXAR_SR = {area[1]:.5g} sr)."
    counts = unit or "count"
    fluxmag0 = cards.number("FLUXMAG0")
    if fluxmag0 is not None and fluxmag0[1] > 0:
        zero_point = zero_point_from_fluxmag0(fluxmag0[1])
        size = njy_per_count(zero_point)
        return counts, size, f"one {counts} is {size:.5g} nJy (FLUXMAG0: AB zero point {zero_point:.3f} mag)."
    found = cards.number(*ZERO_POINT_CARDS)
    if found is not None:
        size = njy_per_count(found[1])
        return counts, size, f"one {counts} is {size:.5g} nJy ({found[0]} = {found[1]:g} taken as AB zero point [mag])."
    sensitivity, pivot = cards.number("PHOTFLAM"), cards.number("PHOTPLAM")
    if sensitivity is not None and pivot is not None and min(sensitivity[1], pivot[1]) > 0:
        zero_point = -2.5 * math.log10(sensitivity[1]) - 5.0 * math.log10(pivot[1]) - 2.408
        size = njy_per_count(zero_point)
        return counts, size, f"one {counts} is {size:.5g} nJy (PHOTFLAM, PHOTPLAM: AB zero point {zero_point:.3f} mag)."
    if not unit and survey in NANOMAGGY_SURVEYS:
        return "nanomaggy", NJY_PER_NANOMAGGY, f"has no unit; nanomaggies are assumed, which the {survey} uses."
    if not unit:
        missing = "has neither a unit (BUNIT) nor a zero point; its fluxes stay in image units and are called nJy."
        return UNKNOWN_UNIT, 1.0, missing
    return unit, 1.0, f"unit '{unit}' is no flux, and there is no zero point; its fluxes stay in it and are called nJy."


def njy_per_steradian(unit: str) -> float | None:
    """Return the flux of one `unit` of surface brightness in a steradian [nJy]; None where it is none."""
    try:
        parsed = units.Unit(unit.strip())
        return float((parsed * units.sr).to(units.nJy)) if unit.strip() else None
    except (ValueError, TypeError, units.UnitConversionError):
        return None


def njy_per_unit(unit: str) -> float | None:
    """Return the flux of one `unit` per pixel [nJy]; None where it is no flux."""
    bare = _PER_PIXEL.sub("", unit.strip())
    if bare.lower() in _SPELLINGS:
        return _SPELLINGS[bare.lower()]
    try:
        parsed = units.Unit(bare)
        return float(parsed.to(units.nJy)) if bare and parsed.is_equivalent(units.Jy) else None
    except (ValueError, TypeError):
        return None
