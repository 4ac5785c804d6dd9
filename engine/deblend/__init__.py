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
from deblend.io import read_observations, read_passband, read_template
from deblend.measure import Catalog, measure
from deblend.observe import Observation, PsfField, StarPsf, find_passband, find_stars, psf_from_stars
from deblend.program import Program, compilations, give_way
from deblend.scene import (
    BlackBody,
    Break,
    Calibration,
    Component,
    Constraint,
    ConstraintKind,
    CustomLaw,
    EmissionLine,
    FreeForm,
    Galaxy,
    Gaussian,
    Law,
    LockedParameterError,
    Normal,
    Parameter,
    Point,
    PowerLaw,
    Scene,
    Sersic,
    Source,
    Status,
    Template,
    make_source,
    moving_sources,
)
from deblend.sky import Channel, Passband, PixelAffine, PixelGrid, TangentWcs

__all__ = [
    "BlackBody",
    "Break",
    "Calibration",
    "Catalog",
    "Channel",
    "Component",
    "Constraint",
    "ConstraintKind",
    "CustomLaw",
    "EmissionLine",
    "Fit",
    "FitSettings",
    "FitState",
    "FreeForm",
    "Galaxy",
    "Gaussian",
    "Law",
    "LockedParameterError",
    "Normal",
    "Observation",
    "Outcome",
    "Parameter",
    "Passband",
    "Peaks",
    "PixelAffine",
    "PixelGrid",
    "Point",
    "PowerLaw",
    "Program",
    "PsfField",
    "Scene",
    "Sersic",
    "Solver",
    "Source",
    "StarPsf",
    "Status",
    "TangentWcs",
    "Template",
    "compilations",
    "detect",
    "empty_scene",
    "find_missed",
    "find_passband",
    "find_peaks",
    "find_stars",
    "fit",
    "give_way",
    "make_source",
    "measure",
    "moving_sources",
    "positions_within",
    "psf_from_stars",
    "read_observations",
    "read_passband",
    "read_template",
    "scene_from_positions",
    "start_source",
    "unlisted",
    "with_missed",
    "with_transients",
]
