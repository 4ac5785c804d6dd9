"""What is worth a second look in how an observation's files were understood, and what tells files of one kind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from deblend.io.interpretation import Interpretation
from deblend.io.noise_check import noise_ratios, noise_tolerance
from deblend.io.world import PROJECTION_TOLERANCE
from deblend.observe import Observation, full_width_half_maximum
from deblend.observe.psf import centroid

OFF_CENTER = 0.05
"""A PSF whose centroid is further from its middle than this is said to be off [pix]."""
NARROW = 2.0
"""A PSF of a smaller full width at half maximum is undersampled [pix]."""


@dataclass(frozen=True)
class Check:
    """One fact about an observation."""

    what: str
    value: str
    warning: str = ""
    """Why it is worth a second look; empty where it is not."""


def checks(observation: Observation) -> list[Check]:
    """Return how an observation is understood, with warnings beside: unit, noise, mask, PSF and WCS."""
    bands = [channel.band for channel in observation.channels]
    light = (_unit(observation), _noise(observation, bands), _mask(observation))
    return [*light, *_psf(observation, bands), _wcs(observation)]


def signature(observation: Observation) -> str:
    """Return what files of one kind have in common, as a short code: survey, bands, unit, zero points, pixel scale."""
    scale = 0.0 if observation.wcs is None else round(observation.wcs.pixel_scale, 4)
    said = {
        "channels": [str(channel) for channel in observation.channels],
        "unit": observation.unit,
        "njy_per_unit": [f"{size:.6g}" for size in observation.njy_per_unit],
        "pixel_scale": scale,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _unit(observation: Observation) -> Check:
    points = Interpretation.of(observation).zero_point
    sizes = sorted({f"{size:.5g}" for size in observation.njy_per_unit})
    unknown = observation.unit != "nJy" and np.all(observation.njy_per_unit == 1.0)
    warning = "no zero point was found; fluxes stay in the unit of the file" if unknown else ""
    return Check("unit", f"1 {observation.unit} is {', '.join(sizes)} nJy (zero point {points} mag)", warning)


def _noise(observation: Observation, bands: Sequence[str]) -> Check:
    ratios = noise_ratios(observation.images, observation.weights)
    said = ", ".join(f"{bands[k]} {ratio:.2f}" for k, ratio in ratios.items()) or "there is no sky to measure it in"
    allowed = {k: noise_tolerance(observation.images[k], observation.weights[k]) for k in ratios}
    off = [bands[k] for k, ratio in ratios.items() if abs(ratio - 1.0) > allowed[k]]
    warning = f"the weights of {', '.join(off)} do not fit the noise; scale it, or give other weights" if off else ""
    forms = ["measured" if origin is None else origin.form.value for origin in observation.weight_origins]
    made_of = f"; made of {', '.join(dict.fromkeys(forms))}" if forms else ""
    return Check("noise", f"measured in blank sky, over that of the weights{made_of}: {said}", warning)


def _mask(observation: Observation) -> Check:
    share = 1.0 - observation.n_unmasked / observation.weights.size
    return Check("mask", f"{100 * share:.1f} % of the pixels", "most of it is masked" if share > 0.5 else "")


def _psf(observation: Observation, bands: Sequence[str]) -> list[Check]:
    widths = [full_width_half_maximum(stamp) for stamp in observation.psf]
    offsets = [float(np.hypot(*centroid(stamp))) for stamp in observation.psf]
    shapes = [ellipticity(stamp) for stamp in observation.psf]
    scale = None if observation.wcs is None else observation.wcs.pixel_scale
    unit, size = ("px", 1.0) if scale is None else ("″", scale)
    said = ", ".join(f"{b} {w * size:.2f}{unit}" for b, w in zip(bands, widths, strict=True))
    narrow = [b for b, w in zip(bands, widths, strict=True) if w < NARROW]
    off = [b for b, o in zip(bands, offsets, strict=True) if o > OFF_CENTER]
    return [
        Check("PSF FWHM", said, f"{', '.join(narrow)}: under {NARROW:g} px, undersampled" if narrow else ""),
        Check(
            "PSF shape",
            f"centroid off by up to {max(offsets):.3f} px, ellipticity up to {max(shapes):.2f}",
            f"the PSF of {', '.join(off)} is not centered" if off else "",
        ),
    ]


def _wcs(observation: Observation) -> Check:
    wcs = observation.wcs
    if wcs is None:
        return Check("WCS", "none", "positions are known in pixels only")
    (xx, xy), (yx, yy) = wcs.matrix
    turn = float(np.degrees(np.arctan2(xy, yy)))
    flipped = "" if xx * yy - xy * yx < 0 else ", east to the right"
    north = "up" if abs(turn) < 0.05 else f"{abs(turn):.1f}° {'left' if turn > 0 else 'right'} of up"
    said = f"{wcs.pixel_scale:.4g}″ pixels, north {north}{flipped}"
    warning = "distorted: cut out a smaller piece" if wcs.residual > PROJECTION_TOLERANCE else ""
    return Check("WCS", f"{said}; local map off by up to {wcs.residual:.3f} px", warning)


def ellipticity(stamp: Float[np.ndarray, "y x"]) -> float:
    """Return 1 - b/a of a stamp, from its second moments where it has more than a tenth of its peak."""
    light = np.where(stamp > 0.1 * stamp.max(), stamp, 0.0)
    light = light / light.sum()
    y, x = np.indices(light.shape, dtype=float)
    y, x = y - (light * y).sum(), x - (light * x).sum()
    moments = np.array([[(light * x * x).sum(), (light * x * y).sum()], [(light * x * y).sum(), (light * y * y).sum()]])
    small, large = np.linalg.eigvalsh(moments)
    return float(1.0 - np.sqrt(max(small, 0.0) / large)) if large > 0 else 0.0
