"""Finding sources and starting them."""

from deblend.detect.carried import carried
from deblend.detect.components import Proposal, propose_components, with_bulge_and_disk
from deblend.detect.find import DEFAULT_METHOD, METHODS, Method, find_peaks
from deblend.detect.footprints import Footprints, Group, footprints, groups
from deblend.detect.hidden import find_hidden, unneeded, with_hidden
from deblend.detect.known import in_star_cores
from deblend.detect.leftover import Blob, residual_blobs
from deblend.detect.missed import find_missed, left_over, source_from_residual, with_missed
from deblend.detect.peaks import Peaks
from deblend.detect.plain import as_free_as, plain
from deblend.detect.search import Search
from deblend.detect.seen import as_seen
from deblend.detect.sizes import snapped
from deblend.detect.stack import Stack, box_radius, signal_to_noise, stacked, stacks
from deblend.detect.start import (
    detect,
    empty_scene,
    model_psf_sigma,
    positions_within,
    scene_from_positions,
    start_source,
    start_sources,
)
from deblend.detect.transients import with_transients
from deblend.detect.unlisted import unlisted
from deblend.detect.velocity import FoundVelocity, find_velocity, taken_for_still

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "Blob",
    "Footprints",
    "FoundVelocity",
    "Group",
    "Method",
    "Peaks",
    "Proposal",
    "Search",
    "Stack",
    "as_free_as",
    "as_seen",
    "box_radius",
    "carried",
    "detect",
    "empty_scene",
    "find_hidden",
    "find_missed",
    "find_peaks",
    "find_velocity",
    "footprints",
    "groups",
    "in_star_cores",
    "left_over",
    "model_psf_sigma",
    "plain",
    "positions_within",
    "propose_components",
    "residual_blobs",
    "scene_from_positions",
    "signal_to_noise",
    "snapped",
    "source_from_residual",
    "stacked",
    "stacks",
    "start_source",
    "start_sources",
    "taken_for_still",
    "unlisted",
    "unneeded",
    "with_bulge_and_disk",
    "with_hidden",
    "with_missed",
    "with_transients",
]
