"""A PSF from stars: chosen in the window, made in a thread, and taken only when a person says so."""

from __future__ import annotations

import numpy as np

from deblend import Observation, StarPsf
from deblend.observe import full_width_half_maximum, psf_from_stars
from napari_deblend.jobs import STARS
from napari_deblend.workbench import Workbench

NARROW = 2.5
"""Full width below which a PSF on pixels does not tell what lies between them [pix]."""


def make_star_psf(bench: Workbench, observation: int | None = None, oversampling: int | None = None) -> None:
    """Have a PSF made of the selected sources, or without any of stars that are found; the answer is a result `STARS`.

    For the observation that is looked through, unless another is named. Without `oversampling`, twice as fine as
    pixels where the present PSF is narrow. Raises ValueError where nothing is open.
    """
    document = bench.document
    scene, observations = document.scene, document.observations
    index = bench.layers.seen_by if observation is None else observation
    seen = observations[index]
    chosen = document.selected
    places = None
    if chosen:
        y, x = scene.grid.affine_to(seen.grid)(np.array([s.y for s in chosen]), np.array([s.x for s in chosen]))
        places = (x, y)
    samples = fine_enough(seen) if oversampling is None else oversampling
    said = f"{len(chosen)} selected stars" if chosen else "stars of the image"
    bench.tell(f"Making the PSF of {seen.name} from {said}…")
    bench.find(STARS, lambda: (observations, index, psf_from_stars(seen, *(places or ()), oversampling=samples)))


def fine_enough(observation: Observation) -> int:
    """Return how many samples per pixel a PSF wants that is as wide as the present one."""
    width = min(full_width_half_maximum(stamp) for stamp in observation.psf_samples) / observation.psf_oversampling
    return 2 if width < NARROW else 1


def take_star_psf(bench: Workbench, index: int, found: StarPsf) -> None:
    """Go on with a PSF that stars made, for one observation."""
    observations = list(bench.document.observations)
    observations[index] = observations[index].with_psf(found.psf, found.oversampling, found.notes)
    bench.observe_as(observations, f"Take the PSF of {observations[index].name} from stars")
    bench.tell(f"{observations[index].name} has the PSF of its stars now.")
