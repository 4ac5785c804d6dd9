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
from deblend.scene.full_scene import ROUGHNESS, FullScene
from deblend.scene.law import BlackBody, Break, CustomLaw, EmissionLine, Law, Normal, PowerLaw, Template
from deblend.scene.link import Link
from deblend.scene.morphologies import MORPHOLOGIES, start_morphology
from deblend.scene.morphology import (
    PROFILE_SIGMAS,
    FreeForm,
    Galaxy,
    Gaussian,
    Morphology,
    Point,
    Sersic,
    Starlet,
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
from deblend.scene.stars import StarCatalog, StarField
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
    "MOFFAT_RANGE",
    "MORPHOLOGIES",
    "NORMALIZATIONS",
    "PROFILE_SIGMAS",
    "PSF_GROWTH_SCATTER",
    "RING_RADII",
    "ROUGHNESS",
    "SHIFT_SCATTER",
    "SPERGEL_RANGE",
    "BlackBody",
    "Break",
    "Calibration",
    "Component",
    "Constraint",
    "ConstraintInfo",
    "ConstraintKind",
    "CustomLaw",
    "DeVaucouleurs",
    "EmissionLine",
    "Exponential",
    "FreeForm",
    "FullScene",
    "Galaxy",
    "Gaussian",
    "Handling",
    "Law",
    "Link",
    "LockedParameterError",
    "Moffat",
    "Morphology",
    "Motion",
    "Normal",
    "OwnMorphology",
    "OwnParameter",
    "Parameter",
    "Point",
    "PowerLaw",
    "Scene",
    "Sersic",
    "Setting",
    "Source",
    "Spergel",
    "Spline",
    "StarCatalog",
    "StarField",
    "Starlet",
    "Status",
    "Target",
    "Template",
    "Track",
    "fitted_motion",
    "make_source",
    "moving_sources",
    "offered_constraints",
    "start_components",
    "start_morphology",
    "typical_shares",
]
