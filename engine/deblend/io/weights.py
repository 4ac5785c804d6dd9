"""What says how noisy a pixel is, in the forms that files have it, turned into inverse variances.

A form is said by a person ("rms:FILE"), or recognised by the name of the HDU or of the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from deblend.io.fits_file import FitsImage, read_image
from deblend.io.noise_check import noise_ratios
from deblend.observe import NoiseForm, WeightOrigin, measured_weights

Cube = Float[np.ndarray, "band y x"]
AGREES = 2.0
"""Weights whose noise differs by less than this factor from the measured one are inverse variances."""


class Kind(Enum):
    """What the numbers of a map of weights mean."""

    INVERSE_VARIANCE = "ivar"
    RMS = "rms"
    VARIANCE = "variance"
    WEIGHT = "weight"
    """Inverse variances, in the unit of the image or in any other; the noise of the image decides."""
    EXPOSURE = "exposure"
    """Tells pixels from each other only; what it means is measured in the image."""


KIND_OF_WORD = {
    **dict.fromkeys(("ivar", "invvar", "ivm", "ivarmap"), Kind.INVERSE_VARIANCE),
    **dict.fromkeys(("rms", "err", "error", "errors", "sig", "sigma", "unc", "uncert", "std"), Kind.RMS),
    **dict.fromkeys(("var", "variance"), Kind.VARIANCE),
    **dict.fromkeys(("weight", "weights", "wgt"), Kind.WEIGHT),
    **dict.fromkeys(("wht", "exposure", "expmap"), Kind.EXPOSURE),
}
"""Kinds by words of HDUs and files, best first."""
WEIGHT_NAMES = tuple(word.upper() for word in KIND_OF_WORD)
"""HDUs that hold weights, in the order they are looked for."""
_FORMS = {
    Kind.INVERSE_VARIANCE: NoiseForm.INVERSE_VARIANCE,
    Kind.RMS: NoiseForm.RMS,
    Kind.VARIANCE: NoiseForm.VARIANCE,
}
MEASURED = "measured"
"""Said in place of a file: leave all weights aside, and measure the noise."""
_SAID = re.compile(r"(ivar|invvar|inverse-variance|rms|sigma|var|variance|exposure|weight):(.+)", re.IGNORECASE)
_SPELLINGS = {
    "invvar": Kind.INVERSE_VARIANCE,
    "inverse-variance": Kind.INVERSE_VARIANCE,
    "sigma": Kind.RMS,
    "var": Kind.VARIANCE,
}


@dataclass(frozen=True)
class WeightFile:
    """A file of weights, and what it is where that was said."""

    path: Path
    kind: Kind | None = None
    is_given: bool = True
    """By a person; otherwise it was found beside the image."""

    @classmethod
    def said(cls, text: str | Path) -> WeightFile:
        """Read "FILE" or "rms:FILE" (ivar, rms, variance, weight, exposure)."""
        match = None if Path(text).exists() else _SAID.fullmatch(str(text))
        if match is None:
            return cls(Path(text))
        word = match[1].lower()
        return cls(Path(match[2]), _SPELLINGS[word] if word in _SPELLINGS else Kind(word))


def kind_of_name(name: str) -> Kind | None:
    """Return the kind of weights that the name of an HDU is one for; None where it is none."""
    return KIND_OF_WORD.get(name.strip().lower())


def kind_of(noise: FitsImage, weights: WeightFile) -> Kind:
    """Return what kind of weights a file holds: as said, else by the name of the HDU or file, else inverse variance.

    Drizzled weights are inverse variances only where the header says so. What a person gives under a name that says
    no more than "weight" is taken for inverse variances.
    """
    if weights.kind is not None:
        return weights.kind
    words = re.split(r"[-_.\s]+", noise.path.name.lower())
    by_file = next((KIND_OF_WORD[word] for word in reversed(words) if word in KIND_OF_WORD), None)
    kind = kind_of_name(noise.name) or by_file or Kind.INVERSE_VARIANCE
    if kind is Kind.WEIGHT and weights.is_given:
        kind = Kind.INVERSE_VARIANCE
    return as_header_says(noise, kind)


def as_header_says(noise: FitsImage, kind: Kind) -> Kind:
    """Return inverse variance in place of exposure where the header tells that the image was drizzled with such."""
    said = str(noise.cards.get("WHT_TYPE", "WHTTYPE") or "").upper()
    return Kind.INVERSE_VARIANCE if kind is Kind.EXPOSURE and said in ("IVM", "ERR") else kind


def read_weights(weights: WeightFile, shape: tuple[int, ...], image: FitsImage) -> FitsImage:
    """Read a file of weights for an image (band, y, x) of `shape`; raises ValueError where it has another."""
    found = read_image(weights.path, WEIGHT_NAMES, image.cut)
    if found.cube().shape != shape:
        raise ValueError(
            f"{found.where}: weights of shape {_shown(found.cube().shape)} do not fit the image of shape "
            f"{_shown(shape)} in {image.where}; give one --weights file of the same shape per image, in the same order."
        )
    return found


def inverse_variances(
    noise: FitsImage,
    said: str,
    kind: Kind,
    planes: Cube,
    masked: Bool[np.ndarray, "band y x"],
    bands: Sequence[str],
    unit: str,
    where: str,
) -> tuple[Cube, list[str]]:
    """Return weights [1/(unit/pix)²] from a map of some kind, 0 where there are none, and remarks that say how.

    `said` is how the map is called in them.

    Raises ValueError where the map gives nothing to measure its meaning by.
    """
    values = noise.cube()
    if kind is Kind.WEIGHT:
        trial, remarks = weights_from_inverse_variance(values, "weight")
        ratios = noise_ratios(planes, np.where(masked, 0.0, trial))
        if ratios and all(1.0 / AGREES < ratio < AGREES for ratio in ratios.values()):
            return trial, [f"{said} is taken for inverse variances, as the noise of the image agrees.", *remarks]
        kind = Kind.EXPOSURE
    if kind is Kind.EXPOSURE:
        return weights_from_exposure(values, said, planes, masked, bands, unit, where)
    if kind is Kind.INVERSE_VARIANCE:
        weights, remarks = weights_from_inverse_variance(values, "weight")
        return weights, [
            f"its weights are the inverse variances of {said}.",
            *(f"{remark[:-1]} ({noise.path.name})." for remark in remarks),
        ]
    if kind is Kind.RMS:
        weights, remarks = weights_from_variance(np.sign(values) * values**2)
        return weights, [f"its weights are 1/error² of {said}.", *remarks]
    weights, remarks = weights_from_variance(values)
    # the layout of LSST says so itself
    return weights, ([] if noise.name == "VARIANCE" else [f"its weights are 1/variance of {said}."]) + remarks


def origins_of(kind: Kind, numbers: Cube, weights: Cube) -> tuple[WeightOrigin, ...]:
    """Return what the weights of each band were made of, so that the numbers may be understood otherwise.

    Exposures are inverse variances but for a factor, which was measured.
    """
    if kind in _FORMS:
        return (WeightOrigin(_FORMS[kind]),) * len(weights)
    result = []
    for plane, found in zip(numbers, weights, strict=True):
        good = (found > 0) & np.isfinite(plane) & (plane > 0)
        result.append(WeightOrigin(factor=float(np.median(found[good] / plane[good])) if good.any() else 1.0))
    return tuple(result)


def weights_from_exposure(
    values: Cube,
    said: str,
    planes: Cube,
    masked: Bool[np.ndarray, "band y x"],
    bands: Sequence[str],
    unit: str,
    where: str,
) -> tuple[Cube, list[str]]:
    """Return weights that vary as the exposure does, with the noise that is measured in the image; and remarks."""
    good = np.isfinite(values) & (values > 0)
    typical = np.array(
        [np.median(plane[seen]) if seen.any() else 1.0 for plane, seen in zip(values, good, strict=True)]
    )
    relative = np.where(good, values, 0.0) / typical[:, None, None]
    flat, _ = weights_from_noise(planes * np.sqrt(relative), good & ~masked & np.isfinite(planes), bands, unit, where)
    factor = np.array([plane.max() for plane in flat]) / typical
    factors = ", ".join(f"{band} {value:.4g}" for band, value in zip(bands, factor, strict=True))
    remarks = [
        f"{said} is taken for exposure: the noise was measured in the image, and varies as its root "
        f"(inverse variance over exposure: {factors})."
    ]
    if np.all((factor > AGREES**-2) & (factor < AGREES**2)):
        remarks.append("that is close to 1: --weights ivar:FILE takes such a file for inverse variances as it is.")
    if not good.all():
        remarks.append(f"{np.count_nonzero(~good)} pixels without exposure are masked.")
    return relative * flat.max(axis=(1, 2))[:, None, None], remarks


def weights_from_inverse_variance(values: Cube, noun: str) -> tuple[Cube, list[str]]:
    """Return weights without undefined or negative ones, and a remark on how many pixels that masked."""
    undefined, negative = ~np.isfinite(values), values < 0
    remarks = [
        f"{np.count_nonzero(bad)} pixels of {what} {noun} are masked."
        for what, bad in (("undefined", undefined), ("negative", negative))
        if bad.any()
    ]
    return np.where(undefined | negative, 0.0, values), remarks


def weights_from_variance(values: Cube) -> tuple[Cube, list[str]]:
    """Return 1/variance, 0 where it is undefined, zero or negative, and a remark on how many pixels that masked."""
    good = np.isfinite(values) & (values > 0)
    remarks = [
        f"{np.count_nonzero(bad)} pixels of {what} variance are masked."
        for what, bad in (("undefined", ~np.isfinite(values)), ("negative", values < 0), ("zero", values == 0))
        if bad.any()
    ]
    return np.divide(1.0, values, out=np.zeros_like(values), where=good), remarks


def weights_from_noise(
    images: Cube, usable: Bool[np.ndarray, "band y x"], bands: Sequence[str], unit: str, where: str
) -> tuple[Cube, list[str]]:
    """Return weights from the noise measured in the images, and a remark that says so.

    Raises ValueError where an image has no noise to measure.
    """
    try:
        weights, sentence = measured_weights(np.where(usable, images, np.nan), bands, unit)
    except ValueError as error:
        raise ValueError(f"{where}, {error}") from error
    return weights, [f"has no variance; {sentence}"]


def _shown(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape[1:] if shape[0] == 1 else shape))
