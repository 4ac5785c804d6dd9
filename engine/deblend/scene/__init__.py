"""What is on the sky, as said by a person. Frozen, NumPy only."""

from deblend.scene.constraint import Constraint, ConstraintKind
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
    start_morphology,
)

__all__ = [
    "CENTER_SCATTER",
    "CHANNEL_OFFSET_SCATTER",
    "COLOR_GRADIENT_SCATTER",
    "DEFAULT_RADIUS",
    "MODEL_PSF_SIGMA",
    "MORPHOLOGIES",
    "PROFILE_SIGMAS",
    "Component",
    "Constraint",
    "ConstraintKind",
    "FreeForm",
    "Galaxy",
    "Gaussian",
    "LockedParameterError",
    "Morphology",
    "Parameter",
    "Point",
    "Scene",
    "Sersic",
    "Source",
    "Status",
    "make_source",
    "start_morphology",
]
