"""Finding sources and starting them."""

from deblend.detect.carried import carried
from deblend.detect.known import in_star_cores
from deblend.detect.missed import find_missed, with_missed
from deblend.detect.peaks import Peaks, find_peaks
from deblend.detect.stack import Stack, box_radius, signal_to_noise, stacked, stacks
from deblend.detect.start import (
    detect,
    empty_scene,
    model_psf_sigma,
    positions_within,
    scene_from_positions,
    start_source,
)
from deblend.detect.transients import with_transients
from deblend.detect.unlisted import unlisted
from deblend.detect.velocity import FoundVelocity, find_velocity, taken_for_still

__all__ = [
    "FoundVelocity",
    "Peaks",
    "Stack",
    "box_radius",
    "carried",
    "detect",
    "empty_scene",
    "find_missed",
    "find_peaks",
    "find_velocity",
    "in_star_cores",
    "model_psf_sigma",
    "positions_within",
    "scene_from_positions",
    "signal_to_noise",
    "stacked",
    "stacks",
    "start_source",
    "taken_for_still",
    "unlisted",
    "with_missed",
    "with_transients",
]
