"""Peaks: where sources may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, eq=False)
class Peaks:
    """Positions on the first observation's pixels, brightest first."""

    x: Float[np.ndarray, " peak"]
    """0-based [pix]."""
    y: Float[np.ndarray, " peak"]
    snr: Float[np.ndarray, " peak"]
    """Signal to noise of a point source there, or of the structure at its `scale`."""
    scale: Int[np.ndarray, " peak"] = None  # type: ignore[assignment]
    """Starlet scale at which it stands out most: structures of about 2^scale pixels of the image that it was found in;
    0 where no scales were looked at."""
    parent: Int[np.ndarray, " peak"] = None  # type: ignore[assignment]
    """Index of the peak whose light, at a coarser scale, it lies within; -1 for none."""

    def __post_init__(self) -> None:
        if self.scale is None:
            object.__setattr__(self, "scale", np.zeros(len(self.x), int))
        if self.parent is None:
            object.__setattr__(self, "parent", np.full(len(self.x), -1))

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Int[np.ndarray, " taken"]) -> Peaks:
        """Return these peaks, in this order; one whose parent is not among them has that one's parent instead."""
        new = np.full(len(self), -1)
        new[rows] = np.arange(len(rows))
        parent = self.parent[rows]
        while np.any(lost := (parent >= 0) & (new[parent] < 0)):
            parent[lost] = self.parent[parent[lost]]
        return Peaks(
            self.x[rows], self.y[rows], self.snr[rows], self.scale[rows], np.where(parent < 0, -1, new[parent])
        )

    @staticmethod
    def joined(parts: Sequence[Peaks]) -> Peaks:
        """Return the peaks of all parts, brightest first."""
        parts = parts or [Peaks(*(np.zeros(0) for _ in range(3)))]
        starts = np.cumsum([0, *map(len, parts)])
        parents = [np.where(p.parent < 0, -1, p.parent + start) for p, start in zip(parts, starts, strict=False)]
        x, y, snr, scale = (np.concatenate([getattr(p, name) for p in parts]) for name in ("x", "y", "snr", "scale"))
        whole = Peaks(x, y, snr, scale, np.concatenate(parents))
        return whole.take(np.argsort(-whole.snr, kind="stable"))


def clearest(found: Sequence[tuple[Peaks, float]]) -> Peaks:
    """Return all peaks, brightest first, but for those near to a clearer one; each part comes with how near that is."""
    peaks = Peaks.joined([part for part, _ in found])
    reach = np.concatenate([np.full(len(part), near) for part, near in found] or [np.zeros(0)])
    reach = reach[np.argsort(-np.concatenate([part.snr for part, _ in found] or [np.zeros(0)]), kind="stable")]
    chosen: list[int] = []
    for k, (x, y) in enumerate(zip(peaks.x, peaks.y, strict=True)):
        if all(np.hypot(x - peaks.x[j], y - peaks.y[j]) > max(reach[k], reach[j]) for j in chosen):
            chosen.append(k)
    return peaks.take(np.array(chosen, int))


def refined(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return peaks moved to the top of the parabola through their neighbours, by at most half a pixel per axis."""
    height, width = picture.shape
    rows, columns = y.astype(int), x.astype(int)
    inside = (rows > 0) & (rows < height - 1) & (columns > 0) & (columns < width - 1)
    r, c = np.clip(rows, 1, height - 2), np.clip(columns, 1, width - 2)

    def offset(before: np.ndarray, middle: np.ndarray, after: np.ndarray) -> np.ndarray:
        curvature = 2.0 * middle - before - after
        step = 0.5 * (after - before) / np.where(curvature > 0, curvature, np.inf)
        return np.where(inside, np.clip(step, -0.5, 0.5), 0.0)

    dx = offset(picture[r, c - 1], picture[r, c], picture[r, c + 1])
    dy = offset(picture[r - 1, c], picture[r, c], picture[r + 1, c])
    return x + dx, y + dy
