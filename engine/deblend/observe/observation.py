"""Observations: what a telescope saw, in one flux unit, with weights, PSF and world coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
from astropy.io.fits import Header
from astropy.wcs import WCS
from jaxtyping import Bool, Float

from deblend.observe.correlation import NoiseCorrelation
from deblend.observe.noise import measured_weights
from deblend.observe.psf import mend_psf, native_psf
from deblend.observe.psf_field import PsfField
from deblend.observe.weight_form import WeightOrigin
from deblend.observe.whitening import whiten
from deblend.sky import Channel, PixelBox, PixelGrid, TangentWcs

CORRELATION_SAID = "correlation of neighbours"


@dataclass(frozen=True, eq=False)
class Observation:
    """Images of one patch of sky by one telescope on one pixel grid.

    Whatever is undefined (NaN, infinite, no or negative weight) is a masked pixel: its weight and its image are
    0, so that it can nowhere leak into a likelihood.
    """

    name: str
    channels: tuple[Channel, ...]
    images: Float[np.ndarray, "band y x"]
    """Surface brightness [nJy/pix]."""
    weights: Float[np.ndarray, "band y x"]
    """Inverse variance [1/(nJy/pix)²]; 0 masks the pixel."""
    psf: Float[np.ndarray, "band side side"]
    """Image of a point source per band, pixel-integrated; odd, centered, sum 1. Where it varies, that at the middle
    of the image."""
    wcs: TangentWcs | None = None
    unit: str = "nJy"
    """Unit of the files that it came from, per pixel."""
    njy_per_unit: Float[np.ndarray, " band"] = field(default_factory=lambda: np.ones(1))
    """Flux of one such unit [nJy], per band."""
    notes: tuple[str, ...] = ()
    """A sentence for everything that was assumed or mended."""
    fine_psf: Float[np.ndarray, "band fine fine"] | None = None
    """The same on samples that lie closer than pixels; None where it is known on pixels alone."""
    psf_oversampling: int = 1
    """Samples of `fine_psf` per pixel, along each axis."""
    psf_field: PsfField | None = None
    """The PSF at any place, where it varies over the image; sampled as `fine_psf` is."""
    noise_correlation: NoiseCorrelation | None = None
    """How the noise of neighbouring pixels goes together; None for white noise."""
    weight_origins: tuple[WeightOrigin | None, ...] = ()
    """What the weights of each band were made of, in the unit of the files; None for one whose noise was measured."""

    @classmethod
    def from_arrays(
        cls,
        images: Any,
        psf: Any,
        weights: Any = None,
        *,
        channels: Sequence[Channel | str] | None = None,
        name: str = "image",
        wcs: TangentWcs | WCS | Header | None = None,
        unit: str = "nJy",
        njy_per_unit: Any = 1.0,
        notes: Sequence[str] = (),
        psf_oversampling: int = 1,
        psf_is_integrated: bool = True,
    ) -> Observation:
        """Make an observation of arrays in the given unit; everything is converted to nJy and checked.

        Parameters
        ----------
        images
            (band, y, x), or (y, x) for one band [unit/pix].
        psf
            (band, y, x), a sequence of stamps that may differ in size, or one stamp for all bands; or a `PsfField`.
        weights
            Inverse variances of the images' shape [1/(unit/pix)²]; without them the noise is measured.
        channels
            A `Channel` or a band name per band.
        wcs
            Where the pixels are on the sky, as astropy has it, its FITS header, or a `TangentWcs`; None if not known.
        njy_per_unit
            Flux of one unit [nJy], a number or one per band.
        psf_oversampling
            Samples of the stamps per pixel, along each axis; a `PsfField` knows its own.
        psf_is_integrated
            Whether stamps hold the light of whole pixels of the detector; else their samples are points of the
            optics' image, and are integrated over these pixels here.

        Raises
        ------
        ValueError
            Where shapes do not fit, or a band has not one usable pixel.
        """
        images = np.atleast_3d(np.asarray(images, dtype=np.float64).T).T
        if images.ndim != 3:
            raise ValueError(f"{name}: images must be (band, y, x), got shape {images.shape}.")
        n_bands = images.shape[0]
        keys = tuple(
            c if isinstance(c, Channel) else Channel(name, str(c))
            for c in (channels if channels is not None else [str(i + 1) for i in range(n_bands)])
        )
        if len(keys) != n_bands:
            raise ValueError(f"{name}: {n_bands} bands need as many channel names, got {len(keys)}.")
        if len(set(keys)) != n_bands:
            raise ValueError(f"{name}: every channel needs a name of its own, got {', '.join(map(str, keys))}.")
        notes = list(notes)
        origin = None if weights is None else WeightOrigin()
        if weights is None:
            weights, note = measured_weights(images, [key.band for key in keys], unit)
            notes.append(f"{name}: no weights given; {note}")
        weights = np.broadcast_to(np.asarray(weights, dtype=np.float64), images.shape)
        scale = np.broadcast_to(np.asarray(njy_per_unit, dtype=np.float64), (n_bands,)).copy()
        usable = np.isfinite(images) & np.isfinite(weights) & (weights > 0)
        for key, good in zip(keys, usable, strict=True):
            if not good.any():
                raise ValueError(f"{name}: band {key.band} has no usable pixel; every one is undefined or masked.")
        psf_field = _varying(psf, n_bands, name) if isinstance(psf, PsfField) else None
        if psf_field is None:
            stamps, bands = _stamps(psf, n_bands, name), [str(key) for key in keys]
            fine, psf_notes = mend_psf(stamps, bands, oversampling=psf_oversampling, is_integrated=psf_is_integrated)
        else:
            psf_oversampling, psf_notes = psf_field.oversampling, ()
            fine = psf_field.at((images.shape[2] - 1) / 2.0, (images.shape[1] - 1) / 2.0)
        return cls(
            name=name,
            channels=keys,
            images=_frozen(np.where(usable, images, 0.0) * scale[:, None, None]),
            weights=_frozen(np.where(usable, weights, 0.0) / scale[:, None, None] ** 2),
            psf=_frozen(native_psf(fine, psf_oversampling)),
            wcs=TangentWcs.of(wcs, (images.shape[1], images.shape[2])),
            unit=unit,
            njy_per_unit=_frozen(scale),
            notes=(*notes, *psf_notes),
            fine_psf=None if psf_oversampling == 1 else _frozen(fine),
            psf_oversampling=psf_oversampling,
            psf_field=None if psf_field is None or psf_field.n_cells == 1 else psf_field,
            weight_origins=(origin,) * n_bands,
        )

    @staticmethod
    def read(*paths: str | PathLike[str] | Sequence[str | PathLike[str]], **options: Any) -> Observation:
        """Read one observation from FITS files, or from lists of them; options as in `deblend.io.read_observations`.

        Raises ValueError where the files hold several observations.
        """
        from deblend.io import read_observations

        files = [file for given in paths for file in ([given] if isinstance(given, str | PathLike) else given)]
        observations = read_observations(files, **options)
        if len(observations) != 1:
            names = ", ".join(o.name for o in observations)
            raise ValueError(f"The files hold {len(observations)} observations ({names}); use read_observations.")
        return observations[0]

    def piece(self, box: PixelBox) -> Observation:
        """Return what of the observation lies in a box of its pixels, which must be within it."""
        if box.within(self.shape) != box:
            raise ValueError(f"{self.name}: a piece ({box}) must be within its {self.shape[1]} × {self.shape[0]} px.")
        rows, columns = box.slices
        piece = replace(
            self,
            images=_frozen(self.images[:, rows, columns].copy()),
            weights=_frozen(self.weights[:, rows, columns].copy()),
            wcs=None if self.wcs is None else self.wcs.shifted(box.x[0], box.y[0]),
            notes=(*self.notes, f"{self.name}: cut out at {box} of its {self.shape[1]} × {self.shape[0]} px."),
        )
        if self.psf_field is None:
            return piece
        # the cells stay where they are on the sky, and another place is the middle
        field = replace(self.psf_field, positions=self.psf_field.positions - np.array([box.x[0], box.y[0]]))
        fine = field.at((piece.shape[1] - 1) / 2.0, (piece.shape[0] - 1) / 2.0)
        return replace(
            piece,
            psf=_frozen(native_psf(fine, self.psf_oversampling)),
            fine_psf=None if self.psf_oversampling == 1 else _frozen(fine),
            psf_field=field,
        )

    def without(self, hidden: Bool[np.ndarray, "y x"]) -> Observation:
        """Return the same with pixels hidden in all bands: their weights are 0. Raises ValueError where the shape is
        another one."""
        if np.shape(hidden) != self.shape:
            raise ValueError(f"{self.name}: a mask needs a pixel per pixel, {self.shape}, got {np.shape(hidden)}.")
        return replace(self, weights=_frozen(np.where(hidden, 0.0, self.weights)))

    def with_psf(self, psf: Any, psf_oversampling: int = 1, notes: Sequence[str] = ()) -> Observation:
        """Return the same with another PSF, given as in `from_arrays`; what was said of the former one is forgotten."""
        said = tuple(note for note in self.notes if "PSF" not in note)
        other = Observation.from_arrays(
            self.images,
            psf,
            self.weights,
            channels=self.channels,
            name=self.name,
            psf_oversampling=psf_oversampling,
        )
        about_psf = {name: getattr(other, name) for name in ("psf", "fine_psf", "psf_oversampling", "psf_field")}
        return replace(self, **about_psf, notes=(*said, *notes, *other.notes))

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) [pix]."""
        return self.images.shape[1], self.images.shape[2]

    @property
    def grid(self) -> PixelGrid:
        return PixelGrid(self.shape, self.wcs)

    @property
    def psf_samples(self) -> Float[np.ndarray, "band fine fine"]:
        """The PSF as finely as it is known: `psf_oversampling` samples per pixel."""
        return self.psf if self.fine_psf is None else self.fine_psf

    @cached_property
    def n_unmasked(self) -> int:
        """How many pixels count in the likelihood."""
        return int(np.count_nonzero(self.weights))

    def to_input_unit(self, cube: Float[np.ndarray, "band y x"]) -> Float[np.ndarray, "band y x"]:
        """Convert surface brightness [nJy/pix] to the unit of the files."""
        return cube / self.njy_per_unit[:, None, None]

    def chi2(self, model: Float[np.ndarray, "band y x"]) -> float:
        """Return rᵀ C⁻¹ r for the residual r of a model in nJy/pix: Σ w r² over unmasked pixels, for white noise."""
        residual = np.asarray(model, np.float64) - self.images
        if self.whitening is None:
            return float(np.sum(self.weights * residual**2))
        return float(np.sum(whiten(self.whitening, residual, np) ** 2))

    @cached_property
    def whitening(self) -> Float[np.ndarray, "neighbour band y x"] | None:
        """What makes its noise white, C⁻¹ = Lᵀ L, as in `deblend.observe.whitening`; None where it is white already."""
        return None if self.noise_correlation is None else self.noise_correlation.whitening(self.weights)

    @property
    def star_information(self) -> Float[np.ndarray, " band"]:
        """Inverse variance of the flux of a star alone, where that of a pixel is 1: Σ PSF² for white noise."""
        if self.noise_correlation is None:
            return np.sum(self.psf**2, axis=(1, 2))
        return self.noise_correlation.star_information(self.psf)

    def with_measured_noise_correlation(self, model: Float[np.ndarray, "band y x"] | None = None) -> Observation:
        """Return the same with its noise's correlation, and its size, measured in blank sky; a note says both.

        Parameters
        ----------
        model
            Light to take off before [nJy/pix], for instance that of a fit, where hardly any sky is without.

        Raises
        ------
        ValueError
            Where a band has too little blank sky.
        """
        light = 0.0 if model is None else np.asarray(model, np.float64)
        noise = (self.images - light) * np.sqrt(self.weights)
        bands = [channel.band for channel in self.channels]
        try:
            correlation = NoiseCorrelation.measured(noise, self.weights > 0, bands)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        growth = np.sqrt(np.sum(self.psf**2, axis=(1, 2)) / correlation.star_information(self.psf))
        neighbours, scatter = (correlation.at((0, -1)), correlation.at((-1, 0))), np.sqrt(correlation.variance)
        numbers = zip(bands, *neighbours, scatter, growth, strict=True)
        said = [
            f"{band}: {beside:.2f} in x and {below:.2f} in y, a pixel's noise × {size:.2f}, a star's error × {star:.2f}"
            for band, beside, below, size, star in numbers
        ]
        note = (
            f"{self.name}: noise was measured in blank sky; {CORRELATION_SAID}, and factors to white noise of "
            f"the weights: {'; '.join(said)}."
        )
        return replace(self, noise_correlation=correlation, notes=(*self.notes, note))


