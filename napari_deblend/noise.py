"""Noise in the window: taken for white, or with the correlation that blank sky shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from deblend import Observation
from deblend.observe import with_measured_noise, with_white_noise
from napari_deblend.jobs import NOISE

if TYPE_CHECKING:
    from napari_deblend.workbench import Workbench


def is_correlated(observations: Sequence[Observation]) -> bool:
    """Tell whether the likelihood knows how the noise of neighbouring pixels goes together."""
    return any(o.noise_correlation is not None for o in observations)


def take_noise_for(bench: Workbench, correlated: bool) -> None:
    """Have the correlation of the noise measured in blank sky, or take it for white again; the scene stays."""
    opened = bench.document.observations
    if correlated:
        bench.tell("Measuring the noise of blank sky…")
        bench.find(NOISE, lambda: (opened, with_measured_noise(opened)))
    elif is_correlated(opened):
        take_noise(bench, with_white_noise(opened))


def take_noise(bench: Workbench, observations: Sequence[Observation]) -> None:
    """Go on with the same images and this account of their noise."""
    kind = "correlated" if is_correlated(observations) else "white"
    bench.observe_as(observations, f"Take noise for {kind}")
