"""Masks: bit planes by name, flags of a pipeline by its rules, or a map that is not zero where pixels are bad."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from deblend.io.fits_file import FitsImage

HSC_PLANES = {
    "BAD": 0,
    "SAT": 1,
    "INTRP": 2,
    "CR": 3,
    "EDGE": 4,
    "DETECTED": 5,
    "DETECTED_NEGATIVE": 6,
    "SUSPECT": 7,
    "NO_DATA": 8,
}
"""Bits of the mask as the HSC pipeline lays them by default; used where the header has no MP_ cards."""
MASKED_PLANES = ("BAD", "SAT", "NO_DATA")
"""Planes whose pixels do not count."""
DES_PLANES = {"BPM": 0, "SATURATE": 1, "BADAMP": 3, "CRAY": 4, "TRAIL": 6, "EDGEBLEED": 7, "EDGE": 9, "STREAK": 10}
"""Bits of the Dark Energy Survey's pipeline whose pixels do not count (Morganson et al. 2018, table 8)."""
LEGACY_PLANES = {
    "g": {"SATUR_G": 2, "ALLMASK_G": 5},
    "r": {"SATUR_R": 3, "ALLMASK_R": 6},
    "z": {"SATUR_Z": 4, "ALLMASK_Z": 7},
    "i": {"SATUR_I": 14, "ALLMASK_I": 15},
}
"""Bits of the Legacy Surveys' maskbits (DR10) whose pixels do not count, by band; the others tell bright stars, large
galaxies, and what is outside of the brick, where pixels are good."""
JWST_PLANES = {"DO_NOT_USE": 0}
"""The one bit of a data quality array of Webb or Roman whose pixels do not count."""
EUCLID_PLANES = {"INVALID": 0, "HOT": 1, "COLD": 2, "SAT": 3, "BAD_COLUMN": 7, "BAD_CLUSTER": 8, "NO_DATA": 22}
"""Bits of Euclid's flags of the visible (VIS) whose pixels do not count, as the data product description document
numbers them for VIS frames (DPDD 1.1, VIS flag map); for stacks it has no table of its own. The others tell where there
is light of some origin (ghosts, scattered light, stars, objects), where a quadrant ends, and what a stack leaves out of
its mean, which its errors know (cosmic rays)."""
MASK_NAMES = ("MASK", "DQ", "MSK", "FLAG", "FLAGS", "MASKBITS")
"""HDUs that hold masks, in the order they are looked for."""
_SAID = re.compile(r"bits:([^:]*):(.+)", re.IGNORECASE)
MOST = 0.5
"""A map that is not zero in a larger part of an image may well mark the good pixels."""


@dataclass(frozen=True)
class MaskFile:
    """A file of bad pixels, and which of its bits tell them, where that was said."""

    path: Path
    bits: tuple[int, ...] | None = None

    @classmethod
    def said(cls, text: str | Path) -> MaskFile:
        """Read "FILE" or "bits:0,3,8:FILE"; raises ValueError where a bit is none."""
        match = None if Path(text).exists() else _SAID.fullmatch(str(text).strip())
        if match is None:
            return cls(Path(str(text).strip()))
        bits = [word.strip() for word in match[1].split(",")]
        if not all(bit.isdecimal() and int(bit) < 63 for bit in bits):
            raise ValueError(f"mask {text}: bits are numbers from 0 to 62, separated by commas, as in bits:0,3:FILE.")
        return cls(Path(match[2]), tuple(sorted({int(bit) for bit in bits})))


def masked_by(
    mask: FitsImage,
    said: str,
    shape: tuple[int, ...],
    bands: Sequence[str],
    *,
    is_lsst: bool = False,
    bits: Sequence[int] | None = None,
) -> tuple[Bool[np.ndarray, "band y x"], list[str]]:
    """Return which pixels of an image (band, y, x) of `shape` a mask leaves out, and remarks on what was assumed.

    `said` is how the mask is called, `bits` those that a person names as bad, in place of those that are known. One of
    a single plane is that of all bands. Raises ValueError, naming the file,
    where shapes or types do not fit.
    """
    data = mask.data if mask.data.ndim == 3 else mask.data[None]
    if data.ndim != 3 or data.shape[1:] != shape[1:] or data.shape[0] not in (1, shape[0]):
        raise ValueError(
            f"{mask.where}: a mask of shape {_shown(data.shape)} does not fit the image of shape {_shown(shape)}; give "
            "one of the same shape."
        )
    if bits is not None:
        masked = _bits_set(mask, data, shape, {str(bit): bit for bit in bits})
        listed = ", ".join(map(str, bits))
        return masked, [f"{np.count_nonzero(masked)} pixels are masked where bits {listed} of {said} are set."]
    named = {name[3:]: int(bit) for name, bit in mask.cards.own.items() if name.startswith("MP_")}
    if named:
        return _by_planes(mask, data, shape, {n: named[n] for n in MASKED_PLANES if n in named}, "")
    if is_lsst:
        planes = {name: HSC_PLANES[name] for name in MASKED_PLANES}
        return _by_planes(mask, data, shape, planes, "its MASK names no planes (MP_ cards); the HSC default")
    survey = f"{mask.cards.get('TELESCOP') or ''} {mask.cards.get('SURVEY') or ''}".upper()
    if mask.name == "MASKBITS" or "maskbits" in mask.path.name.lower():
        return _by_legacy(mask, data, shape, bands, said)
    if mask.name == "DQ" and ("JWST" in survey or "ROMAN" in survey):
        return _by_planes(mask, data, shape, JWST_PLANES, f"{said} is data quality of Webb's kind; its bit")
    if mask.name == "MSK" or "DES" in survey.split():
        return _by_planes(mask, data, shape, DES_PLANES, f"{said} is a mask of the Dark Energy Survey's kind; its bit")
    if "EUCLID" in survey or mask.path.name.upper().startswith("EUC_"):
        if data.dtype.kind in "iu" and "VIS" in words_in(mask):
            return _by_euclid(mask, data, shape, said)
        told = ["what its bits mean is known for VIS alone; say which are bad as bits:0,1:FILE."]
    else:
        told = []
    is_bad = np.isnan(data) | (data != 0) if data.dtype.kind == "f" else data != 0
    masked = np.broadcast_to(is_bad, shape)
    remarks = [f"{np.count_nonzero(masked)} pixels are masked where {said} is not zero.", *told]
    if masked.mean() > MOST:
        remarks.append(f"WARNING: these are {100 * masked.mean():.0f} % of all; {said} may mark the good pixels.")
    return masked, remarks


