"""Masks: bit planes by name, flags of a pipeline by its rules, or a map that is not zero where pixels are bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
MASK_NAMES = ("MASK", "DQ", "MSK", "FLAG", "FLAGS", "MASKBITS")
"""HDUs that hold masks, in the order they are looked for."""
MOST = 0.5
"""A map that is not zero in a larger part of an image may well mark the good pixels."""


def masked_by(
    mask: FitsImage, said: str, shape: tuple[int, ...], bands: Sequence[str], *, is_lsst: bool = False
) -> tuple[Bool[np.ndarray, "band y x"], list[str]]:
    """Return which pixels of an image (band, y, x) of `shape` a mask leaves out, and remarks on what was assumed.

    `said` is how the mask is called. One of a single plane is that of all bands. Raises ValueError, naming the file,
    where shapes or types do not fit.
    """
    data = mask.data if mask.data.ndim == 3 else mask.data[None]
    if data.ndim != 3 or data.shape[1:] != shape[1:] or data.shape[0] not in (1, shape[0]):
        raise ValueError(
            f"{mask.where}: a mask of shape {_shown(data.shape)} does not fit the image of shape {_shown(shape)}; give "
            "one of the same shape."
        )
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
    is_bad = np.isnan(data) | (data != 0) if data.dtype.kind == "f" else data != 0
    masked = np.broadcast_to(is_bad, shape)
    remarks = [f"{np.count_nonzero(masked)} pixels are masked where {said} is not zero."]
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
