"""The PSF of one file's image as it was given: stamps at one place or several, however finely sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from deblend.observe import PsfField, centroid
from deblend.observe.kernel import on_model_pixels
from deblend.observe.psf import centered, integrated_over_pixels
from deblend.sky import PixelAffine

WHOLE = 1e-3
"""Samples that lie apart by a whole fraction of a pixel, to this, are left as they are."""
MOST_SAMPLES = 8
"""Per pixel, along each axis; finer ones are taken together, since they say nothing more."""

Stamps = list[Float[np.ndarray, "y x"]]


@dataclass(frozen=True, eq=False)
class GivenPsf:
    """Stamps for every plane of a picture."""

    stamps: tuple[Stamps, ...]
    """Of every cell, one per plane."""
    positions: Float[np.ndarray, "cell 2"] | None = None
    """(x, y) of every cell [pix of the picture]; None where the PSF does not vary."""
    step: float = 1.0
    """Distance of the samples [pix of the picture]."""
    is_integrated: bool = True
    """Whether samples hold the light of whole pixels; else they are points of the optics' image."""
    remarks: tuple[str, ...] = ()
    """What was assumed, as sentences."""

    @classmethod
    def of(cls, stamps: Stamps, remarks: Sequence[str] = ()) -> GivenPsf:
        """Make it of a stamp per plane on the picture's pixels."""
        return cls((stamps,), remarks=tuple(remarks))

    @property
    def n_planes(self) -> int:
        return len(self.stamps[0])

    @property
    def least_oversampling(self) -> int:
        """The fewest whole samples per pixel that are as fine as its own."""
        return min(max(int(np.ceil(1.0 / self.step - WHOLE / self.step)), 1), MOST_SAMPLES)

    def for_planes(self, count: int) -> GivenPsf:
        """Return the same for that many planes, where there is one stamp for all of them."""
        return replace(self, stamps=tuple(cell * count for cell in self.stamps))

    def sampled(self, oversampling: int) -> tuple[Stamps, ...]:
        """Return the stamps with so many samples per pixel, integrated over pixels."""
        return tuple([self._sampled(stamp, oversampling) for stamp in cell] for cell in self.stamps)

    def _sampled(self, stamp: Float[np.ndarray, "y x"], oversampling: int) -> Float[np.ndarray, "y x"]:
        if not self.is_integrated:
            stamp = integrated_over_pixels(stamp, 1.0 / self.step)
        stretch = self.step * oversampling
        if abs(stretch - 1.0) <= WHOLE:
            return stamp
        stamp = np.nan_to_num(stamp, nan=0.0, posinf=0.0, neginf=0.0)
        if stamp.shape[0] != stamp.shape[1] or stamp.shape[0] % 2 == 0:
            stamp = centered(stamp, centroid(stamp))
        finer = on_model_pixels(stamp, PixelAffine(((stretch, 0.0), (0.0, stretch))))
        return finer / finer.sum()


def together(given: Sequence[GivenPsf], bands: Sequence[str]) -> tuple[Stamps | PsfField, list[str]]:
    """Return the PSF of an observation of several pictures, one stamp per band or a field, and sentences on it.

    Raises ValueError, naming the band, where a stamp is no picture of a star.
    """
    notes = list(dict.fromkeys(remark for one in given for remark in one.remarks))
    oversampling = max(one.least_oversampling for one in given)
    if oversampling == 1 and all(one.positions is None for one in given):
        return [stamp for one in given for stamp in one.sampled(1)[0]], notes
    fields, start = [], 0
    for one in given:
        positions = np.zeros((1, 2)) if one.positions is None else one.positions
        names = bands[start : start + one.n_planes]
        field, said = PsfField.from_stamps(positions, one.sampled(oversampling), names, oversampling=oversampling)
        fields.append(field)
        notes += said
        start += one.n_planes
    field = PsfField.joined(fields)
    if oversampling > 1:
        notes.append(f"The PSF has {oversampling} samples per pixel along each axis.")
    if field.n_cells > 1:
        notes.append(f"The PSF varies over the image: it is interpolated between {field.n_cells} places.")
    return field, notes