def spoilt_integers(
    image: FitsImage, planes: Float[np.ndarray, "band y x"]
) -> tuple[Bool[np.ndarray, "band y x"], list[str]]:
    """Return which pixels of an image of integers are at the end of their range, of SATURATE, or BLANK; and remarks.

    Such numbers are readings; an image of floats was calibrated, and its SATURATE may be that of another scale.
    """
    own = image.cards.own
    bits = int(own.get("BITPIX", -32))
    if bits <= 0:
        return np.zeros(planes.shape, dtype=bool), []
    zero, step = float(own.get("BZERO", 0.0)), float(own.get("BSCALE", 1.0))
    largest = zero + step * (2 ** (bits - 1) - 1 if bits > 8 else 255)
    said = image.cards.number("SATURATE")
    level = min(largest, said[1]) if said is not None and step > 0 else largest
    full = planes >= level - 0.25 * step if step > 0 else planes <= level - 0.25 * step
    remarks = []
    if full.any():
        reason = f"SATURATE = {level:g}" if level != largest else f"{level:g}, the end of its {bits}-bit integers"
        remarks.append(f"{np.count_nonzero(full)} saturated pixels are masked ({reason}).")
    if "BLANK" in own:
        # astropy makes them undefined, but not where the integers are unsigned
        blank = np.isnan(planes) | (np.abs(planes - zero - step * float(own["BLANK"])) < 0.25 * abs(step))
        remarks += [f"{np.count_nonzero(blank)} BLANK pixels are masked."] if blank.any() else []
        full = full | blank
    return full, remarks


def _by_planes(
    mask: FitsImage, data: np.ndarray, shape: tuple[int, ...], planes: Mapping[str, int], assumed: str
) -> tuple[np.ndarray, list[str]]:
    masked = _bits_set(mask, data, shape, planes)
    remarks = []
    if assumed:
        remarks.append(f"{assumed} is assumed: {', '.join(f'{name} {bit}' for name, bit in planes.items())}.")
    if masked.any():
        remarks.append(f"{np.count_nonzero(masked)} pixels are masked by {', '.join(planes)}.")
    return masked, remarks


def words_in(mask: FitsImage) -> set[str]:
    """Return the words of a mask's file and of the cards that name an instrument or a filter, in capitals."""
    cards = " ".join(str(mask.cards.get(card) or "") for card in ("INSTRUME", "FILTER"))
    return set(re.split(r"[-_.\s]+", f"{mask.path.name} {cards}".upper()))


def _by_euclid(
    mask: FitsImage, data: np.ndarray, shape: tuple[int, ...], said: str
) -> tuple[Bool[np.ndarray, "band y x"], list[str]]:
    masked = _bits_set(mask, data, shape, EUCLID_PLANES)
    taken = ", ".join(f"{name} {bit}" for name, bit in EUCLID_PLANES.items())
    remarks = [
        f"{np.count_nonzero(masked)} pixels are masked where {said} has bits that are taken for bad ({taken}); "
        "--mask bits:0,1,…:FILE takes others."
    ]
    left = {bit: int(np.count_nonzero((data >> bit) & 1)) for bit in range(31) if bit not in EUCLID_PLANES.values()}
    counted = ", ".join(f"{bit} ({count} pixels)" for bit, count in left.items() if count)
    if counted:
        remarks.append(f"other bits that are set there are not: {counted}.")
    return masked, remarks


def _by_legacy(
    mask: FitsImage, data: np.ndarray, shape: tuple[int, ...], bands: Sequence[str], said: str
) -> tuple[np.ndarray, list[str]]:
    known = [LEGACY_PLANES.get(band.lower(), {}) for band in bands]
    layers = np.broadcast_to(data, shape)
    one = (1, *shape[1:])
    masked = np.concatenate(
        [_bits_set(mask, layer[None], one, planes) for layer, planes in zip(layers, known, strict=True)]
    )
    bits = ", ".join(f"{name} {bit}" for planes in known for name, bit in planes.items()) or "none for these bands"
    remarks = [f"{said} is a mask of the Legacy Surveys' kind; its bits are assumed: {bits}."]
    if masked.any():
        remarks.append(f"{np.count_nonzero(masked)} pixels are masked by them.")
    return masked, remarks


def _bits_set(mask: FitsImage, data: np.ndarray, shape: tuple[int, ...], planes: Mapping[str, int]) -> np.ndarray:
    if data.dtype.kind not in "iu":
        raise ValueError(f"{mask.where}: bit planes must be integers, got {data.dtype}.")
    return np.broadcast_to((data.astype(np.int64) & sum(1 << bit for bit in planes.values())) != 0, shape)


def _shown(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape[1:] if shape[0] == 1 else shape))