def with_measured_noise(observations: Sequence[Observation]) -> tuple[Observation, ...]:
    """Return observations with the correlation of their noise measured, where blank sky tells it; notes say where not.

    Raises ValueError where none of them has enough.
    """
    result, refused = [], []
    for observation in observations:
        try:
            result.append(observation.with_measured_noise_correlation())
        except ValueError as error:
            refused.append(str(error))
            note = f"{error} Its noise counts as white."
            result.append(replace(observation, notes=(*observation.notes, note)))
    if len(refused) == len(result):
        raise ValueError(refused[0])
    return tuple(result)


def with_white_noise(observations: Sequence[Observation]) -> tuple[Observation, ...]:
    """Return observations whose pixels have noise of their own, and no note on how it goes together."""
    return tuple(
        replace(o, noise_correlation=None, notes=tuple(note for note in o.notes if CORRELATION_SAID not in note))
        for o in observations
    )


def _stamps(psf: Any, n_bands: int, name: str) -> list[np.ndarray]:
    stamps = list(psf) if not (isinstance(psf, np.ndarray) and psf.ndim == 2) else [psf]
    if len(stamps) == 1:
        stamps = stamps * n_bands
    if len(stamps) != n_bands:
        raise ValueError(f"{name}: {n_bands} bands need as many PSF stamps, or one for all, got {len(stamps)}.")
    return stamps


def _varying(field: PsfField, n_bands: int, name: str) -> PsfField:
    """Return a field with a stamp for each band."""
    n_stamps = field.stamps.shape[1]
    if n_stamps not in (1, n_bands):
        raise ValueError(f"{name}: {n_bands} bands need a PSF field for as many, or one for all, got {n_stamps}.")
    return replace(field, stamps=np.broadcast_to(field.stamps, (field.n_cells, n_bands, *field.stamps.shape[2:])))


def _frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
