"""What is on the sky, as said by a person. Frozen, NumPy only."""

from deblend.scene.calibration import FLUX_SCALE_SCATTER, PSF_GROWTH_SCATTER, SHIFT_SCATTER, Calibration
from deblend.scene.constraint import Constraint, ConstraintKind
from deblend.scene.law import BlackBody, Break, CustomLaw, EmissionLine, Law, Normal, PowerLaw, Template
from deblend.scene.morphology import (
    MORPHOLOGIES,
    PROFILE_SIGMAS,
    FreeForm,
    Galaxy,
    Gaussian,
    Morphology,
    Point,
    Sersic,
)
from deblend.scene.parameter import LockedParameterError, Parameter, Status
from deblend.scene.scene import MODEL_PSF_SIGMA, Scene
from deblend.scene.source import (
    CENTER_SCATTER,
    CHANNEL_OFFSET_SCATTER,
    COLOR_GRADIENT_SCATTER,
    DEFAULT_RADIUS,
    Component,
    Source,
    make_source,
    moving_sources,
    start_morphology,
)
from deblend.scene.track import Motion, Track, fitted_motion

__all__ = [
    "CENTER_SCATTER",
    "CHANNEL_OFFSET_SCATTER",
    "COLOR_GRADIENT_SCATTER",
    "DEFAULT_RADIUS",
    "FLUX_SCALE_SCATTER",
    "MODEL_PSF_SIGMA",
    "MORPHOLOGIES",
    "PROFILE_SIGMAS",
    "PSF_GROWTH_SCATTER",
    "SHIFT_SCATTER",
    "BlackBody",
    "Break",
    "Calibration",
    "Component",
    "Constraint",
    "ConstraintKind",
    "CustomLaw",
    "EmissionLine",
    "FreeForm",
    "Galaxy",
    "Gaussian",
    "Law",
    "LockedParameterError",
    "Morphology",
    "Motion",
    "Normal",
    "Parameter",
    "Point",
    "PowerLaw",
    "Scene",
    "Sersic",
    "Source",
    "Status",
    "Template",
    "Track",
    "fitted_motion",
    "make_source",
    "moving_sources",
    "start_morphology",
]
