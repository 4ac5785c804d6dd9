"""What a PSF stamp looks like, in the numbers that a person compares: width, centroid, ellipticity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from deblend.observe.psf import full_width_half_maximum

ITERATIONS, SETTLED = 200, 1e-8


@dataclass(frozen=True)
class PsfReport:
    """The shape of a PSF on the pixels of the detector."""

    fwhm: float
    """Full width at half maximum of its mean profile [pix]."""
    centroid: tuple[float, float]
    """(x, y) from the middle of the stamp [pix]."""
    ellipticity: float
    """(a - b) / (a + b) of its axes."""
    angle: float
    """Of its long axis, from x towards y [deg], from 0 to 180."""

    def __str__(self) -> str:
        x, y = self.centroid
        shape = f"ellipticity {self.ellipticity:.3f} at {self.angle:.0f}°"
        return f"FWHM {self.fwhm:.2f} px, {shape}, off its middle by ({x:+.3f}, {y:+.3f}) px"


def describe_psf(stamp: Float[np.ndarray, "y x"], oversampling: int = 1) -> PsfReport:
    """Return the shape of a stamp with so many samples per pixel.

    Centroid and ellipticity are those of the elliptical Gaussian that fits best: moments under a weight of their own
    shape (Bernstein & Jarvis 2002; Hirata & Seljak 2003), which wings and noise do not decide.
    """
    stamp = np.asarray(stamp, float)
    y, x = np.indices(stamp.shape, dtype=float)
    width = full_width_half_maximum(stamp)
    center = np.array(np.unravel_index(np.argmax(stamp), stamp.shape), float)
    covariance = np.eye(2) * (width / 2.355) ** 2
    for _ in range(ITERATIONS):
        dy, dx = y - center[0], x - center[1]
        inverse = np.linalg.inv(covariance)
        weight = np.exp(-0.5 * (inverse[0, 0] * dy**2 + 2 * inverse[0, 1] * dy * dx + inverse[1, 1] * dx**2)) * stamp
        total = weight.sum()
        if not total > 0:
            break
        # under a weight of its own shape a Gaussian shows half of its offset, and half of its covariance
        step = 2.0 * np.array([(weight * dy).sum(), (weight * dx).sum()]) / total
        moments = np.array([[dy * dy, dy * dx], [dx * dy, dx * dx]])
        seen = 2.0 * (weight * moments).sum(axis=(2, 3)) / total
        change = max(np.abs(step).max(), np.abs(seen - covariance).max() / np.trace(covariance))
        center, covariance = center + step, seen
        if change < SETTLED or np.linalg.det(covariance) <= 1e-6:
            break
    small, large = np.sqrt(np.maximum(np.linalg.eigvalsh(covariance), 0.0))
    angle = 0.5 * np.degrees(np.arctan2(2.0 * covariance[0, 1], covariance[1, 1] - covariance[0, 0])) % 180.0
    middle = (np.array(stamp.shape) - 1) / 2.0
    off = (center - middle) / oversampling
    ellipticity = (large - small) / (large + small)
    return PsfReport(width / oversampling, (float(off[1]), float(off[0])), float(ellipticity), float(angle))
