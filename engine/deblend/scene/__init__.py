"""What is on the sky, as said by a person. Frozen, NumPy only."""

from deblend.scene.calibration import FLUX_SCALE_SCATTER, PSF_GROWTH_SCATTER, SHIFT_SCATTER, Calibration
from deblend.scene.constraint import Constraint, ConstraintKind
from deblend.scene.morphologies import MORPHOLOGIES, start_morphology
from deblend.scene.morphology import (
    PROFILE_SIGMAS,
    FreeForm,
    Galaxy,
    Gaussian,
    Morphology,
    Point,
    Sersic,
)
from deblend.scene.own import OwnMorphology, OwnParameter
from deblend.scene.parameter import LockedParameterError, Parameter, Status
from deblend.scene.profiles import (
    MOFFAT_RANGE,
    RING_RADII,
    SPERGEL_RANGE,
    DeVaucouleurs,
    Exponential,
    Moffat,
    Spergel,
    Spline,
    typical_shares,
)
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
    start_components,
)
from deblend.scene.track import Motion, Track, fitted_motion

__all__ = [
    "CENTER_SCATTER",
    "CHANNEL_OFFSET_SCATTER",
    "COLOR_GRADIENT_SCATTER",
    "DEFAULT_RADIUS",
    "FLUX_SCALE_SCATTER",
    "MODEL_PSF_SIGMA",
    "MOFFAT_RANGE",
    "MORPHOLOGIES",
    "PROFILE_SIGMAS",
    "PSF_GROWTH_SCATTER",
    "RING_RADII",
    "SHIFT_SCATTER",
    "SPERGEL_RANGE",
    "Calibration",
    "Component",
    "Constraint",
    "ConstraintKind",
    "DeVaucouleurs",
    "Exponential",
    "FreeForm",
    "Galaxy",
    "Gaussian",
    "LockedParameterError",
    "Moffat",
    "Morphology",
    "Motion",
    "OwnMorphology",
    "OwnParameter",
    "Parameter",
    "Point",
    "Scene",
    "Sersic",
    "Source",
    "Spergel",
    "Spline",
    "Status",
    "Track",
    "fitted_motion",
    "make_source",
    "moving_sources",
    "start_components",
    "start_morphology",
    "typical_shares",
]
