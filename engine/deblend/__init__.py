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
from deblend.render import elliptical_radius, forget_morphology, register_morphology
from deblend.scene import (
    Calibration,
    Component,
    Constraint,
    ConstraintKind,
    DeVaucouleurs,
    Exponential,
    FreeForm,
    Galaxy,
    Gaussian,
    LockedParameterError,
    Moffat,
    OwnParameter,
    Parameter,
    Point,
    Scene,
    Sersic,
    Source,
    Spergel,
    Spline,
    Status,
    make_source,
    moving_sources,
)
from deblend.sky import Channel, PixelAffine, PixelGrid, TangentWcs

__all__ = [
    "Calibration",
    "Catalog",
    "Channel",
    "Component",
    "Constraint",
    "ConstraintKind",
    "DeVaucouleurs",
    "Exponential",
    "Fit",
    "FitSettings",
    "FitState",
    "FreeForm",
    "Galaxy",
    "Gaussian",
    "LockedParameterError",
    "Moffat",
    "Observation",
    "Outcome",
    "OwnParameter",
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
    "Spergel",
    "Spline",
    "StarPsf",
    "Status",
    "TangentWcs",
    "compilations",
    "detect",
    "elliptical_radius",
    "empty_scene",
    "find_missed",
    "find_peaks",
    "find_stars",
    "fit",
    "forget_morphology",
    "give_way",
    "make_source",
    "measure",
    "moving_sources",
    "positions_within",
    "psf_from_stars",
    "read_observations",
    "register_morphology",
    "scene_from_positions",
    "start_source",
    "unlisted",
    "with_missed",
    "with_transients",
]
