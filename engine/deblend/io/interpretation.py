"""How an observation's files were understood: what a person can correct, and what is worth a second look.

Corrections are told by difference: `Interpretation.of` says how an observation is understood now, a person changes a
field, and `applied` gives the observation as it is understood then. Nothing is read again; images and weights are
rescaled. A signature of what the headers said lets a program remember the correction for the next file of the kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from deblend.io.fits_file import read_image
from deblend.io.given_psf import together
from deblend.io.masks import MASK_NAMES, MaskFile, masked_by
from deblend.io.picture import Picture
from deblend.io.psf import PROFILES, psfs_for
from deblend.io.regions import covered_by, is_regions
from deblend.observe import NoiseForm, Observation, WeightOrigin
from deblend.observe.noise import measured_weights
from deblend.sky import AB_ZERO_POINT_NJY, Channel, TangentWcs, njy_per_count

MEASURED = "measured"
NOT_MOVED = "0, 0"


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
    weights: Literal["", "variance", "rms", "inverse variance", "measured"] = ""
    """What the numbers that the weights were made of say of the noise, or "measured" to leave them aside and measure
    the noise in the image; empty to keep them."""
    mask: str = ""
    """A file of bad pixels, of the shape of what is open: an image that is not zero there, or bits that are known or
    said (bits:0,3:FILE), or DS9 regions; empty for no more than there are."""
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
            weight_origins=tuple(
                None if origin is None else replace(origin, factor=origin.factor / size**2)
                for origin, size in zip(observation.weight_origins, noise, strict=bool(observation.weight_origins))
            ),
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
            given = MaskFile.said(self.mask)
            path = given.path
            if is_regions(path):
                masked = covered_by(path, observation.shape, observation.wcs, (0, 0), observation.name)
                remarks.append(f"{np.count_nonzero(masked)} pixels are masked by the regions of {path.name}.")
            else:
                masked, remarks = masked_by(
                    read_image(path, MASK_NAMES), path.name, weights.shape, bands, bits=given.bits
                )
            weights = np.where(masked, 0.0, weights)
        wanted, origins = self.weights.strip().lower(), observation.weight_origins
        forms = [form.value for form in NoiseForm]
        if wanted not in ("", MEASURED, *forms):
            raise ValueError(
                f"weights: say {', '.join([*forms, MEASURED])}, or leave it empty; open the images again to give a "
                "file."
            )
        if wanted in forms:
            weights, origins, said = _understood_as(NoiseForm(wanted), observation, weights)
            remarks.append(said)
        elif wanted:
            origins = (None,) * len(bands)
            seen = np.where(weights > 0, observation.images, np.nan)
            measured, said = measured_weights(seen, bands, "nJy")
            weights = np.where(weights > 0, measured, 0.0)
            remarks.append(said)
        if weights is observation.weights:
            return observation, []
        if not (weights > 0).any(axis=(1, 2)).all():
            raise ValueError(f"mask: {self.mask} leaves a band without a usable pixel; give another.")
        changed = replace(observation, weights=_frozen(weights), weight_origins=origins)
        return changed, [f"{observation.name}: {remark}" for remark in remarks]

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


def _understood_as(
    form: NoiseForm, observation: Observation, weights: Float[np.ndarray, "band y x"]
) -> tuple[Float[np.ndarray, "band y x"], tuple[WeightOrigin | None, ...], str]:
    """Return weights whose numbers in the files are of this form, what they are made of then, and a remark.

    Raises ValueError where the noise of a band was measured, and there are no such numbers.
    """
    scale = observation.njy_per_unit[:, None, None] ** 2
    result, before = [], []
    for channel, origin, plane in zip(observation.channels, observation.weight_origins, weights * scale, strict=True):
        if origin is None:
            raise ValueError(
                f"weights: the noise of band {channel.name} was measured in its image, so there are no numbers that "
                f"could be its {form.value}; open the images again with a file of weights."
            )
        result.append(origin.understood_as(form, plane))
        before.append(origin.form.value + ("" if origin.factor == 1.0 else f" times {origin.factor:.4g}"))
    taken = ", ".join(dict.fromkeys(before))
    said = f"the numbers that its weights are made of were taken for {taken}; now for {form.value}."
    return np.stack(result) / scale, (WeightOrigin(form),) * len(result), said


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
