"""deblend: take blended stars and galaxies apart.

from deblend import Observation, detect, fit, measure
observations = [Observation.read("hsc/*.fits")]
scene = detect(observations)
for state in fit(scene, observations):
    print(state.iteration, state.chi2)
measure(state.scene, observations).write("catalog.ecsv")
"""

from deblend.detect import (
    Peaks,
    detect,
    empty_scene,
    find_missed,
    find_peaks,
    positions_within,
    scene_from_positions,
    start_source,
    unlisted,
    with_missed,
    with_transients,
)
from deblend.infer import Fit, FitSettings, FitState, Outcome, Solver, fit
from deblend.io import read_observations
from deblend.measure import Catalog, measure
from deblend.observe import Observation, PsfField, StarPsf, find_stars, psf_from_stars
from deblend.program import Program, compilations, give_way
from deblend.scene import (
    Calibration,
    Component,
    Constraint,
    ConstraintKind,
    FreeForm,
    Galaxy,
    Gaussian,
    LockedParameterError,
    Parameter,
    Point,
    Scene,
    Sersic,
    Source,
    Status,
    make_source,
    moving_sources,
    offered_constraints,
)
from deblend.sky import Channel, PixelAffine, PixelGrid, TangentWcs

__all__ = [
    "Calibration",
    "Catalog",
    "Channel",
    "Component",
    "Constraint",
    "ConstraintKind",
    "Fit",
    "FitSettings",
    "FitState",
    "FreeForm",
    "Galaxy",
    "Gaussian",
    "LockedParameterError",
    "Observation",
    "Outcome",
    "Parameter",
    "Peaks",
    "PixelAffine",
    "PixelGrid",
    "Point",
    "Program",
    "PsfField",
    "Scene",
    "Sersic",
    "Solver",
    "Source",
    "StarPsf",
    "Status",
    "TangentWcs",
    "compilations",
    "detect",
    "empty_scene",
    "find_missed",
    "find_peaks",
    "find_stars",
    "fit",
    "give_way",
    "make_source",
    "measure",
    "moving_sources",
    "offered_constraints",
    "positions_within",
    "psf_from_stars",
    "read_observations",
    "scene_from_positions",
    "start_source",
    "unlisted",
    "with_missed",
    "with_transients",
]
