"""How pictures look: an asinh stretch that leaves the data alone, sigma colours, and colour composites.

The stretch lives in the colormap, so that the colour bar, the limits and the status bar stay in flux units; limits
are computed once, when data are opened, and belong to the user from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, UInt8
from napari.utils.colormaps import Colormap, ensure_colormap
from scipy import ndimage

from napari_deblend.stretch import Levels, LightRange, Stretch, knots

RESIDUAL_LIMITS = (-5.0, 5.0)
"""Limits of residuals [sigma]."""
CHI2_LIMITS = (0.0, 50.0)
"""Limits of χ² per pixel, which is 1 where a model explains the images; its colors are linear up to there, then
logarithmic."""
RESIDUAL_STOPS = ("#bdebff", "#3fa7d6", "#1d5c85", "#16181d", "#8a3d1d", "#ee7b3c", "#ffe0b5")
"""Colors of residuals from too faint to too bright an image: diverging from dark, told apart by the color-blind."""
KNOTS = 256

WAVELENGTHS = {"u": 368, "g": 480, "r": 623, "i": 764, "z": 890, "y": 975, "J": 1250, "H": 1635, "K": 2150}
"""Where the usual broad bands lie [nm]; used only to sort bands from blue to red."""


def asinh_colormap(q: float, name: str = "asinh gray") -> Colormap:
    """Return a gray colormap of brightness asinh(q x) / asinh(q) of the limits (Lupton et al. 2004); 0 is linear."""
    gray = np.linspace(0.0, 1.0, KNOTS)
    colors = np.stack([gray, gray, gray, np.ones(KNOTS)], axis=1)
    return Colormap(colors, controls=knots(q, KNOTS), name=name, display_name=name)


def residual_colormap() -> Colormap:
    """Return the diverging colormap of residuals: blue where the model is too bright, dark at 0, orange above."""
    return Colormap(list(RESIDUAL_STOPS), name="residual", display_name="residual")


def residual_flux_colormap(q: float) -> Colormap:
    """Return the colors of residuals with the stretch of the data, to both sides of 0."""
    half = KNOTS // 2 + 1
    beside = 0.5 * knots(q, half)
    controls = np.concatenate([0.5 - beside[:0:-1], 0.5 + beside])
    colors = residual_colormap().map(np.linspace(0.0, 1.0, controls.size))
    return Colormap(colors, controls=controls, name="residual in flux", display_name="residual in flux")


def chi2_colormap() -> Colormap:
    """Return the colormap of χ² per pixel: dark at 1 and below, and brighter by its logarithm."""
    colors = ensure_colormap("inferno").map(np.linspace(0.0, 1.0, KNOTS))
    return Colormap(colors, controls=knots(CHI2_LIMITS[1], KNOTS), name="chi2", display_name="chi²")


def filled(images: Float[np.ndarray, "band y x"], weights: Float[np.ndarray, "band y x"]) -> np.ndarray:
    """Return the images with masked pixels filled from their neighbours, so that a composite has no false colors."""
    result = np.where(weights > 0, images, 0.0)
    known = (weights > 0).astype(float)
    for _ in range(4):
        if known.all():
            break
        size = (1, 3, 3)
        share = ndimage.uniform_filter(known, size)
        mean = ndimage.uniform_filter(result * known, size) / np.maximum(share, 1e-9)
        new = (known == 0) & (share > 1e-6)
        result[new], known[new] = mean[new], 1.0
    return result


def light_of(images: Float[np.ndarray, "band y x"], weights: Float[np.ndarray, "band y x"]) -> LightRange:
    """Return the range of the light of all bands of an observation, which share one pair of limits."""
    good = weights > 0
    deviations = [1.0 / np.sqrt(np.median(w[g])) for w, g in zip(weights, good, strict=True) if g.any()]
    noise = float(np.median(deviations)) if deviations else 1.0
    return LightRange(images[good], noise, black=-2.0, top=(99.98, 10.0))


@dataclass(frozen=True, eq=False)
class ColorMix:
    """From bands to red, green and blue: fixed by the data once, then the same for data and models.

    Lupton et al. 2004: one asinh of the total brightness scales all three, so that colours do not change with it.
    """

    matrix: Float[np.ndarray, "3 band"]
    light: LightRange
    """Of the mean of the three colours, after the matrix."""
    levels: Levels

    @classmethod
    def of(
        cls, images: Float[np.ndarray, "band y x"], weights: Float[np.ndarray, "band y x"], bands: tuple[str, ...]
    ) -> ColorMix:
        """Choose the mix for an observation with these bands; the mean colour of its light is shown as white."""
        n_bands = len(bands)
        order = sorted(range(n_bands), key=lambda k: (_wavelength(bands[k]), k))
        rank = np.empty(n_bands)
        rank[order] = np.arange(n_bands) / max(n_bands - 1, 1)
        # overlapping triangles over the bands from blue to red
        anchors = np.array([1.0, 0.5, 0.0])[:, None]
        matrix = np.clip(1.0 - np.abs(rank[None] - anchors) / 0.5, 0.05 if n_bands > 1 else 1.0, None)
        good = weights > 0
        variance = np.array([np.median(1.0 / w[g]) if g.any() else 0.0 for w, g in zip(weights, good, strict=True)])
        bright = images > 5.0 * np.sqrt(variance)[:, None, None]
        total = np.array([i[b & g].sum() if (b & g).any() else 0 for i, b, g in zip(images, bright, good, strict=True)])
        white = matrix @ np.maximum(total, 1e-30)
        matrix = matrix / white[:, None] * white.mean()
        noise = float(np.sqrt(np.mean((matrix**2) @ variance))) or 1.0
        mean = np.einsum("cb,byx->yx", matrix, images) / 3.0
        light = LightRange(mean.ravel(), noise, black=-1.0, top=(99.9, 20.0))
        return cls(matrix, light, light.levels(Stretch()))

    def stretched(self, stretch: Stretch) -> ColorMix:
        """Return the same colours in another stretch."""
        return replace(self, levels=self.light.levels(stretch))

    def __call__(self, images: Float[np.ndarray, "band y x"]) -> UInt8[np.ndarray, "y x 3"]:
        """Return the composite, 8 bits a colour."""
        color = np.tensordot(self.matrix.astype(np.float32), np.asarray(images, np.float32), axes=1)
        levels = self.levels
        color = np.maximum(color - np.float32(levels.black), 0.0)
        mean = color.mean(axis=0)
        color *= (levels(mean + np.float32(levels.black)) / np.maximum(mean, 1e-12))[None]
        peak = color.max(axis=0)
        color /= np.maximum(peak, 1.0)[None]
        return np.ascontiguousarray(np.moveaxis((255.0 * color + 0.5).astype(np.uint8), 0, -1))


def _wavelength(band: str) -> float:
    """Return where a band lies [nm], by its name: a letter, HSC-R, or a filter number as in F814W."""
    digits = "".join(c for c in band if c.isdigit())
    if band[:1] in "fF" and len(digits) >= 3:
        number = float(digits)
        return number if number > 200 else number * 10.0
    letter = band.replace("-", "_").split("_")[-1][:1]
    return float(WAVELENGTHS.get(letter, WAVELENGTHS.get(letter.lower(), 1e4)))
