"""How light becomes brightness: what a person asks for, and the levels that it means for an image.

Lupton et al. 2004: brightness = asinh(Q x) / asinh(Q), where x runs from 0 at the black level to 1 at the white one;
Q = 0 is linear. One setting holds for colors and single bands, data, models and residuals in flux; its levels are
counted in the noise of each image, so that telescopes of other depth look alike.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
from astropy.visualization import AsymmetricPercentileInterval, ZScaleInterval
from jaxtyping import Float

BRIGHTEST = 400.0
"""Where the stretch saturates at the latest, unless a person says so [sigma of the noise]."""
SOFTENING = 3.0
"""Where the asinh turns from linear to logarithmic, unless a person says so [sigma of the noise]."""
WHITE_RANGE = (2.0, 20_000.0)
"""Of the white level [sigma of the noise]."""
Q_RANGE = (0.0, 5_000.0)
PERCENTILES = (1.0, 99.5)
"""Of the pixels, black and white in the percentile preset."""
MOST_PIXELS = 1_000_000
"""More pixels than these are sampled for levels."""


class Preset(Enum):
    """Where the levels come from."""

    ASINH = "asinh"
    ZSCALE = "zscale"
    PERCENTILE = "percentile"

    @property
    def next(self) -> Preset:
        presets = list(Preset)
        return presets[(presets.index(self) + 1) % len(presets)]


@dataclass(frozen=True)
class Stretch:
    """What a person asks for; None is what suits the image.

    Raises ValueError where a number is out of its range.
    """

    preset: Preset = Preset.ASINH
    white: float | None = None
    """Light that is white [sigma of the noise]."""
    q: float | None = None
    """How logarithmic: 0 is linear."""

    def __post_init__(self) -> None:
        for name, value, (low, high) in (("stretch", self.white, WHITE_RANGE), ("Q", self.q, Q_RANGE)):
            if value is not None and not low <= value <= high:
                raise ValueError(f"The {name} must be between {low:g} and {high:g}, got {value:g}.")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"preset": self.preset.value}

    @classmethod
    def from_dict(cls, said: dict[str, Any]) -> Stretch:
        """Return what `to_dict` gave; raises ValueError or TypeError where it is something else."""
        return cls(**{**said, "preset": Preset(said.get("preset"))})


@dataclass(frozen=True)
class Levels:
    """Black, white and the curve between them, for one image."""

    black: float
    """[nJy/pix]"""
    white: float
    """[nJy/pix]"""
    q: float

    def __call__(self, light: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """Return brightness, 0 at black and 1 at white; more above it."""
        x = (light - np.float32(self.black)) / np.float32(self.white - self.black)
        return brightness(x, self.q)


def brightness(x: Float[np.ndarray, "*any"], q: float) -> Float[np.ndarray, "*any"]:
    """Return asinh(q x) / asinh(q): 0 at 0, 1 at 1, odd, linear for q = 0."""
    return x if q < 1e-3 else np.arcsinh(np.float32(q) * x) / np.float32(math.asinh(q))


def knots(q: float, n: int) -> Float[np.ndarray, " n"]:
    """Return the x of evenly spaced brightnesses: where a colormap of this curve has its `n` colors."""
    even = np.linspace(0.0, 1.0, n)
    x = even if q < 1e-3 else np.sinh(even * math.asinh(q)) / q
    x[0], x[-1] = 0.0, 1.0
    return x


@dataclass(frozen=True, eq=False)
class LightRange:
    """What levels are taken from: the light of an image and its noise; percentiles are computed on first use."""

    light: Float[np.ndarray, " pixel"]
    """Of unmasked pixels [nJy/pix]."""
    noise: float
    """[nJy/pix]"""
    black: float
    """Black level of the asinh preset [sigma]."""
    top: tuple[float, float]
    """Percentile of the light that is white in the asinh preset, and the least that is [sigma]."""

    def levels(self, stretch: Stretch) -> Levels:
        """Return the levels that a stretch means here."""
        low, high = {Preset.ASINH: self._asinh, Preset.ZSCALE: self._zscale, Preset.PERCENTILE: self._percentile}[
            stretch.preset
        ]
        if stretch.white is not None:
            high = stretch.white * self.noise
        if not high > low:
            high = low + self.noise
        automatic = (high - low) / (SOFTENING * self.noise) if stretch.preset is Preset.ASINH else 0.0
        return Levels(low, high, automatic if stretch.q is None else stretch.q)

    @cached_property
    def _sample(self) -> Float[np.ndarray, " pixel"]:
        return self.light[:: 1 + self.light.size // MOST_PIXELS]

    @cached_property
    def _asinh(self) -> tuple[float, float]:
        percentile, least = self.top
        peak = float(np.percentile(self._sample, percentile)) if self.light.size else 0.0
        return self.black * self.noise, float(np.clip(peak, least * self.noise, BRIGHTEST * self.noise))

    @cached_property
    def _zscale(self) -> tuple[float, float]:
        if not self.light.size:
            return self._asinh
        low, high = ZScaleInterval().get_limits(self._sample)
        return float(low), float(high)

    @cached_property
    def _percentile(self) -> tuple[float, float]:
        if not self.light.size:
            return self._asinh
        low, high = AsymmetricPercentileInterval(*PERCENTILES).get_limits(self._sample)
        return float(low), float(high)
