"""What is on the sky, as said by a person. Frozen, NumPy only."""

from deblend.scene.calibration import FLUX_SCALE_SCATTER, PSF_GROWTH_SCATTER, SHIFT_SCATTER, Calibration
from deblend.scene.constraint import Constraint
from deblend.scene.constraint_kind import (
    CONSTRAINT_INFO,
    INWARD_WEIGHTS,
    NORMALIZATIONS,
    ConstraintInfo,
    ConstraintKind,
    Handling,
    Setting,
    Target,
    offered_constraints,
)
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
    "CONSTRAINT_INFO",
    "DEFAULT_RADIUS",
    "FLUX_SCALE_SCATTER",
    "INWARD_WEIGHTS",
    "MODEL_PSF_SIGMA",
    "MORPHOLOGIES",
    "NORMALIZATIONS",
    "PROFILE_SIGMAS",
    "PSF_GROWTH_SCATTER",
    "SHIFT_SCATTER",
    "Calibration",
    "Component",
    "Constraint",
    "ConstraintInfo",
    "ConstraintKind",
    "FreeForm",
    "Galaxy",
    "Gaussian",
    "Handling",
    "LockedParameterError",
    "Morphology",
    "Motion",
    "Parameter",
    "Point",
    "Scene",
    "Sersic",
    "Setting",
    "Source",
    "Status",
    "Target",
    "Track",
    "fitted_motion",
    "make_source",
    "moving_sources",
    "offered_constraints",
    "start_morphology",
]
