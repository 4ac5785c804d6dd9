"""How many components a source is worth: bulge and disk for what is bright and well resolved.

Two profiles have four numbers more per shape and a flux more per band than one. Below some signal to noise these are
noise, and where the PSF is as wide as the galaxy the bulge is a point to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from deblend.detect.stack import FULL_WIDTH, stacks
from deblend.observe import Observation
from deblend.scene import Parameter, Scene, Sersic, Source, Status, make_source

LEAST_SNR = 200.0
"""Signal to noise, over all bands, from which on a source is worth two components."""
LEAST_SIZE = 1.0
"""Half-light radius before the PSF from which on it is well resolved [half widths at half maximum of the PSF]."""
BULGE_SHARE = 0.3
"""Of the flux, to start from."""
BULGE_SIZE = 0.4
"""Half-light radius of the bulge relative to that of the whole, to start from."""
DISK_SIZE = 1.2
BULGE_INDEX, DISK_INDEX = 4.0, 1.0
"""Sérsic indices: de Vaucouleurs and exponential."""


@dataclass(frozen=True)
class Proposal:
    """How many components a source is worth, and what says so."""

    n_components: int
    snr: float
    """Over all bands of all telescopes."""
    size: float
    """Half-light radius before the PSF [half widths at half maximum of the sharpest PSF that sees it well]."""


def propose_components(
    scene: Scene,
    observations: Sequence[Observation],
    pictures: Sequence[Sequence[Float[np.ndarray, "band y x"]]],
    *,
    least_snr: float = LEAST_SNR,
    least_size: float = LEAST_SIZE,
) -> tuple[Proposal, ...]:
    """Return for each source of a fitted scene whether it is worth one component or two, in the order of the scene.

    Parameters
    ----------
    pictures
        What every source looks like to each observation, (source, observation) [nJy/pix]; `FitState.component`.
    """
    widths = [0.5 * FULL_WIDTH * s.psf_sigma * s.grid.affine_to(scene.grid).scale for s in stacks(observations)]
    result = []
    for source, own in zip(scene.sources, pictures, strict=True):
        squares = [np.sum(picture**2 * o.weights) for picture, o in zip(own, observations, strict=True)]
        snr = float(np.sqrt(sum(squares)))
        size = _half_light_radius(source) / min(widths)
        is_worth_two = len(source.components) == 1 and snr >= least_snr and size >= least_size
        result.append(Proposal(2 if is_worth_two else len(source.components), snr, size))
    return tuple(result)


def with_bulge_and_disk(source: Source) -> Source:
    """Return a source of one component as a bulge and a disk of its flux and size, for a fit to tell apart.

    Indices are held at 4 and 1; sizes, ellipticities and fluxes are free, the center is shared. Raises ValueError
    where the source has several components already, or no flux.
    """
    if len(source.components) > 1:
        raise ValueError(f"Source {source.name or source.id} has several components already.")
    old = source.components[0]
    if not old.is_solved:
        raise ValueError(
            f"Source {source.name or source.id} has no fluxes to share among bulge and disk; fit it first."
        )
    size = _half_light_radius(source)
    components = []
    for share, relative, index in (
        (BULGE_SHARE, BULGE_SIZE, BULGE_INDEX),
        (1.0 - BULGE_SHARE, DISK_SIZE, DISK_INDEX),
    ):
        part = make_source(
            Sersic.label,
            source.x,
            source.y,
            n_channels=len(old.spectrum.value),
            half_light_radius=max(relative * size, 0.5),
            radius=old.radius,
        ).components[0]
        morphology = part.morphology.with_parameters(index=Parameter(index, Status.FIXED))
        spectrum = old.spectrum.at(share * old.spectrum.value)
        components.append(
            replace(
                part, morphology=morphology, spectrum=spectrum, is_variable=old.is_variable, shines_in=old.shines_in
            )
        )
    return replace(source, components=tuple(components))


def _half_light_radius(source: Source) -> float:
    """Return about the half-light radius of a source [pix]: of its widest component."""
    return max(component.morphology.half_light_radius_guess for component in source.components)
