"""Finding sources and starting them."""

from deblend.detect.peaks import Peaks, find_peaks
from deblend.detect.stack import box_radius, signal_to_noise
from deblend.detect.start import detect, empty_scene, scene_from_positions, start_source

__all__ = [
    "Peaks",
    "box_radius",
    "detect",
    "empty_scene",
    "find_peaks",
    "scene_from_positions",
    "signal_to_noise",
    "start_source",
]
