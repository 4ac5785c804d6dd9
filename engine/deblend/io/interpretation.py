"""How an observation's files were understood: what a person can correct, and what is worth a second look.

Corrections are told by difference: `Interpretation.of` says how an observation is understood now, a person changes a
field, and `applied` gives the observation as it is understood then. Nothing is read again; images and weights are
rescaled. A signature of what the headers said lets a program remember the correction for the next file of the kind.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from deblend.io.fits_file import read_image
from deblend.io.given_psf import together
from deblend.io.masks import MASK_NAMES, masked_by
from deblend.io.noise_check import noise_ratios, noise_tolerance
from deblend.io.picture import Picture
from deblend.io.psf import PROFILES, psfs_for
from deblend.io.regions import covered_by, is_regions
from deblend.io.world import PROJECTION_TOLERANCE
from deblend.observe import Observation, full_width_half_maximum
from deblend.observe.noise import measured_weights
from deblend.observe.psf import centroid
from deblend.sky import AB_ZERO_POINT_NJY, Channel, TangentWcs, njy_per_count

OFF_CENTER = 0.05
"""A PSF whose centroid is further from its middle than this is said to be off [pix]."""
MEASURED = "measured"
NOT_MOVED = "0, 0"
NARROW = 2.0
"""A PSF of a smaller full width at half maximum is undersampled [pix]."""


@dataclass(frozen=True)
class Interpretation:
    """What a person can correct about an observation; lists are comma-separated, one value for all or one per band."""

    survey: str
    """The survey of its channels."""
    bands: str
    """Name of every band."""
    zero_point: str
    """AB magnitude of one count of the files [mag]."""
    noise_scale: str = "1"
    """Factor on the noise that the weights say."""
    weights: str = ""
    """"measured" to measure the noise in the image and leave its weights aside; empty to keep them."""
    mask: str = ""
    """A file of bad pixels, of the shape of what is open: an image that is not zero there, or bits that are known, or
    DS9 regions; empty for no more than there are."""
    sky_shift: str = NOT_MOVED
    """How far east and north the image lies of where its WCS says [arcsec]."""
    psf: str = ""
    """Another PSF: gaussian:FWHM, moffat:FWHM,BETA or double-gaussian:FWHM,FWHM,SHARE [arcsec], or a FITS file of
    stamps; empty to leave it."""

    @classmethod
    def of(cls, observation: Observation) -> Interpretation:
        """Return how an observation is understood."""
        points = AB_ZERO_POINT_NJY - 2.5 * np.log10(observation.njy_per_unit)
        said = [f"{point:.4f}".rstrip("0").rstrip(".") for point in points]
        return cls(
            survey=observation.channels[0].survey,
            bands=", ".join(channel.band for channel in observation.channels),
            zero_point=said[0] if len(set(said)) == 1 else ", ".join(said),
        )

    def applied(self, observation: Observation) -> Observation:
        """Return the observation as it is understood so, with a note on what was corrected.

        Raises ValueError, naming the field, where a value makes no sense.
        """
        present = Interpretation.of(observation)
        if self == present:
            return observation
        changed = [f.name for f in fields(self) if getattr(self, f.name) != getattr(present, f.name)]
        n_bands = len(observation.channels)
        scale = observation.njy_per_unit
        if "zero_point" in changed:
            scale = np.array([njy_per_count(point) for point in _numbers(self.zero_point, n_bands, "zero point")])
        noise = _numbers(self.noise_scale, n_bands, "noise scale")
        if not (noise > 0).all():
            raise ValueError(f"noise scale: must be above 0, got {self.noise_scale}.")
        observation, remarks = self._with_masks_and_weights(observation)
        factor = scale / observation.njy_per_unit
        said = ", ".join(f"{name.replace('_', ' ')} {getattr(self, name)}" for name in changed)
        corrected = replace(
            observation,
            channels=self._channels(observation),
            images=_frozen(observation.images * factor[:, None, None]),
            weights=_frozen(observation.weights / (factor * noise)[:, None, None] ** 2),
            njy_per_unit=_frozen(np.array(scale, dtype=float)),
            wcs=self._shifted(observation.wcs),
            notes=(*observation.notes, *remarks, f"{observation.name}: corrected by hand: {said}."),
        )
        return corrected if not self.psf.strip() else self._with_psf(corrected)

    def to_dict(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Interpretation:
        """Return what `to_dict` has written; raises ValueError where it is something else."""
        names = {f.name for f in fields(cls)}
        if set(values) != names or not all(isinstance(v, str) for v in values.values()):
            raise ValueError(f"An interpretation has the fields {', '.join(sorted(names))}, all of them text.")
        return cls(**values)

    @property
    def names_no_file(self) -> bool:
        """Whether it holds for other files too: neither its PSF nor its mask is a file of its own."""
        return self.is_psf_in_words and not self.mask.strip()

    @property
    def is_psf_in_words(self) -> bool:
        return not self.psf.strip() or self.psf.split(":")[0].strip().lower() in PROFILES

    @property
    def of_its_kind(self) -> Interpretation:
        """What of it holds for other files of the kind: no file's own mask or PSF, and no place on the sky, since how
        an image is registered is its own, too."""
        return replace(self, mask="", sky_shift=NOT_MOVED, psf=self.psf if self.is_psf_in_words else "")

    def _with_masks_and_weights(self, observation: Observation) -> tuple[Observation, list[str]]:
        """Return the observation with what else is masked, and with the noise measured where that is wanted."""
        weights, remarks = observation.weights, []
        bands = [channel.name for channel in observation.channels]
        if self.mask.strip():
            path = Path(self.mask.strip())
            if is_regions(path):
                masked = covered_by(path, observation.shape, observation.wcs, (0, 0), observation.name)
                remarks.append(f"{np.count_nonzero(masked)} pixels are masked by the regions of {path.name}.")
            else:
                masked, remarks = masked_by(read_image(path, MASK_NAMES), path.name, weights.shape, bands)
            weights = np.where(masked, 0.0, weights)
        wanted = self.weights.strip().lower()
        if wanted not in ("", MEASURED):
            raise ValueError(f'weights: say "{MEASURED}", or leave it empty; open the images again to give a file.')
        if wanted:
            seen = np.where(weights > 0, observation.images, np.nan)
            measured, said = measured_weights(seen, bands, "nJy")
            weights = np.where(weights > 0, measured, 0.0)
            remarks.append(said)
        if weights is observation.weights:
            return observation, []
        if not (weights > 0).any(axis=(1, 2)).all():
            raise ValueError(f"mask: {self.mask} leaves a band without a usable pixel; give another.")
        return replace(observation, weights=_frozen(weights)), [f"{observation.name}: {remark}" for remark in remarks]

    def _shifted(self, wcs: TangentWcs | None) -> TangentWcs | None:
        east, north = _numbers(self.sky_shift, 2, "sky shift")
        if east == 0 and north == 0:
            return wcs
        if wcs is None:
            raise ValueError("sky shift: the image has no WCS that could be moved.")
        ra, dec = wcs.center
        return replace(wcs, center=(ra + east / 3600 / np.cos(np.radians(dec)), dec + north / 3600))

    def _channels(self, observation: Observation) -> tuple[Channel, ...]:
        names = [name.strip() for name in self.bands.split(",")]
        epochs = [channel.epoch for channel in observation.channels]
        are_told_apart = len(set(zip(names, epochs, strict=False))) == len(names)
        if len(names) != len(observation.channels) or not all(names) or not are_told_apart:
            raise ValueError(f"bands: {len(observation.channels)} different names are needed, got {self.bands!r}.")
        survey = self.survey.strip()
        if not survey:
            raise ValueError("survey: needs a name of at least one letter.")
        return tuple(c._replace(survey=survey, band=n) for c, n in zip(observation.channels, names, strict=True))

    def _with_psf(self, observation: Observation) -> Observation:
        """Return the observation with the PSF that is said, in words or by a file of stamps."""
        picture = Picture(
            path=Path(observation.name),
            images=observation.images,
            weights=observation.weights,
            bands=tuple(channel.band for channel in observation.channels),
            survey=None,
            unit=observation.unit,
            njy_per_unit=1.0,
            wcs=observation.wcs,
        )
        try:
            (given,) = psfs_for([picture], [Path(self.psf.strip())])
        except ValueError as error:
            raise ValueError(f"psf: {str(error).removeprefix('--psf ')}") from error
        if given.positions is not None:
            raise ValueError(
                f"psf: {self.psf} varies over the image of its file, which a piece no longer knows; open the images "
                "again with it."
            )
        psf, said = together([given], [str(channel) for channel in observation.channels])
        shape = (len(observation.channels), 1, 1)
        made = Observation.from_arrays(np.ones(shape), psf, np.ones(shape), channels=observation.channels)
        return replace(
            observation,
            psf=made.psf,
            fine_psf=made.fine_psf,
            psf_oversampling=made.psf_oversampling,
            psf_field=None,
            notes=(*observation.notes, *said, *made.notes),
        )


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
    return Check("noise", f"measured in blank sky, over that of the weights: {said}", warning)


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


def _numbers(said: str, n_bands: int, what: str) -> Float[np.ndarray, " band"]:
    words = [word.strip() for word in said.split(",")]
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        raise ValueError(f"{what}: {said!r} is no number, nor a list of them.") from None
    if len(values) not in (1, n_bands) or not np.isfinite(values).all():
        raise ValueError(f"{what}: one number or one for each of the {n_bands} bands is needed, got {said!r}.")
    return np.broadcast_to(values, (n_bands,)).copy()


def _frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
