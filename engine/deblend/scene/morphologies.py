"""Every kind of morphology by its label, and how one starts."""

from __future__ import annotations

import numpy as np

from deblend.scene.galaxy import Galaxy
from deblend.scene.learned import Learned
from deblend.scene.morphology import FreeForm, Gaussian, Morphology, Point, Sersic, Starlet
from deblend.scene.profiles import DeVaucouleurs, Exponential, Moffat, Spergel, Spline
from deblend.scene.vae import Vae

MORPHOLOGIES: dict[str, type[Morphology]] = {
    kind.label: kind
    for kind in (
        Point,
        Gaussian,
        Exponential,
        DeVaucouleurs,
        Sersic,
        Moffat,
        Spergel,
        Spline,
        Galaxy,
        Learned,
        Vae,
        FreeForm,
        Starlet,
    )
}
"""Every morphology by its label, in the order of menus; those of a person come behind."""
SIZES = (0.35, 150.0)
"""Half-light radii that a morphology may start with [pix]."""


def start_morphology(kind: str, half_light_radius: float, radius: int, scale: float = 1.0) -> Morphology:
    """Return a round morphology of the kind named by `label`, of about this half-light radius [pix].

    Raises ValueError where there is no such kind.
    """
    if kind not in MORPHOLOGIES:
        raise ValueError(f"There is no morphology {kind!r}; choose one of {', '.join(MORPHOLOGIES)}.")
    result: Morphology = MORPHOLOGIES[kind].start(float(np.clip(half_light_radius, *SIZES)), radius, scale)
    return result
